"""How the watch starts a run on this machine, so that a run begun before a crash is never made
twice.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from configs.errors import CoslideError, SourceError, as_ours
from configs.event import Event
from configs.layout import EventFolder
from configs.run import RunConfig, read_run
from configs.watch import WatchConfig
from flows.events import state as event_state
from flows.resolve import make_request, resolve
from flows.watch.ledger import OPEN, Book, Run

logger = logging.getLogger(__name__)

KINDS: dict[int, Literal["done", "nothing", "again", "failed"]] = {
    0: "done",
    3: "nothing",
    4: "again",
    5: "again",
    130: "again",
    143: "again",
    -2: "again",
    -9: "again",
    -15: "again",
}
"""What an exit code of `coslide respond` means for the watch (contract); all others are
failures.
"""
_PATIENCE_S = 10


@dataclass(frozen=True)
class Outcome:
    """How a run stands."""

    kind: Literal["running", "done", "nothing", "again", "failed"]
    """nothing: no imagery yet; again: source or machine failed for now."""
    message: str = ""
    handle: str | None = None


class Launcher(Protocol):
    """Whoever makes runs. Both calls are safe to repeat: one key and attempt is one run."""

    def start(self, run: Run) -> Outcome:
        """Begin a run, or find that it was begun."""
        ...

    def look(self, run: Run) -> Outcome:
        """Return how a run stands that was begun before."""
        ...


class LocalRuns:
    """Runs as child processes, one at a time. Their configuration was written down before, clock
    included.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, run: Run) -> Outcome:
        """Run to the end and return the outcome; a revision made from this very configuration is
        not made again.
        """
        config = RunConfig.model_validate_json(run.config or "{}")
        path = self._folder / f"{run.key}.yaml"
        config.write(path)
        # Not by filelock, whose descriptors a child does not inherit. The child holds this lock: as
        # long as one of an earlier, killed watch lives, nobody begins the run again.
        with path.with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Outcome("running", "a run that an earlier watch began is still going")
            if (folder := published(config)) is not None:
                return Outcome("done", f"{folder.name} was there already", str(folder))
            code, out = _respond(path, lock.fileno())
        return _outcome(code, out)

    def look(self, run: Run) -> Outcome:
        """Return the outcome of a run that an earlier watch began: what is unfinished goes on."""
        return self.start(run)


def published(config: RunConfig) -> Path | None:
    """Return the revision that was made from this very configuration, its clock included; None
    where there is none, or where the command that published it was cut off before its end.
    """
    event = EventFolder(Path(config.out) / config.event.name)
    for number, layout in reversed(event.revisions().items()):
        try:
            made = read_run(layout.config)
        except (CoslideError, ValidationError):
            continue
        if made.request_id == config.request_id and made.windows.as_of == config.windows.as_of:
            return None if number == event_state.owed(event) else layout.folder
    return None


def _respond(path: Path, lock: int) -> tuple[int, str]:
    """Return (exit code, standard output) of `coslide respond` on a run file. Interrupted, it stops
    the child first.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "--quiet",
        "respond",
        "--config",
        str(path),
        "--json",
    ]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, pass_fds=(lock,)
    )
    try:
        out, _ = child.communicate()
    except BaseException:
        child.terminate()
        try:
            child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
        raise
    return child.returncode, out


def _outcome(code: int, out: str) -> Outcome:
    try:
        answer = json.loads(out)
    except ValueError:
        answer = {}
    kind = KINDS.get(code, "failed")
    if kind == "done":
        from inventory.summary import percent

        folder = Path(next(iter(answer["products"].values()))).parent
        beware = answer["words"][:1] if answer["out_of_domain"] else []
        found = (
            f"revision {answer['revision']}: {answer['landslide_count']} landslides, "
            f"{percent(answer['observed_fraction'])} seen"
        )
        words = " ".join([*beware, found])
        return Outcome("done", words, str(folder))
    message = f"{answer.get('message', f'ended with {code}')}. {answer.get('remedy', '')}".strip()
    return Outcome(kind, message)


_UNSUITED = ("event", "area", "windows", "warnings", "request")
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
        send: Callable[[str, str], None],
    ) -> None:
        self._config, self._book, self._launcher, self._clock, self._tell = (
            config,
            book,
            launcher,
            clock,
            send,
        )
        self._preset = {key: value for key, value in preset.items() if key not in _UNSUITED}

    def pay(self, turn: Turn) -> None:
        """Begin the runs that are due and look after those under way; each failure is one run's
        own.
        """
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
            except Exception as error:
                ours = as_ours(error)
                if ours.code == 1:
                    logger.exception("%s", run.key)
                kind = KINDS.get(ours.code, "failed")
                outcome = Outcome(kind, str(ours).replace("\n", " "))
            turn.ended[run.key] = self._settle(run, outcome, self._clock())

    def _begin(self, run: Run, now: datetime) -> Run:
        """Write down the run's whole configuration, clock included, and that it begins; return it
        as written.

        One that was begun before keeps its configuration, so that unfinished work goes on instead
        of being made twice.
        """
        config = run.config
        if config is None:
            model = dict(self._preset.get("model", {}))
            if not self._config.publish_unknown:  # nobody looks at it before it is out
                model.setdefault("out_of_domain", "refuse")
            preset = {**self._preset, "model": model}
            preset |= {"event": json.loads(run.event), "area": json.loads(run.area)}
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
        hours = (
            self._config.retry_hours
            if outcome.kind == "nothing"
            else self._pause_hours(run.attempt)
        )
        self._book.end(run.key, "waiting", outcome.message, now, now + timedelta(hours=hours))
        if outcome.kind == "nothing":
            self._book.forget(run.key)  # the next try has its own clock
        logger.info("%s is tried again in %.1f hours: %s", run.key, hours, outcome.message)
        return f"waiting: {outcome.message}"

    def _pause_hours(self, attempt: int) -> float:
        return (
            min(
                self._config.poll_minutes * 2.0 ** min(attempt, 20),
                self._config.longest_pause_minutes,
            )
            / 60
        )


@dataclass
class Turn:
    """What one turn of the watch saw and did, for people and for `--json`."""

    seen: int = 0
    intended: list[str] = field(default_factory=list)
    """Keys of runs that were written down in this turn."""
    ended: dict[str, str] = field(default_factory=dict)
    """Key → how its run stands now, of runs that were begun or looked after in this turn."""
    withdrawn: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be read or had, and why earthquakes that came near were left alone."""
    feed_error: str = ""
    next: str | None = None
    """While the feed is down: when it is asked again."""

    def as_plain(self) -> dict[str, Any]:
        """Return the turn as plain types."""
        return asdict(self)
