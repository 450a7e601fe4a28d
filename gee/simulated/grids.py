"""From the requested grid to the simulated sensor's own pixels and back. Elementwise only, so that
windows agree bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.errors import RequestError
from gee.simulated.lattice import F32, NATIVE_M, Grid, covering, spread

_FINEST_M = 5.0


def _resolution_of(block: GeoBox) -> float:
    """Return the pixel size of a grid in metres.

    Raises:
        RequestError: not metric, turned, south-up, with oblong pixels, or finer than 5 m.
    """
    affine = block.affine
    square = (
        affine.b == affine.d == 0 and affine.a > 0 and abs(affine.a + affine.e) < 1e-9 * affine.a
    )
    if block.crs is None or not block.crs.projected or not square or affine.a < _FINEST_M:
        raise RequestError(
            f"the simulated Earth cannot fill a grid of {affine.a:g} x {affine.e:g} in {block.crs}",
            f"Use a north-up grid of square pixels in metres (UTM), {_FINEST_M:g} m or coarser.",
        )
    return float(affine.a)


def _aligned(block: GeoBox) -> int:
    """Return how many native pixels make one of the block's, if its edges lie on theirs; otherwise
    0.
    """
    affine = block.affine
    parts = (affine.a / NATIVE_M, affine.c / NATIVE_M, affine.f / NATIVE_M)
    return round(parts[0]) if all(abs(part - round(part)) < 1e-9 for part in parts) else 0


def native_window(block: GeoBox) -> Grid:
    """Return the native pixels that a block is made from."""
    step, affine = _resolution_of(block), block.affine
    height, width = (int(n) for n in block.shape)
    if times := _aligned(block):
        row, column = -round(affine.f / NATIVE_M), round(affine.c / NATIVE_M)
        return Grid(NATIVE_M, row, column, height * times, width * times)
    west, north = affine.c, affine.f
    return covering(NATIVE_M, west, north - height * step, west + width * step, north)


def requested(block: GeoBox) -> Grid:
    """Return a block as a window of a lattice: the same pixel has the same coordinates, bit for
    bit, in every window.
    """
    step, affine = _resolution_of(block), block.affine
    row, column = -round(affine.f / step), round(affine.c / step)
    east, north = round(affine.c - column * step, 6), round(affine.f + row * step, 6)
    return Grid(step, row, column, int(block.shape[0]), int(block.shape[1]), east, north)


@dataclass(frozen=True)
class Resampler:
    """Native pixels onto a block: as they are, averaged where whole pixels fit, else bilinear."""

    window: Grid
    block: GeoBox

    def values(self, native: F32) -> F32:
        """Return measured values on the block, `(y, x)`."""
        times = _aligned(self.block)
        if times == 1:
            return np.ascontiguousarray(native)
        if times:
            total = np.zeros(tuple(int(n) for n in self.block.shape), np.float32)
            for row in range(times):
                for column in range(times):
                    total += native[row::times, column::times]
            return total * np.float32(1 / times**2)
        return spread(native, self.window, requested(self.block))

    def nearest(self, native: NDArray[Any]) -> NDArray[Any]:
        """Return classes or days on the block, `(y, x)`: those of the native pixel a centre falls
        into.
        """
        grid = requested(self.block)
        rows = np.floor(-grid.y / NATIVE_M).astype(np.int64) - self.window.row
        columns = np.floor(grid.x / NATIVE_M).astype(np.int64) - self.window.column
        return native[rows][:, columns]
