"""From any raster's grid onto ours, one pixel at a time and exactly: a block equals the same block
of a larger area, bit for bit.

GDAL's warper approximates coordinates along each destination row and so depends on where a block
begins. Here every pixel centre is transformed by PROJ itself, and a window of a native grid is
placed by whole pixels on a lattice that is the same for all windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import map_coordinates

from configs.errors import RequestError

Method = Literal["nearest", "bilinear"]
_PHASE_DIGITS = 4
"""Where pixel 0 lies is rounded to 1e-4 native pixels (3 mm at 30 m): the same for all windows of a
grid despite rounding.
"""


@dataclass(frozen=True)
class Lattice:
    """An axis-aligned grid as whole-pixel offsets on an endless lattice that all its windows
    share.
    """

    row: int
    column: int
    phase_y: float
    phase_x: float
    step_y: float
    """Signed, CRS units; negative where rows run north to south."""
    step_x: float

    def y(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return northings (or latitudes) of lattice rows, pixel centres on whole numbers + 0.5."""
        return (rows + self.phase_y) * self.step_y

    def x(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return eastings (or longitudes) of lattice columns, pixel centres on whole numbers +
        0.5.
        """
        return (columns + self.phase_x) * self.step_x


def lattice(geobox: GeoBox) -> Lattice:
    """Return where a grid lies on its lattice.

    Raises:
        RequestError: rows and columns do not run along the axes of the CRS.
    """
    affine = geobox.affine
    if affine.b != 0 or affine.d != 0:
        raise RequestError(
            "a rotated grid cannot be used", "Warp the raster to north up, e.g. with `gdalwarp`."
        )

    def split(origin: float, step: float) -> tuple[int, float]:
        whole = round(origin / step)
        return whole, round(origin / step - whole, _PHASE_DIGITS)

    (row, phase_y), (column, phase_x) = split(affine.f, affine.e), split(affine.c, affine.a)
    return Lattice(row, column, phase_y, phase_x, affine.e, affine.a)


def crs_of(geobox: GeoBox) -> pyproj.CRS:
    """Return a grid's coordinate reference system.

    Raises:
        RequestError: it has none.
    """
    if geobox.crs is None:
        raise RequestError(
            "a grid has no coordinate reference system", "Set the raster's CRS and save it again."
        )
    return _crs(geobox.crs.to_wkt())


@lru_cache(maxsize=64)
def _crs(wkt: str) -> pyproj.CRS:
    return pyproj.CRS.from_wkt(wkt)


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Return the coordinate transformation between two CRS given as WKT or authority codes, x
    before y.
    """
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def positions(block: GeoBox, native: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (rows, columns) of the block's pixel centres in a native grid, `(y, x)` each; pixel
    centres are whole numbers.

    Not finite where the native CRS does not reach.
    """
    theirs, there = lattice(native), crs_of(native)
    x, y = _centres(block, there)
    if there.is_geographic:
        left, right = sorted(
            (theirs.step_x * theirs.column, theirs.step_x * (theirs.column + native.shape[1]))
        )
        middle = (left + right) / 2
        x = x + 360 * np.round(
            (middle - x) / 360
        )  # the antimeridian: the turn that lies nearest to the raster
    # Subtracting whole numbers is exact in floating point, so that every window sees the same
    # fractions.
    rows = (y / theirs.step_y - theirs.phase_y - theirs.row) - 0.5
    columns = (x / theirs.step_x - theirs.phase_x - theirs.column) - 0.5
    return rows, columns


@lru_cache(maxsize=8)
def _centres(block: GeoBox, crs: pyproj.CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (x, y) of a block's pixel centres in a CRS; kept, since all bands of a block ask for
    the same.
    """
    ours, here = lattice(block), crs_of(block)
    x, y = np.meshgrid(
        ours.x(ours.column + np.arange(block.shape[1]) + 0.5),
        ours.y(ours.row + np.arange(block.shape[0]) + 0.5),
    )
    if here != crs:
        x, y = transformer(here.to_wkt(), crs.to_wkt()).transform(x, y)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def sample(
    values: NDArray[np.floating[Any]],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    method: Method,
) -> NDArray[np.float32]:
    """Return values at positions, float32; NaN where the nearest native pixel is missing (NaN or
    beyond the grid).

    Bilinear is the mean of those of the four neighbours that are known, so that a gap neither grows
    nor spreads.
    """
    inside = np.isfinite(rows) & np.isfinite(columns)
    row = np.floor(np.where(inside, rows, -9.0) + 0.5).astype(np.int64)
    column = np.floor(np.where(inside, columns, -9.0) + 0.5).astype(np.int64)
    inside &= (row >= 0) & (row < values.shape[0]) & (column >= 0) & (column < values.shape[1])
    nearest = values[np.where(inside, row, 0), np.where(inside, column, 0)]
    known = inside & np.isfinite(nearest)
    if method == "nearest":
        return np.where(known, nearest, np.nan).astype(np.float32)
    finite = np.isfinite(values)
    at = np.stack([np.where(known, rows, 0.0), np.where(known, columns, 0.0)])  # (2, y, x)
    total = map_coordinates(
        np.where(finite, values, 0.0).astype(np.float64), at, order=1, mode="grid-constant"
    )
    weight = map_coordinates(finite.astype(np.float64), at, order=1, mode="grid-constant")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, total / weight, np.nan).astype(np.float32)


def footprint(
    rows: NDArray[np.float64], columns: NDArray[np.float64], shape: tuple[int, int], margin_px: int
) -> tuple[slice, slice] | None:
    """Return the window of a native grid that positions need, with a margin, cut at the grid's
    edges; None if it misses.
    """
    known = np.isfinite(rows) & np.isfinite(columns)
    if not known.any():
        return None
    window = []
    for values, size in ((rows[known], shape[0]), (columns[known], shape[1])):
        first = max(0, int(np.floor(values.min())) - margin_px)
        last = min(size, int(np.ceil(values.max())) + margin_px + 1)
        if first >= last:
            return None
        window.append(slice(first, last))
    return window[0], window[1]


def cut(geobox: GeoBox, window: tuple[slice, slice]) -> GeoBox:
    """Return the part of a grid that a window of whole pixels covers."""
    (top, bottom), (left, right) = ((part.start, part.stop) for part in window)
    affine = geobox.affine @ Affine.translation(left, top)
    return GeoBox((bottom - top, right - left), affine, geobox.crs)
