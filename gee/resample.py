"""From any raster's grid onto ours, one pixel at a time and exactly: a block equals the same block
of a larger area, bit for bit.

GDAL's warper approximates coordinates along each destination row and so depends on where a block
begins. Here every pixel centre is transformed by PROJ itself, and a window of a native grid is
placed by whole pixels on a lattice that is the same for all windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """A grid as whole-pixel offsets on an endless lattice that all its windows share."""

    row: int
    column: int
    phase_y: float
    phase_x: float
    step_y: float
    """Signed, CRS units; negative where rows run north to south."""
    step_x: float
    turn_y: float = 0.0
    """CRS units northwards per column; 0 where columns run along the axes."""
    turn_x: float = 0.0
    """CRS units eastwards per row."""

    def xy(
        self, columns: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (x, y) of lattice positions, pixel centres on whole numbers + 0.5."""
        across, down = columns + self.phase_x, rows + self.phase_y
        if not (self.turn_x or self.turn_y):
            return across * self.step_x, down * self.step_y
        return (
            across * self.step_x + down * self.turn_x,
            across * self.turn_y + down * self.step_y,
        )

    def columns_rows(
        self, x: NDArray[np.float64] | np.float64, y: NDArray[np.float64] | np.float64
    ) -> tuple[Any, Any]:
        """Return lattice positions (column, row) of points, the other way round."""
        if not (self.turn_x or self.turn_y):
            return x / self.step_x - self.phase_x, y / self.step_y - self.phase_y
        size = self.step_x * self.step_y - self.turn_x * self.turn_y
        return (
            (x * self.step_y - y * self.turn_x) / size - self.phase_x,
            (y * self.step_x - x * self.turn_y) / size - self.phase_y,
        )

    def y(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return northings of lattice rows of a grid along the axes."""
        return (rows + self.phase_y) * self.step_y

    def x(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return eastings of lattice columns of a grid along the axes."""
        return (columns + self.phase_x) * self.step_x


def lattice(geobox: GeoBox) -> Lattice:
    """Return where a grid lies on its lattice; it may be rotated or sheared."""
    affine = geobox.affine
    endless = Lattice(0, 0, 0.0, 0.0, affine.e, affine.a, affine.d, affine.b)
    (column, phase_x), (row, phase_y) = (
        _whole(float(origin))
        for origin in endless.columns_rows(np.float64(affine.c), np.float64(affine.f))
    )
    return replace(endless, row=row, column=column, phase_y=phase_y, phase_x=phase_x)


def _whole(origin: float) -> tuple[int, float]:
    whole = round(origin)
    return whole, round(origin - whole, _PHASE_DIGITS)


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
        middle = (native.affine @ (native.shape[1] / 2, native.shape[0] / 2))[0]
        x = x + 360 * np.round(
            (middle - x) / 360
        )  # the antimeridian: the turn that lies nearest to the raster
    # Subtracting whole numbers is exact in floating point, so that every window sees the same
    # fractions.
    columns, rows = theirs.columns_rows(x, y)
    return (rows - theirs.row) - 0.5, (columns - theirs.column) - 0.5


@lru_cache(maxsize=8)
def _centres(block: GeoBox, crs: pyproj.CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (x, y) of a block's pixel centres in a CRS; kept, since all bands of a block ask for
    the same.
    """
    ours, here = lattice(block), crs_of(block)
    columns = ours.column + np.arange(block.shape[1]) + 0.5
    rows = ours.row + np.arange(block.shape[0]) + 0.5
    x, y = ours.xy(*np.meshgrid(columns, rows))
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


def window_of(native: GeoBox, block: GeoBox, margin_px: int) -> GeoBox:
    """Return the window of a native grid's endless lattice that covers a block and a margin of
    whole native pixels.

    A geographic window may reach beyond ±180 degrees: it is on the block's turn of the globe.
    """
    crs = crs_of(native)
    rows, columns = positions(block.pad(1), native)
    if crs.is_geographic:
        turn = round(360 / abs(native.affine.a))
        middle = columns[columns.shape[0] // 2, columns.shape[1] // 2]
        columns = (columns - middle + turn / 2) % turn - turn / 2 + middle % turn
    top, left = int(np.floor(rows.min())) - margin_px, int(np.floor(columns.min())) - margin_px
    bottom = int(np.ceil(rows.max())) + margin_px + 1
    right = int(np.ceil(columns.max())) + margin_px + 1
    affine = native.affine @ Affine.translation(left, top)
    return GeoBox((bottom - top, right - left), affine, native.crs)
