"""Progress of long steps: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from tqdm import tqdm

from configs.records import Advance

LOG_EVERY_SECONDS = 10.0


class Audience(Protocol):
    """Somebody else who wants to know how far steps are: a user interface."""

    def begin(self, title: str) -> None: ...

    def advance(self, title: str, done: int, total: int) -> None: ...


_audience: ContextVar[Audience | None] = ContextVar("audience", default=None)


@contextmanager
def shown_to(audience: Audience) -> Iterator[None]:
    """Tell the audience too, while the block runs."""
    token = _audience.set(audience)
    try:
        yield
    finally:
        _audience.reset(token)


@contextmanager
def progress(title: str, unit: str = "block") -> Iterator[Advance]:
    """Yield an `Advance` that shows how far a step is: on standard error, never on standard output;
    and to the audience.
    """
    audience = _audience.get()
    with _on_standard_error(title, unit) as show:
        if audience is None:
            yield show
            return
        audience.begin(title)

        def advance(done: int, total: int) -> None:
            show(done, total)
            audience.advance(title, done, total)

        yield advance


@contextmanager
def _on_standard_error(title: str, unit: str) -> Iterator[Advance]:
    if sys.stderr.isatty():
        with tqdm(desc=title, unit=unit, leave=False, file=sys.stderr) as bar:

            def advance(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield advance
        return
    logger, last = logging.getLogger(__name__), [time.monotonic()]

    def report(done: int, total: int) -> None:
        if time.monotonic() - last[0] >= LOG_EVERY_SECONDS or done == total:
            last[0] = time.monotonic()
            logger.info("%s: %d of %d %ss", title, done, total, unit)

    yield report
