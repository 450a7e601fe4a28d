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


def windows(shape: tuple[int, int], side: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of square windows over a scene."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))


def sloping(pixels: Pixels, usable: Usable, slope_min_deg: float) -> Usable:
    """Return which usable pixels lie on ground of at least `slope_min_deg`."""

    def both(rows: slice, columns: slice) -> NDArray[np.bool_]:
        inside = usable(rows, columns)
        if inside.any():
            inside = inside & (pixels.read("slope", rows, columns) >= slope_min_deg)
        return inside

    return both


@dataclass(frozen=True)
class Blocks:
    """Square blocks of `side` pixels over a scene, numbered row by row."""

    side: int
    down: int
    across: int

    def quotas(
        self, windows: Iterable[tuple[slice, slice]], usable: Usable, count: int, seed: int
    ) -> NDArray[np.int64]:
        """Return how many pixels to draw from each block, `(blocks,)`, in proportion to its usable
        pixels.
        """
        held, side = np.zeros((self.down, self.across), np.int64), self.side
        for y, x in windows:
            inside = usable(y, x).astype(np.int64)
            for axis in (0, 1):
                inside = np.add.reduceat(inside, range(0, inside.shape[axis], side), axis)
            top, left = y.start // side, x.start // side
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
        for top in range(0, inside.shape[0], self.side):
            for left in range(0, inside.shape[1], self.side):
                block = (window[0].start + top) // self.side * self.across + (
                    window[1].start + left
                ) // self.side
                part = inside[top : top + self.side, left : left + self.side]
                found = np.flatnonzero(part)
                if quota[block] and len(found):
                    rng = np.random.default_rng([seed, 1, block])
                    picked = np.sort(
                        rng.choice(found, min(int(quota[block]), len(found)), replace=False)
                    )
                    yield top + picked // part.shape[1], left + picked % part.shape[1], block
