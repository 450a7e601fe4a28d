"""Rasters that are computed slice by slice from others on disk; nothing is read before it is asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from configs.stack import Rows


@dataclass(frozen=True)
class Is:
    """Where a raster `(y, x)` has one value, as booleans."""

    raster: Rows
    value: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return tuple(self.raster.shape)

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = np.asarray(self.raster[key]) == self.value
        return same


@dataclass(frozen=True)
class Both:
    """Where two rasters `(y, x)` of booleans are both true."""

    one: Rows
    other: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return tuple(self.one.shape)

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        both: NDArray[np.bool_] = np.asarray(self.one[key], bool) & np.asarray(
            self.other[key], bool
        )
        return both


@dataclass(frozen=True)
class Near:
    """Where a raster `(band, y, x)` of one band reaches a value, or is not known, within so many
    pixels along both axes; `(y, x)` booleans.
    """

    raster: Rows
    least: float
    reach_px: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return tuple(self.raster.shape[1:])

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.bool_]:
        spans = [part.indices(side)[:2] for part, side in zip(key, self.shape, strict=True)]
        around = [
            slice(max(start - self.reach_px, 0), min(stop + self.reach_px, side))
            for (start, stop), side in zip(spans, self.shape, strict=True)
        ]
        found = ~(np.asarray(self.raster[slice(0, 1), around[0], around[1]])[0] < self.least)
        for axis in (0, 1):
            found = maximum_filter1d(found, 2 * self.reach_px + 1, axis=axis, mode="constant")
        inner = (
            slice(start - wide.start, stop - wide.start)
            for (start, stop), wide in zip(spans, around, strict=True)
        )
        near: NDArray[np.bool_] = found[tuple(inner)]
        return near


@dataclass(frozen=True)
class Filled:
    """A raster `(y, x)` float32 whose NaN are filled from another one on the same grid."""

    raster: Rows
    fill: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return tuple(self.raster.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        values = np.asarray(self.raster[key], dtype=np.float32)
        return np.where(np.isnan(values), np.asarray(self.fill[key], dtype=np.float32), values)


@dataclass(frozen=True)
class Without:
    """A raster of probability `(y, x)` float32, 0 wherever another one reaches a threshold; NaN of
    the other changes nothing.
    """

    raster: Rows
    other: Rows
    threshold: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return tuple(self.raster.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        values = np.asarray(self.raster[key], dtype=np.float32)
        already = np.asarray(self.other[key], dtype=np.float32) >= self.threshold
        return np.where(already & np.isfinite(values), np.float32(0), values)


@dataclass(frozen=True)
class Mean:
    """The mean of rasters `(y, x)` float32 on one grid; NaN where any of them is."""

    rasters: tuple[Rows, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return tuple(self.rasters[0].shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        total = sum(np.asarray(raster[key], dtype=np.float64) for raster in self.rasters)
        return np.asarray(total / len(self.rasters), dtype=np.float32)
