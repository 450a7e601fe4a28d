"""A threshold found on the scene itself, without a label: where a map agrees best with the red of
bare ground.

Probabilities of a checkpoint keep their order on ground it has not seen better than they keep their
meaning. How far red stands above green, in the scene's own spreads, is another witness of the same
scene; the threshold is the one at which the two agree best by Cohen's kappa.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics import Sweep

BEYOND = 1.4
"""Spreads above the scene's mean from which the index calls a pixel bare. About the mean of what
was best on the labelled real scenes, 0.8 to 2 (docs/results.md)."""
_BINS = 10_000
_LEAST_SPREAD = 1e-6

Strip = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Probability, red and green of the same pixels, of one shape, NaN where not known."""


@dataclass(frozen=True)
class Agreement:
    """Where a map agrees best with the index of its scene."""

    threshold: float
    """Probability from which a pixel is called a landslide."""
    kappa: float
    """Cohen's kappa of the two there."""


def agreement(strips: Callable[[], Iterable[Strip]], beyond: float = BEYOND) -> Agreement | None:
    """Return the threshold at which a map agrees best with red above green; None where no such
    index can be made: no pixel, or colours that do not vary.

    Args:
        strips: gives the scene strip by strip; called twice, for the scene's statistics and then
            for the counts.
        beyond: spreads above the mean from which the index calls a pixel bare.
    """
    mean, spread, correlation = _moments(strips())
    if not (spread > _LEAST_SPREAD).all() or not correlation < 1 - _LEAST_SPREAD:
        return None
    # The difference of two standardised bands has mean 0 and this spread.
    limit = beyond * np.sqrt(2 - 2 * correlation)
    sweep = Sweep.empty(_BINS)
    for probability, *colours in strips():
        red, green = ((c - m) / s for c, m, s in zip(colours, mean, spread, strict=True))
        known = np.isfinite(probability) & np.isfinite(red) & np.isfinite(green)
        bare = (red - green)[known] > limit
        sweep = sweep + Sweep.of(probability[known], bare.astype(np.uint8), _BINS)
    threshold, kappa = sweep.agreeing()
    return Agreement(threshold, kappa) if kappa > 0 else None


def _moments(strips: Iterable[Strip]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return means and spreads of red and green, and their correlation; NaN of no pixel."""
    count, total, squares = 0, np.zeros(2), np.zeros((2, 2))
    for probability, red, green in strips:
        known = np.isfinite(probability) & np.isfinite(red) & np.isfinite(green)
        pair = np.stack([red[known], green[known]]).astype(np.float64)
        count, total, squares = (
            count + pair.shape[1],
            total + pair.sum(axis=1),
            squares + pair @ pair.T,
        )
    if not count:
        return np.full(2, np.nan), np.full(2, np.nan), float("nan")
    mean = total / count
    covariance = squares / count - np.outer(mean, mean)
    spread = np.sqrt(np.clip(np.diag(covariance), 0, None))
    return mean, spread, float(covariance[0, 1] / max(spread.prod(), _LEAST_SPREAD**2))
