"""One request from beginning to end: the work folder, the story, and the answer (contract, `coslide
respond`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import NothingToSeeError, RequestError, machine_fault
from configs.layout import EventFolder
from configs.run import RunConfig
from flows import steps
from flows.events import reviews
from flows.events import state as event_state
from flows.events.state import Finished
from flows.map_event import map_event
from flows.publishing import other_elevation, other_level
from flows.run import engine, workspace
from flows.run.journal import Step, costs, journal, plain
from gee.source import DOUBTS

_TOO_FULL = "the disk is too full for this: free some space, or choose another --out"


def respond(run: RunConfig, step: Step = plain, insist: bool = True) -> dict[str, Any]:
    """Return the contract's answer for a run, after making its revision.

    The same request with unfinished work goes on with it, and answers with a revision whose command
    was cut off before it answered; a finished one makes the next revision.

    Args:
        run: what to do.
        step: how a step is called.
        insist: make a revision even where no pixel is new against the one before.

    Raises:
        CoslideError: see the contract's exit codes. Work that can never be finished leaves nothing
            behind.
    """
    begun = time.monotonic()
    event = workspace.open_event(Path(run.out), run.event.name)
    lock = event.work(f"{run.request_id}.lock").folder
    with workspace.locked(lock, "working on this request"), event_state.answering(event):
        seconds: dict[str, float] = {}
        finished = event_state.finish(event, run.request_id)
        if finished is None:
            finished, seconds = _made(run, event, step, insist)
        return {
            "status": "ok",
            **finished.summary,
            "products": {name: str(path) for name, path in finished.products.items()},
            "seconds": seconds,
            "wall_seconds": round(time.monotonic() - begun, 1),
            "words": finished.words,
        }


def _made(
    run: RunConfig, event: EventFolder, step: Step, insist: bool
) -> tuple[Finished, dict[str, float]]:
    """Return (the revision, seconds of its steps), going on with what is unfinished."""
    reviews.waiting(event)  # a slip in it is told before anything is pulled
    layout, run = workspace.begin(event, run)
    try:
        with (
            journal(layout.log, layout.steps, run.event.name, run.request_id),
            engine.opened(run.engine),
        ):
            finished = map_event(run, event, layout, step, insist)
            return finished, {name: cost["seconds"] for name, cost in costs().items()}
    except reviews.ReviewError:
        raise  # edited meanwhile: what is mapped is kept
    except (RequestError, NothingToSeeError) as error:
        if machine_fault(error) is None:
            workspace.abandon(event, layout)
        raise


def look_ahead(run: RunConfig) -> dict[str, Any]:
    """Return what a run would use, without fetching a pixel (`--dry-run`)."""
    source = steps.open_source(run)
    cards = steps.candidates(run, source)
    plan = steps.plan_of(run, source, cards)
    cards = steps.able(cards, plan)
    needed, free = workspace.room(Path(run.out), int(np.prod(plan.geobox.shape)))
    return {
        "event": run.event.name,
        "area_km2": round(run.place.km2, 2),
        "grid": {
            "shape": [int(n) for n in run.place.geobox(plan.geobox.resolution.x).shape],
            "crs": str(plan.geobox.crs),
            "resolution_m": plan.geobox.resolution.x,
        },
        "checkpoints": [found.card.name for found in cards],
        "scenes": [
            {
                "id": scene.id,
                "window": str(scene.when),
                "acquired": scene.acquired.isoformat(),
                "clear_fraction": scene.clear_fraction,
                "cloud_fraction": scene.cloud_fraction,
            }
            for scene in plan.scenes
        ],
        "requests": plan.requests,
        "megabytes": round(plan.megabytes, 1),
        "disk_gib": {"needed": round(needed / 2**30, 1), "free": round(free / 2**30, 1)},
        "warnings": [
            *((_TOO_FULL,) if free < needed else ()),
            *plan.details.get(DOUBTS, ()),
            *(words for found in cards for words in other_elevation(found.card, plan)),
            *(words for found in cards for words in other_level(found.card, source.offer())),
            *run.warnings,
            *source.offer().warnings,
            *cards.warnings,
        ],
    }


def describe(ahead: dict[str, Any]) -> str:
    """Return the words for a dry run."""
    lines = [
        f"{ahead['event']}: {ahead['area_km2']:,} km², {ahead['grid']['shape'][1]} × "
        f"{ahead['grid']['shape'][0]} px of "
        f"{ahead['grid']['resolution_m']:g} m in {ahead['grid']['crs']}",
        f"would fetch {ahead['megabytes']} MB in {ahead['requests']} requests; "
        f"checkpoints: {', '.join(ahead['checkpoints'])}",
        f"needs about {ahead['disk_gib']['needed']} GiB of disk, "
        f"{ahead['disk_gib']['free']} GiB are free",
    ]
    for scene in ahead["scenes"]:
        share = _share(scene["clear_fraction"], scene["cloud_fraction"])
        lines.append(f"  {scene['window']:<4} {scene['acquired'][:16]}  {share:<20} {scene['id']}")
    return "\n".join([*lines, *(f"  note: {warning}" for warning in ahead["warnings"])])


def _share(clear: float | None, cloud: float | None) -> str:
    """Return how much can be seen, in words: of the area where that is known, else of the whole
    scene.
    """
    if clear is not None:
        return f"{clear:.0%} clear"
    return "clear share unknown" if cloud is None else f"scene {cloud:.0%} cloud"


def headline(summary: dict[str, Any]) -> str:
    """Return the answer in words: what a tired person needs first."""
    products = summary["products"]
    folder = Path(next(iter(products.values()))).parent
    lines = [
        f"{summary['event']} · revision {summary['revision']}",
        *(f"  {line}" for line in summary["words"]),
    ]
    lines += [f"  WARNING: {warning}" for warning in summary["warnings"]]
    lines += [f"  {folder}/", *(f"    {Path(path).name}" for path in products.values())]
    lines.append(f"  took {summary['wall_seconds']:.0f} s")
    return "\n".join(lines)
