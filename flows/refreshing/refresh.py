"""The same event again with today's imagery: a new revision, or a word that nothing new was to be had (contract)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.errors import NothingNewError, NothingToSeeError, RequestError
from configs.layout import EventFolder
from configs.records import Scene
from configs.run import RunConfig
from flows import rooms, workplace
from flows.refreshing import reviews, standing
from flows.refreshing.due import Refresh, Standing, Stop, Verdict, Wait, is_refresh_due, settled
from flows.respond import respond
from flows.step import Step, plain

logger = logging.getLogger(__name__)

Run = Callable[[RunConfig, Step, bool], dict[str, Any]]
"""How a configuration is run: `respond`, or the same as a tracked flow."""


def refresh(
    folder: Path,
    *,
    as_of: datetime | None = None,
    checkpoint: str | None = None,
    review: Path | None = None,
    force: bool = False,
    step: Step = plain,
    run_it: Run = respond,
) -> dict[str, Any]:
    """Return the contract's answer: ``action`` is refreshed, waiting or closed, ``reason`` says why.

    Args:
        folder: the event's folder, ``<out>/<event>``.
        as_of: the clock; now where None.
        checkpoint: another checkpoint than the latest revision's, or ``auto`` to choose anew.
        review: a GeoPackage that an analyst has edited, to be taken up.
        force: make a revision whatever the event's state and even where nothing new is to be seen.
        step: how a room is called.
        run_it: how the run is made.

    Raises:
        CoslideError: see the contract's exit codes.
    """
    event = standing.open_existing(folder)
    with workplace.locked(event.work("refresh.lock").folder, "refreshing this event"):
        if review is not None:
            reviews.give(event, review)
        now = as_of or datetime.now(UTC).replace(microsecond=0)
        answer = _turn(event, now, checkpoint, force, step, run_it)
        if answer["action"] == "refreshed" and not force and standing.latest_run(event).windows.as_of < now:
            # unfinished work of an earlier day was finished with its own clock: what came since is still to be had
            later = _turn(event, now, checkpoint, force, step, run_it)
            answer = later if later["action"] == "refreshed" else answer
        return answer


def _turn(
    event: EventFolder, now: datetime, checkpoint: str | None, force: bool, step: Step, run_it: Run
) -> dict[str, Any]:
    """Return what became of one look for new images. The caller holds the event's refresh lock."""
    run = next_run(event, now, checkpoint)
    verdict = Refresh("asked for with --force") if force else verdict_of(event, run)
    logger.info("%s: %s", run.event.name, verdict.reason)
    if isinstance(verdict, Stop):
        with workplace.waiting(event.lock):
            state = standing.stop(event, verdict).state
        return told(state, event, run, verdict.reason)
    with workplace.waiting(event.lock):
        standing.write_state(event, checked=run.windows.as_of)
    if isinstance(verdict, Wait):
        return told("waiting", event, run, verdict.reason)
    try:
        answer = run_it(run, step, force or reviews.waiting(event) is not None)
    except NothingNewError as error:
        return told("waiting", event, run, f"{verdict.reason}, but {error.message}")
    except NothingToSeeError as error:
        if event.revisions():
            raise
        return told("waiting", event, run, error.message)
    return answer | {"action": "refreshed", "reason": verdict.reason, **_after(event)}


def verdict_of(event: EventFolder, run: RunConfig) -> Verdict:
    """Return whether an event is to be refreshed, after asking the source what it has where that matters."""
    stands = standing.standing(event, run.windows.post.last, reviews.waiting(event) is not None)
    return settled(stands) or is_refresh_due(stands, _on_offer(run, stands), run.windows.as_of)


def _on_offer(run: RunConfig, stands: Standing) -> tuple[Scene, ...]:
    """Return the scenes that a run would use; none where there is no imagery (yet)."""
    source = rooms.open_source(run)
    try:
        return rooms.plan_of(run, source, rooms.candidates(run, source)).scenes
    except NothingToSeeError as error:
        logger.info("%s: %s", stands.name, error.message)
        return ()


def next_run(event: EventFolder, as_of: datetime, checkpoint: str | None = None) -> RunConfig:
    """Return the latest revision's configuration with a later clock, written to where the event's folder stands now.

    Its checkpoint is kept: another one would change the inventory where nothing changed on the ground.

    Raises:
        RequestError: the clock lies before the latest revision's.
    """
    latest, state = standing.latest_run(event), standing.read_state(event)
    if state.latest_revision and as_of < latest.windows.as_of:
        raise RequestError(
            f"--as-of {as_of:%Y-%m-%d %H:%M} lies before revision {state.latest_revision} ({latest.windows.as_of:%Y-%m-%d %H:%M})",
            "Give a later --as-of, or map the event as of then into another folder: `coslide respond --config … --out …`.",
        )
    name = checkpoint or (standing.card_of(event.revision(state.latest_revision)) if state.latest_revision else None)
    model = latest.model.model_copy(update={"checkpoint": name}) if name else latest.model
    folder = event.folder.absolute()
    updates = {
        "model": model,
        "out": str(folder.parent),
        "event": latest.event.model_copy(update={"name": folder.name}),
    }
    return standing.run_today(latest.model_copy(update=updates), state, as_of)


def _after(event: EventFolder) -> dict[str, Any]:
    """Return what became of the event: closed at once where the new revision has reached the target."""
    stop = settled(standing.standing(event, standing.latest_run(event).windows.post.last))
    with workplace.waiting(event.lock):
        state = standing.stop(event, stop) if stop else standing.read_state(event)
    return {"event_state": state.state, "event_reason": state.reason}


def told(action: str, event: EventFolder, run: RunConfig, reason: str) -> dict[str, Any]:
    """Return the answer where no revision was made."""
    state = standing.read_state(event)
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
