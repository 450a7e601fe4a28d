"""An event's state on disk, ``event.yaml``: open or closed with the reason, its limits, its latest
revision (contract).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from configs.bands import When
from configs.complaints import as_request_error
from configs.errors import RequestError
from configs.event import Moment
from configs.files import check_format, read_yaml, write_text
from configs.layout import EventFolder, RunLayout
from configs.records import Scene
from configs.refresh import EventState
from configs.run import RunConfig, read_run
from configs.spelling import file_meant


@dataclass(frozen=True)
class EventStatus:
    """What an event has: its state, and what its latest revision knew."""

    state: EventState
    name: str
    event_time: Moment
    as_of: Moment | None
    """Clock of the latest revision; None while there is none."""
    post_last: date
    """Last day that the next run would look at."""
    known: frozenset[str]
    """Scenes that the latest revision could use, by id."""
    review: bool = False
    """Whether an analyst's review waits to be taken up."""

    @property
    def last_day(self) -> date:
        """Return the last day whose images are wanted: the age limit's, or the end of the post
        window.
        """
        limit = self.event_time.date() + timedelta(days=self.state.age_limit_days)
        return min(limit, max(self.post_last, self.event_time.date()))


@dataclass(frozen=True)
class Refresh:
    """A refresh is due."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """The event is to be left alone."""

    reason: str
    closed_by: Literal["operator", "coverage", "age"]


@dataclass(frozen=True)
class Wait:
    """Nothing to do now; look again later."""

    reason: str


Decision = Refresh | Stop | Wait


def settled(status: EventStatus) -> Stop | None:
    """Return why an event is to be left alone whatever images there are; None where they decide."""
    state = status.state
    if status.review and state.closed_by != "operator":
        return None
    if state.state == "closed":
        return Stop(state.reason or "closed", state.closed_by or "operator")
    if state.observed_fraction is not None and state.observed_fraction >= state.coverage_target:
        seen, target = f"{state.observed_fraction:.1%}", f"{state.coverage_target:.0%}"
        return Stop(
            f"coverage target reached: {seen} of the area seen, {target} wanted", "coverage"
        )
    return None


def is_refresh_due(status: EventStatus, scenes: Iterable[Scene], now: datetime) -> Decision:
    """Return whether an event's inventory is to be refreshed now.

    Images that came before the age limit are still used when the look for them is late: a missed
    schedule is made up once.

    Args:
        status: the event's state and what its latest revision knew.
        scenes: what the source has to offer now for both windows.
        now: the clock; acquisitions after it do not exist.
    """
    if (stop := settled(status)) is not None:
        return stop
    if status.review:
        return Refresh("an analyst's review is to be taken up")
    fresh = [
        scene
        for scene in scenes
        if scene.id not in status.known
        and scene.acquired <= now
        and scene.acquired.date() <= status.last_day
        and scene.clear_fraction != 0
    ]
    if fresh and (status.as_of is None or status.as_of <= now):
        return Refresh(_in_words(fresh, status.known))
    end = datetime.combine(status.last_day, time.max, now.tzinfo)
    if now > end:
        age = (now - status.event_time).days
        return Stop(
            f"age limit reached: {age} days after the earthquake, images up to {end.date()} wanted",
            "age",
        )
    since = f" since revision {status.state.latest_revision}" if status.as_of else ""
    return Wait(f"no new image{since}")


def _in_words(fresh: list[Scene], known: Collection[str]) -> str:
    early = {name.rpartition("/")[2] for name in known if "_RT" in name.rpartition("/")[0]}
    final = sum(scene.id.rpartition("/")[2] in early for scene in fresh)
    if final == len(fresh):
        return f"{final} real-time {'image is' if final == 1 else 'images are'} final now"
    noun = "image" if len(fresh) == 1 else "images"
    days = sorted(
        {scene.acquired.date() for scene in fresh if scene.when is When.POST}
        or {fresh[0].acquired.date()}
    )
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"{len(fresh)} new {noun} ({span})"


def is_look_due(state: EventState, now: datetime) -> bool:
    """Return whether it is time to look for new images again; several missed looks are one."""
    if state.state == "closed":
        return False
    return state.checked is None or now >= state.checked + timedelta(hours=state.every_hours)


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


def _provenance(revision: RunLayout) -> dict[str, Any]:
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
    return frozenset(scene["id"] for scene in _provenance(revision)["scenes"])


def card_of(revision: RunLayout) -> str | None:
    """Return the checkpoint that mapped a revision: the first one of its provenance, before the one
    that fills gaps.
    """
    return next(iter(_provenance(revision)["checkpoints"]), None)


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
