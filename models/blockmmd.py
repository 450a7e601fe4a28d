"""MMD with an honest error: neighbouring pixels are alike, so whole blocks (>= 1 km) are what is drawn and permuted.

All that is ever needed is the kernel summed between every pair of blocks. Estimates, the bootstrap's standard error and
the permutation's p-value are weighted sums of that small matrix: no pair of pixels is looked at twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from models.mmd import KERNELS, each_pair

Estimator = Literal["biased", "unbiased", "blocks"]
"""biased: V. unbiased: U, without pairs of a pixel with itself. blocks: without pairs from one block, which would be
alike even if both samples came from one landscape; its mean is 0 where blocks are exchangeable."""


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
            raise RequestError(f"{len(values)} observations lie in {len(blocks)} blocks", "Give each one its block.")
        order = np.argsort(blocks, kind="stable")
        _, sizes = np.unique(blocks, return_counts=True)
        return cls(np.asarray(values, dtype=np.float64)[order], sizes.astype(np.int64))

    @property
    def starts(self) -> NDArray[np.int64]:
        """Return the first row of each block."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])


def block_sums(x: Blocked, y: Blocked, bandwidth: float, kernels: int = KERNELS) -> NDArray[np.float64]:
    """Return the kernel summed between blocks, `(blocks of x, blocks of y)`."""
    rows = np.empty((len(x.values), len(y.sizes)))

    def use(which: slice, block: NDArray[np.float64]) -> None:
        rows[which] = np.add.reduceat(block, y.starts, axis=1)

    each_pair(x.values, y.values, bandwidth, kernels, use)
    return np.asarray(np.add.reduceat(rows, x.starts, axis=0))


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
        """Return the sums of two samples; `within_x` saves computing a scene's own sums again for every card."""
        xx = block_sums(x, x, bandwidth, kernels) if within_x is None else within_x
        xy, yy = block_sums(x, y, bandwidth, kernels), block_sums(y, y, bandwidth, kernels)
        return cls(np.block([[xx, xy], [xy.T, yy]]), np.concatenate([x.sizes, y.sizes]), len(x.sizes), kernels)

    def mmd2(self, estimator: Estimator = "blocks") -> float:
        """Return MMD². `blocks` falls back to `unbiased` where a sample has a single block."""
        if estimator == "blocks" and min(self.first, len(self.sizes) - self.first) < 2:
            estimator = "unbiased"
        return float(self._estimate(self._own, estimator))

    @cached_property
    def _own(self) -> NDArray[np.float64]:
        weights = np.zeros((2, len(self.sizes)))
        weights[0, : self.first] = weights[1, self.first :] = 1
        return weights

    def _estimate(self, weights: NDArray[np.float64], estimator: Estimator) -> NDArray[np.float64]:
        """Return MMD² where each sample is made of blocks with multiplicity `weights`, `(..., 2, blocks)`."""
        x, y = weights[..., 0, :], weights[..., 1, :]
        across = np.sum((x @ self.sums) * y, axis=-1) / ((x @ self.sizes) * (y @ self.sizes))
        return np.asarray(self._within(x, estimator) + self._within(y, estimator) - 2 * across)

    def _within(self, w: NDArray[np.float64], estimator: Estimator) -> NDArray[np.float64]:
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
        """Return the standard error of MMD² (of MMD with `root`) by drawing each sample's blocks with replacement.

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
        """Return how often blocks dealt at random to both samples lie at least as far apart; NaN below two blocks."""
        if min(self.first, len(self.sizes) - self.first) < 2:
            return float("nan")
        rng = np.random.default_rng(seed)
        dealt = np.zeros((draws, 2, len(self.sizes)))
        for weights in dealt:
            order = rng.permutation(len(self.sizes))
            weights[0, order[: self.first]] = weights[1, order[self.first :]] = 1
        beyond = np.sum(self._estimate(dealt, "blocks") >= self.mmd2() - 1e-12)
        return float((1 + beyond) / (1 + draws))  # the deal that happened counts as one (Phipson & Smyth 2010)


def _several(rng: np.random.Generator, blocks: int, draws: int) -> NDArray[np.int64]:
    """Return multiplicities of blocks drawn with replacement, `(draws, blocks)`, at least two different ones each."""
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
    while (single := (drawn > 0).sum(axis=1) < 2).any():
        drawn[single] = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=int(single.sum()))
    return drawn
