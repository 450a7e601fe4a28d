"""A band of a catalogue's scene as a raster: read from the network, warped like a file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.errors import SourceError
from gee.ground import pixel_size_m
from gee.rasters import Array, Raster
from gee.resample import Method, crs_of, lattice
from gee.stac.cog import Cog, reach

_ALMOST_FITS: Final = 1.02
"""An overview of 10980 pixels halved five times is a little coarser than 320 m."""


@dataclass(frozen=True)
class CogRaster(Raster):
    """A band of a scene as the warping of `Raster` reads it, from the network."""

    cog: Cog | None = None
    lowest: float | None = None
    """Smallest physical value of a known pixel: what lies below is brought up to it."""

    def read(self, window: tuple[slice, slice]) -> Array:
        """Return a window in physical values, `(y, x)` float32, NaN where not known."""
        return self._values(self._file.read(*window))

    def _values(self, numbers: NDArray[Any]) -> Array:
        values = self._physical(numbers)
        return values if self.lowest is None else np.maximum(values, np.float32(self.lowest))

    def warp(self, block: GeoBox, method: Method) -> Array:
        """Return the band on a block's grid, as `Raster.warp` does; along the same axes, whole rows
        and columns of nearest pixels at once, which are the very same.
        """
        ours, theirs = lattice(block), lattice(self.geobox)
        turned = ours.turn_x or ours.turn_y or theirs.turn_x or theirs.turn_y
        same = crs_of(block) == crs_of(self.geobox) and not crs_of(block).is_geographic
        if method != "nearest" or turned or not same:
            return super().warp(block, method)
        x = ours.x(ours.column + np.arange(block.shape[1]) + 0.5)
        y = ours.y(ours.row + np.arange(block.shape[0]) + 0.5)
        columns, rows = theirs.columns_rows(x, y)
        # Written as `positions` and `sample` compute it, so that every digit is the same.
        row = np.floor((rows - theirs.row) - 0.5 + 0.5).astype(np.int64)
        column = np.floor((columns - theirs.column) - 0.5 + 0.5).astype(np.int64)
        down = (row >= 0) & (row < int(self.geobox.shape[0]))
        across = (column >= 0) & (column < int(self.geobox.shape[1]))
        found = np.full(tuple(block.shape), np.nan, np.float32)
        if down.any() and across.any():
            row, column = row[down], column[across]
            top, left = int(row.min()), int(column.min())
            window = slice(top, int(row.max()) + 1), slice(left, int(column.max()) + 1)
            found[np.ix_(down, across)] = self.read(window)[np.ix_(row - top, column - left)]
        return found

    def without(self, number: float) -> CogRaster:
        """Return the band with one more number that means "not known"."""
        return dataclasses.replace(self, fills=(*self.fills, number))

    def fetch(self, block: GeoBox) -> None:
        """Bring here what `warp` will need for a block."""
        window = reach(block, self.geobox)
        if window is not None:
            self._file.fetch(*window)

    @property
    def _file(self) -> Cog:
        if self.cog is None:
            raise SourceError(f"{self.what} was never opened", "")
        return self.cog

    def at(self, resolution_m: float) -> CogRaster:
        """Return the band, or the coarsest of its overviews that is not coarser than that."""
        step = max(pixel_size_m(self.geobox))
        wide, level = int(self.geobox.shape[1]), 0
        for number, one in enumerate(self._file.levels):
            if step * wide / one.width <= resolution_m * _ALMOST_FITS:
                level = number
        if not level:
            return self
        size = self._file.levels[level]
        scale = Affine.scale(wide / size.width, int(self.geobox.shape[0]) / size.height)
        grid = GeoBox((size.height, size.width), self.geobox.affine @ scale, self.geobox.crs)
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(CogRaster)}
        return _OverviewRaster(**{**fields, "geobox": grid}, level=level)


@dataclass(frozen=True)
class _OverviewRaster(CogRaster):
    """An overview of a band."""

    level: int = 0

    def read(self, window: tuple[slice, slice]) -> Array:
        """Return a window of the overview in physical values."""
        return self._values(self._file.read(*window, self.level))


def open_band(
    cog: Cog, scale: float, offset: float, nodata: float | None, lowest: float | None = None
) -> CogRaster:
    """Return a file's only band: physical value = number * scale + offset."""
    return CogRaster(
        Path(),
        cog.remote.what,
        cog.geobox,
        1,
        "GTiff",
        scale,
        offset,
        cog.nodata if nodata is None else nodata,
        False,
        cog=cog,
        lowest=lowest,
    )
