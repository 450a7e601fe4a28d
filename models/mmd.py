"""How far apart two samples are: the maximum mean discrepancy (Yang et al. 2024 eq. 8) with
Gaussian kernels.

The paper names no kernel; its values reach 2.76, which a single Gaussian (at most 1.41) cannot. The
usual sum of five, `k(x, y) = Σ_u exp(-|x - y|² / b_u)` with `b_u = b · 2^(u - 2)` and unit weights,
has its range: two point masses of equal size with `b` the mean of the pooled pairwise squared
distances give MMD² = 7.743 (MMD 2.783). Eq. 8 defines MMD, its square root; functions here return
MMD² and say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.spatial.distance import cdist

from configs.errors import RequestError

KERNELS = 5
"""Gaussians in the sum."""
_CHUNK = 1 << 19
"""Pairs computed at once: 4 MB of float64, which stays in the cache of most processors."""

_Samples = NDArray[np.floating[Any]]


def mmd2(
    x: _Samples,
    y: _Samples,
    *,
    kernels: int = KERNELS,
    unbiased: bool = False,
    bandwidth: float | None = None,
) -> float:
    """Return MMD² between samples `(n, d)` and `(m, d)` in one unit; `(n,)` is taken as `(n, 1)`.

    Memory does not grow with n and m. The biased estimate (V, diagonals included) is never below 0;
    the unbiased one (U) has mean 0 where both come from one distribution and may be negative.

    Args:
        x: one sample, each row an observation.
        y: the other.
        kernels: Gaussians in the sum; 1 with `bandwidth=median_bandwidth(x, y)` is the median
            heuristic.
        unbiased: leave out the pairs of a row with itself.
        bandwidth: `b`; the mean of the pooled pairwise squared distances where None.

    Raises:
        RequestError: a sample is empty, has another dimension, or holds NaN.
    """
    x, y = _checked(x, y, at_least=2 if unbiased else 1)
    b = mean_bandwidth(x, y) if bandwidth is None else bandwidth
    if b == 0:
        return 0.0  # every point is the same
    n, m = len(x), len(y)
    within_x, within_y = _kernel_sum(x, x, b, kernels), _kernel_sum(y, y, b, kernels)
    across = _kernel_sum(x, y, b, kernels)
    if unbiased:
        return (
            (within_x - n * kernels) / (n * (n - 1))
            + (within_y - m * kernels) / (m * (m - 1))
            - 2 * across / (n * m)
        )
    return max(0.0, within_x / (n * n) + within_y / (m * m) - 2 * across / (n * m))


def _checked(
    x: _Samples, y: _Samples, at_least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pair = [np.asarray(a, dtype=np.float64) for a in (x, y)]
    pair = [a[:, None] if a.ndim == 1 else a for a in pair]
    if any(a.ndim != 2 for a in pair) or pair[0].shape[1] != pair[1].shape[1]:
        raise RequestError(
            f"samples of shapes {np.shape(x)} and {np.shape(y)} cannot be compared",
            "Give (n, d) and (m, d) arrays.",
        )
    if min(map(len, pair)) < at_least:
        raise RequestError(
            "a sample is too small to be compared", f"Give at least {at_least} observations."
        )
    if not all(np.isfinite(a).all() for a in pair):
        raise RequestError(
            "a sample holds values that are not finite", "Leave out what was not observed."
        )
    return pair[0], pair[1]


def mean_bandwidth(x: _Samples, y: _Samples) -> float:
    """Return the mean squared distance over ordered pairs i ≠ j of the pooled sample, without
    forming the pairs.
    """
    pooled = np.concatenate([x, y]).astype(np.float64)
    count = len(pooled)
    if count < 2:
        return 0.0
    centred = pooled - pooled.mean(axis=0)
    return float(2 * np.sum(centred * centred) / (count - 1))


def median_bandwidth(x: _Samples, y: _Samples, largest: int = 2000, seed: int = 0) -> float:
    """Return the median squared distance over pairs i < j of the pooled sample, of at most
    `largest` points of it.
    """
    pooled = np.concatenate([x, y]).astype(np.float64)
    pooled = pooled[:, None] if pooled.ndim == 1 else pooled
    if len(pooled) > largest:
        pooled = pooled[np.random.default_rng(seed).choice(len(pooled), largest, replace=False)]
    distances = cdist(pooled, pooled, "sqeuclidean")
    return float(np.median(distances[np.triu_indices(len(pooled), 1)]))


def kernel(
    squared: NDArray[np.float64], bandwidth: float, kernels: int = KERNELS
) -> NDArray[np.float64]:
    """Return the sum of Gaussians at squared distances. `squared` is overwritten.

    Each bandwidth is half the one before, so each Gaussian is the square of the one before: one
    exponential does.
    """
    widest = bandwidth * 2.0 ** (kernels - 1 - kernels // 2)
    gaussian = np.exp(np.divide(squared, -widest, out=squared), out=squared)
    total = gaussian.copy()
    for _ in range(kernels - 1):
        np.multiply(gaussian, gaussian, out=gaussian)
        total += gaussian
    return total


def _kernel_sum(
    x: NDArray[np.float64], y: NDArray[np.float64], bandwidth: float, kernels: int = KERNELS
) -> float:
    """Return the kernel summed over all pairs of rows, in bounded memory."""
    parts: list[float] = []
    _each_pair(x, y, bandwidth, kernels, lambda rows, block: parts.append(float(block.sum())))
    return float(np.sum(parts))


def _each_pair(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    bandwidth: float,
    kernels: int,
    use: Callable[[slice, NDArray[np.float64]], None],
) -> None:
    """Call `use(rows, block)` for bundles of rows of `x`; `block` is the kernel `(rows,
    len(y))`.
    """
    step = max(1, _CHUNK // len(y))
    for first in range(0, len(x), step):
        rows = slice(first, min(first + step, len(x)))
        use(rows, kernel(cdist(x[rows], y, "sqeuclidean"), bandwidth, kernels))


def mmd2_histograms(
    p: NDArray[np.integer[Any]],
    q: NDArray[np.integer[Any]],
    step: float,
    bandwidth: float,
    *,
    kernels: int = KERNELS,
    unbiased: bool = False,
) -> float:
    """Return MMD² between two one-dimensional samples given as counts on one even grid of spacing
    `step`.

    Equal to `mmd2` of all the values behind the counts, whatever their number: the kernel depends
    on the difference of levels alone, so all pairs are one convolution.

    Raises:
        RequestError: the grids differ, or one holds nothing.
    """
    if p.shape != q.shape:
        raise RequestError(
            f"histograms of {p.size} and {q.size} levels cannot be compared",
            "Use one band's levels.",
        )
    n, m = int(p.sum()), int(q.sum())
    if min(n, m) < (2 if unbiased else 1):
        raise RequestError(
            "a histogram is too empty to be compared", "Compare only bands that were observed."
        )
    occupied = np.flatnonzero(p + q)
    low, high = int(occupied[0]), int(occupied[-1])
    if low == high or bandwidth == 0:
        return 0.0
    a, b = p[low : high + 1].astype(np.float64), q[low : high + 1].astype(np.float64)
    if (
        not unbiased
    ):  # <a/n - b/m, K (a/n - b/m)>: one quadratic form, which keeps small differences exact
        difference = a / n - b / m
        return max(0.0, _quadratic(difference, difference, step, bandwidth, kernels))
    within = [_quadratic(c, c, step, bandwidth, kernels) for c in (a, b)]
    across = _quadratic(a, b, step, bandwidth, kernels)
    return float(
        (within[0] - n * kernels) / (n * (n - 1))
        + (within[1] - m * kernels) / (m * (m - 1))
        - 2 * across / (n * m)
    )


def _quadratic(
    a: NDArray[np.float64], b: NDArray[np.float64], step: float, bandwidth: float, kernels: int
) -> float:
    """Return Σ_ij a_i k(i - j) b_j."""
    offsets = np.arange(-(len(b) - 1), len(b), dtype=np.float64) * step
    weights = kernel(offsets * offsets, bandwidth, kernels)
    length = next_fast_len(
        len(b) + len(weights) - 1, real=True
    )  # scipy.signal would do it, for 0.6 s of import
    smoothed = irfft(rfft(b, length) * rfft(weights, length), length)
    return float(a @ smoothed[len(b) - 1 : 2 * len(b) - 1])


_Estimator = Literal["biased", "unbiased", "blocks"]
"""biased: V. unbiased: U, without pairs of a pixel with itself. blocks: without pairs from one
block, which would be alike even if both samples came from one landscape; its mean is 0 where blocks
are exchangeable."""


@dataclass(frozen=True)
class Blocked:
    """A sample `(n, d)` with the block each row lies in, rows sorted by block."""

    values: NDArray[np.float64]
    sizes: NDArray[np.int64]
    """Rows of each block, `(blocks,)`, none empty."""

    @classmethod
    def of(cls, values: NDArray[np.floating], blocks: NDArray[np.integer]) -> Blocked:
        """Return the sample sorted by its blocks' numbers."""
        if len(values) == 0 or len(values) != len(blocks):
            raise RequestError(
                f"{len(values)} observations lie in {len(blocks)} blocks",
                "Give each one its block.",
            )
        order = np.argsort(blocks, kind="stable")
        _, sizes = np.unique(blocks, return_counts=True)
        return cls(np.asarray(values, dtype=np.float64)[order], sizes.astype(np.int64))

    @property
    def starts(self) -> NDArray[np.int64]:
        """Return the first row of each block."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])


def block_sums(
    x: Blocked, y: Blocked, bandwidth: float, kernels: int = KERNELS
) -> NDArray[np.float64]:
    """Return the kernel summed between blocks, `(blocks of x, blocks of y)`."""
    if x is y:
        return _within_sums(x, bandwidth, kernels)
    rows = np.empty((len(x.values), len(y.sizes)))

    def use(which: slice, block: NDArray[np.float64]) -> None:
        rows[which] = np.add.reduceat(block, y.starts, axis=1)

    _each_pair(x.values, y.values, bandwidth, kernels, use)
    return np.asarray(np.add.reduceat(rows, x.starts, axis=0))


def _within_sums(x: Blocked, bandwidth: float, kernels: int) -> NDArray[np.float64]:
    """Return the kernel summed between a sample's own blocks: each pair of blocks once."""
    sums = np.zeros((len(x.sizes),) * 2)
    ends, first = x.starts + x.sizes, 0
    while first < len(x.sizes):
        # So many whole blocks as fit a chunk, against themselves and all that follow.
        start = x.starts[first]
        room = start + max(1, _CHUNK // (len(x.values) - start))
        last = max(first + 1, int(np.searchsorted(ends, room, side="right")))
        rest = Blocked(x.values[start:], x.sizes[first:])
        part = Blocked(x.values[start : ends[last - 1]], x.sizes[first:last])
        sums[first:last, first:] = block_sums(part, rest, bandwidth, kernels)
        first = last
    upper = np.triu(sums)
    return np.asarray(upper + np.triu(sums, 1).T)


@dataclass(frozen=True)
class BlockGram:
    """Kernel sums between all blocks of two samples, the first sample's blocks first."""

    sums: NDArray[np.float64]
    """`(blocks, blocks)`, symmetric."""
    sizes: NDArray[np.int64]
    """Rows of each block."""
    first: int
    """How many of the blocks are the first sample's."""
    kernels: int = KERNELS

    @classmethod
    def of(
        cls,
        x: Blocked,
        y: Blocked,
        bandwidth: float,
        kernels: int = KERNELS,
        within_x: NDArray[np.float64] | None = None,
    ) -> BlockGram:
        """Return the sums of two samples; `within_x` saves computing a scene's own sums again for
        every card.
        """
        xx = block_sums(x, x, bandwidth, kernels) if within_x is None else within_x
        xy, yy = block_sums(x, y, bandwidth, kernels), block_sums(y, y, bandwidth, kernels)
        return cls(
            np.block([[xx, xy], [xy.T, yy]]),
            np.concatenate([x.sizes, y.sizes]),
            len(x.sizes),
            kernels,
        )

    def mmd2(self, estimator: _Estimator = "blocks") -> float:
        """Return MMD². `blocks` falls back to `unbiased` where a sample has a single block."""
        if estimator == "blocks" and min(self.first, len(self.sizes) - self.first) < 2:
            estimator = "unbiased"
        return float(self._estimate(self._own, estimator))

    @cached_property
    def _own(self) -> NDArray[np.float64]:
        weights = np.zeros((2, len(self.sizes)))
        weights[0, : self.first] = weights[1, self.first :] = 1
        return weights

    def _estimate(self, weights: NDArray[np.float64], estimator: _Estimator) -> NDArray[np.float64]:
        """Return MMD² where each sample is made of blocks with multiplicity `weights`, `(..., 2,
        blocks)`.
        """
        x, y = weights[..., 0, :], weights[..., 1, :]
        across = np.sum((x @ self.sums) * y, axis=-1) / ((x @ self.sizes) * (y @ self.sizes))
        return np.asarray(self._within(x, estimator) + self._within(y, estimator) - 2 * across)

    def _within(self, w: NDArray[np.float64], estimator: _Estimator) -> NDArray[np.float64]:
        total = np.sum((w @ self.sums) * w, axis=-1)
        count = (w @ self.sizes) ** 2
        if estimator == "unbiased":
            itself = w**2 @ self.sizes  # a block drawn twice meets itself four times
            return np.asarray((total - self.kernels * itself) / (count - itself))
        if estimator == "blocks":
            left_out = w**2 @ np.diag(self.sums)
            return np.asarray((total - left_out) / np.maximum(count - w**2 @ (self.sizes**2), 1))
        return np.asarray(total / count)

    def standard_error(self, draws: int = 200, seed: int = 0, *, root: bool = False) -> float:
        """Return the standard error of MMD² (of MMD with `root`) by drawing each sample's blocks
        with replacement.

        NaN where a sample has fewer than two blocks: nothing is known about its variability then.
        """
        second = len(self.sizes) - self.first
        if min(self.first, second) < 2:
            return float("nan")
        rng = np.random.default_rng(seed)
        drawn = np.zeros((draws, 2, len(self.sizes)))
        drawn[:, 0, : self.first] = _several(rng, self.first, draws)
        drawn[:, 1, self.first :] = _several(rng, second, draws)
        found = self._estimate(drawn, "blocks")
        return float(np.std(np.sqrt(np.maximum(found, 0)) if root else found, ddof=1))

    def p_value(self, draws: int = 500, seed: int = 0) -> float:
        """Return how often blocks dealt at random to both samples lie at least as far apart; NaN
        below two blocks.
        """
        if min(self.first, len(self.sizes) - self.first) < 2:
            return float("nan")
        rng = np.random.default_rng(seed)
        dealt = np.zeros((draws, 2, len(self.sizes)))
        for weights in dealt:
            order = rng.permutation(len(self.sizes))
            weights[0, order[: self.first]] = weights[1, order[self.first :]] = 1
        beyond = np.sum(self._estimate(dealt, "blocks") >= self.mmd2() - 1e-12)
        return float(
            (1 + beyond) / (1 + draws)
        )  # the deal that happened counts as one (Phipson & Smyth 2010)


def _several(rng: np.random.Generator, blocks: int, draws: int) -> NDArray[np.int64]:
    """Return multiplicities of blocks drawn with replacement, `(draws, blocks)`, at least two
    different ones each.
    """
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
    while (single := (drawn > 0).sum(axis=1) < 2).any():
        drawn[single] = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=int(single.sum()))
    return drawn
