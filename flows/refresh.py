"""The same event again with today's imagery: a new revision, or a word that nothing new was to be
had (contract).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from configs.complaints import checked
from configs.errors import CoslideError, NothingNewError, NothingToSeeError, RequestError, as_ours
from configs.files import sweep_dead
from configs.layout import EventFolder
from configs.overrides import overlaid, sections
from configs.records import Scene
from configs.run import RunConfig
from flows import steps
from flows.events import reviews
from flows.events import state as event_state
from flows.events.decision import (
    Decision,
    EventStatus,
    Refresh,
    Stop,
    Wait,
    is_look_due,
    is_refresh_due,
    settled,
)
from flows.respond import respond
from flows.run import workspace
from flows.run.journal import Step, plain

logger = logging.getLogger(__name__)

Run = Callable[[RunConfig, Step, bool], dict[str, Any]]
"""How a configuration is run: `respond`, or the same as a tracked flow."""


def refresh(
    folder: Path,
    *,
    as_of: datetime | None = None,
    checkpoint: str | None = None,
    settings: Sequence[str] = (),
    review: Path | None = None,
    force: bool = False,
    step: Step = plain,
    run_it: Run = respond,
) -> dict[str, Any]:
    """Return the contract's answer: ``action`` is refreshed, waiting or closed, ``reason`` says
    why.

    Args:
        folder: the event's folder, ``<out>/<event>``.
        as_of: the clock; now where None.
        checkpoint: another checkpoint than the latest revision's, or ``auto`` to choose anew.
        settings: ``section.key=value`` over the latest revision's configuration; they stay.
        review: a GeoPackage that an analyst has edited, to be taken up.
        force: make a revision whatever the event's state and even where nothing new is to be seen.
        step: how a step is called.
        run_it: how the run is made.

    Raises:
        CoslideError: see the contract's exit codes.
    """
    event = event_state.open_existing(folder)
    with workspace.locked(event.work("refresh.lock").folder, "refreshing this event"):
        for where in (event.folder, event.folder.parent):
            sweep_dead(where)
        if review is not None:
            reviews.give(event, review)
        now = as_of or datetime.now(UTC).replace(microsecond=0)
        change = partial(_changed, checkpoint=checkpoint, settings=settings)
        answer = _turn(event, now, change, force, step, run_it)
        if (
            answer["action"] == "refreshed"
            and not force
            and event_state.latest_run(event).windows.as_of < now
        ):
            # unfinished work of an earlier day was finished with its own clock: what came since is
            # still to be had
            later = _turn(event, now, change, force, step, run_it)
            answer = later if later["action"] == "refreshed" else answer
        return answer


_KEPT = {"event", "area", "windows", "out", "format", "warnings"}
"""What an event keeps from revision to revision."""
_FOLLOWED = ("coverage_target", "age_limit_days", "every_hours")
"""What `event.yaml` says of an event; its run file held it once."""


def _changed(run: RunConfig, checkpoint: str | None, settings: Sequence[str]) -> RunConfig:
    """Return a run with another checkpoint and with settings of its own.

    Raises:
        RequestError: a setting that there is none of, or that an event keeps.
    """
    if kept := sorted(sections(settings) & _KEPT):
        raise RequestError(
            f"--set {kept[0]}: an event keeps it from revision to revision",
            "Map it anew: `coslide respond --config …/run.yaml --set …`.",
        )
    before = run.model_dump(mode="json")
    content = overlaid(before, settings)
    for name in _FOLLOWED:
        if content["refresh"].get(name) != before["refresh"][name]:
            raise RequestError(
                f"--set refresh.{name}: an event that exists has it in its event.yaml",
                f"Change `{name}` there.",
            )
    if checkpoint:
        content["model"]["checkpoint"] = checkpoint
    return checked(content, "--set", RunConfig) if settings or checkpoint else run


def _turn(
    event: EventFolder,
    now: datetime,
    change: Callable[[RunConfig], RunConfig],
    force: bool,
    step: Step,
    run_it: Run,
) -> dict[str, Any]:
    """Return what became of one look for new images. The caller holds the event's refresh lock."""
    run = change(_next_run(event, now))
    make = partial(_refreshed, event, run, step, run_it)
    if event_state.finish(event, run.request_id) is not None:
        return make("it was made before its command was cut off", insist=True)
    decision = Refresh("asked for with --force") if force else _decision_of(event, run)
    logger.info("%s: %s", run.event.name, decision.reason)
    if isinstance(decision, Stop):
        with workspace.waiting(event.lock):
            state = event_state.stop(event, decision).state
        return _unchanged_answer(state, event, run, decision.reason)
    with workspace.waiting(event.lock):
        event_state.write_state(event, checked=run.windows.as_of)
    if isinstance(decision, Wait):
        return _unchanged_answer("waiting", event, run, decision.reason)
    try:
        return make(decision.reason, insist=force or reviews.waiting(event) is not None)
    except NothingNewError as error:
        return _unchanged_answer("waiting", event, run, f"{decision.reason}, but {error.message}")
    except NothingToSeeError as error:
        if event.revisions():
            raise
        return _unchanged_answer("waiting", event, run, error.message)


def _refreshed(
    event: EventFolder, run: RunConfig, step: Step, run_it: Run, reason: str, *, insist: bool
) -> dict[str, Any]:
    """Return the answer about a revision that is made now, or was made by a command that was cut
    off before it answered.
    """
    with event_state.answering(event):
        answer = run_it(run, step, insist)
        return answer | {"action": "refreshed", "reason": reason, **_after(event)}


def _decision_of(event: EventFolder, run: RunConfig) -> Decision:
    """Return whether an event is to be refreshed, after asking the source what it has where that
    matters.
    """
    stands = event_state.status(event, run.windows.post.last, reviews.waiting(event) is not None)
    return settled(stands) or is_refresh_due(stands, _on_offer(run, stands), run.windows.as_of)


def _on_offer(run: RunConfig, stands: EventStatus) -> tuple[Scene, ...]:
    """Return the scenes that a run would use; none where there is no imagery (yet)."""
    source = steps.open_source(run)
    try:
        return steps.plan_of(run, source, steps.candidates(run, source)).scenes
    except NothingToSeeError as error:
        logger.info("%s: %s", stands.name, error.message)
        return ()


def _next_run(event: EventFolder, as_of: datetime) -> RunConfig:
    """Return the latest revision's configuration with a later clock, written to where the event's
    folder stands now.

    Its checkpoint is kept: another one would change the inventory where nothing changed on the
    ground.

    Raises:
        RequestError: the clock lies before the latest revision's.
    """
    latest, state = event_state.latest_run(event), event_state.read_state(event)
    if state.latest_revision and as_of < latest.windows.as_of:
        raise RequestError(
            f"--as-of {as_of:%Y-%m-%d %H:%M} lies before revision {state.latest_revision} "
            f"({latest.windows.as_of:%Y-%m-%d %H:%M})",
            "Give a later --as-of, or map the event as of then into another folder: "
            "`coslide respond --config … --out …`.",
        )
    name = (
        event_state.card_of(event.revision(state.latest_revision))
        if state.latest_revision
        else None
    )
    model = latest.model.model_copy(update={"checkpoint": name}) if name else latest.model
    folder = event.folder.absolute()
    updates = {
        "model": model,
        "out": str(folder.parent),
        "event": latest.event.model_copy(update={"name": folder.name}),
    }
    return event_state.run_today(latest.model_copy(update=updates), state, as_of)


def _after(event: EventFolder) -> dict[str, Any]:
    """Return what became of the event: closed at once where the new revision has reached the
    target.
    """
    stop = settled(event_state.status(event, event_state.latest_run(event).windows.post.last))
    with workspace.waiting(event.lock):
        state = event_state.stop(event, stop) if stop else event_state.read_state(event)
    return {"event_state": state.state, "event_reason": state.reason}


def _unchanged_answer(
    action: str, event: EventFolder, run: RunConfig, reason: str
) -> dict[str, Any]:
    """Return the answer where no revision was made."""
    state = event_state.read_state(event)
    return {
        "status": "ok",
        "event": run.event.name,
        "action": action,
        "reason": reason,
        "revision": state.latest_revision,
        "observed_fraction": state.observed_fraction,
        "coverage_target": state.coverage_target,
        "event_state": state.state,
        "as_of": run.windows.as_of.isoformat(),
    }


AGAIN = timedelta(hours=1)
"""Pause before an event that failed, or that another process refreshes, is looked at again."""
_ENDS = ("refreshed", "waiting", "closed", "failed", "busy")


def refresh_events(
    out: Path, *, now: datetime | None = None, step: Step = plain, run_it: Run = respond
) -> dict[str, Any]:
    """Return what became of every open event: ``action`` and ``reason`` of each, and when to look
    again.

    Idempotent: called late it makes up for all missed looks at once, called too early it looks at
    nothing, and an event that another process refreshes is left to that one.

    Args:
        out: the output folder that the events lie in.
        now: the clock of the refreshed runs; now where None.
        step: how a step is called.
        run_it: how a run is made.

    Raises:
        RequestError: there is no such folder.
    """
    now = now or datetime.now(UTC).replace(microsecond=0)
    if not out.is_dir():
        raise RequestError(
            f"no such output folder: {out}", "Name the folder that the events lie in, e.g. runs."
        )
    rows = [_one(event, now, step, run_it) for event in _events_in(out) if _is_due(event, now)]
    waiting = list(_next_looks(out, now))
    counts = {name: sum(row["action"] == name for row in rows) for name in _ENDS}
    return {
        "status": "ok",
        "events": rows,
        **counts,
        "open": len(waiting),
        "next_look": min(waiting).isoformat() if waiting else None,
    }


def _events_in(out: Path) -> Iterator[EventFolder]:
    """Yield the events of an output folder, by name."""
    for path in sorted(out.iterdir()):
        if path.is_dir() and (path / "event.yaml").is_file():
            yield EventFolder(path)


def _is_due(event: EventFolder, now: datetime) -> bool:
    try:
        state = event_state.read_state(event)
        reviewed = (
            event.review.exists()
            and state.closed_by != "operator"
            and reviews.waiting(event) is not None
        )
        return reviewed or is_look_due(state, now)
    except CoslideError:
        return True  # so that the refresh says what is wrong with it


def _next_looks(out: Path, now: datetime) -> Iterator[datetime]:
    """Yield when each open event is to be looked at again; what failed or was busy, after an
    hour.
    """
    for event in _events_in(out):
        try:
            state = event_state.read_state(event)
        except CoslideError:
            continue
        if state.state == "open":
            due = state.checked + timedelta(hours=state.every_hours) if state.checked else now
            yield due if due > now else now + AGAIN


def _one(event: EventFolder, now: datetime, step: Step, run_it: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"event": event.folder.name}
    try:
        answer = refresh(event.folder, as_of=now, step=step, run_it=run_it)
    except workspace.BusyError as error:
        return row | {"action": "busy", "reason": error.message}
    except Exception as error:  # whatever one event shows must not keep the others waiting
        ours = as_ours(error)
        if ours.code == 1:
            logger.exception("%s", event.folder.name)
        else:
            logger.error("%s: %s", event.folder.name, ours)
        reason = str(ours).replace("\n", " ")
        return row | {"action": "failed", "reason": reason, "code": ours.code}
    kept = (
        "action",
        "reason",
        "revision",
        "observed_fraction",
        "event_state",
        "event_reason",
        "words",
    )
    return row | {key: answer[key] for key in kept if key in answer}


def words(result: dict[str, Any]) -> str:
    """Return what became of the events, a line each."""
    lines = []
    for row in result["events"]:
        revision = f" (revision {row['revision']})" if row["action"] == "refreshed" else ""
        closed = (
            f"; closed: {row['event_reason']}"
            if row.get("event_state") == "closed" and revision
            else ""
        )
        lines.append(f"{row['event']}: {row['action']}{revision}: {row['reason']}{closed}")
    until = f", next look {result['next_look'][:16]} UTC" if result["next_look"] else ""
    return "\n".join([*lines, f"{result['open']} open{until}"])
