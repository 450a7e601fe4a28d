"""Exact distributions of a band in a fixed, small memory: counts by the integers the band is stored
as.

A stack holds scaled integers, so counting them loses nothing: percentiles, moments and
the per-band MMD of ten million pixels come from at most 65 536 counts, and counts of tiles, scenes
and processes simply add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.bands import Band, parse_band


def _levels(band: Band) -> int:
    return round((band.high - band.low) / band.scale) + 1


@dataclass(frozen=True)
class BandHistogram:
    """How often each storable value of a band occurs. NaN is not counted; values beyond the range
    count at its ends.
    """

    name: str
    """Stack band, e.g. ``post_B4``."""
    counts: NDArray[np.int64]
    """`(levels,)`; level k stands for `low + k * step`."""

    @classmethod
    def empty(cls, name: str) -> BandHistogram:
        """Return the histogram of no pixels."""
        return cls(name, np.zeros(_levels(parse_band(name).band), np.int64))

    @classmethod
    def of(cls, values: NDArray[np.floating], name: str) -> BandHistogram:
        """Return the histogram of values of any shape, in the band's unit."""
        band = parse_band(name).band
        levels = _levels(band)
        flat = np.asarray(values, dtype=np.float32).ravel()
        with np.errstate(invalid="ignore"):  # NaN, dropped just below
            level = (flat - np.float32(band.low)) * np.float32(1 / band.scale)
        level = level[~np.isnan(level)]
        np.clip(np.rint(level, out=level), 0, levels - 1, out=level)
        return cls(name, np.bincount(level.astype(np.int32), minlength=levels))

    def __add__(self, other: BandHistogram) -> BandHistogram:
        return BandHistogram(self.name, self.counts + other.counts)

    @property
    def total(self) -> int:
        """Return the number of pixels counted."""
        return int(self.counts.sum())

    @property
    def low(self) -> float:
        """Return the value of level 0, in the band's unit."""
        return parse_band(self.name).band.low

    @property
    def step(self) -> float:
        """Return the distance between levels, in the band's unit."""
        return parse_band(self.name).band.scale

    @property
    def values(self) -> NDArray[np.float64]:
        """Return every level's value, `(levels,)`, in the band's unit."""
        return self.low + self.step * np.arange(len(self.counts), dtype=np.float64)

    def moments(self) -> tuple[float, float]:
        """Return (mean, standard deviation) in the band's unit; NaN where nothing was counted."""
        total = self.total
        if total == 0:
            return float("nan"), float("nan")
        mean = float(self.counts @ self.values) / total
        return mean, float(np.sqrt(self.counts @ (self.values - mean) ** 2 / total))

    def percentiles(self, shares: Sequence[float]) -> tuple[float, ...]:
        """Return the smallest values that at least `shares` (0-100) of the pixels do not exceed."""
        reached = np.cumsum(self.counts)
        wanted = np.clip(np.ceil(np.asarray(shares) / 100 * reached[-1]), 1, None)
        return tuple(
            float(v)
            for v in self.values[np.minimum(np.searchsorted(reached, wanted), len(reached) - 1)]
        )
