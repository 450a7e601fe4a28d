"""Elevation from a catalogue's tiles of one degree, put together on one native grid, so that
terrain derived from it has no seams between blocks or tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import pyproj
from odc.geo.geobox import GeoBox

from configs.area import Area
from configs.bands import BANDS
from gee.native import window
from gee.resample import crs_of, lattice
from gee.shadow import FAR_M
from gee.source import Elevation
from gee.stac.bands import CogRaster
from gee.stac.cog import Cog

_MARGIN_DEG: Final = 0.02
"""Around the area: more than the margin that terrain is derived with."""
_DEGREE_M: Final = 110_500.0
"""Of latitude: no degree is shorter."""
_PHASE: Final = 1e-3


def grid_of(cogs: Iterable[Cog], latitude: float) -> dict[str, Any]:
    """Return the native grid as JSON: CRS and affine coefficients of the tile nearest to a
    latitude.

    Tiles nearer to the poles have wider columns; all others are brought to the chosen grid.
    """

    def away(cog: Cog) -> tuple[float, float]:
        _, bottom, _, top = cog.geobox.boundingbox.bbox
        return abs((bottom + top) / 2 - latitude), bottom

    nearest = min(cogs, key=away).geobox
    code = crs_of(nearest).to_epsg()
    return {
        "crs": f"EPSG:{code}" if code else crs_of(nearest).to_wkt(),
        "transform": list(nearest.affine)[:6],
    }


def margin_deg(area: Area, shaded: bool) -> float:
    """Return how far around an area heights are looked for, degrees: where shadows are cast, as far
    as ground may hide the sun.
    """
    _, south, _, north = area.polygon.bounds
    if not shaded:
        return _MARGIN_DEG
    narrow = math.cos(math.radians(min(max(abs(south), abs(north)) + _MARGIN_DEG, 89.0)))
    return _MARGIN_DEG + FAR_M / (_DEGREE_M * narrow)


def around(
    native: Mapping[str, Any],
    tiles: Mapping[str, Callable[[], CogRaster]],
    bounds: Mapping[str, tuple[float, float, float, float]],
    block: GeoBox,
    margin_px: int,
) -> Elevation:
    """Return heights around a block on the native grid, NaN where no tile has any.

    Args:
        native: the grid, from `grid_of`.
        tiles: tile -> opens it.
        bounds: tile -> (west, south, east, north), degrees.
        block: the grid to cover.
        margin_px: native pixels around it.
    """
    under = window(native, block, margin_px)
    heights = np.full(tuple(under.shape), np.nan, np.float32)
    for name in sorted(tiles):
        if not _touch(bounds[name], under):
            continue
        raster = tiles[name]()
        raster.fetch(under)
        here = raster.warp(under, "nearest" if _aligned(raster.geobox, under) else "bilinear")
        heights = np.where(np.isfinite(heights), heights, here)
    with np.errstate(invalid="ignore"):
        possible = (heights >= BANDS["dem"].low) & (heights <= BANDS["dem"].high)
    return Elevation(np.where(possible, heights, np.float32(np.nan)), under)


def _aligned(tile: GeoBox, window: GeoBox) -> bool:
    """Return whether two grids are windows of the same lattice."""
    if crs_of(tile) != crs_of(window):
        return False
    one, other = lattice(tile), lattice(window)
    steps = abs(one.step_x / other.step_x - 1) + abs(one.step_y / other.step_y - 1)
    return steps < 1e-9 and all(
        abs((a - b + 0.5) % 1 - 0.5) < _PHASE
        for a, b in ((one.phase_x, other.phase_x), (one.phase_y, other.phase_y))
    )


def _touch(bounds: tuple[float, float, float, float], window: GeoBox) -> bool:
    """Return whether a tile's box (degrees) touches a window, on whichever turn of the globe."""
    to_degrees = pyproj.Transformer.from_crs(crs_of(window), "EPSG:4326", always_xy=True)
    left, bottom, right, top = (
        window.boundingbox.bbox
        if crs_of(window).is_geographic
        else to_degrees.transform_bounds(*window.boundingbox.bbox)
    )
    west, south, east, north = bounds
    return (
        south <= top
        and north >= bottom
        and any(west + turn <= right and east + turn >= left for turn in (-360, 0, 360))
    )
