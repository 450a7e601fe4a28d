"""The same story as Prefect flow runs: every step a task, artifacts at the end, failures whose
message is the remedy.

Science never imports this; `coslide respond` reaches it only with `--prefect` or where
PREFECT_API_URL is set. Tasks neither cache nor persist: resuming is the work folder's business, and
Prefect sees paths and small records only. What computes is imported where a run begins: the parts
of `coslide serve`, which only start runs, stay small.
"""

from __future__ import annotations

import os
from typing import Any

# The ephemeral server needs up to 20 s on a fresh home; the default limit of 20 is too tight on a
# slow machine.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import State, flow
from prefect.runtime import flow_run as this_run
from prefect.states import Completed

from configs.files import inside
from configs.request import Request
from configs.run import RunConfig
from configs.service import allowed_file
from flows.resolve import check_drill, resolve
from flows.run.journal import Step
from flows.service import hooks, lifecycle
from flows.service.lifecycle import answered
from flows.service.settings import output_folder, preset_of, service
from flows.service.steps import steps_for


def _run_name() -> str:
    """Return a run name that tells the event."""
    parameters = this_run.parameters
    asked = parameters.get("request") or parameters.get("config") or {}
    content = asked if isinstance(asked, dict) else asked.model_dump(mode="json")
    event = content.get("event", content)
    place = f"{event.get('latitude')},{event.get('longitude')} {event.get('date') or ''}".strip()
    return str(event.get("name") or event.get("usgs") or place)


@flow(name="respond", flow_run_name=_run_name, persist_result=False)
def respond_flow(config: RunConfig) -> dict[str, Any]:
    """Run one resolved configuration, tracked."""
    from flows.respond import respond

    summary = respond(config, step=steps_for(config))
    hooks.show(summary)
    return summary


@flow(name="map-event", flow_run_name=_run_name, persist_result=False, **hooks.HOOKS)
@lifecycle.followed
def map_event_flow(request: Request) -> dict[str, Any] | State[Any]:
    """Map the landslides of an earthquake. Either a USGS id, or latitude, longitude and date."""
    from flows.respond import respond

    preset = preset_of(service())
    if request.usgs:
        check_drill(preset, service().drill)
    config = resolve(request, preset, hosts=service().allow.hosts)
    lifecycle.is_about(config.event, str(config.source))
    if (made := answered(config, lifecycle.asked())) is not None:
        return Completed(name="Mapped already", message=made)
    summary = respond(config, step=steps_for(config, strict=True))
    hooks.show(summary)
    return summary


@flow(name="refresh-events", persist_result=False, **hooks.HOOKS)
@lifecycle.followed
def refresh_events_flow() -> dict[str, Any]:
    """Refresh every open event that is due, until its coverage target or its age limit."""
    from flows.refresh import refresh_events

    output_folder().mkdir(parents=True, exist_ok=True)
    result = refresh_events(output_folder(), run_it=_refresh_run)
    hooks.show_refresh(result)
    return result


def _refresh_run(config: RunConfig, step: Step, insist: bool) -> dict[str, Any]:
    """Make one run of a refresh and leave its artifacts; its steps know the limits of its
    source.
    """
    del step
    from flows.respond import respond

    summary = respond(config, step=steps_for(config, strict=True), insist=insist)
    hooks.show(summary)
    return summary


@flow(name="train", persist_result=False, **hooks.HOOKS)
@lifecycle.followed
def train_flow(config: str) -> dict[str, Any]:
    """Train a checkpoint from a recipe in one of the operator's folders."""
    from flows.learning.train import train

    recipe = allowed_file(config, service().allow.folders, "config")
    return train(str(recipe), step=steps_for(None))


@flow(name="evaluate", persist_result=False, **hooks.HOOKS)
@lifecycle.followed
def evaluate_flow(revision: str, reference: str = "simulated") -> dict[str, Any]:
    """Score a revision, `EVENT/rNNN`, against a reference in one of the operator's folders, or
    against the simulated truth.
    """
    from flows.evaluate import evaluate

    folder = inside(output_folder(), revision, "revision")
    if reference != "simulated":
        path, colon, layer = reference.partition(":")
        reference = f"{allowed_file(path, service().allow.folders, 'reference')}{colon}{layer}"
    return evaluate([str(folder)], reference, step=steps_for(None))


@flow(name="watch-earthquakes", persist_result=False, **hooks.ON_FAILURE)
@lifecycle.followed
def watch_flow() -> dict[str, Any] | State[Any]:
    """Ask the USGS feed for new and changed earthquakes and trigger map-event for those that the
    rules name.
    """
    from flows.service.launcher import DeploymentRuns
    from flows.watch.watch import open_watch

    with open_watch(service(), out=None, launcher=DeploymentRuns()) as watching:
        turn = watching.turn()
    hooks.show_turn(turn)
    if turn.feed_error:
        return Completed(name="Feed down", message=f"{turn.feed_error}; asked again {turn.next}")
    return turn.as_plain()


@flow(name="tend", persist_result=False, **hooks.ON_FAILURE)
def tend_flow() -> list[str]:
    """Find runs that died without a word; start them again where they have tries left, else mark
    them as crashed.
    """
    from flows.service.tending import tend

    return tend(service())
