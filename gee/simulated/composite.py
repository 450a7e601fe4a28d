"""Which overpass shows a pixel, and the pixels of those that do.

After the event the earliest clear one; before it the clear one whose season is nearest to the
event's, counting every day of age a quarter (what a responder wants: leaves and snow alike, little
else changed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.bands import When
from configs.event import Event
from configs.records import ObservationClass
from gee.simulated.cover import Place, cut_out
from gee.simulated.lattice import F32, Grid
from gee.simulated.scene import MARGIN_PX, classes
from gee.simulated.sentinel2 import aligned
from gee.simulated.sky import Acquisition

_AGE_WEIGHT = 0.25
"""What a day of age counts against a day of seasonal difference when a pre-event pixel is
chosen.
"""

Render = Callable[[Place, Acquisition, Grid], Mapping[str, F32]]
"""Bands of one scene on a native window, name -> `(y, x)`; the place covers the window with the
margin asked for.
"""


@dataclass(frozen=True)
class Image:
    """The best pixels of a window, on native pixels."""

    values: Mapping[str, F32]
    classes: NDArray[np.uint8]
    days: NDArray[np.int32]


def preferred(overpasses: Sequence[Acquisition], when: When, event: Event) -> list[Acquisition]:
    """Return the overpasses of one window, given earliest first, the ones to prefer first."""
    if when is When.POST:
        return list(overpasses)

    def cost(one: Acquisition) -> float:
        age = (event.time - one.acquired).total_seconds() / 86400
        apart = age % 365.25
        return min(apart, 365.25 - apart) + _AGE_WEIGHT * age

    return sorted(overpasses, key=cost)


Reach = Callable[[Grid], Grid]
"""The window that the ground must cover for another to be rendered."""


def reach_of(align: int) -> Reach:
    """Return the reach of bands with pixels of up to `align` native ones."""
    return lambda window: aligned(window, align).grown(MARGIN_PX)


def compose(
    ground: Place,
    candidates: Sequence[Acquisition],
    window: Grid,
    names: Sequence[str],
    render: Render,
    reach: Reach,
) -> Image:
    """Return the best pixels of a native window; where nothing is clear, the first scene that
    imaged it, as it was.

    Args:
        ground: the place, over at least `reach(window)`.
        candidates: overpasses, the ones to prefer first.
        window: native pixels.
        names: the bands that `render` returns.
        render: one scene's pixels.
        reach: of that.
    """
    inside = window.inside(ground.grid)
    found = np.zeros(window.shape, np.uint8)
    chosen = np.full(window.shape, -1, np.int32)
    for number, one in enumerate(candidates):
        seen = classes(ground, one)[inside]
        usable = (seen == ObservationClass.CLEAR) | (seen == ObservationClass.WATER)
        settled = (found == ObservationClass.CLEAR) | (found == ObservationClass.WATER)
        better = (usable & ~settled) | ((chosen < 0) & (seen != ObservationClass.NOT_IMAGED))
        found[better], chosen[better] = seen[better], number
        if (settled | usable).all():
            break
    values = {name: np.full(window.shape, np.nan, np.float32) for name in names}
    days = np.zeros(window.shape, np.int32)
    for number in np.unique(chosen[chosen >= 0]):
        here, one = chosen == number, candidates[number]
        part = _bounding(here, window)
        rows, columns = part.inside(window)
        for name, image in render(cut_out(ground, reach(part)), one, part).items():
            values[name][rows, columns] = np.where(
                here[rows, columns], image, values[name][rows, columns]
            )
        days[here] = (one.acquired.date() - one.date).days + one.day
    return Image(values, found, days)


def _bounding(here: NDArray[np.bool_], window: Grid) -> Grid:
    """Return the smallest window that holds all true pixels."""
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    return Grid(
        window.step_m, window.row + int(rows[0]), window.column + int(columns[0]), height, width
    )
