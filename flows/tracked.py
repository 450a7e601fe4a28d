"""The same story as a Prefect flow run: every step a task, artifacts at the end. The only file of the story that knows Prefect.

Science never imports this; `coslide respond` reaches it only with `--prefect` or where PREFECT_API_URL is set. Tasks neither
cache nor persist: resuming is the work folder's business (design 2.1, 2.10), and Prefect sees paths and small records only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

# The ephemeral server needs up to 20 s on a fresh home; the default limit of 20 is too tight on a slow machine.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run as this_run

from configs.layout import RunLayout
from configs.request import Request
from configs.run import RunConfig
from flows import artifacts
from flows.respond import respond
from flows.step import plain

P = ParamSpec("P")
R = TypeVar("R")


def tracked(function: Callable[P, R], *, name: str) -> Callable[P, R]:
    """Return the function as a Prefect task of that name, kept in the journal as `plain` does."""
    return task(name=name, cache_policy=NO_CACHE, persist_result=False)(plain(function, name=name))


def _run_name() -> str:
    """Return a run name that tells the event."""
    parameters = this_run.parameters
    asked = parameters.get("request") or parameters.get("config") or {}
    content = asked if isinstance(asked, dict) else asked.model_dump(mode="json")
    event = content.get("event", content)
    return str(
        event.get("name")
        or event.get("usgs")
        or f"{event.get('latitude')},{event.get('longitude')} {event.get('date')}"
    )


@flow(name="respond", flow_run_name=_run_name, persist_result=False)
def respond_flow(config: RunConfig) -> dict[str, Any]:
    """Run one resolved configuration, tracked."""
    return _told(respond(config, step=tracked))


@flow(name="map-event", flow_run_name=_run_name, persist_result=False)
def map_event_flow(request: Request) -> dict[str, Any]:
    """Map the landslides of an earthquake. Either a USGS id, or latitude, longitude and date."""
    from flows.resolve import resolve

    preset = os.environ.get("COSLIDE_PRESET")
    return _told(respond(resolve(request, read_preset(preset)), step=tracked))


@flow(name="train", persist_result=False)
def train_flow(config: str) -> dict[str, Any]:
    """Train a checkpoint from a training configuration in the operator's folder."""
    from flows.train import train

    return train(config, step=tracked)


@flow(name="evaluate", persist_result=False)
def evaluate_flow(revision: str, reference: str) -> dict[str, Any]:
    """Score a revision against a reference."""
    from flows.evaluate import evaluate

    return evaluate([revision], reference, step=tracked)


def read_preset(path: str | None) -> dict[str, Any]:
    """Return the operator's preset (COSLIDE_PRESET), where paths and hosts come from; empty where there is none."""
    from pathlib import Path

    from configs.files import read_yaml

    return read_yaml(Path(path), "run") if path else {}


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave the run's artifacts in the UI: headline with map, the largest landslides, the ranking."""
    layout = RunLayout(artifacts.folder_of(summary))
    key = artifacts.key_of(summary)
    create_markdown_artifact(
        artifacts.headline(summary, layout), key=f"{key}-inventory", description="What was found, and how much was seen"
    )
    create_table_artifact(artifacts.landslides(layout), key=f"{key}-landslides", description="The largest landslides")
    create_table_artifact(artifacts.ranking(layout), key=f"{key}-checkpoints", description="Checkpoints by MMD")
    return summary
