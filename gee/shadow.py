"""Cast shadow: ground that the terrain hides from the sun while a scene was taken.

A ray goes from every pixel of the elevation model towards the sun, one pixel at a time, in metres
on the ground and against true north whatever the model's CRS; where the ground overtops it, the
pixel was not lit. This is done here, on the model's own grid and after a source has delivered its
pixels, so that it is the same shadow for every source: a service's own terrain functions
differentiate and search in the output's projection, and reach as far as they like.

What it leaves out: ground beyond `FAR_M`, and ground more than `RELIEF_M` higher; the curvature of
the Earth (2 m over that distance) and refraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import When
from configs.records import ObservationClass, Scene, Sun
from configs.stack import EPOCH_DAY
from gee.ground import GroundSteps, ground_steps
from gee.resample import positions, sample
from gee.source import Elevation, Plan, Pulled

FAR_M: Final = 6000.0
RELIEF_M: Final = 2000.0
"""How far ground is looked for that could hide the sun. Higher ground nearer than that would have
to stand steeper than the sun over kilometres; what that misses on real mountains stands in
`docs/results.md#shadow`.
"""
_CLIP_M: Final = 5.0
"""By how much overtopping counts at most where it is interpolated between pixels: the edge of a
shadow lies half-way between a pixel deep in it and a lit one.
"""
_MARGIN_PX: Final = 3
"""Beyond the reach: one pixel for each interpolation, one for rounding."""

_Array = NDArray[np.float64]
_DARK: Final = (ObservationClass.CLEAR, ObservationClass.SHADOW)
"""What may turn out to be cast shadow; cloud, snow and water stay what they are."""


def suns_in(plan: Plan, pulled: Pulled) -> dict[tuple[When, int], Sun]:
    """Return where the sun stood for each window and day that a block shows ground of, as far as
    the plan's scenes say; nothing where no elevation can be had.
    """
    if not plan.elevation_step_m:
        return {}
    found: dict[tuple[When, int], Sun] = {}
    for when, seen in pulled.observation.items():
        days = np.unique(pulled.date[when][np.isin(seen, _DARK)])
        for scene in plan.scenes:
            day = (scene.acquired.date() - EPOCH_DAY).days
            if scene.when is when and scene.sun and day in days:
                found.setdefault((when, day), scene.sun)
    return found


def margin_px(sun: Sun, step_m: float) -> int:
    """Return how many pixels of an elevation model around a block can hide the sun from it."""
    return math.ceil(_reach_m(sun) / step_m) + _MARGIN_PX


def widest_margin_px(scenes: Iterable[Scene], step_m: float) -> int:
    """Return how many native pixels of elevation around a block may be asked for, so that it can be
    told what the terrain shades; 0 where that cannot be told.
    """
    suns = [scene.sun for scene in scenes if scene.sun] if step_m else []
    return max((margin_px(sun, step_m) for sun in suns), default=0)


def darken(
    pulled: Pulled, suns: Mapping[tuple[When, int], Sun], elevation: Elevation, block: GeoBox
) -> dict[When, NDArray[np.uint8]]:
    """Return what was seen of a block in each window, cast shadow now a class of its own."""
    found = dict(pulled.observation)
    for (when, day), sun in suns.items():
        here = (pulled.date[when] == day) & np.isin(found[when], _DARK)
        hidden = here & cast_shadow(elevation, block, sun)
        found[when] = np.where(hidden, np.uint8(ObservationClass.CAST_SHADOW), found[when])
    return found


def cast_shadow(elevation: Elevation, block: GeoBox, sun: Sun) -> NDArray[np.bool_]:
    """Return where the terrain hides the sun, `(y, x)` of a block; not where elevation is void.

    Args:
        elevation: heights that cover the block and `margin_px` around it.
        block: any grid.
        sun: where it stood.
    """
    rows, columns = positions(block, elevation.geobox)
    window = _around(rows, columns, elevation.values.shape)
    if window is None:
        return np.zeros(rows.shape, bool)
    over = overtopping(elevation, sun, window)
    # NaN, where no height is known, is not above anything.
    return sample(over, rows - window[0].start, columns - window[1].start, "bilinear") > 0


def overtopping(
    elevation: Elevation, sun: Sun, window: tuple[slice, slice] | None = None
) -> _Array:
    """Return by how many metres the ground towards the sun overtops the ray from each pixel, `(y,
    x)` of a window of the elevation's own grid, within ±5 m; NaN where no height is known.
    """
    z = elevation.values.astype(np.float64)
    part = window or (slice(0, z.shape[0]), slice(0, z.shape[1]))
    here = z[part]
    columns, rows, metres = _stride(ground_steps(elevation.geobox[part]), sun)
    known = np.isfinite(here) & np.isfinite(metres)  # the model's CRS may not reach so far
    if not known.any():
        return np.full(here.shape, np.nan)
    rise = math.tan(math.radians(max(sun.elevation_deg, 0.0))) * metres
    ahead_of = _Rays(z, part, np.nan_to_num(columns), np.nan_to_num(rows))
    worst = np.where(known, -_CLIP_M, np.nan)
    reach = _reach_m(sun)
    for step in range(1, _most_steps(z, here, rise, metres, reach) + 1):
        over = ahead_of.heights(step) - here
        over -= step * rise
        over[np.broadcast_to(step * metres > reach, over.shape)] = np.nan
        np.fmax(worst, over, out=worst, where=known)  # an unknown height hides nothing
    return np.minimum(worst, _CLIP_M)


class _Rays:
    """Heights along the rays of a window. A ray goes by whole pixels along one axis, so that its
    heights lie between two neighbours on the other.
    """

    def __init__(self, z: _Array, part: tuple[slice, slice], columns: _Array, rows: _Array) -> None:
        self._z = np.pad(z, 1, constant_values=np.nan)  # whoever leaves the model meets nothing
        self._width = self._z.shape[1]
        down = np.abs(rows) >= np.abs(columns)
        row, column = np.mgrid[part] + 1
        self._whole, self._whole_step = (
            np.where(down, row, column),
            np.rint(np.where(down, rows, columns)).astype(np.int64),
        )
        self._along, self._along_step = np.where(down, column, row), np.where(down, columns, rows)
        self._strides = np.where(down, self._width, 1), np.where(down, 1, self._width)
        self._ends = tuple(
            np.where(down, self._z.shape[axis] - 1, self._z.shape[1 - axis] - 1) for axis in (0, 1)
        )

    def heights(self, step: int) -> _Array:
        """Return the heights that rays pass over after so many steps; NaN beyond the model."""
        whole = self._whole + step * self._whole_step
        along = self._along + step * self._along_step
        first = np.floor(along).astype(np.int64)
        share = along - first
        np.clip(whole, 0, self._ends[0], out=whole)
        np.clip(first, 0, self._ends[1] - 1, out=first)
        at = whole * self._strides[0] + first * self._strides[1]
        flat = self._z.ravel()
        near: _Array = flat.take(at)
        near += share * (flat.take(at + self._strides[1]) - near)
        return near


def _reach_m(sun: Sun) -> float:
    slope = math.tan(math.radians(max(sun.elevation_deg, 0.0)))
    return min(FAR_M, RELIEF_M / slope) if slope > 0 else FAR_M


def _most_steps(z: _Array, here: _Array, rise: _Array, metres: _Array, reach: float) -> int:
    """Return after how many steps no ray can be overtopped any more: above all ground, or out of
    reach.
    """
    highest = float(np.nanmax(z)) - float(np.nanmin(here)) + _CLIP_M
    steps = reach / float(np.nanmin(metres))
    least = float(np.nanmin(rise))
    return math.ceil(min(steps, highest / least if least > 0 else steps))


def _stride(steps: GroundSteps, sun: Sun) -> tuple[_Array, _Array, _Array]:
    """Return the way towards the sun from each pixel, one pixel long along the axis it follows
    more: (columns, rows, metres on the ground), `(y, x)` or what broadcasts to it.
    """
    azimuth = math.radians(sun.azimuth_deg)
    east, north = math.sin(azimuth), math.cos(azimuth)
    size = steps.east_column * steps.north_row - steps.north_column * steps.east_row
    columns = (east * steps.north_row - north * steps.east_row) / size
    rows = (north * steps.east_column - east * steps.north_column) / size
    metres = 1 / np.maximum(np.abs(columns), np.abs(rows))
    return columns * metres, rows * metres, metres


def _around(rows: _Array, columns: _Array, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the window of native pixels that positions lie between, or None where they miss."""
    inside = np.isfinite(rows) & np.isfinite(columns)
    if not inside.any():
        return None
    parts = []
    for places, size in ((rows[inside], shape[0]), (columns[inside], shape[1])):
        first = max(0, math.floor(places.min()) - 1)
        last = min(size, math.ceil(places.max()) + 2)
        if first >= last:
            return None
        parts.append(slice(first, last))
    return parts[0], parts[1]
