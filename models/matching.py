"""Histogram matching: one date's values as the other date's light would show them (paper 003, §2.3: before the two dates are compared).

Band by band, through the quantiles of both; nothing but the distribution is used, so a landslide of a few per cent of the scene
hardly moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from models.histogram import BandHistogram

_TAIL = 0.5
"""Per cent of the pixels beyond the outermost quantiles: single bright or dead pixels steer nothing."""
_FINE: tuple[float, ...] = tuple(np.linspace(_TAIL, 100 - _TAIL, 201).tolist())
SHARES: tuple[float, ...] = tuple(np.linspace(_TAIL, 100 - _TAIL, 34).tolist())
"""Per cent of the pixels below each quantile that a card keeps of its reference (`BandTarget.quantiles`)."""


@dataclass(frozen=True)
class Matching:
    """A monotone map of one band's values: straight between its points, of slope `gain` beyond them."""

    of: NDArray[np.float64]
    """Quantiles of the image that is changed, ascending, each value once."""
    to: NDArray[np.float64]
    """The same quantiles of the image that it is to look like."""
    gain: float = 1.0
    """1: values beyond keep their distance."""

    @classmethod
    def of_quantiles(cls, of: Sequence[float], to: Sequence[float], gain: float = 1.0) -> Matching:
        """Return the map from one list of quantiles, ascending, to the other of the same shares."""
        values, first = np.unique(np.asarray(of, np.float64), return_index=True)
        last, after = np.append(first[1:], len(of)) - 1, np.asarray(to, np.float64)
        return cls(values, (after[first] + after[last]) / 2, gain)

    @classmethod
    def between(cls, image: BandHistogram, like: BandHistogram) -> Matching:
        """Return the map that gives `image` the distribution of `like`.

        Raises:
            RequestError: one of them has no pixel.
        """
        if not image.total or not like.total:
            raise RequestError(
                f"{image.name} cannot be matched to {like.name}: no pixel is clear in both images",
                "Set `model.match_histograms: false`, or give a longer --pre.",
            )
        return cls.of_quantiles(image.percentiles(_FINE), like.percentiles(_FINE))

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values of any shape, matched; NaN stays NaN."""
        within = np.clip(values, self.of[0], self.of[-1])
        return np.asarray(np.interp(within, self.of, self.to) + self.gain * (values - within), np.float32)
