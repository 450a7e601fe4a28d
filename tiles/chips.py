"""Chips for training: what a network sees of sample sets, chosen, cropped and augmented.

Everything random is a function of (seed, epoch, index) alone: an epoch can be resumed in its
middle, by any number of workers, and is the same again. This is the only file of the wing that
knows torch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from configs.errors import RequestError
from configs.records import IGNORED
from tiles.augment import Augment
from tiles.cut import Chipping
from tiles.samples import Origin, SampleSet
from tiles.split import UNUSED, Splits

__all__ = ["ChipDataset", "Chipping", "Origin", "SampleSet", "Share", "Splits"]

_HELD_BYTES = 1 << 30
"""Sample sets up to this size are held in memory; larger ones are read from disk chip by chip."""


@dataclass(frozen=True)
class Share:
    """One domain's part in a mixture."""

    samples: SampleSet
    splits: tuple[str, ...]
    """Names of the splits whose chips and labels may be used."""
    weight: float = 1.0
    """Share of an epoch, relative to the other domains' weights."""
    max_chips: int | None = None
    """Use only so many chips, drawn once by the seed (the paper's Ib350J350); None for all."""
    part: float = 1.0
    """Use only this part of the chips left by `alone`, at least one, drawn once by the seed (Xu et
    al.: 5 to 100 %).
    """
    alone: bool = False
    """Leave out chips that show any pixel of another split, be it unlabelled: nothing of a test
    area is ever seen.
    """


class ChipDataset(Dataset[tuple[Tensor, Tensor]]):
    """Chips of one or several domains: `(C, H, W)` float32 in physical units, NaN where not
    observed, and labels `(H, W)` uint8: 1 landslide, 0 none, 255 not to be learnt from (unknown,
    unobserved, or of another split).

    With `length` None an epoch is every chip once. With a `length`, an epoch is that many draws:
    domains by weight, chips with and without landslides by `positive_share`, each pool gone through
    whole before a chip comes again.
    """

    def __init__(
        self,
        shares: Sequence[Share],
        bands: Sequence[str],
        *,
        crop_px: int,
        length: int | None = None,
        positive_share: float | None = None,
        jitter_px: int = 0,
        augment: Augment | None = None,
        shuffle: bool = True,
        seed: int = 0,
        optional: Collection[str] = (),
    ) -> None:
        """Prepare the pools.

        Args:
            shares: the domains.
            bands: the channels, in order.
            crop_px: side of what is handed out, centred on the chip of the table before jitter.
            length: draws per epoch.
            positive_share: share of draws that hold a landslide; None takes chips as they come.
            jitter_px: move each crop by up to this much, both ways along both axes; it may leave
                its chip, never its split's labels.
            augment: what else may happen to a chip.
            shuffle: mix the order anew each epoch.
            seed: of everything random.
            optional: bands that a set may lack; they are NaN in its chips.

        Raises:
            RequestError: no chips in the splits, a band or split a set does not have, or no chip
                with (without) landslides to balance with.
        """
        self.shares, self.bands, self.crop_px = tuple(shares), tuple(bands), crop_px
        self.optional = tuple(optional)
        self._length, self._positive_share = length, positive_share
        self._jitter, self._augment, self._shuffle, self._seed = jitter_px, augment, shuffle, seed
        self._numbers = [share.samples.numbers(share.splits) for share in self.shares]
        for share in self.shares:
            there = [name for name in self.bands if not self._lacks(share.samples, name)]
            share.samples.hold([*there, "label", "split"], _HELD_BYTES // len(self.shares))
        self._pools = [self._pool(i) for i in range(len(self.shares))]
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next epoch shows. Call it before making the epoch's data loader."""
        self._epoch = epoch
        rng = self._rng(0, epoch, 1)
        parts = [
            np.stack([np.full(len(drawn), i), drawn], axis=1)
            for i, drawn in enumerate(self._draw(i, n, rng) for i, n in enumerate(self._quotas()))
        ]
        plan = np.concatenate(parts)
        self._plan: NDArray[np.int64] = rng.permutation(plan) if self._shuffle else plan

    @property
    def steady(self) -> bool:
        """Return whether every epoch shows the same chips in the same order, unchanged."""
        return not (self._shuffle or self._jitter or self._augment or self._length)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        number, chip = (int(value) for value in self._plan[index])
        samples = self.shares[number].samples
        rng = self._rng(index, self._epoch, 2)
        rows, columns = self._window(samples, chip, rng)
        label = samples.label(self._numbers[number], rows, columns)
        nothing = np.full(label.shape, np.nan, np.float32)
        pixels = np.stack(  # (C, h, w)
            [
                nothing if self._lacks(samples, band) else samples.read(band, rows, columns)
                for band in self.bands
            ]
        )
        missing = [
            (0, self.crop_px - side) for side in label.shape
        ]  # a raster smaller than the crop
        pixels = np.pad(pixels, [(0, 0), *missing], constant_values=np.nan)
        label = np.pad(label, missing, constant_values=IGNORED)
        if self._augment is not None:
            azimuth = samples.card.origin.hillshade_azimuth_deg
            pixels, label = self._augment(pixels, label, self.bands, rng, azimuth)
        return torch.from_numpy(pixels), torch.from_numpy(label)

    def origin(self, index: int) -> tuple[int, int]:
        """Return which domain (position in `shares`) and which chip of its table an index of this
        epoch shows.
        """
        return int(self._plan[index, 0]), int(self._plan[index, 1])

    def _lacks(self, samples: SampleSet, band: str) -> bool:
        return band in self.optional and band not in samples.card.bands

    def _window(
        self, samples: SampleSet, chip: int, rng: np.random.Generator
    ) -> tuple[slice, slice]:
        shift = rng.integers(-self._jitter, self._jitter + 1, 2)
        margin = (samples.card.chip_px - self.crop_px) // 2
        corner = (samples.chips.rows[chip], samples.chips.columns[chip])
        starts = [
            int(np.clip(at + margin + by, 0, max(side - self.crop_px, 0)))
            for at, by, side in zip(corner, shift, samples.shape, strict=True)
        ]
        rows, columns = (
            slice(a, min(a + self.crop_px, n)) for a, n in zip(starts, samples.shape, strict=True)
        )
        return rows, columns

    def _pool(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a domain's chips with and without landslides."""
        share, rng = self.shares[number], self._rng(number, 0, 0)
        inside = np.isin(share.samples.chips.splits, self._numbers[number])
        if share.alone:
            inside &= self._alone(share.samples, self._numbers[number], inside)
        hits, misses = (
            rng.permutation(np.flatnonzero(inside & ((share.samples.chips.positive > 0) == flag)))
            for flag in (True, False)
        )
        everything = len(hits) + len(misses)
        if not everything or share.max_chips == 0:
            raise RequestError(
                f"sample set `{share.samples.name}` has no chip in split {', '.join(share.splits)}",
                "Cut it with smaller chips or a narrower guard.",
            )
        total = max(1, round(share.part * everything))
        total = total if share.max_chips is None else min(total, share.max_chips)
        if total < everything:
            part = len(hits) / everything if self._positive_share is None else self._positive_share
            taken = int(np.clip(round(total * part), total - len(misses), len(hits)))
            hits, misses = hits[:taken], misses[: total - taken]
        return np.sort(hits), np.sort(misses)

    def _alone(
        self, samples: SampleSet, own: tuple[int, ...], among: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return which chips hold no pixel of any other split; guard pixels belong to none."""
        whole, side, chips = slice(None), samples.card.chip_px, samples.chips
        strange = ~np.isin(samples.stored("split", whole, whole), [*own, UNUSED])
        free = np.zeros(len(among), np.bool_)
        for i in np.flatnonzero(among):
            row, column = chips.rows[i], chips.columns[i]
            free[i] = not strange[row : row + side, column : column + side].any()
        return free

    def _quotas(self) -> list[int | None]:
        """Return how many draws each domain gets: as its weight says, to the nearest whole chip;
        None for all.
        """
        if self._length is None:
            return [None] * len(self.shares)
        weights = np.array([share.weight for share in self.shares], float)
        if weights.min() < 0 or not weights.sum():
            raise RequestError(
                f"weights {weights.tolist()} mix nothing", "Give each domain a weight of 0 or more."
            )
        exact = self._length * weights / weights.sum()
        quotas = np.floor(exact).astype(int)
        quotas[np.argsort(quotas - exact, kind="stable")[: self._length - quotas.sum()]] += 1
        return [int(quota) for quota in quotas]

    def _draw(self, number: int, quota: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
        hits, misses = self._pools[number]
        if quota is None:
            return np.sort(np.concatenate([hits, misses]))
        if self._positive_share is None:
            return _cycled(np.concatenate([hits, misses]), quota, rng)
        positive = round(quota * self._positive_share)
        for pool, count, kind in ((hits, positive, "with"), (misses, quota - positive, "without")):
            if count and not len(pool):
                raise RequestError(
                    f"sample set `{self.shares[number].samples.name}` has no chip {kind} "
                    "landslides in its splits",
                    "Leave `positive_share` out, or choose other splits.",
                )
        return np.concatenate(
            [_cycled(hits, positive, rng), _cycled(misses, quota - positive, rng)]
        )

    def _rng(self, index: int, epoch: int, purpose: int) -> np.random.Generator:
        # Counter based: any item of any epoch is reached at once, without drawing those before it.
        return np.random.Generator(
            np.random.Philox(key=self._seed, counter=[0, purpose, index, epoch])
        )


def _cycled(pool: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    rounds = -(-count // len(pool)) if count else 0
    whole = [rng.permutation(pool) for _ in range(rounds)]
    return np.concatenate([*whole, np.empty(0, np.int64)])[:count].astype(np.int64)
