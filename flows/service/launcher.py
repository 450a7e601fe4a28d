"""Runs of the watch as flow runs of the map-event deployment, and whether a Prefect server is there
to ask.
"""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from configs.errors import MachineError, NothingToSeeError, SourceError
from flows.service.lifecycle import NAMES
from flows.watch.launch import Outcome
from flows.watch.ledger import Run

logger = logging.getLogger(__name__)

_HEALTH_SECONDS = 5
_PAUSE_S = 5.0


def check_server(patience_s: float = 0) -> str:
    """Return the server's API address, as soon as it answers within `patience_s`.

    Raises:
        SourceError: none is configured, or it does not answer.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    remedy = (
        "Start one with `prefect server start` and set PREFECT_API_URL=http://127.0.0.1:4200/api; "
        "to run without a server, unset PREFECT_API_URL."
    )
    if not url.startswith(("http://", "https://")):
        raise SourceError("no Prefect server is configured (PREFECT_API_URL)", remedy)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_HEALTH_SECONDS):
                return url
        except (urllib.error.URLError, TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise SourceError(
                    f"the Prefect server at {url} does not answer: {error}", remedy
                ) from error
            logger.info("the Prefect server at %s does not answer yet; asking again", url)
            time.sleep(_PAUSE_S)


class DeploymentRuns:
    """The watch's runs as runs of the map-event deployment; the server keeps one run for one
    key.
    """

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
                    deployment.id,
                    parameters=parameters,
                    tags=[event, "watch"],
                    idempotency_key=f"{run.key}.{attempt}",
                )
            except ObjectNotFound:
                raise SourceError(
                    f"no deployment {self._deployment}", "Start `coslide serve`."
                ) from None
            except PrefectHTTPStatusError as error:
                words = f"the server refused the run: {error.response.text[:500]}"
                if (
                    error.response.is_server_error
                ):  # its database was locked: the debt stays in the book
                    raise SourceError(words, "It is asked again at the next turn.") from None
                return Outcome("failed", words)
        return Outcome("running", "triggered", str(made.id))

    def look(self, run: Run) -> Outcome:
        """Return how a triggered run stands; one that was never triggered, or that was deleted, is
        triggered now.
        """
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
