"""What lies in an output folder: every event with its state, and the damaged ones by name, so that
one of them never hides the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from configs.errors import CoslideError, RequestError
from configs.event import Moment
from configs.layout import EventFolder, RunLayout
from flows.events import state as event_state


@dataclass(frozen=True)
class Listed:
    """One event as the list shows it."""

    event: str
    state: Literal["open", "waiting", "unfinished", "closed", "damaged"]
    """waiting: no image has made a first revision; unfinished: its first run has not ended."""
    reason: str = ""
    """Why it is closed, waits or is damaged, in words."""
    revision: int = 0
    """The latest one; 0 while there is none."""
    observed_fraction: float | None = None
    """Share of the area that was seen, 0 to 1."""
    landslide_count: int | None = None
    warnings: tuple[str, ...] = ()
    next_refresh: Moment | None = None
    """From when on `coslide refresh --all` looks for new images; None where it does not."""

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        moment = self.next_refresh.isoformat() if self.next_refresh else None
        return asdict(self) | {"next_refresh": moment, "warnings": list(self.warnings)}


def listed(out: Path, waits: Mapping[str, str] | None = None) -> list[Listed]:
    """Return the events of an output folder by name.

    Args:
        out: the folder that holds the events.
        waits: event name to what its runs wait for, as the watch knows it.

    Raises:
        RequestError: there is no such folder, or it is an event itself.
    """
    if not out.is_dir():
        raise RequestError(f"no such folder: {out}", "Name the output folder of your runs.")
    if EventFolder(out).revisions():
        raise RequestError(f"{out} is an event itself", f"Name the folder above it: {out.parent}.")
    waits = waits or {}
    found = [_with_reason(one, waits.get(one.event, "")) for one in _found(out)]
    unmade = [name for name in waits if name not in {one.event for one in found}]
    return sorted(
        [*found, *(Listed(name, "waiting", waits[name]) for name in unmade)],
        key=lambda one: one.event,
    )


def _found(out: Path) -> Iterator[Listed]:
    for folder in out.iterdir():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        event = EventFolder(folder)
        try:
            if event.revisions() or event.state.exists():
                yield _listed(event)
            elif (folder / ".work").is_dir():
                yield Listed(folder.name, "unfinished", "give the same command again: it goes on")
        except CoslideError as error:
            yield Listed(folder.name, "damaged", error.message)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            words = f"its files cannot be read: {' '.join(str(error).split())}"
            yield Listed(folder.name, "damaged", words)


def _listed(event: EventFolder) -> Listed:
    state = event_state.read_state(event)
    due = state.checked + timedelta(hours=state.every_hours) if state.checked else None
    one = Listed(
        event.folder.name,
        state.state,
        state.reason,
        state.latest_revision,
        state.observed_fraction,
        next_refresh=due if state.state == "open" else None,
    )
    if not state.latest_revision:
        return replace(one, state="waiting") if state.state == "open" else one
    about = _item(event.revision(state.latest_revision))
    return replace(
        one,
        landslide_count=int(about["coslide:landslide_count"]),
        warnings=tuple(map(str, about["coslide:warnings"])),
    )


def _item(revision: RunLayout) -> dict[str, Any]:
    path = revision.folder / "item.json"
    try:
        properties: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["properties"]
        properties["coslide:landslide_count"], properties["coslide:warnings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"revision {path.parent.name} has no readable item.json", "Restore it from a backup."
        ) from error
    return properties


def _with_reason(one: Listed, waits: str) -> Listed:
    return replace(one, reason=waits) if waits and not one.reason else one
