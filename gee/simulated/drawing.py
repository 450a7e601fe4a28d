"""Slides onto pixels: how deep inside the nearest outline each pixel centre lies, and what the scar
there is made of.

An outline is an implicit function of world coordinates (distance to the centre line against the
half-width there, made ragged by noise), so the mask, the mixed pixels of the imagery and the
polygons are three readings of one shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from gee.simulated.lattice import F32, F64, Grid
from gee.simulated.slides import Slides, outline_noise
from gee.simulated.world import World

_RAGGED = 0.3
"""Amplitude of the outline's noise relative to the half-width."""
_RAGGED_MOST_M = 14.0
_EDGE_M = 40.0
"""Beyond this no outline changes a pixel: the noise is at most 2.1, and mixed pixels reach 6.5
m.
"""
_OUTSIDE_M = np.float32(-1e4)
"""Depth where no slide is near."""


class Scars(NamedTuple):
    """Slides on a window, `(y, x)`."""

    depth_m: F32
    """Distance inside the outline, metres; negative outside."""
    down: F32
    """Position along the slide, 0 crown to 1 toe, of the slide that a pixel lies deepest in."""
    traits: F32
    """`(4, y, x)` uniform numbers of that slide."""


def depth_of(x: F64, y: F64, wide: F64, px: F64, py: F64, ragged: F32) -> tuple[F32, F32]:
    """Return (depth inside one outline in metres, position along it 0-1) at `(y, x)` pixel centres
    px `(x,)`, py `(y,)`.
    """
    depth = np.full(ragged.shape, _OUTSIDE_M, np.float32)
    down = np.zeros(ragged.shape, np.float32)
    gx, gy = (px - x[0]).astype(np.float32)[None, :], (py - y[0]).astype(np.float32)[:, None]
    ax, ay, half = (
        (x - x[0]).astype(np.float32),
        (y - y[0]).astype(np.float32),
        wide.astype(np.float32),
    )
    last = len(x) - 2
    for k in range(last + 1):
        dx, dy = ax[k + 1] - ax[k], ay[k + 1] - ay[k]
        along = np.clip(
            ((gx - ax[k]) * dx + (gy - ay[k]) * dy) / (dx * dx + dy * dy + np.float32(1e-3)), 0, 1
        )
        ox, oy = gx - ax[k] - along * dx, gy - ay[k] - along * dy
        inside = half[k] + along * (half[k + 1] - half[k]) - np.sqrt(ox * ox + oy * oy)
        deeper = inside > depth
        depth = np.where(deeper, inside, depth)
        down = np.where(deeper, (np.float32(k) + along) / np.float32(last + 1), down)
    amplitude = np.float32(min(_RAGGED * float(half.max()), _RAGGED_MOST_M))
    return depth + amplitude * ragged, down


def reach_of(slides: Slides, number: int) -> tuple[float, float, float, float]:
    """Return (west, south, east, north) of all that one slide can touch, metres."""
    margin = float(slides.half_width[number].max()) + _EDGE_M
    x, y = slides.x[number], slides.y[number]
    return (
        float(x.min()) - margin,
        float(y.min()) - margin,
        float(x.max()) + margin,
        float(y.max()) + margin,
    )


def _windows(groups: Iterable[Slides], grid: Grid) -> Iterator[tuple[Slides, int, slice, slice]]:
    """Yield every slide that touches a window, with the (rows, columns) it can touch."""
    for group in groups:
        for number in range(len(group.x)):
            west, south, east, north = reach_of(group, number)
            left = max(int(np.floor((west - grid.east_m) / grid.step_m)) - grid.column, 0)
            right = min(
                int(np.ceil((east - grid.east_m) / grid.step_m)) - grid.column + 1, grid.width
            )
            top = max(int(np.floor((grid.north_m - north) / grid.step_m)) - grid.row, 0)
            bottom = min(
                int(np.ceil((grid.north_m - south) / grid.step_m)) - grid.row + 1, grid.height
            )
            if left < right and top < bottom:
                yield group, number, slice(top, bottom), slice(left, right)


def draw(world: World, groups: Iterable[Slides], grid: Grid) -> Scars:
    """Return all slides of some cells on a window; where two overlap, the one a pixel lies deeper
    in.
    """
    depth = np.full(grid.shape, _OUTSIDE_M, np.float32)
    down, traits = np.zeros(grid.shape, np.float32), np.zeros((4, *grid.shape), np.float32)
    ragged = outline_noise(grid, world)
    for group, number, rows, columns in _windows(groups, grid):
        line = group.x[number], group.y[number], group.half_width[number]
        here, position = depth_of(*line, grid.x[columns], grid.y[rows], ragged[rows, columns])
        deeper = here > depth[rows, columns]
        depth[rows, columns] = np.where(deeper, here, depth[rows, columns])
        down[rows, columns] = np.where(deeper, position, down[rows, columns])
        for trait in range(4):
            layer = traits[trait, rows, columns]
            layer[deeper] = group.traits[number, trait]
    return Scars(depth, down, traits)
