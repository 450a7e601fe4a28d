"""A scene brought to what a checkpoint knows before its network sees it: band by band, by nothing
but the distribution of its values.

`scene` gives each band the mean and spread of the checkpoint's reference (an affine map: the same
as a z-score by the scene's own statistics), `match` its distribution (histogram matching). Only
imagery is moved: a slope is a slope everywhere. The statistics are those of the scene's pixels that
checkpoints are compared on (`models.reference.sample`), and in training those of each sample set,
so that a network is used as it was trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.bands import parse_band
from configs.checkpoint import Adapt, BandTarget, CheckpointCard, Normalisation
from configs.errors import NothingToSeeError, RequestError
from models.histogram import BandHistogram
from models.reference import Reference

_TAIL = 0.5
"""Per cent of the pixels beyond the outermost quantiles: single bright or dead pixels steer
nothing.
"""
_FINE: tuple[float, ...] = tuple(np.linspace(_TAIL, 100 - _TAIL, 201).tolist())
SHARES: tuple[float, ...] = tuple(np.linspace(_TAIL, 100 - _TAIL, 34).tolist())
"""Per cent of the pixels below each quantile that a checkpoint keeps of its reference
(`BandTarget.quantiles`).
"""


@dataclass(frozen=True)
class Matching:
    """A monotone map of one band's values: straight between its points, of slope `gain` beyond
    them.
    """

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
        return np.asarray(
            np.interp(within, self.of, self.to) + self.gain * (values - within), np.float32
        )

    def tensor(self, values: Tensor) -> Tensor:
        """Return what the call does, on the device of `values`; the same numbers."""
        of, to = (torch.from_numpy(points).to(values.device) for points in (self.of, self.to))
        exact = values.double()
        within = exact.clamp(of[0], of[-1])
        straight = to[0]
        if len(of) > 1:
            slopes = (to[1:] - to[:-1]) / (of[1:] - of[:-1])
            left = (torch.searchsorted(of, within, right=True) - 1).clamp(0, len(of) - 2)
            straight = slopes[left] * (within - of[left]) + to[left]
            straight = torch.where(within == of[-1], to[-1], straight)
        return (straight + self.gain * (exact - within)).float()


@dataclass(frozen=True)
class Adaptation:
    """One scene's maps, by band; bands without one stay as they are."""

    maps: Mapping[str, Matching] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        normalisation: Normalisation,
        bands: Sequence[str],
        scene: Reference,
        seen_in: Sequence[str] = (),
    ) -> Adaptation:
        """Return how a checkpoint puts a scene.

        Args:
            normalisation: the checkpoint's.
            bands: its bands.
            scene: the scene's pixels; its histograms, where it has them, are what counts.
            seen_in: the scene's bands that stand for `bands`, where they have other names.

        Raises:
            NothingToSeeError: the scene has no pixel to take statistics of.
        """
        pairs = zip(bands, seen_in or bands, strict=True)
        return cls(
            {
                b: _map(normalisation, b, scene.band_histogram(s))
                for b, s in pairs
                if b in normalisation.toward
            }
        )

    def __call__(self, x: NDArray[np.float32], bands: Sequence[str]) -> NDArray[np.float32]:
        """Return values `(..., C, H, W)` in the checkpoint's terms, channels as in `bands`; NaN
        stays NaN.
        """
        if not any(band in self.maps for band in bands):
            return x
        moved = np.array(x, np.float32)
        for channel, band in enumerate(bands):
            if band in self.maps:
                moved[..., channel, :, :] = self.maps[band](moved[..., channel, :, :])
        return moved

    def tensor(self, x: Tensor, bands: Sequence[str]) -> Tensor:
        """Return what the call does, on the device of `x`."""
        if not any(band in self.maps for band in bands):
            return x
        moved = x.clone()
        for channel, band in enumerate(bands):
            if band in self.maps:
                moved[..., channel, :, :] = self.maps[band].tensor(moved[..., channel, :, :])
        return moved

    def as_text(self) -> str:
        """Return the maps as JSON: read back, they are the same to the last bit."""
        plain = {
            b: {"of": m.of.tolist(), "to": m.to.tolist(), "gain": m.gain}
            for b, m in sorted(self.maps.items())
        }
        return json.dumps(plain)

    @classmethod
    def read(cls, text: str) -> Adaptation:
        """Return what `as_text` wrote."""
        return cls(
            {
                b: Matching(np.array(m["of"]), np.array(m["to"]), m["gain"])
                for b, m in json.loads(text).items()
            }
        )


def targets(reference: Reference, bands: Sequence[str]) -> dict[str, BandTarget]:
    """Return, of the imagery among a checkpoint's bands, the distribution in its reference
    sample.
    """
    moving = [band for band in bands if parse_band(band).when is not None]
    found = {}
    for histogram in map(reference.band_histogram, moving):
        mean, std = histogram.moments()
        quantiles = tuple(round(value, 6) for value in histogram.percentiles(SHARES))
        found[histogram.name] = BandTarget(mean=mean, std=std, quantiles=quantiles)
    return found


def adapting(card: CheckpointCard, reference: Reference, adapt: Adapt) -> CheckpointCard:
    """Return a checkpoint as one that adapts scenes to its reference, whatever it was trained with;
    weights are not touched.
    """
    toward = {} if adapt == "card" else targets(reference, card.bands)
    normalisation = card.normalisation.model_copy(update={"adapt": adapt, "toward": toward})
    return card.model_copy(update={"normalisation": normalisation})


def adapted(sample: Reference, normalisation: Normalisation) -> Reference:
    """Return a sample of a scene, or of a checkpoint's domains, as the checkpoint's network is
    given it: each domain by its own statistics.

    Distances before and after the adaptation are those of the same pixels. Band histograms are
    those of the sample.
    """
    values = sample.values.copy()
    for number, name in enumerate(sample.domains):
        of_domain = sample.domain == number
        alone = replace(
            sample,
            values=sample.values[of_domain],
            domain=np.zeros(int(of_domain.sum()), np.int32),
            domains=(name,),
            histograms=sample.histograms if len(sample.domains) == 1 else (),
        )
        if len(alone):
            maps = Adaptation.of(normalisation, sample.bands, alone)
            values[of_domain] = maps(alone.values.T[:, :, None], sample.bands)[:, :, 0].T
    return replace(sample, values=values, histograms=())


def _map(normalisation: Normalisation, band: str, seen: BandHistogram) -> Matching:
    if not seen.total:
        raise NothingToSeeError(
            f"the scene has no pixel of {band} to take statistics of",
            "Give a longer --post (and --pre), or name a checkpoint with `adapt: card`.",
        )
    target = normalisation.toward[band]
    if normalisation.adapt == "scene":
        mean, std = seen.moments()
        return Matching(
            np.array([mean]), np.array([target.mean]), target.std / std if std > 0 else 1.0
        )
    of, to = seen.percentiles(SHARES), target.quantiles
    spread = of[-1] - of[0]
    return Matching.of_quantiles(of, to, (to[-1] - to[0]) / spread if spread > 0 else 1.0)
