"""From which probability a pixel of a run is a landslide: what the request says, the checkpoint's
own, or what the scene itself says.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import numpy as np

from configs.checkpoint import Confidence
from configs.errors import RequestError
from configs.records import Choice
from configs.run import RunConfig
from configs.stack import CHUNK_PX, Rows, Stack
from models.inference.agreement import Strip, agreement
from models.registry import Candidates, Checkpoint

logger = logging.getLogger(__name__)

_COLOURS = ("post_B4", "post_B3")


def check(run: RunConfig, bands: Collection[str]) -> None:
    """Refuse a threshold of the scene's own where a source of these bands lacks the colours for it.

    Raises:
        RequestError: it has no red or no green.
    """
    if run.model.threshold == "agreement" and not set(_COLOURS) <= set(bands):
        raise RequestError(
            "model.threshold: agreement compares the map with red and green, and this source has "
            "no red and green of after the event",
            "Set `model.threshold: card`.",
        )


def of_scene(run: RunConfig, cards: Candidates, choice: Choice) -> bool:
    """Return whether a run takes the threshold that the scene itself gives: where it is asked for,
    and by itself where it was measured to be better, for checkpoints of relative brightness on
    ground not known to be like their own (docs/results.md).
    """
    if run.clean.threshold is not None or run.model.threshold == "card":
        return False
    card = cards.by_name(choice.card).card
    away = card.relative and choice.out_of_domain is not False
    return run.model.threshold == "agreement" or (away and set(_COLOURS) <= set(card.bands))


def of_checkpoint(run: RunConfig, found: Checkpoint) -> float:
    """Return the probability from which a pixel is a landslide: the run's, else the
    checkpoint's.
    """
    return run.clean.threshold or found.card.threshold


def thresholds(
    run: RunConfig, cards: Candidates, choice: Choice, stack: Stack, probability: Rows
) -> tuple[float, float | None]:
    """Return the threshold of the map, and of what the fallback filled, where there is one.

    Args:
        run: the run.
        cards: its checkpoints.
        choice: which of them drew the map.
        stack: the stack of the area.
        probability: the map of the area, `(y, x)`.
    """
    if of_scene(run, cards, choice):
        found = agreement(lambda: _strips(stack, probability))
        if found is not None:
            logger.info(
                "threshold %.4f, where map and red against green agree best (kappa %.2f)",
                *(found.threshold, found.kappa),
            )
            return found.threshold, None
        logger.warning("the map agrees nowhere with red against green: the checkpoint's threshold")
    drawn = choice.members or (choice.card,)
    threshold = float(np.mean([of_checkpoint(run, cards.by_name(name)) for name in drawn]))
    fallback = of_checkpoint(run, cards.by_name(choice.fallback)) if choice.fallback else None
    return threshold, fallback


def promise(
    run: RunConfig, cards: Candidates, choice: Choice, of_fallback: bool = False
) -> Confidence | None:
    """Return what the confidence of landslides promises that the chosen checkpoint, or its
    fallback, drew; None where that was not measured: of several, or at another threshold.
    """
    name = choice.fallback if of_fallback else choice.card
    if name is None or choice.members or otherwise(run, cards, choice):
        return None
    return cards.by_name(name).card.confidence


def otherwise(run: RunConfig, cards: Candidates, choice: Choice) -> bool:
    """Return whether a run draws otherwise than checkpoints are measured."""
    moved = run.clean.threshold or of_scene(run, cards, choice)
    return bool(moved or run.model.subtract_pre or run.model.adapt)


def words(run: RunConfig, cards: Candidates, choice: Choice, threshold: float) -> tuple[str, ...]:
    """Return what a reader has to know of a threshold that the scene itself has given."""
    if not of_scene(run, cards, choice):
        return ()
    own = cards.by_name(choice.card).card.threshold
    if threshold == own:
        return (
            "no threshold could be found on this scene: red does not stand above green where the "
            f"map is high; pixels count from the checkpoint's own, {own:.3g}",
        )
    return (
        f"pixels count from probability {threshold:.3g}, found on this scene where the map agrees "
        f"best with bare, red ground (the checkpoint's own: {own:.3g}): where no landslide "
        "happened, it maps bare ground",
    )


def _strips(stack: Stack, probability: Rows) -> Iterator[Strip]:
    height, width = probability.shape
    view = stack.view(_COLOURS)
    for first in range(0, height, CHUNK_PX):
        rows, columns = slice(first, min(first + CHUNK_PX, height)), slice(0, width)
        red, green = view[slice(0, 2), rows, columns]
        yield np.asarray(probability[rows, columns], np.float32), red, green
