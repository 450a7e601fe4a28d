"""A step as a Prefect task; the step that pulls shares Earth Engine's quota with every other run of the project."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext

from configs.run import RunConfig
from flows.service import progressing
from flows.step import Step, plain

P = ParamSpec("P")
R = TypeVar("R")

LIMIT = "coslide-earth-engine"
"""The global concurrency limit: requests that all runs of the project together may have in flight."""


def steps_for(config: RunConfig | None, *, strict: bool = False) -> Step:
    """Return how a run's rooms are called: as Prefect tasks, kept in the journal as `plain` does.

    Args:
        config: the run; None where there is none (training, evaluation).
        strict: fail where the shared limit does not exist, instead of going on without it (served runs).
    """

    def step(function: Callable[P, R], *, name: str) -> Callable[P, R]:
        work = plain(function, name=name)
        if name == "pull" and config is not None and config.source.kind == "earthengine":
            work = _sharing(work, config.source.earthengine.workers, strict)
        return task(name=name, cache_policy=NO_CACHE, persist_result=False)(_telling(work))

    return step


def _sharing(work: Callable[P, R], requests: int, strict: bool) -> Callable[P, R]:
    """Return the work, done while it holds its share of the quota. A killed run's share comes back by itself (a lease)."""

    @functools.wraps(work)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with concurrency(LIMIT, occupy=requests, strict=strict):
            return work(*args, **kwargs)

    return called


def _telling(work: Callable[P, R]) -> Callable[P, R]:
    """Return the work, its progress told in the UI."""

    @functools.wraps(work)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with progressing.shown(TaskRunContext.get() is not None):
            return work(*args, **kwargs)

    return called
