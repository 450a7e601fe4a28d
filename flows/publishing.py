"""The last steps: what colour alone maps beside the inventory; products written into the work
folder, then one rename makes them a revision.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from configs.bands import TERRAIN
from configs.checkpoint import Accuracy, CheckpointCard
from configs.errors import NothingToSeeError
from configs.files import format_of, sha256, write_text
from configs.layout import EventFolder, RunLayout
from configs.reading import open_to_read
from configs.records import Choice, ObservationClass, Offer, Scene
from configs.run import RunConfig
from configs.stack import Rows, Stack
from flows import steps
from flows.events import reviews
from flows.events import state as event_state
from flows.events.state import Finished
from flows.flat import told
from flows.probability import COMPUTED, map_card
from flows.run import journal, workspace
from flows.run.journal import progress
from gee.observation import Observed
from gee.previous import kept_scenes
from gee.source import DOUBTS, Plan, Source
from inventory.about import About, Beside
from inventory.formats.cog import burnt
from inventory.outline.outline import Inventory
from inventory.publish import Manner, write_item, write_products
from inventory.revisions.review import Review
from models import registry
from models.architectures import INDEX
from models.registry import Candidates
from models.selection import threshold as threshold_of_map
from models.selection.adaptation import adaptation_of

logger = logging.getLogger(__name__)

_ROWS = 512
"""Rows that are compared with the index at a time."""

PACKAGES = (
    "coslide",
    "numpy",
    "torch",
    "rasterio",
    "zarr",
    "geopandas",
    "shapely",
    "odc-geo",
    "earthengine-api",
)


@dataclass(frozen=True)
class Mapped:
    """What the steps before have made of a scene."""

    plan: Plan
    choice: Choice
    stack: Stack
    observed: Observed
    probability: Rows
    """`(y, x)`."""
    inventory: Inventory
    beside: Beside | None = None
    """What colour alone maps."""


def colour_alone(
    run: RunConfig,
    cards: Candidates,
    choice: Choice,
    stack: Stack,
    observed: Observed,
    inventory: Inventory,
    layout: RunLayout,
) -> Beside | None:
    """Return what the index (colour alone) maps by the same rules, and how much of it the inventory
    has too; None where it has nothing to say: on the simulated Earth, from another sensor or pixel
    size, without the three colours, or where it is the map itself.
    """
    found = next((one for one in registry.find() if one.card.name == INDEX), None)
    if found is None or choice.card == INDEX or run.source.kind == "simulated":
        return None
    kind = (found.card.sensor, found.card.resolution_m)
    if kind != (cards.sensor, cards.resolution_m):
        return None
    if not set(found.card.bands) <= set(stack.band_names):
        return None
    path = layout.probability.with_name(f"probability-{INDEX}.zarr")
    try:
        adaptation = adaptation_of(found, stack, run.place, layout)
    except NothingToSeeError:
        return None
    with progress("mapping with the index", "tile") as advance:
        where = ObservationClass.CLEAR
        mapped = map_card(found, run.model, stack, observed, where, path, advance, adaptation)
    alone = replace(choice, card=INDEX, members=(), fallback=None, out_of_domain="unknown")
    index = steps.outline_landslides(run, Candidates((found,)), alone, stack, observed, mapped)
    return Beside(
        count=len(index.landslides),
        km2=float(index.landslides["area_m2"].sum()) / 1e6,
        shared_km2=_shared_km2(index, inventory),
    )


def _shared_km2(index: Inventory, inventory: Inventory) -> float:
    """Return the ground that both call landslide."""
    height = int(inventory.geobox.shape[0])
    shared = 0
    for first in range(0, height, _ROWS):
        rows = slice(first, min(first + _ROWS, height))
        ours, theirs = (burnt(one.landslides, inventory.geobox, rows) for one in (inventory, index))
        shared += int(np.count_nonzero(ours & theirs))
    return shared * abs(inventory.geobox.affine.determinant) / 1e6


def publish(
    run: RunConfig,
    event: EventFolder,
    layout: RunLayout,
    source: Source,
    cards: Candidates,
    mapped: Mapped,
) -> Finished:
    """Return the run as the event's next revision. Until the last line nothing of it is in the
    event's folder.
    """
    choice, stack, observed = mapped.choice, mapped.stack, mapped.observed
    inside = stack.of_area(run.place)
    with workspace.waiting(event.lock):
        number = max(event.revisions(), default=0) + 1
        earlier = reviews.earlier(event)
        review = earlier.review if earlier else None
        kept = kept_scenes(stack, mapped.plan)
        plan = replace(mapped.plan, scenes=(*mapped.plan.scenes, *kept))
        about = _about(run, source, cards, plan, choice, number)
        card = cards.by_name(choice.card).card
        degrees = run.model.skip_flat_deg
        flat = () if degrees is None else told(degrees, card, stack, run.place, observed)
        unknown = (*flat, *cannot_know(run, cards, choice, stack, observed))
        doubts = reviews.doubts(event.revision(number - 1)) if earlier else []
        by_scene = threshold_of_map.words(run, cards, choice, mapped.inventory.threshold)
        warnings = (*about.warnings, *observed.warnings, *unknown, *by_scene, *doubts)
        own = run.clean.confidence_high or run.clean.confidence_medium
        promise = None if own else threshold_of_map.promise(run, cards, choice)
        accuracy = _accuracy(run, cards, choice, observed)
        about = replace(
            about, warnings=warnings, beside=mapped.beside, promise=promise, accuracy=accuracy
        )
        provenance = _provenance(run, cards, plan, choice, observed) | _account(source)
        provenance |= _reviewed(review) | _computed(layout)
        provenance["threshold"] = mapped.inventory.threshold
        published = write_products(
            layout.folder,
            mapped.inventory,
            inside.cut(mapped.probability),
            inside.cut(observed.array),
            inside,
            about,
            Manner(earlier, provenance, run.product, run.affected, run.clean),
        )
        write_text(
            layout.provenance,
            json.dumps({**provenance, "steps": journal.costs()}, indent=1, ensure_ascii=False)
            + "\n",
        )
        run.write(layout.config)
        write_item(layout.folder, published)
        finished = Finished(number, published.summary.as_plain(), list(published.words))
        event_state.promise(event, run, finished)
        revision = workspace.publish(event, layout, number, run.keep)
        reviews.taken_up(event, review, number)
        event_state.enter(event, run, finished)
    event_state.settle(event)
    return replace(finished, products=event_state.files_of(revision))


def _about(
    run: RunConfig, source: Source, cards: Candidates, plan: Plan, choice: Choice, number: int
) -> About:
    offer, card = source.offer(), cards.by_name(choice.card).card
    return About(
        event=run.event,
        area=run.place,
        windows=run.windows,
        scenes=plan.scenes,
        choice=choice,
        source=str(run.source),
        simulated=offer.simulated,
        warnings=tuple(
            dict.fromkeys(
                (
                    *plan.details.get(DOUBTS, ()),
                    *other_elevation(card, plan),
                    *other_level(card, offer),
                    *run.warnings,
                    *offer.warnings,
                    *cards.warnings,
                    *choice.warnings,
                )
            )
        ),
        revision=number,
        attribution=card.attribution,
        bands=card.bands,
    )


def other_elevation(card: CheckpointCard, plan: Plan) -> tuple[str, ...]:
    """Return, in words, that a checkpoint learnt terrain from another elevation model than a map
    gives it; nothing where it reads none, or where one of the two is not known.
    """
    here = plan.elevation_model
    if not set(card.bands) & TERRAIN or not here or not card.elevation or here in card.elevation:
        return ()
    learnt = ", ".join(card.elevation)
    return (
        f"terrain comes from {here}, checkpoint `{card.name}` learnt it from {learnt}: the slopes "
        "of two models differ",
    )


def other_level(card: CheckpointCard, offer: Offer) -> tuple[str, ...]:
    """Return, in words, what is known of the cost where scenes of one reflectance are adapted to a
    checkpoint of another; nothing where the levels are the same, or the checkpoint reads relative
    brightness, which every level has.
    """
    if card.level == offer.level or card.relative or card.normalisation.adapt == "card":
        return ()
    return (
        f"checkpoint `{card.name}` was trained on {card.level} and the source has {offer.level}: "
        "the scene is adapted to it by its own statistics, band by band. That takes out what the "
        "air adds everywhere alike, not haze that varies; what it costs was not measured between "
        "levels",
    )


def cannot_know(
    run: RunConfig, cards: Candidates, choice: Choice, stack: Stack, observed: Observed
) -> tuple[str, ...]:
    """Return, in words, what the imagery of a run cannot tell: it is said where the map is made."""
    found = []
    without_pre = observed.counts[ObservationClass.NO_PRE] if choice.fallback else 0
    if not (cards.by_name(choice.card).card.needs_pre or run.model.subtract_pre):
        found.append(f"the image after the event alone was read: {_LOOK_ALIKES}")
    elif without_pre:
        share = without_pre / (observed.clear_px + without_pre)
        found.append(f"{share:.0%} was mapped from the image after the event alone: {_LOOK_ALIKES}")
        if choice.fallback_out_of_domain:
            found.append(
                f"nothing is known of how `{choice.fallback}` does here, which mapped that part: "
                "what it drew is of low confidence"
            )
    if not {"pre_NDVI", "post_NDVI"} <= set(stack.band_names):
        found.append(
            "whether vegetation was lost could not be checked: there is no near-infrared of both "
            "dates"
        )
    drew = (choice.card, *choice.members[1:], *((choice.fallback,) if without_pre else ()))
    cards_used = [cards.by_name(name).card for name in drew if name]
    adapted = [f"`{one.name}`" for one in cards_used if one.normalisation.adapt != "card"]
    if adapted:
        found.append(
            f"the scene was adapted to {', '.join(adapted)} by its own statistics: another area "
            "over the same ground gives slightly other outlines"
        )
    if "slope" not in stack.band_names:
        found.append(
            "whether the ground is steep enough to slide could not be checked: there is no "
            "elevation"
        )
    return tuple(found)


def _accuracy(
    run: RunConfig, cards: Candidates, choice: Choice, observed: Observed
) -> Accuracy | None:
    """Return what is known of the errors of this map; None where they are not those of one
    checkpoint as it was measured: several drew it, or at another threshold.
    """
    filled = choice.fallback and observed.counts[ObservationClass.NO_PRE]
    if choice.members or filled or threshold_of_map.otherwise(run, cards, choice):
        return None
    return cards.by_name(choice.card).card.accuracy


_LOOK_ALIKES = "old scars, bare fields and river banks look like new landslides there and count"


def _reviewed(review: Review | None) -> dict[str, Any]:
    """Return which review the revision has taken up."""
    if review is None:
        return {}
    logger.info("%d landslides as reviewed in %s", review.edits, review.path)
    return {
        "review": {
            "of_revision": review.revision,
            "edits": review.edits,
            "sha256": sha256(review.path),
        }
    }


def _scene(scene: Scene) -> dict[str, Any]:
    return {
        "id": scene.id,
        "window": str(scene.when),
        "acquired": scene.acquired.isoformat(),
        "product": scene.product,
    }


def _account(source: Source) -> dict[str, Any]:
    """Return what a service says it has cost, for sources that keep an account."""
    usage = source.usage()
    return {"account": usage} if usage else {}


def _computed(layout: RunLayout) -> dict[str, Any]:
    """Return what the map was computed by."""
    if not layout.probability.exists():
        return {}
    how = open_to_read(layout.probability).attrs.get(COMPUTED)
    return {COMPUTED: how} if how else {}


def _provenance(
    run: RunConfig, cards: Candidates, plan: Plan, choice: Choice, observed: Observed
) -> dict[str, Any]:
    """Return what reproduces the run: scenes, weights, versions, machine."""
    used = [cards.by_name(name).card for name in (choice.card, choice.fallback) if name]
    return {
        "format": format_of("provenance"),
        "event": run.event.name,
        "request_id": run.request_id,
        "as_of": run.windows.as_of.isoformat(),
        "source": {"kind": run.source.kind, "details": dict(plan.details)},
        "scenes": [_scene(scene) for scene in plan.scenes],
        "checkpoints": {
            card.name: {"weights_sha256": card.weights_sha256, "threshold": card.threshold}
            for card in used
        },
        "observation_px": {kind.name.lower(): count for kind, count in observed.counts.items()},
        "requests": plan.requests,
        "megabytes": plan.megabytes,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "machine": {"platform": platform.machine(), "system": platform.system()},
    }
