"""The grid that an elevation model lies on, as plans carry it: CRS and affine coefficients of its
endless lattice, JSON types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

from gee.ground import pixel_size_m
from gee.resample import window_of

_COARSE_PX: Final = 256


def window(native: Mapping[str, Any], block: GeoBox, margin_px: int) -> GeoBox:
    """Return the window of the native grid that covers a block and a margin, on whole native
    pixels.

    A geographic window may reach beyond ±180 degrees: it is on the block's turn of the globe.
    """
    crs, affine = CRS.from_user_input(native["crs"]), Affine(*native["transform"])
    # One native pixel at the lattice's origin, from which rows and columns count endlessly.
    lattice = GeoBox((1, 1), affine, f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else crs.to_wkt())
    return window_of(lattice, block, margin_px)


def coarse(geobox: GeoBox) -> GeoBox:
    """Return a grid of the same outline whose pixels are few."""
    return geobox if max(geobox.shape) <= _COARSE_PX else geobox.zoom_to(_COARSE_PX)


def shortest_side_m(native: Mapping[str, Any], geobox: GeoBox) -> float:
    """Return the shortest side of the native pixels under a grid, metres on the ground: an
    arc-second of longitude is half an arc-second of latitude at 60 degrees.
    """
    under = window(native, coarse(geobox), 0)
    last = int(under.shape[0]) - 1
    return min(min(pixel_size_m(under[row : row + 1])) for row in (0, last // 2, last))
