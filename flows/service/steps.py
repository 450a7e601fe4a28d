"""A step as a Prefect task; the step that pulls shares Earth Engine's quota with every other run of
the project.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext

from configs.run import RunConfig
from flows.run import journal
from flows.run.journal import Step, plain

P = ParamSpec("P")
R = TypeVar("R")

LIMIT = "coslide-earth-engine"
"""The global concurrency limit: requests that all runs of the project together may have in
flight.
"""


def steps_for(config: RunConfig | None, *, strict: bool = False) -> Step:
    """Return how a run's steps are called: as Prefect tasks, kept in the journal as `plain` does.

    Args:
        config: the run; None where there is none (training, evaluation).
        strict: fail where the shared limit does not exist, instead of going on without it (served
            runs).
    """

    def step(function: Callable[P, R], *, name: str) -> Callable[P, R]:
        work = plain(function, name=name)
        if name == "pull" and config is not None and config.source.kind == "earthengine":
            work = _sharing(work, config.source.earthengine.workers, strict)
        return task(name=name, cache_policy=NO_CACHE, persist_result=False)(_with_progress(work))

    return step


def _sharing(work: Callable[P, R], requests: int, strict: bool) -> Callable[P, R]:
    """Return the work, done while it holds its share of the quota. A killed run's share comes back
    by itself (a lease).
    """

    @functools.wraps(work)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with concurrency(LIMIT, occupy=requests, strict=strict):
            return work(*args, **kwargs)

    return called


def _with_progress(work: Callable[P, R]) -> Callable[P, R]:
    """Return the work, its progress shown in the UI."""

    @functools.wraps(work)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with shown(TaskRunContext.get() is not None):
            return work(*args, **kwargs)

    return called


logger = logging.getLogger(__name__)

_EVERY_SECONDS = 3.0


@contextmanager
def shown(wanted: bool) -> Iterator[None]:
    """Show the progress of whatever runs in the block as artifacts of the running task."""
    if not wanted:
        yield
        return
    with journal.shown_to(_Artifacts()):
        yield


class _Artifacts:
    """One artifact a title; made when its step begins, in the thread of the task."""

    def __init__(self) -> None:
        self._ids: dict[str, UUID] = {}
        self._last: dict[str, float] = {}

    def begin(self, title: str) -> None:
        """Make the artifact of a step that begins."""
        key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        made = create_progress_artifact(0.0, key=key, description=title)
        if isinstance(made, UUID):
            self._ids[title] = made

    def advance(self, title: str, done: int, total: int) -> None:
        """Renew the artifact, every few seconds and at the end."""
        now = time.monotonic()
        if title not in self._ids or (
            now - self._last.get(title, 0.0) < _EVERY_SECONDS and done < total
        ):
            return
        self._last[title] = now
        try:
            update_progress_artifact(
                self._ids[title], progress=round(100.0 * done / max(total, 1), 1)
            )
        except Exception as error:  # a picture of progress must never stop the work
            logger.debug("progress not shown: %s", error)
