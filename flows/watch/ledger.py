"""What the watch knows, on disk: which earthquakes it saw, which runs it owes, when to ask again
(SQLite, one writer).

A run is written down before it is begun and struck out after it has ended, each in one transaction:
whoever is killed in between finds the debt in the book and pays it once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from configs.errors import RequestError

State = Literal["intended", "running", "waiting", "done", "failed", "superseded", "withdrawn"]
"""intended: written down; running: begun; waiting: to be tried again; the others are ends."""
OPEN: tuple[State, ...] = ("intended", "running", "waiting")
VERSION = 1
_TABLES = f"""
create table if not exists quake (
    id text primary key, title text not null, updated integer not null, version text,
    verdict text not null, gone integer not null);
create table if not exists alias (alias text primary key, id text not null);
create table if not exists run (
    key text primary key, quake text not null, version text not null, area text not null,
    event text not null,
    state text not null check (state in {get_args(State)}), attempt integer not null,
    due text not null, config text, handle text,
    message text not null, made text not null, begun text, ended text);
create table if not exists feed (
    one integer primary key check (one = 1), failures integer not null, success text, next text,
    error text not null);
"""


@dataclass(frozen=True)
class Known:
    """An earthquake as the watch last saw it."""

    id: str
    updated: int
    version: str | None
    verdict: str
    gone: bool


@dataclass(frozen=True)
class Run:
    """A run that the watch owes, or owed."""

    key: str
    """Event id and version: the idempotency key."""
    quake: str
    version: str
    area: str
    """Its area as JSON (`Area.as_plain`)."""
    event: str
    """Its event as JSON."""
    state: State
    attempt: int
    due: datetime
    config: str | None
    """The resolved configuration as JSON, written down before the run begins."""
    handle: str | None
    """Whatever finds the run again: a flow run's id, or a revision's folder."""
    message: str
    begun: datetime | None


@dataclass(frozen=True)
class FeedState:
    """How the feed has answered."""

    failures: int
    success: datetime | None
    next: datetime | None
    error: str


class Book:
    """The watch's book. Open it with `Book.open`; it belongs to one process at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @staticmethod
    @contextmanager
    def open(path: Path, *, pretend: bool = False) -> Iterator[Book]:
        """Yield the book in a file, made where there is none; `pretend`: a copy in memory, the file
        is left alone.

        Raises:
            RequestError: no book, damaged, or written by a newer coslide.
        """
        try:
            connection = _copy(path) if pretend else _connect(path)
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            version = int(connection.execute("pragma user_version").fetchone()[0])
            if version > VERSION:
                raise RequestError(f"{path} was written by a newer coslide", "Upgrade coslide.")
            connection.executescript(_TABLES)
            connection.execute(f"pragma user_version = {VERSION}")
            yield Book(connection)
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error
        finally:
            connection.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write everything of the block, or nothing of it."""
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    # earthquakes

    def identify(self, preferred: str, ids: Iterable[str]) -> str:
        """Return the id that an earthquake had when it was first seen, whatever it is called
        now.
        """
        names = sorted(ids)
        marks = ",".join("?" * len(names))
        row = self._connection.execute(
            f"select id from alias where alias in ({marks}) limit 1", names
        ).fetchone()
        return str(row[0]) if row else preferred

    def verdicts(self) -> list[dict[str, Any]]:
        """Return what was decided of each earthquake and how far its runs are, the newest first."""
        rows = self._connection.execute(
            "select id, title, verdict, gone, updated from quake order by updated desc"
        ).fetchall()
        runs: dict[str, list[str]] = {}
        waits: dict[str, str] = {}
        for run in self.runs():
            if run.state in ("intended", "waiting"):
                waits[run.quake] = f"next try {run.due:%Y-%m-%d %H:%M} UTC: " + (
                    run.message or "it is to be mapped"
                )
            due = f", due {_text(run.due)}" if run.state in ("intended", "waiting") else ""
            said = f": {run.message}" if run.message else ""
            runs.setdefault(run.quake, []).append(f"{run.key} {run.state}{due}{said}")
        return [
            {
                "id": name,
                "title": title,
                "verdict": verdict,
                "withdrawn": bool(gone),
                "updated": datetime.fromtimestamp(updated / 1000, UTC).isoformat(),
                "runs": runs.get(name, []),
                "waits": waits.get(name, ""),
            }
            for name, title, verdict, gone, updated in rows
        ]

    def known(self, quake: str) -> Known | None:
        """Return what is known of an earthquake."""
        row = self._connection.execute(
            "select id, updated, version, verdict, gone from quake where id = ?", (quake,)
        ).fetchone()
        return Known(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def note(
        self,
        quake: str,
        ids: Iterable[str],
        title: str,
        updated: int,
        verdict: str,
        version: str | None,
        gone: bool = False,
    ) -> None:
        """Remember an earthquake as it was just seen."""
        self._connection.execute(
            "insert into quake values (?, ?, ?, ?, ?, ?) on conflict (id) do update set "
            "title = excluded.title, "
            "updated = excluded.updated, version = excluded.version, verdict = "
            "excluded.verdict, gone = excluded.gone",
            (quake, title, updated, version, verdict, int(gone)),
        )
        self._connection.executemany(
            "insert or ignore into alias values (?, ?)", [(name, quake) for name in ids]
        )

    # runs

    def runs(
        self, quake: str | None = None, states: Iterable[State] = get_args(State)
    ) -> list[Run]:
        """Return runs, the oldest first."""
        wanted = list(states)
        marks = ",".join("?" * len(wanted))
        where, values = (" and quake = ?", [*wanted, quake]) if quake else ("", wanted)
        rows = self._connection.execute(
            "select key, quake, version, area, event, state, attempt, due, config, handle, "
            "message, begun from run "
            f"where state in ({marks}){where} order by made, rowid",
            values,
        ).fetchall()
        return [_run(row) for row in rows]

    def intend(
        self,
        key: str,
        quake: str,
        version: str,
        area: str,
        event: str,
        due: datetime,
        now: datetime,
    ) -> bool:
        """Write down a run and return True; False where that key has been written down before.

        Older versions of the earthquake that have not begun are superseded.
        """
        made = self._connection.execute(
            "insert into run values (?, ?, ?, ?, ?, 'intended', 0, ?, null, null, '', ?, "
            "null, null) "
            "on conflict (key) do update set state = 'intended', due = excluded.due where "
            "run.state = 'withdrawn'",
            (key, quake, version, area, event, _text(due), _text(now)),
        ).rowcount
        if made:
            self._connection.execute(
                "update run set state = 'superseded', message = ?, ended = ? where quake = "
                "? and key <> ? "
                "and state in ('intended', 'waiting')",
                (f"by {key}", _text(now), quake, key),
            )
        return bool(made)

    def begin(self, key: str, config: str | None, now: datetime) -> None:
        """Write down that a run is begun, and with which configuration."""
        self._connection.execute(
            "update run set state = 'running', attempt = attempt + 1, config = ?, begun = "
            "? where key = ?",
            (config, _text(now), key),
        )

    def hold(self, key: str, handle: str) -> None:
        """Remember how to find a run again."""
        self._connection.execute("update run set handle = ? where key = ?", (handle, key))

    def forget(self, key: str) -> None:
        """Drop a run's configuration: the next try is resolved anew."""
        self._connection.execute(
            "update run set config = null, handle = null where key = ?", (key,)
        )

    def end(
        self, key: str, state: State, message: str, now: datetime, due: datetime | None = None
    ) -> None:
        """Write down how a run ended, or when it is to be tried again."""
        self._connection.execute(
            "update run set state = ?, message = ?, ended = ?, due = coalesce(?, due) "
            "where key = ?",
            (state, message, _text(now), _text(due) if due else None, key),
        )

    # the feed

    @property
    def feed(self) -> FeedState:
        """Return how the feed has answered."""
        row = self._connection.execute("select failures, success, next, error from feed").fetchone()
        if row is None:
            return FeedState(0, None, None, "")
        return FeedState(
            row[0], _moment(row[1]) if row[1] else None, _moment(row[2]) if row[2] else None, row[3]
        )

    def feed_answered(self, now: datetime) -> None:
        """Write down that the feed was read."""
        self._connection.execute(
            "insert or replace into feed values (1, 0, ?, null, '')", (_text(now),)
        )

    def feed_failed(self, until: datetime, error: str) -> None:
        """Write down that the feed was not to be had, and until when it is left alone."""
        before = self.feed
        success = _text(before.success) if before.success else None
        self._connection.execute(
            "insert or replace into feed values (1, ?, ?, ?, ?)",
            (before.failures + 1, success, _text(until), error),
        )


def _damaged(path: Path, error: sqlite3.DatabaseError) -> RequestError:
    return RequestError(
        f"{path} is damaged: {error}",
        "Move it away; earthquakes that were mapped before are then recognised by their folders.",
    )


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path, isolation_level=None)


def _copy(path: Path) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        if path.exists():
            with closing(sqlite3.connect(path)) as original:
                original.backup(copy)
    except sqlite3.DatabaseError:
        copy.close()
        raise
    return copy


def _run(row: tuple[Any, ...]) -> Run:
    key, quake, version, area, event, state, attempt, due, config, handle, message, begun = row
    return Run(
        key=key,
        quake=quake,
        version=version,
        area=area,
        event=event,
        state=state,
        attempt=attempt,
        due=_moment(due),
        config=config,
        handle=handle,
        message=message,
        begun=_moment(begun) if begun else None,
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
