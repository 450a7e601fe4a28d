"""Scores that mean what they say: of the pixels called 0.7, seven in ten should be landslide.

Temperature (Guo et al. 2017, arXiv:1706.04599) divides the logit by one number; Platt scaling also
shifts it, which a network trained on balanced chips needs on a scene where landslides are rare.
Fitted on held-out data, never on training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from configs.checkpoint import Calibration
from configs.errors import RequestError
from configs.records import IGNORED

_BINS = 2000
"""Logits are fitted as counts in so many bins: ten million pixels cost as much as ten thousand."""
_LIMIT = 40.0
"""Logits beyond are certain to any float: they count at the ends."""


@dataclass(frozen=True)
class LogitCounts:
    """Landslide and other pixels by logit: what a calibration is fitted to. Parts add up."""

    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]

    @classmethod
    def of(cls, logits: NDArray[np.floating[Any]], labels: NDArray[Any]) -> LogitCounts:
        """Return the counts of logits against labels of the same shape; 255 and NaN are left
        out.
        """
        known = np.isfinite(logits) & (np.asarray(labels) != IGNORED)
        z = np.clip(np.asarray(logits)[known].astype(np.float64), -_LIMIT, _LIMIT)
        level = np.rint((z + _LIMIT) / (2 * _LIMIT) * _BINS).astype(np.int64)
        truth = np.asarray(labels)[known].astype(bool)
        count = [
            np.bincount(level[chosen], minlength=_BINS + 1).astype(np.float64)
            for chosen in (truth, ~truth)
        ]
        return cls(count[0], count[1])

    def __add__(self, other: LogitCounts) -> LogitCounts:
        return LogitCounts(self.positives + other.positives, self.negatives + other.negatives)

    def mapped(self, scale: float, shift: float) -> LogitCounts:
        """Return the counts by `scale * logit + shift`, to the nearest bin."""
        level = np.clip(
            np.rint(
                (np.clip(scale * self.logits + shift, -_LIMIT, _LIMIT) + _LIMIT)
                / (2 * _LIMIT)
                * _BINS
            ),
            0,
            _BINS,
        )
        index = level.astype(np.int64)
        parts = (
            np.bincount(index, part, _BINS + 1).astype(np.float64)
            for part in (self.positives, self.negatives)
        )
        return LogitCounts(*parts)

    def diagram(self, calibration: Calibration, bins: int = 15) -> tuple[Reliability, ...]:
        """Return the reliability diagram of the calibrated pixels."""
        probability = apply(self.logits, calibration)
        number = np.clip((probability * bins).astype(int), 0, bins - 1)
        total = self.positives + self.negatives
        count, sums, hits = (
            np.bincount(number, w, bins) for w in (total, total * probability, self.positives)
        )
        with np.errstate(invalid="ignore"):
            return tuple(
                Reliability(
                    i / bins,
                    (i + 1) / bins,
                    round(count[i]),
                    float(sums[i] / count[i]),
                    float(hits[i] / count[i]),
                )
                for i in range(bins)
            )

    def calibration_error(self, calibration: Calibration, bins: int = 15) -> float:
        """Return the expected calibration error of the calibrated pixels."""
        return _error(self.diagram(calibration, bins))

    @property
    def logits(self) -> NDArray[np.float64]:
        """Return the logit of each bin."""
        return np.asarray(np.linspace(-_LIMIT, _LIMIT, _BINS + 1))

    def loss(self, scale: float, shift: float) -> float:
        """Return the mean negative log-likelihood of `sigmoid(scale * logit + shift)`, nats per
        pixel.
        """
        z = scale * self.logits + shift
        total = self.positives @ np.logaddexp(0, -z) + self.negatives @ np.logaddexp(0, z)
        return float(total / (self.positives.sum() + self.negatives.sum()))


def fit(
    counts: LogitCounts,
    method: Literal["none", "temperature", "platt", "isotonic"],
    fitted_on: str = "",
) -> Calibration:
    """Return the calibration of the highest likelihood. The scale stays positive: the order of
    pixels never changes.

    Raises:
        RequestError: the held-out pixels are all of one class.
    """
    if method == "none":
        return Calibration()
    if not counts.positives.sum() or not counts.negatives.sum():
        raise RequestError(
            "a calibration needs held-out pixels with and without landslides",
            "Set `calibration: none`, or validate on samples that hold both.",
        )
    if method == "isotonic":
        return Calibration(method=method, points=_rising(counts), fitted_on=fitted_on)
    start = [0.0] if method == "temperature" else [0.0, 0.0]

    def loss(parameters: NDArray[np.float64]) -> float:
        return counts.loss(
            float(np.exp(parameters[0])), float(parameters[1]) if len(parameters) > 1 else 0.0
        )

    # The scale is searched as its logarithm; both functions are smooth and have one minimum.
    from scipy.optimize import minimize  # only training fits: a run needs not wait for it

    found = minimize(
        loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000}
    ).x
    shift = float(found[1]) if method == "platt" else 0.0
    return Calibration(
        method=method, scale=float(np.exp(found[0])), shift=shift, fitted_on=fitted_on
    )


def _rising(counts: LogitCounts) -> tuple[tuple[float, float], ...]:
    """Return (logit, probability) points of the best map that never falls (pool adjacent
    violators).

    Not by scikit-learn, which keeps the ends of each level stretch: a checkpoint's card holds one
    point a stretch, at its mean logit. Nothing is ever certain: probabilities stay one pixel in all
    that were counted away from 0 and 1.
    """
    blocks: list[tuple[float, float, float]] = []  # logit times pixels, landslide pixels, pixels
    total = counts.positives + counts.negatives
    for i in np.flatnonzero(total):
        blocks.append((counts.logits[i] * total[i], counts.positives[i], total[i]))
        while len(blocks) > 1 and blocks[-1][1] * blocks[-2][2] <= blocks[-2][1] * blocks[-1][2]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    least = 1 / (total.sum() + 2)
    points = [(float(z / n), float(np.clip(hits / n, least, 1 - least))) for z, hits, n in blocks]
    return (
        tuple(points) if len(points) > 1 else ((-_LIMIT, points[0][1]), (_LIMIT, points[0][1]))
    )  # no order at all


def apply(logits: NDArray[np.floating[Any]], calibration: Calibration) -> NDArray[np.float64]:
    """Return the probability of logits, 0-1."""
    if calibration.method == "isotonic":
        at, probability = np.array(calibration.points).T
        return np.asarray(np.interp(np.asarray(logits, dtype=np.float64), at, probability))
    return np.asarray(
        expit(calibration.scale * np.asarray(logits, dtype=np.float64) + calibration.shift)
    )


@dataclass(frozen=True)
class Reliability:
    """One bin of a reliability diagram."""

    low: float
    high: float
    pixels: int
    confidence: float
    """Mean probability in the bin; NaN where it is empty."""
    frequency: float
    """Share of landslide pixels in the bin; NaN where it is empty."""


def reliability(
    probability: NDArray[np.floating[Any]], labels: NDArray[Any], bins: int = 15
) -> tuple[Reliability, ...]:
    """Return the reliability diagram of probabilities 0-1 against labels, `bins` of equal width."""
    known = np.isfinite(probability) & (np.asarray(labels) != IGNORED)
    p = np.asarray(probability)[known].astype(np.float64)
    truth = np.asarray(labels)[known].astype(bool)
    number = np.clip((p * bins).astype(int), 0, bins - 1)
    count = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence, frequency = (
            np.bincount(number, w, bins) / count for w in (p, truth.astype(float))
        )
    return tuple(
        Reliability(
            i / bins, (i + 1) / bins, int(count[i]), float(confidence[i]), float(frequency[i])
        )
        for i in range(bins)
    )


def expected_calibration_error(
    probability: NDArray[np.floating[Any]], labels: NDArray[Any], bins: int = 15
) -> float:
    """Return the mean |confidence - frequency| over the bins, weighted by their pixels; NaN of no
    pixel.
    """
    return _error(reliability(probability, labels, bins))


def _error(diagram: Sequence[Reliability]) -> float:
    filled = [one for one in diagram if one.pixels]
    total = sum(one.pixels for one in filled)
    if total == 0:
        return float("nan")
    return sum(one.pixels * abs(one.confidence - one.frequency) for one in filled) / total
