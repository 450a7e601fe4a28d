"""The seam between the story and whoever runs it: a step is a function with a name (design §1, "there is one story")."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from flows import journal

P = ParamSpec("P")
R = TypeVar("R")


class Step(Protocol):
    """Turn a room's function into a named step; what comes back is called with the same arguments."""

    def __call__(self, function: Callable[P, R], *, name: str) -> Callable[P, R]: ...


def plain(function: Callable[P, R], *, name: str) -> Callable[P, R]:
    """Return the function, kept in the journal under its name. No orchestrator."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with journal.step(name):
            return function(*args, **kwargs)

    return called
