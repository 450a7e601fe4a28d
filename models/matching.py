"""Histogram matching: one date's values as the other date's light would show them (paper 003, §2.3: before the two dates are compared).

Band by band, through the quantiles of both; nothing but the distribution is used, so a landslide of a few per cent of the scene
hardly moves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from models.histogram import BandHistogram

_QUANTILES = 201
_TAIL = 0.5
"""Per cent of the pixels beyond the outermost quantiles: single bright or dead pixels steer nothing."""


@dataclass(frozen=True)
class Matching:
    """A monotone map of one band's values, between the quantiles of two images; beyond them values keep their distance."""

    of: NDArray[np.float64]
    """Quantiles of the image that is changed, ascending, each value once."""
    to: NDArray[np.float64]
    """The same quantiles of the image that it is to look like."""

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
        shares = np.linspace(_TAIL, 100 - _TAIL, _QUANTILES).tolist()
        of, to = (np.array(histogram.percentiles(shares)) for histogram in (image, like))
        values, first = np.unique(of, return_index=True)
        last = np.append(first[1:], len(of)) - 1
        return cls(values, (to[first] + to[last]) / 2)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values of any shape, matched; NaN stays NaN."""
        within = np.clip(values, self.of[0], self.of[-1])
        return np.asarray(np.interp(within, self.of, self.to) + (values - within), np.float32)
