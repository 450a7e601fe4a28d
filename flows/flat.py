"""Ground that no landslide reaches: what lies far from every slope is not computed, where a run
says so (`model.skip_flat_deg`).

A pixel's own surroundings decide, never the frame: they are looked at no farther than the stack
reaches beyond the area on every side, which is what tiles overlap or read around themselves.
"""

from __future__ import annotations

import logging
from math import ceil
from typing import Final

import numpy as np

from configs.area import Area
from configs.checkpoint import CheckpointCard
from configs.records import ObservationClass
from configs.stack import CHUNK_PX, Stack
from gee.observation import Observed
from models.architectures import tiling_of
from tiles.views import Near

logger = logging.getLogger(__name__)

REACH_M: Final = 500.0
"""How far from a slope ground may still be covered (chosen: by the angle of reach of Corominas 1996
debris of 100 000 cubic metres comes to rest within 500 m of where the slope began, from a crown of
170 m above).
"""
_SLOPE: Final = "slope"


def near_slopes(degrees: float | None, card: CheckpointCard, stack: Stack) -> Near | None:
    """Return where a checkpoint is asked, `(y, x)`: within reach of a slope of so many degrees, or
    where the slope is not known; None for everywhere.
    """
    if degrees is None or _SLOPE not in stack.band_names:
        return None
    reach = ceil(REACH_M / abs(float(stack.geobox.resolution.x)))
    tiles, _ = tiling_of(card)
    if tiles.halo < reach:
        logger.warning(
            "model.skip_flat_deg: tiles of `%s` look %d px around and slopes reach %d px: "
            "everything is computed",
            card.name,
            tiles.halo,
            reach,
        )
        return None
    return Near(stack.view([_SLOPE]), degrees, reach)


def told(
    degrees: float | None, card: CheckpointCard, stack: Stack, area: Area, observed: Observed
) -> tuple[str, ...]:
    """Return, in words, how much of what was observed was not computed; nothing where all was."""
    near = near_slopes(degrees, card, stack)
    if near is None or not observed.clear_px:
        return ()
    inside, flat = stack.of_area(area), 0
    asked, classes = inside.cut(near), inside.cut(observed.array)
    height, width = inside.shape
    for top in range(0, height, CHUNK_PX):
        key = slice(top, min(top + CHUNK_PX, height)), slice(0, width)
        clear = np.asarray(classes[key]) == ObservationClass.CLEAR
        flat += int(np.count_nonzero(clear & ~np.asarray(asked[key])))
    return (
        f"{flat / observed.clear_px:.0%} of what counts as observed lies farther than "
        f"{REACH_M:.0f} m from any slope of {degrees:g} degrees: it was not computed and counts as "
        "free of landslides",
    )
