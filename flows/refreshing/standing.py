"""An event's state on disk, ``event.yaml``: open or closed with the reason, its limits, its latest revision (contract)."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from configs.errors import RequestError
from configs.files import check_format, read_yaml, write_text
from configs.layout import EventFolder, RunLayout
from configs.refresh import EventState
from configs.run import RunConfig, as_request_error, read_run
from flows.refreshing.due import Standing, Stop


def read_state(event: EventFolder) -> EventState:
    """Return an event's state; what an older coslide did not write comes from its latest revision, or is the default.

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
        "# Edit coverage_target, age_limit_days or every_hours here; close with `coslide refresh`.\n" + text,
    )
    return state


def published(event: EventFolder, run: RunConfig, number: int, observed_fraction: float) -> EventState:
    """Note a new revision; a first one takes the limits of its run. One that sees too little again opens what was covered."""
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


def stop(event: EventFolder, verdict: Stop) -> EventState:
    """Close an event for the reason that the verdict gives, unless it is closed already."""
    state = read_state(event)
    return state if state.state == "closed" else close(event, verdict.reason, verdict.closed_by)


def reopen(event: EventFolder) -> EventState:
    """Open a closed event again."""
    return write_state(event, state="open", closed_by="", reason="")


def register(run: RunConfig) -> EventFolder:
    """Note an event that no image shows yet: its refresh makes the first revision as soon as one does."""
    event = EventFolder(Path(run.out) / run.event.name)
    event.folder.mkdir(parents=True, exist_ok=True)
    run.write(event.request)
    write_state(event, **run.refresh.model_dump(exclude={"policy"}))
    return event


def open_existing(folder: Path) -> EventFolder:
    """Return the folder of an event that is there.

    Raises:
        RequestError: it is not.
    """
    event = EventFolder(folder)
    if event.revisions() or (event.request.exists() and event.state.exists()):
        return event
    if RunLayout(folder).config.exists() or (folder / "landslides.gpkg").exists():
        raise RequestError(f"{folder} is a revision, not an event", f"Name the folder above it: {folder.parent}.")
    raise RequestError(f"{folder} is no event: it holds no revision", "Name a folder like runs/EVENT.")


def latest_run(event: EventFolder) -> RunConfig:
    """Return the configuration of an event's latest revision, or of what was asked where there is none yet."""
    revisions = event.revisions()
    return read_run(revisions[max(revisions)].config if revisions else event.request)


def standing(event: EventFolder, post_last: date, review: bool = False) -> Standing:
    """Return what an event has.

    Args:
        event: its folder.
        post_last: last day that the next run would look at.
        review: whether an analyst's review waits.
    """
    state, run = read_state(event), latest_run(event)
    has = state.latest_revision > 0
    known = known_scenes(event.revision(state.latest_revision)) if has else frozenset[str]()
    as_of = run.windows.as_of if has else None
    return Standing(state, run.event.name, run.event.time, as_of, post_last, known, review)


def _provenance(revision: RunLayout) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(revision.provenance.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise RequestError(f"cannot read {revision.provenance}: {error}", "Restore it from a backup.") from error
    check_format(content.get("format"), "provenance", str(revision.provenance))
    return content


def known_scenes(revision: RunLayout) -> frozenset[str]:
    """Return the ids of the scenes that a revision could use.

    Raises:
        RequestError: its provenance is missing or of a newer format.
    """
    return frozenset(scene["id"] for scene in _provenance(revision)["scenes"])


def card_of(revision: RunLayout) -> str | None:
    """Return the checkpoint that mapped a revision: the first one of its provenance, before the one that fills gaps."""
    return next(iter(_provenance(revision)["checkpoints"]), None)


def run_today(run: RunConfig, state: EventState, as_of: datetime) -> RunConfig:
    """Return a run with a later clock. A post window that nobody limited goes on to the new clock or to the age limit."""
    windows, day = run.windows, run.event.time.date()
    post = windows.post
    if post.last in (windows.as_of.date(), day + timedelta(days=run.look.post_days)):
        limit = day + timedelta(days=state.age_limit_days)
        post = post.model_copy(update={"last": max(post.last, min(limit, as_of.date()))})
    return run.model_copy(update={"windows": windows.model_copy(update={"as_of": as_of, "post": post})})
