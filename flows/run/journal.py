"""What a run tells while it works: the log beside the products, and what each step cost.

One journal is open at a time in a process (a context variable, so that threads of a step inherit it
by copy).
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import psutil
from tqdm import tqdm

from configs.files import write_text
from configs.records import Advance

_step: ContextVar[str] = ContextVar("step", default="")
_journal: ContextVar[_Journal | None] = ContextVar("journal", default=None)
PACKAGES = ("configs", "gee", "tiles", "models", "inventory", "flows")
"""Whose log records belong to a run."""
_SAMPLE_SECONDS = 0.2


class _JsonLines(logging.Handler):
    """Write records as JSON lines: time, level, event, request_id, step, message (contract,
    ``log.jsonl``).
    """

    def __init__(self, path: Path, event: str, request_id: str) -> None:
        super().__init__(logging.INFO)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._fixed = {"event": event, "request_id": request_id}

    def emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment,
            "level": record.levelname,
            **self._fixed,
            "step": _step.get(),
            "message": record.getMessage(),
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


class Peak(threading.Thread):
    """Watches this process's resident memory from `start` to `stop`, which returns the most it saw,
    bytes.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process, self._done, self.bytes = psutil.Process(), threading.Event(), 0

    def run(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            if self._done.wait(_SAMPLE_SECONDS):
                return

    def stop(self) -> int:
        self._done.set()
        self.join()
        return max(self.bytes, int(self._process.memory_info().rss))


@dataclass
class _Journal:
    """The log and the costs of one run. Costs survive a resume: `steps.json` in the run's work
    folder.
    """

    costs_path: Path
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, seconds: float, peak: int) -> None:
        """Add what a step cost to what it cost before an interruption."""
        before = self.costs.setdefault(name, {"seconds": 0.0, "peak_memory_bytes": 0})
        before["seconds"] = round(before["seconds"] + seconds, 3)
        before["peak_memory_bytes"] = max(before["peak_memory_bytes"], peak)
        write_text(self.costs_path, json.dumps(self.costs))

    def note(self, name: str, **details: Any) -> None:
        """Keep details of a step (pixels, bytes, requests) for the provenance."""
        self.costs.setdefault(name, {"seconds": 0.0, "peak_memory_bytes": 0}).update(details)


def _costs_so_far(path: Path) -> dict[str, Any]:
    """Return what a run has cost before it was interrupted; nothing where that was lost."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def journal(log: Path, costs: Path, event: str, request_id: str) -> Iterator[_Journal]:
    """Open a run's journal: everything our packages log goes to `log`, every step's cost to
    `costs`.
    """
    handler = _JsonLines(log, event, request_id)
    book = _Journal(costs, _costs_so_far(costs))
    loggers = [logging.getLogger(name) for name in PACKAGES]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    token = _journal.set(book)
    try:
        yield book
    finally:
        _journal.reset(token)
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


def note(**details: Any) -> None:
    """Keep details of the step that is running."""
    if (book := _journal.get()) is not None and (name := _step.get()):
        book.note(name, **details)


def costs() -> dict[str, dict[str, Any]]:
    """Return what each step has cost so far."""
    book = _journal.get()
    return dict(book.costs) if book else {}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Log a step's begin and end, and keep its time and peak memory."""
    logger, token, peak, begun = (
        logging.getLogger(__name__),
        _step.set(name),
        Peak(),
        time.perf_counter(),
    )
    peak.start()
    logger.debug("%s begins", name)
    try:
        yield
    finally:
        seconds, resident = time.perf_counter() - begun, peak.stop()
        if (book := _journal.get()) is not None and book.costs_path.parent.exists():
            book.add(name, seconds, resident)
        logger.info("%s took %.1f s", name, seconds)
        _step.reset(token)


P = ParamSpec("P")
R = TypeVar("R")


class Step(Protocol):
    """Turn a step's function into a named step; what comes back is called with the same
    arguments.
    """

    def __call__(self, function: Callable[P, R], *, name: str) -> Callable[P, R]: ...


def plain(function: Callable[P, R], *, name: str) -> Callable[P, R]:
    """Return the function, kept in the journal under its name. No orchestrator."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with step(name):
            return function(*args, **kwargs)

    return called


_LOG_EVERY_SECONDS = 10.0


class _Audience(Protocol):
    """Somebody else who wants to know how far steps are: a user interface."""

    def begin(self, title: str) -> None: ...

    def advance(self, title: str, done: int, total: int) -> None: ...


_audience: ContextVar[_Audience | None] = ContextVar("audience", default=None)


@contextmanager
def shown_to(audience: _Audience) -> Iterator[None]:
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
    logger, last, said = logging.getLogger(__name__), [time.monotonic()], [-1]

    def report(done: int, total: int) -> None:
        ended = done == total and done != said[0]
        if time.monotonic() - last[0] >= _LOG_EVERY_SECONDS or ended:
            last[0], said[0] = time.monotonic(), done
            logger.info("%s: %d of %d %ss", title, done, total, unit)

    yield report
