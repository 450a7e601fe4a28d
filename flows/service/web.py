"""The service seen with a browser: health, figures for Prometheus, and the page of all events with
their products; on this machine's loopback alone. Whoever shows it to others puts a proxy with TLS
before it (docs/operations.md).
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from base64 import b64decode
from binascii import Error as NoBase64
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from configs.errors import MachineError, RequestError
from configs.service import ServiceConfig
from flows.service.figures import Ask, Figures, Standing, health
from flows.service.tending import TAG

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
TOKEN = "COSLIDE_WEB_TOKEN"
"""Environment variable with the password of the page of events; without one it is not shown."""
_REALM = {"WWW-Authenticate": 'Basic realm="coslide", charset="UTF-8"'}


def standing() -> Standing:
    """Return how the runs of our deployments stand, as the Prefect server knows it."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    try:
        with get_client(sync_client=True) as client:
            runs = {
                kind.value.lower(): client.count_flow_runs(
                    flow_run_filter=_in(kind), deployment_filter=ours
                )
                for kind in StateType
            }
            due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC))
            queue = client.count_flow_runs(
                flow_run_filter=_in(StateType.SCHEDULED, due), deployment_filter=ours
            )
    except Exception as error:  # away, restarting, or it refuses the password: health says so
        logger.debug("the Prefect server does not answer: %s", error)
        return Standing(False, {})
    return Standing(True, runs, queue)


def _in(kind: StateType, due: FlowRunFilterExpectedStartTime | None = None) -> FlowRunFilter:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[kind]))
    return FlowRunFilter(state=state, expected_start_time=due)


class _Products(StaticFiles):
    """The files of an output folder for who knows the token; hidden ones (unfinished work, the
    watch's book, locks) for nobody. Ranges of a file can be asked for, as GIS read COGs.
    """

    def __init__(self, folder: Path, token: str) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not self._token:
            refusal: Response = PlainTextResponse(
                f"The events are shown once the operator has set {TOKEN}.\n", 403
            )
        elif not _knows(Request(scope).headers.get("authorization", ""), self._token):
            refusal = PlainTextResponse("The token is asked for as a password.\n", 401, _REALM)
        elif any(part.startswith(".") for part in str(scope["path"]).split("/")):
            refusal = PlainTextResponse("Not Found", 404)
        else:
            await super().__call__(scope, receive, send)
            return
        await refusal(scope, receive, send)


def _knows(authorization: str, token: str) -> bool:
    """Return whether a header carries the token: as a bearer's, or as the password of anybody."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            value = b64decode(value, validate=True).decode().partition(":")[2]
        except (NoBase64, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return secrets.compare_digest(value.encode(), token.encode())


def application(settings: ServiceConfig, out: Path, token: str, ask: Ask = standing) -> Starlette:
    """Return the pages of a service.

    Args:
        settings: the operator's.
        out: the output folder.
        token: the password of the page of events; empty: it is not shown.
        ask: who knows how the runs stand.
    """
    registry = CollectorRegistry()
    registry.register(Figures(settings, out, ask))

    def tell_health(request: Request) -> Response:
        now = ask()
        return JSONResponse(health(settings, out, now), 200 if now.answers else 503)

    def tell_figures(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/health", tell_health),
            Route("/metrics", tell_figures),
            Mount("/", _Products(out, token)),
        ]
    )


def show(settings: ServiceConfig, out: Path) -> None:
    """Show the pages until stopped.

    Raises:
        RequestError: no port is set.
        MachineError: somebody else listens there.
    """
    port = settings.web.port
    if port is None:
        raise RequestError(
            "`web.port` is not set: there is nowhere to show the pages",
            "Set it in the service file, or --set web.port=4280.",
        )
    listening = _listening(port)
    token = os.environ.get(TOKEN, "")
    logger.info(
        "ready: http://%s:%s/health, /metrics%s",
        HOST,
        port,
        " and the page of events" if token else f"; the page of events wants {TOKEN}",
    )
    pages = application(settings, out, token)
    manner = uvicorn.Config(pages, log_level="warning", server_header=False)
    uvicorn.Server(manner).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise MachineError(
            f"port {port} of {HOST} cannot be opened: {error.strerror}",
            "Choose another `web.port`, or end what listens there.",
        ) from error
