"""The deployments a Prefect server shows: what can be triggered from its UI, its REST API and the command line."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", "2")

from prefect import serve
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
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.schedules import Cron
from prefect.states import Cancelled

from configs.errors import MachineError, NothingToSeeError, RequestError, SourceError
from configs.service import Schedule, ServiceConfig
from flows import tracked
from flows.service.live import NAMES
from flows.service.served import preset_of
from flows.service.steps import LIMIT
from flows.service.tending import TAG
from flows.watching.watchbook import Run
from flows.watching.watchruns import Outcome

HEALTH_SECONDS = 5
Part = Literal["runs", "duties"]
"""runs: what takes long, `runs.at_once` at the same moment; duties: the watch and the tending, which must never queue up."""
DUTIES_AT_ONCE = 2
"""The watch and the tending."""


def check_server() -> str:
    """Return the server's API address.

    Raises:
        SourceError: none is configured, or it does not answer.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    remedy = "Start one with `prefect server start` and set PREFECT_API_URL=http://127.0.0.1:4200/api."
    if not url.startswith(("http://", "https://")):
        raise SourceError("no Prefect server is configured (PREFECT_API_URL)", remedy)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=HEALTH_SECONDS):
            return url
    except (urllib.error.URLError, TimeoutError) as error:
        raise SourceError(f"the Prefect server at {url} does not answer: {error}", remedy) from error


def deployments_of(settings: ServiceConfig, part: Part) -> list[RunnerDeployment]:
    """Return the deployments of one part of the service, with their schedules."""
    offered: dict[Part, tuple[tuple[Any, str, Schedule | None], ...]] = {
        "runs": (
            (tracked.map_event_flow, "Epicentre and date, or a USGS id, to a landslide inventory.", None),
            (tracked.refresh_events_flow, "Refresh every open event that is due.", settings.refresh),
            (tracked.train_flow, "Train a checkpoint from a recipe.", None),
            (tracked.evaluate_flow, "Score a revision against a reference.", None),
        ),
        "duties": (
            (tracked.watch_flow, "New and changed earthquakes of the USGS feed.", settings.watch_every),
            (tracked.tend_flow, "Runs that died without a word.", settings.tend_every),
        ),
    }
    found = [_deployment(flow, words, schedule, settings) for flow, words, schedule in offered[part]]
    return [one for one in found if isinstance(one, RunnerDeployment)]


def _deployment(flow: Any, words: str, schedule: Schedule | None, settings: ServiceConfig) -> Any:
    schedules = [Cron(schedule.cron, timezone=settings.timezone, active=schedule.active)] if schedule else []
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
        for flow in (tracked.refresh_events_flow, tracked.watch_flow, tracked.tend_flow):
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
    missed = sorted((run for run in late if run.auto_scheduled), key=lambda run: str(run.expected_start_time))
    for run in missed[:-1]:
        words = "missed while the service was down; the newest one makes up for all"
        client.set_flow_run_state(run.id, Cancelled(message=words), force=True)


def serve_deployments(settings: ServiceConfig, part: Part) -> None:
    """Register the deployments of one part and execute their runs, until stopped."""
    check_server()
    prepare(settings)
    limit = settings.runs.at_once if part == "runs" else DUTIES_AT_ONCE
    serve(*deployments_of(settings, part), limit=limit, pause_on_shutdown=False, print_starting_message=False)


class DeploymentRuns:
    """The watch's runs as runs of the map-event deployment; the server keeps one run for one key."""

    def __init__(self, deployment: str = "map-event/map-event") -> None:
        self._deployment = deployment

    def start(self, run: Run) -> Outcome:
        """Trigger a run, or find the one that was triggered before."""
        event, attempt = run.quake, run.attempt
        parameters = {"request": {"usgs": _usgs_id(run), "name": event}}
        with _client() as client:
            try:
                deployment = client.read_deployment_by_name(self._deployment)
                made = client.create_flow_run_from_deployment(
                    deployment.id, parameters=parameters, tags=[event, "watch"], idempotency_key=f"{run.key}.{attempt}"
                )
            except ObjectNotFound:
                raise SourceError(f"no deployment {self._deployment}", "Start `coslide serve`.") from None
            except PrefectHTTPStatusError as error:
                words = f"the server refused the run: {error.response.text[:500]}"
                if error.response.is_server_error:  # its database was locked: the debt stays in the book
                    raise SourceError(words, "It is asked again at the next turn.") from None
                return Outcome("failed", words)
        return Outcome("running", "triggered", str(made.id))

    def look(self, run: Run) -> Outcome:
        """Return how a triggered run stands; one that was never triggered, or that was deleted, is triggered now."""
        if run.handle is None:
            return self.start(run)
        with _client() as client:
            try:
                state = client.read_flow_run(UUID(run.handle)).state
            except ObjectNotFound:
                return self.start(run)
        if state is None or not state.is_final():
            return Outcome("running")
        message = state.message or str(state.name)
        if state.is_completed():
            return Outcome("done", message)
        if state.name == NAMES[NothingToSeeError]:
            return Outcome("nothing", message)
        passing = state.is_crashed() or state.name in (NAMES[SourceError], NAMES[MachineError])
        return Outcome("again" if passing else "failed", message)


def _usgs_id(run: Run) -> str:
    return str(json.loads(run.event).get("usgs_id") or run.quake)


def _client() -> Any:
    check_server()
    return get_client(sync_client=True)
