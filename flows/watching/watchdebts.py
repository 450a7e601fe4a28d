"""Paying what the watch owes: runs that are due are begun, those under way looked after, what became of them written down."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from configs.errors import CoslideError, SourceError
from configs.event import Event
from configs.watch import WatchConfig
from flows.resolve import make_request, resolve
from flows.watching.watchbook import OPEN, Book, Run
from flows.watching.watchruns import Launcher, Outcome
from flows.watching.watchturn import Turn

logger = logging.getLogger(__name__)

UNSUITED = ("event", "area", "windows", "warnings", "request")
"""Parts of a run file that belong to one event; an operator's preset passes on the others."""


class Debts:
    """The runs that stand in a book as owed or begun."""

    def __init__(
        self,
        config: WatchConfig,
        book: Book,
        launcher: Launcher,
        preset: Mapping[str, Any],
        clock: Callable[[], datetime],
        tell: Callable[[str, str], None],
    ) -> None:
        self._config, self._book, self._launcher, self._clock, self._tell = config, book, launcher, clock, tell
        self._preset = {key: value for key, value in preset.items() if key not in UNSUITED}

    def pay(self, turn: Turn) -> None:
        """Begin the runs that are due and look after those under way; each failure is one run's own."""
        for run in self._book.runs(states=OPEN):
            now = self._clock()
            try:
                if run.state == "running":
                    outcome = self._launcher.look(run)
                elif run.due <= now:
                    outcome = self._launcher.start(self._begin(run, now))
                else:
                    continue
            except SourceError as error:  # a launcher that is down: the debt stays in the book
                turn.notes.append(f"{run.key}: {error.message}")
                continue
            except CoslideError as error:
                outcome = Outcome("failed", str(error).replace("\n", " "))
            turn.ended[run.key] = self._settle(run, outcome, self._clock())

    def _begin(self, run: Run, now: datetime) -> Run:
        """Write down the run's whole configuration, clock included, and that it begins; return it as written.

        One that was begun before keeps its configuration, so that unfinished work goes on instead of being made twice.
        """
        config = run.config
        if config is None:
            preset = {**self._preset, "event": json.loads(run.event), "area": json.loads(run.area)}
            config = resolve(make_request(), preset, now=now).model_dump_json()
        self._book.begin(run.key, config, now)
        return next(one for one in self._book.runs(run.quake) if one.key == run.key)

    def _settle(self, run: Run, outcome: Outcome, now: datetime) -> str:
        """Write down how a run stands and return it in words."""
        if outcome.handle is not None:
            self._book.hold(run.key, outcome.handle)
        if outcome.kind == "running":
            return "running"
        if outcome.kind == "done":
            self._book.end(run.key, "done", outcome.message, now)
            self._tell(f"{run.key} done", outcome.message)
            return f"done: {outcome.message}"
        event = Event.model_validate_json(run.event)
        hopeless = now - event.time > timedelta(days=self._config.give_up_days)
        if outcome.kind == "failed" or hopeless:
            self._book.end(run.key, "failed", outcome.message, now)
            self._tell(f"{run.key} failed", outcome.message)
            logger.error("%s failed: %s", run.key, outcome.message)
            return f"failed: {outcome.message}"
        hours = self._config.retry_hours if outcome.kind == "nothing" else self._pause_hours(run.attempt)
        self._book.end(run.key, "waiting", outcome.message, now, now + timedelta(hours=hours))
        if outcome.kind == "nothing":
            self._book.forget(run.key)  # the next try has its own clock
        logger.info("%s is tried again in %.1f hours: %s", run.key, hours, outcome.message)
        return f"waiting: {outcome.message}"

    def _pause_hours(self, attempt: int) -> float:
        return min(self._config.poll_minutes * 2.0 ** min(attempt, 20), self._config.longest_pause_minutes) / 60
