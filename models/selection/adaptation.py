"""How a run's scene is adapted to the checkpoint that maps it: by statistics of the scene's own
pixels, found once and kept beside the work.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np

from configs.area import Area
from configs.checkpoint import Adapt
from configs.errors import NothingToSeeError
from configs.files import write_text
from configs.layout import RunLayout
from configs.records import ObservationClass
from configs.selection import read_selection
from configs.stack import Rows, Stack
from models.inference.adaptation import Adaptation, adapting
from models.reference import sample
from models.registry import Candidates, Checkpoint
from models.selection.ranking import compare

logger = logging.getLogger(__name__)


def all_adapting(cards: Candidates, adapt: Adapt) -> Candidates:
    """Return the candidates as checkpoints that adapt to scenes, whatever they were trained
    with.
    """
    made = (
        Checkpoint(one.folder, adapting(one.card, one.reference(), adapt)) for one in cards.cards
    )
    return replace(cards, cards=tuple(made))


def adaptation_of(
    found: Checkpoint, stack: Stack, area: Area | None, layout: RunLayout
) -> Adaptation | None:
    """Return how the scene is adapted to the checkpoint; None for a checkpoint that takes scenes as
    they are.

    Raises:
        NothingToSeeError: the checkpoint sees no pixel to take statistics of.
    """
    normalisation = found.card.normalisation
    if normalisation.adapt == "card":
        return None
    path = layout.adaptation(found.card.name)
    key = [normalisation.model_dump(mode="json"), stack.attributes["plan_key"]]
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return Adaptation.read(json.dumps(kept["maps"]))
    compared = compare([found], stack, area, read_selection())
    if not compared:
        raise NothingToSeeError(
            f"checkpoint `{found.card.name}` sees no pixel to take the scene's statistics of",
            "Give a longer --post (and --pre), or choose a checkpoint that takes scenes as "
            "they are.",
        )
    adaptation = Adaptation.of(normalisation, found.card.bands, compared[0].scene)
    write_text(path, json.dumps({"key": key, "maps": json.loads(adaptation.as_text())}))
    logger.info(
        "the scene is adapted to %s by %d pixels of its own",
        found.card.name,
        compared[0].scene.pixels,
    )
    return adaptation


def adaptation_before(
    found: Checkpoint, stack: Stack, names: tuple[str, ...], before: Rows
) -> Adaptation | None:
    """Return how the image from before the event is adapted to a post-only checkpoint, by that
    image's own clear, sloping pixels.

    `names` are the bands that stand for the checkpoint's, `before` the classes `(y, x)` of what was
    seen then. None for a checkpoint that takes scenes as they are.

    Raises:
        NothingToSeeError: there is no pixel to take statistics of.
    """
    if found.card.normalisation.adapt == "card":
        return None
    settings = read_selection()
    image = sample(
        stack,
        names,
        lambda rows, columns: np.asarray(before[rows, columns]) == ObservationClass.CLEAR,
        domain="before",
        resolution_m=abs(float(stack.geobox.resolution.x)),
        count=settings.pixels,
        block_m=settings.block_m,
        origin=stack.origin,
        slope_min_deg=settings.slope_min_deg if "slope" in stack.band_names else 0.0,
        seed=settings.seed,
    )
    return Adaptation.of(found.card.normalisation, found.card.bands, image, names)
