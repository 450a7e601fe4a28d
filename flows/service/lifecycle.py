"""A flow run that tells that it lives, and whose end says what to do: state names and messages
instead of tracebacks.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRunPolicy
from prefect.runtime import flow_run as this_run
from prefect.states import Failed
from pydantic import ValidationError

from configs.errors import (
    CoslideError,
    MachineError,
    NothingToSeeError,
    RequestError,
    SourceError,
    from_os_error,
)
from configs.event import Event
from configs.layout import EventFolder
from configs.run import RunConfig, read_run
from configs.service import Runs
from flows.events import state as event_state
from flows.service.logs import keep
from flows.service.runner import quieten
from flows.service.settings import service

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

ALIVE = "coslide.alive"
"""Label of a flow run: when it last said that it lives."""
NAMES: dict[type[CoslideError], str] = {
    NothingToSeeError: "Nothing to see",
    RequestError: "Wrong request",
    SourceError: "Source unavailable",
    MachineError: "Machine failed",
}
"""State names of failures, one for every exit code of the contract."""


def followed(function: Callable[P, R]) -> Callable[P, R | State[Any]]:
    """Return a flow's function that tells that it lives, and ends as the operator decided where it
    fails.

    What may pass (source, machine) is tried again after a pause; what cannot (a wrong request, no
    imagery) ends at once.
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R | State[Any]:
        settings = service()
        runs = settings.runs
        quieten()
        keep(settings)
        with heartbeat(runs.heartbeat_seconds):
            try:
                return function(*args, **kwargs)
            except CoslideError as error:
                return _failed(error, runs)
            except (OSError, MemoryError) as error:
                return _failed(from_os_error(error), runs)

    # Prefect makes the parameters' schema from annotations, and would look their names up in this
    # module.
    called.__annotations__ = inspect.get_annotations(function, eval_str=True)
    called.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return called


def _failed(error: CoslideError, runs: Runs) -> State[Any]:
    """Return the run's last state; where it is to be tried again, let the error pass on after
    saying so to the server.
    """
    message = " ".join(f"{error.message.rstrip('.')}. {error.remedy}".split())
    logger.error("%s", message)
    tries = this_run.run_count or 1
    if isinstance(error, SourceError | MachineError) and tries <= runs.retries and this_run.id:
        pause = round(60 * runs.retry_minutes * 2 ** (tries - 1))
        with get_client(sync_client=True) as client:
            policy = FlowRunPolicy(retries=runs.retries, retry_delay=pause)
            client.update_flow_run(UUID(this_run.id), empirical_policy=policy)
        raise error
    name = next((name for kind, name in NAMES.items() if isinstance(error, kind)), "Failed")
    return Failed(name=name, message=message)


@contextmanager
def heartbeat(seconds: float) -> Iterator[None]:
    """Label the flow run with the time, again and again, while the block runs. A server that is
    away for a while is no matter.
    """
    run = this_run.id
    if run is None:
        yield
        return
    over = threading.Event()

    def beat() -> None:
        while True:
            try:
                with get_client(sync_client=True) as client:
                    client.update_flow_run_labels(UUID(run), {ALIVE: datetime.now(UTC).isoformat()})
            except (
                Exception
            ) as error:  # the server is restarted, the network is gone: say it again later
                logger.debug("no heartbeat: %s", error)
            if over.wait(seconds):
                return

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        over.set()


def asked() -> datetime:
    """Return when the run's trigger was pulled."""
    if this_run.id is None:
        return datetime.now(UTC)
    with get_client(sync_client=True) as client:
        created = client.read_flow_run(UUID(this_run.id)).created
    return created or datetime.now(UTC)


def is_about(event: Event, source: str) -> None:
    """Name and tag the run, so that the list of runs tells the events."""
    if this_run.id is None:
        return
    strength = f" M{event.magnitude:g}" if event.magnitude is not None else ""
    tags = {*this_run.tags, event.name, source.partition(":")[0]}
    with get_client(sync_client=True) as client:
        client.update_flow_run(
            UUID(this_run.id),
            name=f"{event.name}{strength} {event.time:%Y-%m-%d}",
            tags=sorted(tags),
        )


def answered(config: RunConfig, asked: datetime) -> str | None:
    """Return the words about a revision that was made from the same request after it was asked;
    None where there is none.

    The same request asked again later is another matter: that makes a new revision.

    Args:
        config: the resolved request; its identity leaves out the clock.
        asked: when the trigger was pulled.
    """
    event = EventFolder(Path(config.out) / config.event.name)
    for number, layout in reversed(event.revisions().items()):
        try:
            made = datetime.fromtimestamp(layout.config.stat().st_mtime, UTC)
            if made <= asked:
                return None
            if read_run(layout.config).request_id == config.request_id:
                if number == event_state.owed(event):
                    return None  # the run that made it was cut off: this one ends it
                return (
                    f"revision {number} was made from the same request while this one "
                    f"waited{_headline(layout.folder)}"
                )
        except (CoslideError, ValidationError, OSError):
            continue
    return None


def _headline(folder: Path) -> str:
    path = folder / "item.json"
    if not path.exists():
        return ""
    properties = json.loads(path.read_text(encoding="utf-8")).get("properties", {})
    return f": {properties.get('description', '')}"
