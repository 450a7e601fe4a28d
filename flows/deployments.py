"""The deployments a Prefect server shows: what can be triggered from its UI, its REST API and the command line."""

from __future__ import annotations

import os
import urllib.error
import urllib.request

os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", "2")

from prefect import serve
from prefect.deployments.runner import RunnerDeployment

from configs.errors import SourceError
from flows.tracked import evaluate_flow, map_event_flow, train_flow

HEALTH_SECONDS = 5


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


def serve_deployments(limit: int) -> None:
    """Register all deployments and execute their runs, at most `limit` at once, until stopped."""
    check_server()
    offered = (
        (map_event_flow, "Epicentre and date, or a USGS id, to a landslide inventory."),
        (train_flow, "Train a checkpoint from a recipe."),
        (evaluate_flow, "Score a revision against a reference."),
    )
    deployments = [flow.to_deployment(name=flow.name, description=words, tags=["coslide"]) for flow, words in offered]
    serve(*[one for one in deployments if isinstance(one, RunnerDeployment)], limit=limit)
