"""Elevation from a catalogue's tiles of one degree, put together on one native grid, so that
terrain derived from it has no seams between blocks or tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import pyproj
from affine import Affine
from odc.geo.geobox import GeoBox

from configs.bands import BANDS
from gee.resample import crs_of, lattice, window_of
from gee.source import Elevation
from gee.stac.bands import CogRaster
from gee.stac.cog import Cog

MARGIN_DEG: Final = 0.02
"""Around the area: more than the margin that terrain is derived with."""
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
    crs = pyproj.CRS.from_user_input(native["crs"])
    unit = GeoBox((1, 1), Affine(*native["transform"]), crs.to_wkt())
    window = window_of(unit, block, margin_px)
    heights = np.full(tuple(window.shape), np.nan, np.float32)
    for name in sorted(tiles):
        if not _touch(bounds[name], window):
            continue
        raster = tiles[name]()
        raster.fetch(window)
        here = raster.warp(window, "nearest" if _aligned(raster.geobox, window) else "bilinear")
        heights = np.where(np.isfinite(heights), heights, here)
    with np.errstate(invalid="ignore"):
        possible = (heights >= BANDS["dem"].low) & (heights <= BANDS["dem"].high)
    return Elevation(np.where(possible, heights, np.float32(np.nan)), window)


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
