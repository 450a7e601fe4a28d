"""How far a scene is from a checkpoint's training sample: the four statistics that a run uses.

A *space* is what pixels are compared by (all bands in their spread, or whitened); a *measure* is
what is made of the comparison. One ranking uses one scaling for all checkpoints. Twenty-eight
statistics were compared on the simulated Earth; none of the others ordered checkpoints better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from configs.errors import RequestError
from configs.spelling import instead
from models.mmd import KERNELS, kernel

POINTS = 600
"""Pixels of either side: the measures that look for nearest neighbours depend on it, so it is the
same everywhere.
"""
PLAIN = "all/mmd"
"""What Yang et al. 2024 proposes, over all bands at once."""
NOVELTY = "novelty"
_SHRINKAGE = 1e-3
"""Share of the mean variance added to the covariance before it is inverted: bands that hardly
differ stay tame.
"""

Floats = NDArray[np.float64]

_SPACES = ("all", "whitened")
_MEASURES = ("mmd", "coverage")
"""mmd: joint MMD; coverage: mean distance of a scene's pixel to the nearest of the checkpoint's
(what of the scene was never seen, however much else was).
"""
STATISTICS = tuple(f"{space}/{measure}" for space in _SPACES for measure in _MEASURES)


@dataclass(frozen=True)
class Sample:
    """Pixels of a scene or of a checkpoint's training areas."""

    bands: tuple[str, ...]
    values: Floats
    """`(n, bands)`, physical."""
    block: NDArray[np.int32]
    domain: NDArray[np.int32]

    @classmethod
    def thinned(
        cls,
        bands: Sequence[str],
        values: NDArray[np.floating],
        block: NDArray[np.int32],
        domain: NDArray[np.int32],
        points: int = POINTS,
        seed: int = 0,
    ) -> Sample:
        """Return at most `points` of the pixels, drawn once by the seed."""
        picked = np.arange(len(values))
        if len(values) > points:
            picked = np.sort(
                np.random.default_rng([seed, 4]).choice(len(values), points, replace=False)
            )
        return cls(
            tuple(bands), np.asarray(values, np.float64)[picked], block[picked], domain[picked]
        )

    @property
    def moments(self) -> tuple[Floats, Floats]:
        """Return mean `(bands,)` and covariance `(bands, bands)`."""
        return self.values.mean(axis=0), np.cov(self.values, rowvar=False).reshape(
            len(self.bands), -1
        )


@dataclass(frozen=True)
class Scaling:
    """One physical scaling for a whole ranking: the spread of scene and checkpoints together, half
    and half.
    """

    spread: Floats
    covariance: Floats

    @classmethod
    def of(cls, scene: Sample, cards: Sequence[Sample]) -> Scaling:
        """Return the scaling of a ranking."""
        parts = [(0.5, *scene.moments), *((0.5 / len(cards), *card.moments) for card in cards)]
        mean = sum((w * m for w, m, _ in parts), np.zeros(len(scene.bands)))
        covariance = sum(
            (w * (c + np.outer(m - mean, m - mean)) for w, m, c in parts),
            np.zeros((len(mean),) * 2),
        )
        spread = np.sqrt(np.diag(covariance))
        return cls(np.where(spread > 0, spread, 1.0), covariance)


def _whitening(covariance: Floats) -> Floats:
    """Return the matrix that makes a sample of this covariance uncorrelated with unit variance,
    bands in their spread first, so that the shrinkage treats all alike."""
    spread = np.sqrt(np.diag(covariance))
    spread = np.where(spread > 0, spread, 1.0)
    correlation = covariance / np.outer(spread, spread)
    level, vectors = np.linalg.eigh(correlation + _SHRINKAGE * np.eye(len(spread)))
    return np.asarray((vectors / np.sqrt(level)) @ vectors.T / spread[:, None])


def placed(sample: Sample, space: str, scaling: Scaling) -> Floats:
    """Return a sample's pixels as points of a space, `(n, bands)`.

    Raises:
        RequestError: no such space.
    """
    if space not in _SPACES:
        ways = f"Use one of {', '.join(_SPACES)}."
        raise RequestError(f"there is no space `{space}`", instead(space, _SPACES, ways))
    if space == "whitened":
        return np.asarray(sample.values @ _whitening(scaling.covariance))
    return np.asarray(sample.values / scaling.spread)


@dataclass
class Comparison:
    """A scene beside one checkpoint, in one scaling; each kernel is computed once, when a statistic
    first asks for it.
    """

    scene: Sample
    card: Sample
    scaling: Scaling
    shared: dict[str, float] = field(default_factory=dict, repr=False)
    """What depends on the scene and the scaling alone; give one dictionary to all comparisons of a
    ranking.
    """

    def statistic(self, name: str) -> float:
        """Return ``SPACE/MEASURE``; larger is farther.

        Raises:
            RequestError: there is no such statistic.
        """
        space, _, measure = name.partition("/")
        measures = {"mmd": _Kernels.mmd, "coverage": _Kernels.coverage}
        if measure not in measures:
            raise RequestError(
                f"there is no statistic `{name}`", f"Measures are {', '.join(_MEASURES)}."
            )
        return measures[measure](self._kernels(space))

    def _kernels(self, space: str) -> _Kernels:
        if space not in self._found:
            x, y = (placed(part, space, self.scaling) for part in (self.scene, self.card))
            if space not in self.shared:
                self.shared[space] = _within(x, self.scene.block, 2.0 * x.shape[1])
            self._found[space] = _Kernels.of(x, y, self.card, self.shared[space])
        return self._found[space]

    @cached_property
    def _found(self) -> dict[str, _Kernels]:
        return {}


@dataclass(frozen=True)
class _Kernels:
    """The kernel between scene and checkpoint and within the checkpoint, bandwidth 2 d; pairs from
    one block are left out within (see `models.mmd`)."""

    across: Floats
    within: Floats
    apart: NDArray[np.bool_]
    scene: float
    """Mean of the kernel within the scene."""
    distance: Floats
    """`(n,)`: of each pixel of the scene to the nearest of the checkpoint, per root of the
    dimension.
    """

    @classmethod
    def of(cls, x: Floats, y: Floats, card: Sample, scene: float) -> _Kernels:
        width = 2.0 * x.shape[1]
        squared = cdist(x, y, "sqeuclidean")
        nearest = np.sqrt(squared.min(axis=1) / x.shape[1])
        within = kernel(cdist(y, y, "sqeuclidean"), width, KERNELS)
        return cls(kernel(squared, width, KERNELS), within, _apart(card.block), scene, nearest)

    def mmd(self) -> float:
        mean = self.within[self.apart].mean() if self.apart.any() else self.within.mean()
        squared = self.scene + float(mean) - 2 * float(self.across.mean())
        return math.sqrt(max(0.0, squared))

    def coverage(self) -> float:
        return float(self.distance.mean())


def _apart(block: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which pairs `(n, n)` lie in different blocks; where all lie in one, which are
    different pixels.
    """
    apart = block[:, None] != block[None, :]
    return apart if apart.any() else ~np.eye(len(block), dtype=bool)


def _within(x: Floats, block: NDArray[np.int32], width: float) -> float:
    return float(kernel(cdist(x, x, "sqeuclidean"), width, KERNELS)[_apart(block)].mean())


def novelty(scene: Sample, card: Sample, beyond: float = 0.99) -> float:
    """Return the share of a scene's pixels farther (whitened by the checkpoint) from the
    checkpoint's nearest pixel than all but `1 - beyond` of the checkpoint's own pixels are from the
    nearest pixel of another block."""
    matrix = _whitening(card.moments[1])
    x, y = scene.values @ matrix, card.values @ matrix
    own = cdist(y, y)
    own[card.block[:, None] == card.block[None, :]] = np.inf
    usual = own.min(axis=1)
    limit = np.quantile(usual[np.isfinite(usual)], beyond) if np.isfinite(usual).any() else math.inf
    return float((cdist(x, y).min(axis=1) > limit).mean())


SIGNALS = ("all/mmd", "whitened/mmd", "whitened/coverage", NOVELTY)
"""What the alarm listens to, fixed before any wrong scene was made: how far the scene lies as a
whole, how far its bands lie from their usual relations, how far its pixels lie from any seen, and
how many of them are unlike all."""


def signal(compared: Comparison, name: str) -> float:
    """Return a statistic, or ``novelty``."""
    return novelty(compared.scene, compared.card) if name == NOVELTY else compared.statistic(name)


def diversity(weights: Mapping[str, float] | Sequence[float]) -> float:
    """Return the logarithm of the effective number of domains (entropy of their shares): 0 for one,
    ln 5 for five alike.
    """
    shares = np.array(
        list(weights.values()) if isinstance(weights, Mapping) else list(weights), float
    )
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * np.log(shares)).sum())
