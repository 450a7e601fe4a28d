"""Every open event of an output folder: look whether a refresh is due, and do it. One event's failure stops no other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from configs.errors import CoslideError, RequestError
from configs.layout import EventFolder
from flows import workplace
from flows.refreshing import reviews, standing
from flows.refreshing.due import is_look_due
from flows.refreshing.refresh import Run, refresh
from flows.respond import respond
from flows.step import Step, plain

logger = logging.getLogger(__name__)

AGAIN = timedelta(hours=1)
"""Pause before an event that failed, or that another process refreshes, is looked at again."""
_ENDS = ("refreshed", "waiting", "closed", "failed", "busy")


def refresh_events(
    out: Path, *, now: datetime | None = None, step: Step = plain, run_it: Run = respond
) -> dict[str, Any]:
    """Return what became of every open event: ``action`` and ``reason`` of each, and when to look again.

    Idempotent: called late it makes up for all missed looks at once, called too early it looks at nothing, and an event that
    another process refreshes is left to that one.

    Args:
        out: the output folder that the events lie in.
        now: the clock of the refreshed runs; now where None.
        step: how a room is called.
        run_it: how a run is made.

    Raises:
        RequestError: there is no such folder.
    """
    now = now or datetime.now(UTC).replace(microsecond=0)
    if not out.is_dir():
        raise RequestError(f"no such output folder: {out}", "Name the folder that the events lie in, e.g. runs.")
    rows = [_one(event, now, step, run_it) for event in events_in(out) if _is_due(event, now)]
    waiting = list(_next_looks(out, now))
    told = {name: sum(row["action"] == name for row in rows) for name in _ENDS}
    return {
        "status": "ok",
        "events": rows,
        **told,
        "open": len(waiting),
        "next_look": min(waiting).isoformat() if waiting else None,
    }


def events_in(out: Path) -> Iterator[EventFolder]:
    """Yield the events of an output folder, by name."""
    for path in sorted(out.iterdir()):
        if path.is_dir() and (path / "event.yaml").is_file():
            yield EventFolder(path)


def _is_due(event: EventFolder, now: datetime) -> bool:
    try:
        state = standing.read_state(event)
        reviewed = event.review.exists() and state.closed_by != "operator" and reviews.waiting(event) is not None
        return reviewed or is_look_due(state, now)
    except CoslideError:
        return True  # so that the refresh says what is wrong with it


def _next_looks(out: Path, now: datetime) -> Iterator[datetime]:
    """Yield when each open event is to be looked at again; what failed or was busy, after an hour."""
    for event in events_in(out):
        try:
            state = standing.read_state(event)
        except CoslideError:
            continue
        if state.state == "open":
            due = state.checked + timedelta(hours=state.every_hours) if state.checked else now
            yield due if due > now else now + AGAIN


def _one(event: EventFolder, now: datetime, step: Step, run_it: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"event": event.folder.name}
    try:
        answer = refresh(event.folder, as_of=now, step=step, run_it=run_it)
    except workplace.BusyError as error:
        return row | {"action": "busy", "reason": error.message}
    except CoslideError as error:
        logger.error("%s: %s", event.folder.name, error)
        return row | {"action": "failed", "reason": str(error).replace("\n", " "), "code": error.code}
    except Exception as error:  # a defect that one event shows must not keep the others waiting
        logger.exception("%s", event.folder.name)
        return row | {"action": "failed", "reason": f"{type(error).__name__}: {error}", "code": 1}
    kept = ("action", "reason", "revision", "observed_fraction", "event_state", "event_reason", "words")
    return row | {key: answer[key] for key in kept if key in answer}


def words(result: dict[str, Any]) -> str:
    """Return what became of the events, a line each."""
    lines = []
    for row in result["events"]:
        revision = f" (revision {row['revision']})" if row["action"] == "refreshed" else ""
        closed = f"; closed: {row['event_reason']}" if row.get("event_state") == "closed" and revision else ""
        lines.append(f"{row['event']}: {row['action']}{revision}: {row['reason']}{closed}")
    until = f", next look {result['next_look'][:16]} UTC" if result["next_look"] else ""
    return "\n".join([*lines, f"{result['open']} open{until}"])
