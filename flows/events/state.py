"""An event's state on disk, ``event.yaml``: open or closed with the reason, its limits, its latest
revision (contract); and the answer that a command owes about the revision it has published.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from configs.complaints import as_request_error
from configs.errors import RequestError
from configs.files import check_format, format_of, read_yaml, write_text
from configs.layout import EventFolder, RunLayout
from configs.refresh import EventState
from configs.run import RunConfig, read_run
from configs.spelling import file_meant
from flows.events import reviews
from flows.events.decision import EventStatus, Stop
from flows.run import workspace
from inventory.formats.stac import write_event_catalog, write_root_catalog
from inventory.report.events_page import write_events_page

logger = logging.getLogger(__name__)


def read_state(event: EventFolder) -> EventState:
    """Return an event's state; what an older coslide did not write comes from its latest revision,
    or is the default.

    Raises:
        RequestError: malformed, or of a newer format.
    """
    content = read_yaml(event.state, "event") if event.state.exists() else {}
    latest = max(event.revisions(), default=0)
    content["latest_revision"] = latest
    if latest and "observed_fraction" not in content:
        content["observed_fraction"] = _observed_fraction(event.revision(latest))
    if content.get("state") == "closed" and not content.get("closed_by"):
        content["closed_by"] = "operator"
    try:
        return EventState.model_validate(content)
    except ValidationError as error:
        raise as_request_error(error, str(event.state)) from error


def _observed_fraction(revision: RunLayout) -> float | None:
    """Return the headline's observed share of a published revision, from its STAC item."""
    path = revision.folder / "item.json"
    if not path.exists():
        return None
    properties = json.loads(path.read_text(encoding="utf-8")).get("properties", {})
    found = properties.get("coslide:observed_fraction")
    return float(found) if found is not None else None


def write_state(event: EventFolder, **changes: Any) -> EventState:
    """Update ``event.yaml`` and return what it says now."""
    state = read_state(event).model_copy(update=changes)
    text = yaml.safe_dump(state.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(
        event.state,
        "# Edit coverage_target, age_limit_days or every_hours here; close with `coslide "
        "refresh`.\n" + text,
    )
    return state


def published(
    event: EventFolder, run: RunConfig, number: int, observed_fraction: float
) -> EventState:
    """Note a new revision; a first one takes the limits of its run. One that sees too little again
    opens what was covered.
    """
    changes: dict[str, Any] = {"latest_revision": number, "observed_fraction": observed_fraction}
    if not event.state.exists():
        changes |= run.refresh.model_dump(exclude={"policy"})
    state = read_state(event)
    if state.closed_by == "coverage" and observed_fraction < state.coverage_target:
        changes |= {"state": "open", "closed_by": "", "reason": ""}
    return write_state(event, **changes, checked=run.windows.as_of)


def close(
    event: EventFolder, reason: str, closed_by: Literal["operator", "coverage", "age"] = "operator"
) -> EventState:
    """Close an event: it is left alone from now on."""
    return write_state(event, state="closed", closed_by=closed_by, reason=reason)


def stop(event: EventFolder, decision: Stop) -> EventState:
    """Close an event for the reason that the verdict gives, unless it is closed already."""
    state = read_state(event)
    return state if state.state == "closed" else close(event, decision.reason, decision.closed_by)


def reopen(event: EventFolder) -> EventState:
    """Open a closed event again."""
    return write_state(event, state="open", closed_by="", reason="")


def open_existing(folder: Path) -> EventFolder:
    """Return the folder of an event that is there.

    Raises:
        RequestError: it is not.
    """
    event = EventFolder(folder)
    if event.revisions() or (event.request.exists() and event.state.exists()):
        return event
    if RunLayout(folder).config.exists() or (folder / "landslides.gpkg").exists():
        raise RequestError(
            f"{folder} is a revision, not an event", f"Name the folder above it: {folder.parent}."
        )
    near = "" if folder.exists() else file_meant(folder)
    raise RequestError(
        f"{folder} is no event: it holds no revision", near or "Name a folder like runs/EVENT."
    )


def latest_run(event: EventFolder) -> RunConfig:
    """Return the configuration of an event's latest revision, or of what was asked where there is
    none yet.
    """
    latest = event.latest()
    return read_run(latest.config if latest else event.request)


def status(event: EventFolder, post_last: date, review: bool = False) -> EventStatus:
    """Return what an event has.

    Args:
        event: its folder.
        post_last: last day that the next run would look at.
        review: whether an analyst's review waits.
    """
    state, run = read_state(event), latest_run(event)
    has = state.latest_revision > 0
    known = _known_scenes(event.revision(state.latest_revision)) if has else frozenset[str]()
    as_of = run.windows.as_of if has else None
    return EventStatus(state, run.event.name, run.event.time, as_of, post_last, known, review)


def provenance(revision: RunLayout) -> dict[str, Any]:
    """Return what reproduces a revision.

    Raises:
        RequestError: its provenance is missing, damaged or of a newer format.
    """
    try:
        content: dict[str, Any] = json.loads(revision.provenance.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise RequestError(
            f"cannot read {revision.provenance}: {error}", "Restore it from a backup."
        ) from error
    check_format(content.get("format"), "provenance", str(revision.provenance))
    return content


def _known_scenes(revision: RunLayout) -> frozenset[str]:
    """Return the ids of the scenes that a revision could use.

    Raises:
        RequestError: its provenance is missing or of a newer format.
    """
    return frozenset(scene["id"] for scene in provenance(revision)["scenes"])


def card_of(revision: RunLayout) -> str | None:
    """Return the checkpoint that mapped a revision: the first one of its provenance, before the one
    that fills gaps.
    """
    return next(iter(provenance(revision)["checkpoints"]), None)


def run_today(run: RunConfig, state: EventState, as_of: datetime) -> RunConfig:
    """Return a run with a later clock. A post window that nobody limited goes on to the new clock
    or to the age limit.
    """
    windows, day = run.windows, run.event.time.date()
    post = windows.post
    if post.last in (windows.as_of.date(), day + timedelta(days=run.look.post_days)):
        limit = day + timedelta(days=state.age_limit_days)
        post = post.model_copy(update={"last": max(post.last, min(limit, as_of.date()))})
    return run.model_copy(
        update={"windows": windows.model_copy(update={"as_of": as_of, "post": post})}
    )


# The end of a command that makes a revision: what follows the rename, until the answer is given.
# The answer is written down before the rename: who is killed in between finds it there, and the
# same command ends what was begun and answers; it makes no second revision.


@dataclass(frozen=True)
class Finished:
    """A published revision: small enough to travel anywhere."""

    revision: int
    summary: dict[str, Any]
    words: list[str]
    products: dict[str, Path] = field(default_factory=dict)
    """Its files by name."""


@dataclass(frozen=True)
class _Note:
    """The answer that a command owes."""

    request_id: str
    revision: int
    summary: dict[str, Any]
    words: list[str]
    settled: bool = False
    """Whether all that follows the rename was done."""

    def write(self, event: EventFolder) -> None:
        content = {"format": format_of("answer"), **asdict(self)}
        write_text(event.answer, json.dumps(content, ensure_ascii=False) + "\n")


_answering: ContextVar[bool] = ContextVar("answering", default=False)


@contextmanager
def answering(event: EventFolder) -> Iterator[None]:
    """Owe the answer of the revision that the block makes until the block has ended well, and with
    it every such block around it.
    """
    outermost = not _answering.get()
    token = _answering.set(True)
    try:
        yield
    finally:
        _answering.reset(token)
    if outermost:
        event.answer.unlink(missing_ok=True)


def owed(event: EventFolder) -> int | None:
    """Return the latest revision of an event where its command has not answered yet."""
    note = _read(event)
    return note.revision if note else None


def promise(event: EventFolder, run: RunConfig, finished: Finished) -> None:
    """Write down the answer about a revision that is about to be published. The caller holds the
    event's lock.
    """
    _Note(run.request_id, finished.revision, finished.summary, finished.words).write(event)


def enter(event: EventFolder, run: RunConfig, finished: Finished) -> None:
    """Tell the event's folder of a revision. The caller holds the event's lock."""
    write_event_catalog(event)
    seen = finished.summary["observed_fraction"]
    published(event, run, finished.revision, seen)


def settle(event: EventFolder) -> None:
    """Tell the output folder of an event's revision; then nothing but the answer is owed."""
    with workspace.waiting(event.folder.parent / ".catalog.lock"):
        write_root_catalog(event.folder.parent)
        write_events_page(event.folder.parent)


def finish(event: EventFolder, request_id: str) -> Finished | None:
    """End what a killed command has left undone after its rename; return the revision where it was
    made from this very request and its command never answered.
    """
    if not event.answer.exists():
        return None  # and a request that is refused leaves no lock behind
    with workspace.waiting(event.lock):
        note = _read(event)
        if note is None:
            return None
        layout = event.revision(note.revision)
        finished = Finished(note.revision, note.summary, note.words, files_of(layout))
        try:
            run = read_run(layout.config)
            reviews.put_away(event, note.revision, provenance(layout).get("review"))
        except RequestError as error:
            logger.warning("revision %d stays as it is (%s)", note.revision, error.message)
            return None
        if not note.settled:
            if run.keep == "latest":
                workspace.drop_older(event, note.revision)
            enter(event, run, finished)
    if not note.settled:
        settle(event)
        with workspace.waiting(event.lock):
            if _read(event) == note:
                replace(note, settled=True).write(event)
    if note.request_id != request_id:
        return None
    logger.info("revision %d was made before its command was cut off", note.revision)
    return finished


def files_of(revision: RunLayout) -> dict[str, Path]:
    """Return a revision's files by name."""
    found = (path for path in revision.folder.iterdir() if path.is_file())
    return {path.name: path for path in sorted(found) if not path.name.startswith(".")}


def _read(event: EventFolder) -> _Note | None:
    """Return what is owed about the latest revision; a note of one that was never published, or
    that another has followed, is none.
    """
    try:
        content = json.loads(event.answer.read_text(encoding="utf-8"))
        check_format(content.pop("format", None), "answer", str(event.answer))
        note = _Note(**content)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, RequestError) as error:
        logger.warning("%s is damaged and left out (%s)", event.answer, error)
        return None
    return note if note.revision == max(event.revisions(), default=0) else None
