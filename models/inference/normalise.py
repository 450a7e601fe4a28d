"""Physical values to network inputs, by the statistics that stand in the checkpoint: the same for
training and for use.

Min-max follows Yang et al. 2024 §II-D. The paper takes each image's own extremes; here they are the
0.1 and 99.9 percentiles of the training pixels (a reading: one bright cloud edge or one dead pixel
must not set the scale of a whole band), kept in the checkpoint, so that a shift of the scene stays
visible instead of being scaled away. Values beyond them leave 0-1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.checkpoint import BandStatistics, Normalisation
from configs.errors import RequestError
from configs.records import IGNORED
from models.histogram import BandHistogram

_ROBUST_PERCENTILES = (0.1, 99.9)
"""What `minimum` and `maximum` of a checkpoint mean."""


@dataclass(frozen=True)
class Normaliser:
    """`(x - offset) / scale` per band, then what is not finite (not observed) becomes `fill`."""

    offset: NDArray[np.float32]
    """`(C, 1, 1)`, in the bands' units."""
    scale: NDArray[np.float32]
    fill: float

    @classmethod
    def of(cls, normalisation: Normalisation, bands: Sequence[str]) -> Normaliser:
        """Return the normaliser of a checkpoint for its ordered bands. A band that never varied is
        only shifted.
        """
        pairs = [_offset_and_scale(normalisation, name) for name in bands]
        offset, scale = np.array(pairs, np.float32).T[:, :, None, None]
        return cls(offset, np.where(scale > 0, scale, np.float32(1)), normalisation.fill)

    def array(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return network inputs of physical values, both `(..., C, H, W)` float32."""
        z = (np.asarray(x, dtype=np.float32) - self.offset) / self.scale
        return np.where(np.isfinite(z), z, np.float32(self.fill))

    def tensor(self, x: Tensor) -> Tensor:
        """Return network inputs of physical values, both `(..., C, H, W)` float32, on the device of
        `x`.
        """
        offset, scale = (torch.from_numpy(a).to(x.device) for a in (self.offset, self.scale))
        z = (x.float() - offset) / scale
        return torch.nan_to_num(z, nan=self.fill, posinf=self.fill, neginf=self.fill)


def _offset_and_scale(normalisation: Normalisation, name: str) -> tuple[float, float]:
    if normalisation.method == "none":
        return 0.0, 1.0
    if name not in normalisation.statistics:
        raise RequestError(
            f"the normalisation has no statistics for {name}",
            "Name only bands that the checkpoint was trained with.",
        )
    band = normalisation.statistics[name]
    if normalisation.method == "minmax":
        return band.minimum, band.maximum - band.minimum
    return band.mean, band.std


def statistics(histograms: Iterable[BandHistogram]) -> dict[str, BandStatistics]:
    """Return the statistics of each band from its pixels' histogram, in the band's unit.

    Raises:
        RequestError: a band has no observed pixel at all.
    """
    found = {}
    for histogram in histograms:
        if histogram.total == 0:
            raise RequestError(
                f"band {histogram.name} has no observed pixel in the training samples",
                "Leave the band out, or make samples where it was observed.",
            )
        low, high = histogram.percentiles(_ROBUST_PERCENTILES)
        mean, std = histogram.moments()
        found[histogram.name] = BandStatistics(minimum=low, maximum=high, mean=mean, std=std)
    return found


def fit(
    samples: Iterable[tuple[Any, Any]],
    bands: Sequence[str],
    method: Literal["minmax", "zscore", "none"],
    fill: float = 0.0,
) -> Normalisation:
    """Return the normalisation of training samples, read once, one at a time.

    `samples` yields (x, y): `(C, H, W)` physical with NaN, `(H, W)` labels. Only labelled pixels
    count (label 255 may be the test area).
    """
    histograms = [BandHistogram.empty(name) for name in bands]
    for x, y in samples:
        labelled = np.asarray(y) != IGNORED
        histograms = [
            h + BandHistogram.of(np.asarray(x)[i][labelled], h.name)
            for i, h in enumerate(histograms)
        ]
    return Normalisation(method=method, statistics=statistics(histograms), fill=fill)
