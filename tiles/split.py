"""Spatial splits: which pixels train and which test. Neighbouring pixels are nearly the same pixel,
so splits are blocks of ground with unused guard strips between them, never random pixels or random
chips.

A split map is `(y, x)` uint8: the number of the split, 255 for pixels nobody uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from configs.errors import RequestError

UNUSED = 255
"""Split of guard pixels."""


@dataclass(frozen=True)
class Splits:
    """Which pixels belong to which split, and what the splits are called."""

    numbers: NDArray[np.uint8]
    """`(y, x)`, 255 unused."""
    names: Mapping[int, str]
    """Number -> name, e.g. ``{0: "train", 1: "validation", 2: "test"}``; other numbers count as
    unused.
    """
    description: str = ""
    """How they were made, for the reader of the sample set."""


def bands(
    shape: tuple[int, int],
    axis: Literal["easting", "northing"],
    n: int,
    guard_px: int,
    *,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return a split map of `n` contiguous bands that follow one another along an axis of a `(y,
    x)` raster.

    Along `easting` band 0 is the westernmost and bands run north-south; along `northing` it is the
    northernmost. They are equally wide, or hold equally many of the pixels `among`.

    Raises:
        RequestError: more bands than fit between their guard strips.
    """
    along = 1 if axis == "easting" else 0
    length = shape[along]
    weight = np.ones(length) if among is None else among.sum(axis=1 - along).astype(float)
    if not 1 <= n <= 250 or guard_px < 0 or not weight.any():
        raise RequestError(
            f"cannot cut {n} bands with guards of {guard_px} px",
            "Use 1 to 250 bands, guard 0 or more.",
        )
    share = np.cumsum(weight) / weight.sum()
    number = np.minimum((share - weight / weight.sum() / 2) * n, n - 1).astype(np.uint8)
    line = guarded(number[None], guard_px)[0]
    if len(np.unique(line[line != UNUSED])) < n:
        raise RequestError(
            f"{n} bands with guards of {guard_px} px do not fit into {length} px along the {axis}",
            "Use fewer bands or a narrower guard.",
        )
    return np.broadcast_to(line if along else line[:, None], shape).copy()


def random_blocks(
    shape: tuple[int, int],
    block_px: int,
    shares: Sequence[float],
    guard_px: int,
    *,
    seed: int,
    positive: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return a split map `(y, x)` of square blocks dealt out at random in the given shares, e.g.
    ``(0.7, 0.15, 0.15)``.

    With `positive` `(y, x)`, blocks rich and poor in landslides are dealt out alike, so that no
    split goes without.

    Raises:
        RequestError: shares that make no sense, or blocks that their guard strips swallow.
    """
    if not shares or min(shares) <= 0:
        raise RequestError(
            f"splits cannot have shares {tuple(shares)}",
            "Give each a positive share, e.g. 0.7 0.3.",
        )
    rows, columns = _blocks(shape, block_px, guard_px)
    rng = np.random.default_rng(seed)
    order = rng.permutation(rows * columns)
    if positive is not None:
        edges = np.arange(0, shape[0], block_px), np.arange(0, shape[1], block_px)
        rich = np.add.reduceat(
            np.add.reduceat(positive, edges[0], axis=0, dtype=np.int64), edges[1], axis=1
        ).ravel()
        order = order[np.argsort(-rich[order], kind="stable")]
    numbers = np.empty(rows * columns, np.uint8)
    numbers[order] = _deal(rows * columns, np.asarray(shares, float), rng)
    return guarded(_spread(numbers.reshape(rows, columns), block_px, shape), guard_px)


def guarded(numbers: NDArray[np.uint8], guard_px: int) -> NDArray[np.uint8]:
    """Return a split map `(y, x)` with at least `guard_px` unused pixels between pixels of
    different splits.

    Distance counts diagonals as one (Chebyshev): a square chip of up to `guard_px` px cannot touch
    two splits.
    """
    half = -(-guard_px // 2)
    if half == 0:
        return numbers.copy()
    size = 2 * half + 1
    alike = ndimage.maximum_filter(numbers, size, mode="nearest") == ndimage.minimum_filter(
        numbers, size, mode="nearest"
    )
    return np.where(alike, numbers, np.uint8(UNUSED)).astype(np.uint8)


def _deal(count: int, shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    # Each run of blocks gets the splits in their shares (whoever lags most is next), the order
    # within a run is random.
    shares = shares / shares.sum()
    dealt = np.zeros(len(shares))
    numbers = np.empty(count, np.uint8)
    for i in range(count):
        numbers[i] = np.argmax(shares * (i + 1) - dealt)
        dealt[numbers[i]] += 1
    run = int(np.ceil(1 / shares.min()))
    for start in range(0, count, run):
        rng.shuffle(numbers[start : start + run])
    return numbers


def _blocks(shape: tuple[int, int], block_px: int, guard_px: int) -> tuple[int, int]:
    if block_px <= guard_px + 1 or guard_px < 0:
        raise RequestError(
            f"blocks of {block_px} px vanish between guards of {guard_px} px",
            "Use larger blocks or a narrower guard.",
        )
    return -(-shape[0] // block_px), -(-shape[1] // block_px)


def _spread(numbers: NDArray[np.uint8], block_px: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    return numbers.repeat(block_px, axis=0).repeat(block_px, axis=1)[: shape[0], : shape[1]]
