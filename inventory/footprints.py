"""Outlines for orientation, not for measuring: what was not observed, and where the pixels of each
scene were used.

They are drawn on every n-th pixel, so that a cloud field over 10 980² pixels stays a layer that
opens at once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from configs.bands import When
from configs.records import Scene
from configs.stack import EPOCH_DAY, Rows, Stack
from inventory.colours import OBSERVATION
from inventory.outline.outline import OUTSIDE, strips
from inventory.outline.polygons import polygonise

_LARGEST_SIDE_PX = 2048
"""Longest side of the coarse grid. Chosen: finer than a screen."""


def step_for(shape: tuple[int, ...], largest: int = _LARGEST_SIDE_PX) -> int:
    """Return how many pixels one coarse pixel stands for."""
    return max(1, -(-max(shape) // largest))


def middles(length: int, step: int) -> NDArray[np.int64]:
    """Return the middle pixel of every coarse pixel along an axis; the last one of what is left
    there.
    """
    count = -(-length // step)
    return np.minimum(np.arange(count) * step + step // 2, length - 1)


def thinned(block: NDArray[Any], rows: slice, shape: tuple[int, ...], step: int) -> NDArray[Any]:
    """Return the middle pixel of every coarse pixel whose middle row lies in the block, `rows` of a
    raster of `shape`.
    """
    at = middles(int(shape[0]), step)
    inside = at[(at >= rows.start) & (at < rows.stop)] - rows.start
    thin: NDArray[Any] = block[np.ix_(inside, middles(int(shape[1]), step))]
    return thin


def _outline(mask: NDArray[np.bool_], affine: Affine) -> Any:
    """Return everything true as one MultiPolygon."""
    return shapely.MultiPolygon(shapely.get_parts(polygonise(mask, affine)).tolist())


def not_observed(probability: Rows, observation: Rows, stack: Stack) -> gpd.GeoDataFrame:
    """Return what of the area was not observed, one row a class: `class`, `why`, `area_m2`,
    `drawn_at_m`.
    """
    step = step_for(stack.shape)
    thin = [
        thinned(np.where(strip.seen, OUTSIDE, strip.observation), strip.rows, stack.shape, step)
        for strip in strips(probability, observation)
    ]
    classes = np.concatenate(thin)
    affine = stack.geobox.affine @ Affine.scale(step)
    rows: list[dict[str, Any]] = []
    shapes: list[Any] = []
    for each, (name, _) in OBSERVATION.items():
        shape = _outline(classes == each, affine)
        if not shape.is_empty:
            why = name if name != "clear" else "clear, but not mapped"
            resolution_m = abs(affine.a)
            rows.append(
                {"class": int(each), "why": why, "area_m2": shape.area, "drawn_at_m": resolution_m}
            )
            shapes.append(shape)
    columns = ["class", "why", "area_m2", "drawn_at_m"]
    return gpd.GeoDataFrame(rows, columns=columns, geometry=shapes, crs=str(stack.geobox.crs))


def _day(moment: datetime) -> int:
    return (moment.astimezone(UTC).date() - EPOCH_DAY).days


def _days(stack: Stack, when: When, rows: slice, observation: Rows | None) -> NDArray[np.int32]:
    days = stack.date(when, rows)
    return (
        days
        if observation is None
        else np.where(np.asarray(observation[rows, :]) == OUTSIDE, 0, days)
    )


def scene_footprints(
    scenes: tuple[Scene, ...], stack: Stack, observation: Rows | None = None
) -> gpd.GeoDataFrame:
    """Return for each scene where pixels of its day were used, and their area `used_km2`; empty
    shapes where none were.

    Pixels outside the area (255 in `observation`) do not count, where it is given.
    """
    step = step_for(stack.shape)
    affine = stack.geobox.affine @ Affine.scale(step)
    days: dict[When, NDArray[np.int32]] = {}
    for when in When:
        if f"{when}_date" in stack.group:
            height = stack.shape[0]
            blocks = (slice(first, min(first + 512, height)) for first in range(0, height, 512))
            days[when] = np.concatenate(
                [
                    thinned(_days(stack, when, rows, observation), rows, stack.shape, step)
                    for rows in blocks
                ]
            )
    shapes = [
        _outline(days[scene.when] == _day(scene.acquired), affine)
        if scene.when in days
        else shapely.MultiPolygon()
        for scene in scenes
    ]
    used = [shape.area / 1e6 for shape in shapes]
    return gpd.GeoDataFrame({"used_km2": used}, geometry=shapes, crs=str(stack.geobox.crs))
