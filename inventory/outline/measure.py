"""What the pixels of each patch say: sums, extremes and dates, gathered strip by strip from rasters
and stack.

Pieces (labels of one strip) are measured where they lie; `Measures.of` adds up the pieces of each
patch at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.bands import When
from configs.records import ObservationClass
from configs.stack import CHUNK_PX, Stack

_COLUMNS_PX = 4 * CHUNK_PX
"""Width of the blocks that are read from the stack; blocks without a landslide are never read."""

_SUMS = (
    "pixels",
    "probability",
    "slope",
    "slope_pixels",
    "water",
    "filled",
    "edge",
    "pre",
    "post",
    "ndvi_pixels",
)
_LEAST = ("elevation_low", "pre_date")
_MOST = ("elevation_high", "post_date", "probability_max")

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass
class Measures:
    """Tallies of pieces; every array `(piece,)` float64."""

    sums: dict[str, Floats] = field(default_factory=lambda: {name: np.zeros(0) for name in _SUMS})
    least: dict[str, Floats] = field(default_factory=lambda: {name: np.zeros(0) for name in _LEAST})
    most: dict[str, Floats] = field(default_factory=lambda: {name: np.zeros(0) for name in _MOST})

    def grow(self, pieces: int) -> None:
        """Make room for `pieces` in all."""
        for table, start in ((self.sums, 0.0), (self.least, np.inf), (self.most, -np.inf)):
            for name, values in table.items():
                table[name] = np.concatenate([values, np.full(pieces - len(values), start)])

    def add(self, name: str, labels: Labels, values: NDArray[Any] | float = 1.0) -> None:
        """Add values to the sums of their pieces."""
        np.add.at(self.sums[name], labels, values)

    def meet(self, name: str, labels: Labels, values: NDArray[Any]) -> None:
        """Let values, NaN left out, compete for the least or the most of their pieces."""
        known = ~np.isnan(values)
        if name in self.least:
            np.minimum.at(self.least[name], labels[known], values[known])
        else:
            np.maximum.at(self.most[name], labels[known], values[known])

    def of(self, patch: Labels, count: int) -> Measures:
        """Return the tallies of `count` patches; `patch` says which one each piece belongs to."""
        result = Measures()
        result.grow(count)
        for name, values in self.sums.items():
            result.add(name, patch, values)
        for name, values in (self.least | self.most).items():
            result.meet(name, patch, values)
        return result


def _days(days: NDArray[np.int32]) -> Floats:
    return np.where(days > 0, days.astype(np.float64), np.nan)


@dataclass
class Gauge:
    """Reads the stack under a strip's patches."""

    stack: Stack
    measures: Measures

    def read(
        self,
        rows: slice,
        labels: Labels,
        mask: NDArray[np.bool_],
        probability: NDArray[np.float32],
        observation: NDArray[np.uint8],
    ) -> None:
        """Tally a strip: everything `(y, x)`, `rows` where it lies on the grid."""
        for left in range(0, mask.shape[1], _COLUMNS_PX):
            columns = slice(left, left + _COLUMNS_PX)
            inside = mask[:, columns]
            if inside.any():
                at = labels[:, columns][inside]
                self._rasters(at, probability[:, columns][inside], observation[:, columns][inside])
                self._terrain(at, rows, columns, inside)
                self._dates(at, rows, columns, inside)

    def _rasters(
        self, at: Labels, probability: NDArray[np.float32], observation: NDArray[np.uint8]
    ) -> None:
        self.measures.add("pixels", at)
        self.measures.add("probability", at, probability)
        self.measures.meet("probability_max", at, probability.astype(np.float64))
        self.measures.add("filled", at, observation == ObservationClass.NO_PRE)
        self.measures.add("water", at, observation == ObservationClass.WATER)

    def _band(
        self, name: str, rows: slice, columns: slice, inside: NDArray[np.bool_]
    ) -> Floats | None:
        if name not in self.stack.band_names:
            return None
        return self.stack.read(name, rows, columns)[inside].astype(np.float64)

    def _terrain(self, at: Labels, rows: slice, columns: slice, inside: NDArray[np.bool_]) -> None:
        if (slope := self._band("slope", rows, columns, inside)) is not None:
            known = np.isfinite(slope)
            self.measures.add("slope", at[known], slope[known])
            self.measures.add("slope_pixels", at[known])
        if (elevation := self._band("dem", rows, columns, inside)) is not None:
            self.measures.meet("elevation_low", at, elevation)
            self.measures.meet("elevation_high", at, elevation)
        if (water := self._band("water", rows, columns, inside)) is not None:
            self.measures.add("water", at, water >= 50)
        pre, post = (self._band(f"{when}_NDVI", rows, columns, inside) for when in When)
        if pre is not None and post is not None:
            known = np.isfinite(pre) & np.isfinite(post)
            self.measures.add("pre", at[known], pre[known])
            self.measures.add("post", at[known], post[known])
            self.measures.add("ndvi_pixels", at[known])

    def _dates(self, at: Labels, rows: slice, columns: slice, inside: NDArray[np.bool_]) -> None:
        for when, name in ((When.PRE, "pre_date"), (When.POST, "post_date")):
            if f"{when}_date" in self.stack.group:
                self.measures.meet(name, at, _days(self.stack.date(when, rows, columns)[inside]))


@dataclass
class EdgeCounter:
    """Counts how many sides of a patch's pixels border on what was not observed, across strips."""

    measures: Measures
    width: int

    def __post_init__(self) -> None:
        self._unseen = np.ones(self.width, bool)
        self._mask = np.zeros(self.width, bool)
        self._labels = np.zeros(self.width, np.int64)

    def add(self, mask: NDArray[np.bool_], labels: Labels, unseen: NDArray[np.bool_]) -> None:
        """Count the sides of the next strip, and those below the last row of the one before it."""
        self._below(unseen[0])
        height = len(mask)
        framed = np.ones((height + 2, self.width + 2), bool)
        framed[0, 1:-1], framed[1:-1, 1:-1], framed[-1] = self._unseen, unseen, False
        y, x = np.nonzero(mask)
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            self.measures.add("edge", labels[y, x], framed[y + dy, x + dx])
        self._unseen, self._mask, self._labels = (
            unseen[-1].copy(),
            mask[-1].copy(),
            labels[-1].copy(),
        )

    def _below(self, unseen: NDArray[np.bool_]) -> None:
        hit = self._mask & unseen
        self.measures.add("edge", self._labels[hit])

    def finish(self) -> None:
        """Count the lower edge of the raster."""
        self._below(np.ones(self.width, bool))
