"""The deployments a Prefect server shows: what can be triggered from its UI, its REST API and the
command line.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import Any, Literal

os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", "2")

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Cron
from prefect.states import Cancelled

from configs.errors import RequestError
from configs.service import Schedule, ServiceConfig
from flows.service import flow_runs
from flows.service.launcher import check_server
from flows.service.runner import QuietRunner, SaidOnce
from flows.service.settings import preset_of
from flows.service.steps import LIMIT
from flows.service.tending import TAG

logger = logging.getLogger(__name__)

_Part = Literal["runs", "duties"]
"""runs: what takes long, `runs.at_once` at the same moment; duties: the watch and the clean-up of
silent runs, which must never queue up.
"""
_DUTIES_AT_ONCE = 2
"""The watch and the clean-up of silent runs."""
_SERVER_PATIENCE_S = 180.0
"""Both start with the machine, and a Prefect server takes a minute or two on a busy one."""


def _deployments_of(settings: ServiceConfig, part: _Part) -> list[RunnerDeployment]:
    """Return the deployments of one part of the service, with their schedules."""
    offered: dict[_Part, tuple[tuple[Any, str, Schedule | None], ...]] = {
        "runs": (
            (
                flow_runs.map_event_flow,
                "Epicentre and date, or a USGS id, to a landslide inventory.",
                None,
            ),
            (
                flow_runs.refresh_events_flow,
                "Refresh every open event that is due.",
                settings.refresh,
            ),
            (flow_runs.train_flow, "Train a checkpoint from a recipe.", None),
            (flow_runs.evaluate_flow, "Score a revision against a reference.", None),
        ),
        "duties": (
            (
                flow_runs.watch_flow,
                "New and changed earthquakes of the USGS feed.",
                settings.watch_every,
            ),
            (flow_runs.tend_flow, "Runs that died without a word.", settings.tend_every),
        ),
    }
    found = [
        _deployment(flow, words, schedule, settings) for flow, words, schedule in offered[part]
    ]
    return [one for one in found if isinstance(one, RunnerDeployment)]


def _deployment(flow: Any, words: str, schedule: Schedule | None, settings: ServiceConfig) -> Any:
    schedules = (
        [Cron(schedule.cron, timezone=settings.timezone, active=schedule.active)]
        if schedule
        else []
    )
    return flow.to_deployment(name=flow.name, description=words, tags=[TAG], schedules=schedules)


def prepare(settings: ServiceConfig) -> None:
    """Make the limit that all runs share, and let only the newest of missed schedules be made up.

    Raises:
        RequestError: a run would ask for more of Earth Engine than all together may.
    """
    limit = settings.runs.earth_engine_requests
    workers = preset_of(settings).get("source", {}).get("earthengine", {}).get("workers", 0)
    if workers > limit:
        raise RequestError(
            f"source.earthengine.workers is {workers}, runs.earth_engine_requests only {limit}",
            "Lower the one in the preset or raise the other in the service file.",
        )
    with get_client(sync_client=True) as client:
        try:
            client.upsert_global_concurrency_limit_by_name(LIMIT, limit)
        except ObjectAlreadyExists:  # the other part of the service made it at the same moment
            client.upsert_global_concurrency_limit_by_name(LIMIT, limit)
        for flow in (flow_runs.refresh_events_flow, flow_runs.watch_flow, flow_runs.tend_flow):
            _drop_missed(client, flow.name)


def _drop_missed(client: SyncPrefectClient, name: str) -> None:
    try:
        deployment = client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return
    late = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
        ),
    )
    missed = sorted(
        (run for run in late if run.auto_scheduled), key=lambda run: str(run.expected_start_time)
    )
    for run in missed[:-1]:
        words = "missed while the service was down; the newest one makes up for all"
        client.set_flow_run_state(run.id, Cancelled(message=words), force=True)


def serve_deployments(settings: ServiceConfig, part: _Part) -> None:
    """Register the deployments of one part and execute their runs, until stopped."""
    server = check_server(_SERVER_PATIENCE_S)
    logger.info("getting the %s ready: asking the Prefect server at %s", part, server)
    prepare(settings)
    logging.getLogger("prefect.runner").addFilter(SaidOnce())
    limit = settings.runs.at_once if part == "runs" else _DUTIES_AT_ONCE
    runner = QuietRunner(pause_on_shutdown=False, limit=limit)
    offered = _deployments_of(settings, part)
    for deployment in offered:
        runner.add_deployment(deployment)
    names = ", ".join(str(one.name) for one in offered)
    logger.info("ready: %s; at most %d at a time", names, limit)
    runner.until_stopped()
