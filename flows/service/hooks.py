"""What a flow run leaves in the UI, and who gets a notice when it ends."""

from __future__ import annotations

import logging
from typing import Any, Protocol, TypedDict, cast

from prefect import Flow, State
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from configs.layout import RunLayout
from configs.service import ServiceConfig
from flows import notify
from flows.service import artifacts
from flows.service.settings import service
from flows.watch.launch import Turn

logger = logging.getLogger(__name__)


class _Hooks(TypedDict):
    """The hooks that a flow's decorator takes (its own type for them knows the flow's parameters:
    no two flows share it).
    """

    on_completion: list[Any]
    on_failure: list[Any]
    on_crashed: list[Any]
    on_cancellation: list[Any]


class _Notifier(Protocol):
    def notify(self, body: str, subject: str | None = None) -> None: ...


# The runner calls hooks with keywords: the parameters must have these very names.
def done(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that a run has ended well."""
    if service().notify.done:
        _announce(flow, flow_run, state)


def failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that a run has failed, crashed or was stopped, with the remedy."""
    if service().notify.failed:
        _announce(flow, flow_run, state)


HOOKS: _Hooks = {
    "on_completion": [done],
    "on_failure": [failed],
    "on_crashed": [failed],
    "on_cancellation": [failed],
}
ON_FAILURE: _Hooks = {**HOOKS, "on_completion": []}
"""For what runs every few minutes: nobody wants to hear that it went well."""


def _announce(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        name = client.read_flow_run(
            flow_run.id
        ).name  # the run has named itself after its event meanwhile
    send(service(), f"{flow.name} {name}: {state.name}", state.message or f"flow run {flow_run.id}")


def send(settings: ServiceConfig, subject: str, body: str) -> None:
    """Tell everybody in `notify`: webhooks, mailbox, Prefect's notification blocks. Never
    raises.
    """
    notify.send(settings, subject, body)
    for name in settings.notify.blocks:
        try:
            cast(_Notifier, Block.load(name)).notify(body[: notify.LONGEST], subject)
        except (
            Exception
        ) as error:  # blocks are other people's code, and their words may hold an address
            logger.warning(
                "the notice by the block %s was not delivered: %s", name, type(error).__name__
            )


def show(summary: dict[str, Any]) -> None:
    """Leave a run's artifacts: headline with map, landslides, ranking, what was seen, scenes, paths
    of the products.
    """
    layout, key = RunLayout(artifacts.folder_of(summary)), artifacts.key_of(summary)
    words = artifacts.headline(summary, layout, service().web.url)
    create_markdown_artifact(
        words, key=f"{key}-inventory", description="What was found, and how much was seen"
    )
    about = " (simulated)" if artifacts.is_simulated(layout) else ""
    for name, rows, words in (
        ("landslides", artifacts.landslides(layout), "The largest landslides"),
        ("checkpoints", artifacts.ranking(layout), "Checkpoints by MMD"),
        ("observation", artifacts.observation(layout), "What was seen, and what was not"),
        ("scenes", artifacts.scenes(layout), "Scenes used"),
    ):
        create_table_artifact(rows, key=f"{key}-{name}", description=f"{words}{about}")


def show_refresh(result: dict[str, Any]) -> None:
    """Leave what a refresh did with each event."""
    create_table_artifact(
        artifacts.refreshed(result),
        key="refresh-events",
        description="Open events and their refresh",
    )


def show_turn(turn: Turn) -> None:
    """Leave what the watch saw and did."""
    rows = [{"what": "run", "which": key, "how": how} for key, how in turn.ended.items()]
    rows += [{"what": "withdrawn", "which": name, "how": ""} for name in turn.withdrawn]
    rows += [{"what": "note", "which": "", "how": note} for note in turn.notes]
    if turn.feed_error:
        rows.append(
            {
                "what": "feed is down",
                "which": "",
                "how": f"{turn.feed_error}; asked again {turn.next}",
            }
        )
    description = f"{turn.seen} earthquakes listed, {len(turn.intended)} to be mapped"
    create_table_artifact(rows, key="watch-earthquakes", description=description)
