"""Runs that stopped without a message: found by their silence, started again where they may be,
never left running for ever.

Prefect's own heartbeat automation (3.8.8) only marks such a run as crashed and does not start it
again; on SQLite its events are lost now and then, and it fired for runs that had ended. So the
label, the search and the restart are ours.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed, Scheduled

from configs.service import ServiceConfig
from flows.service import hooks
from flows.service.lifecycle import ALIVE

logger = logging.getLogger(__name__)

TAG = "coslide"
"""On every deployment of ours."""
_BUSY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
MOST = 200
"""Runs looked at in one go; the server gives no more."""


def tend(settings: ServiceConfig, now: datetime | None = None) -> list[str]:
    """Return what was done: every run that has been silent for too long is started again, or marked
    as crashed.

    A run started again goes on with its unfinished work. Whether a run may be started again says
    `runs.retries`.
    """
    now = now or datetime.now(UTC)
    limit = timedelta(minutes=settings.runs.silent_minutes)
    messages = []
    with get_client(sync_client=True) as client:
        for run in _busy(client):
            silent = now - _last_sign(run, now)
            if silent > limit:
                messages.append(_end(client, run, silent, settings))
    return messages


def _busy(client: SyncPrefectClient) -> list[FlowRun]:
    states = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_BUSY)))
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    return client.read_flow_runs(flow_run_filter=states, deployment_filter=ours, limit=MOST)


def _last_sign(run: FlowRun, now: datetime) -> datetime:
    """Return when a run last showed that it lives: its own word, or its last change of state."""
    signs = [run.state.timestamp] if run.state is not None else []
    word = run.labels.get(ALIVE)
    if isinstance(word, str):
        signs.append(datetime.fromisoformat(word))
    return max(signs, default=now)


def _end(
    client: SyncPrefectClient, run: FlowRun, silent: timedelta, settings: ServiceConfig
) -> str:
    """Mark a silent run's tasks as crashed, start the run again or mark it too, and tell whoever
    wants to know.
    """
    words = f"no sign of life for {silent.total_seconds() / 60:.0f} minutes"
    ours = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    running = TaskRunFilter(
        state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING]))
    )
    for task in client.read_task_runs(flow_run_filter=ours, task_run_filter=running):
        client.set_task_run_state(task.id, Crashed(message=words), force=True)
    again = run.run_count <= settings.runs.retries and run.state_type is not StateType.CANCELLING
    if again:
        words += "; started again, it goes on with its unfinished work"
        client.set_flow_run_state(
            run.id, Scheduled(name="Started again", message=words), force=True
        )
    else:
        words += "; trigger it again and it goes on with its unfinished work"
        client.set_flow_run_state(run.id, Crashed(message=words), force=True)
    logger.warning("%s: %s", run.name, words)
    if settings.notify.failed:
        hooks.send(settings, f"{run.name}: silent", words)
    return f"{run.name}: {words}"
