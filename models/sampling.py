"""Where pixels are drawn from: windows of flat memory, and square blocks that each give
their share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

WINDOW_PX = 512
"""Least side of the windows a scene is read in: whole chunks, whole blocks, flat memory."""

Usable = Callable[[slice, slice], NDArray[np.bool_]]
"""Which pixels of a window (rows, columns) may be drawn, `(y, x)`."""


class Pixels(Protocol):
    """A scene or training area to draw from: a `Stack`, a sample set."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return (y, x)."""
        ...

    def read(self, name: str, rows: slice, columns: slice, /) -> NDArray[np.float32]:
        """Return a window of a band, `(y, x)` physical, NaN where not known."""
        ...


def block_px(resolution_m: float, block_m: float) -> int:
    """Return the side of a block: the power of two of pixels of at least `block_m`, so that windows
    hold whole blocks.
    """
    return 1 << max(0, int(np.ceil(np.log2(block_m / resolution_m))))


def windows(
    shape: tuple[int, int], side: int, origin: tuple[int, int] = (0, 0)
) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of square windows over a scene, cut at whole multiples of `side`
    on the lattice; `origin` is the number `(y, x)` of the scene's first pixel there.
    """
    for rows in _cuts(shape[0], side, origin[0]):
        for columns in _cuts(shape[1], side, origin[1]):
            yield rows, columns


def _cuts(length: int, side: int, origin: int) -> Iterator[slice]:
    for start in range(-(origin % side), length, side):
        yield slice(max(start, 0), min(start + side, length))


def sloping(pixels: Pixels, usable: Usable, slope_min_deg: float) -> Usable:
    """Return which usable pixels lie on ground of at least `slope_min_deg`."""

    def both(rows: slice, columns: slice) -> NDArray[np.bool_]:
        inside = usable(rows, columns)
        if inside.any():
            inside = inside & (pixels.read("slope", rows, columns) >= slope_min_deg)
        return inside

    return both


def remembered(usable: Usable) -> Usable:
    """Return `usable`, which works out each window once and keeps it as bits: a scene of 10 000
    pixels a side takes 12 MB.
    """
    known: dict[tuple[int, int], tuple[tuple[int, ...], NDArray[np.uint8]]] = {}

    def inside(rows: slice, columns: slice) -> NDArray[np.bool_]:
        key = (rows.start, columns.start)
        if key not in known:
            found = usable(rows, columns)
            known[key] = found.shape, np.packbits(found)
            return found
        shape, bits = known[key]
        return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)

    return inside


@dataclass(frozen=True)
class Blocks:
    """Square blocks of `side` pixels over a scene, whole multiples of it on the lattice, numbered
    row by row.
    """

    side: int
    down: int
    across: int
    origin: tuple[int, int] = (0, 0)
    """Number `(y, x)` of the scene's first pixel on the lattice."""

    @classmethod
    def over(cls, shape: tuple[int, int], side: int, origin: tuple[int, int] = (0, 0)) -> Blocks:
        """Return the blocks that hold a scene of `shape` `(y, x)`."""
        down, across = (
            -(-(first % side + length) // side) for length, first in zip(shape, origin, strict=True)
        )
        return cls(side, down, across, origin)

    def _within(self, start: int, size: int, axis: int) -> list[slice]:
        """Return the parts of a window along an axis that lie in one block each, counted from the
        window's start.
        """
        return list(_cuts(size, self.side, self.origin[axis] + start))

    def _row(self, pixel: int, axis: int) -> int:
        return (self.origin[axis] % self.side + pixel) // self.side

    def quotas(
        self, windows: Iterable[tuple[slice, slice]], usable: Usable, count: int, seed: int
    ) -> NDArray[np.int64]:
        """Return how many pixels to draw from each block, `(blocks,)`, in proportion to its usable
        pixels.
        """
        held = np.zeros((self.down, self.across), np.int64)
        for y, x in windows:
            inside = usable(y, x).astype(np.int64)
            for axis, start in enumerate((y.start, x.start)):
                parts = self._within(start, inside.shape[axis], axis)
                inside = np.add.reduceat(inside, [part.start for part in parts], axis)
            top, left = self._row(y.start, 0), self._row(x.start, 1)
            held[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        if held.sum() <= count:
            return held.ravel()
        # Systematic sampling: every block gets its share rounded up or down, by chance, without
        # favour to any size.
        reached = np.concatenate([[0], np.cumsum(held.ravel())]) * (count / held.sum())
        return np.asarray(
            np.diff(np.floor(reached + np.random.default_rng([seed, 0]).random())), dtype=np.int64
        )

    def draw(
        self,
        inside: NDArray[np.bool_],
        window: tuple[slice, slice],
        quota: NDArray[np.int64],
        seed: int,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
        """Yield, block by block, the drawn rows and columns within a window, and the block's
        number.
        """
        for rows in self._within(window[0].start, inside.shape[0], 0):
            for columns in self._within(window[1].start, inside.shape[1], 1):
                row = self._row(window[0].start + rows.start, 0)
                column = self._row(window[1].start + columns.start, 1)
                block = row * self.across + column
                part = inside[rows, columns]
                found = np.flatnonzero(part)
                if quota[block] and len(found):
                    rng = np.random.default_rng([seed, 1, *self._key(row, column)])
                    picked = np.sort(
                        rng.choice(found, min(int(quota[block]), len(found)), replace=False)
                    )
                    y, x = picked // part.shape[1], picked % part.shape[1]
                    yield rows.start + y, columns.start + x, block

    def _key(self, row: int, column: int) -> tuple[int, ...]:
        """Return what a block's draw goes by: where it lies on the lattice, so that scenes that
        share ground draw alike there; its number where a scene is all there is.
        """
        if self.origin == (0, 0):
            return (row * self.across + column,)
        first = (start // self.side for start in self.origin)
        return tuple((a + b) % 2**32 for a, b in zip(first, (row, column), strict=True))
