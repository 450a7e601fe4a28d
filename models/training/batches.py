"""What each training step sees: a pure function of (seed, step), so that a resumed training sees
exactly the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from configs.bands import parse_band
from configs.errors import RequestError
from configs.records import IGNORED
from configs.training import AugmentationConfig
from models.inference.normalise import Normaliser

_LABELLED_SHARE = 0.3
"""A crop with fewer labelled pixels is drawn again (chosen by trial on the Iburi scene), at most
`_CROP_TRIES` times.
"""
_CROP_TRIES = 4


class Chips(Protocol):
    """Training samples, e.g. any torch Dataset: `[i]` is (x `(C, H, W)` float32 physical with NaN,
    y `(H, W)` uint8).

    Labels are 1 landslide, 0 none, 255 not used. All chips have one size.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


@runtime_checkable
class _Epochs(Protocol):
    """A sample set that shows something else each pass; its labels are asked for once, before the
    first.
    """

    def set_epoch(self, epoch: int, /) -> None:
        """Choose what the next pass shows."""
        ...


class Geometry(Protocol):
    """What becomes of a chip's ground (`tiles.augment.Geometry`)."""

    @property
    def matrix(self) -> NDArray[np.float64] | None: ...

    @property
    def mirrors(self) -> Sequence[str]: ...


class Augment(Protocol):
    """Changes a physical chip and its label at random: geometry (`tiles.augment.Augment` is
    one).
    """

    def __call__(
        self,
        pixels: NDArray[np.float32],
        label: NDArray[np.uint8],
        names: Sequence[str],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]: ...


def with_landslides(chips: Chips) -> NDArray[np.bool_]:
    """Return which chips hold a landslide pixel: the set's own `positive`, if it has one, else by
    reading all labels.
    """
    own = getattr(chips, "positive", None)
    if own is not None:
        return np.asarray(own, dtype=bool)
    return np.array([bool((np.asarray(chips[i][1]) == 1).any()) for i in range(len(chips))])


@dataclass
class Order:
    """Which chips make up a step: pass after pass over all chips, each pass in a new order.

    With `share`, that share of every pass are chips with a landslide, drawn evenly among
    themselves, likewise the rest.
    """

    chips: int
    batch: int
    seed: int
    share: float | None = None
    positive: NDArray[np.bool_] | None = None
    _passes: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def of(self, step: int) -> list[tuple[int, int]]:
        """Return (pass, chip number) of each chip of a step."""
        places = range(step * self.batch, (step + 1) * self.batch)
        return [(p // self.chips, int(self._pass(p // self.chips)[p % self.chips])) for p in places]

    def _pass(self, number: int) -> NDArray[np.int64]:
        if number not in self._passes:
            self._passes = {n: order for n, order in self._passes.items() if n == number - 1}
            self._passes[number] = self._draw(np.random.default_rng([self.seed, 0, number]))
        return self._passes[number]

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        if (
            self.share is None
            or self.positive is None
            or self.positive.all()
            or not self.positive.any()
        ):
            return rng.permutation(self.chips)
        many = round(self.share * self.chips)
        groups = (
            (np.flatnonzero(self.positive), many),
            (np.flatnonzero(~self.positive), self.chips - many),
        )
        picked = [
            np.concatenate([rng.permutation(g) for _ in range(-(-n // len(g)))] or [g[:0]])[:n]
            for g, n in groups
        ]
        return rng.permutation(np.concatenate(picked))


@dataclass
class Batches:
    """Batches ready for the network: drawn, cropped, augmented, normalised, filled."""

    chips: Chips
    bands: tuple[str, ...]
    order: Order
    normaliser: Normaliser
    variation: AugmentationConfig
    crop_px: int | None = None
    augment: Augment | None = None
    optional: tuple[str, ...] = ()
    """The last of the bands: they may be absent."""
    _epoch: int | None = field(default=None, repr=False)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return a step's inputs `(B, C, H, W)` float32, the presence of optional bands after the
        bands, and labels `(B, H, W)`.
        """
        rng = np.random.default_rng([self.order.seed, 1, step])
        return stacked([self._chip(number, index, rng) for number, index in self.order.of(step)])

    def _chip(
        self, number: int, index: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        if isinstance(self.chips, _Epochs) and number != self._epoch:
            self.chips.set_epoch(number)
            self._epoch = number
        x, y = arrays(self.chips, index, len(self.bands))
        if self.crop_px is not None:
            window = crop_window(y, self.crop_px, rng)
            x, y = x[:, *window], y[window]
        if self.augment is not None:
            x, y = self.augment(x, y, self.bands, rng)
        if self.drops(rng):
            x = x.copy()
            x[-len(self.optional) :] = np.nan
        return self._with_presence(x, self._vary(x, rng)), y

    def inputs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's inputs of a chip in physical values, both `(C, H, W)`."""
        return self._with_presence(x, self.normaliser.array(x))

    def _with_presence(self, x: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return inputs with whether each optional band is there; one that is not is 0."""
        if not self.optional:
            return z
        there = np.any(np.isfinite(x[-len(self.optional) :]), axis=(1, 2), keepdims=True)
        presence = np.broadcast_to(there, (len(there), *z.shape[1:])).astype(np.float32)
        z[-len(self.optional) :] *= presence
        return np.concatenate([z, presence])

    def drops(self, rng: np.random.Generator) -> bool:
        """Return whether a chip is shown without its optional bands this time."""
        return bool(self.optional) and bool(rng.random() < self.variation.drop)

    @property
    def varies(self) -> bool:
        """Return whether light, noise or sharpness of a chip are varied."""
        return any((self.variation.jitter, self.variation.noise, self.variation.blur_px))

    def light(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gain and offset of every band this time, `(C,)` each, after normalisation."""
        # One draw common to all bands (light, haze) and half as much for each band by itself (trial
        # on the Iburi scene).
        common, own = rng.normal(size=(2, 1)), rng.normal(size=(2, len(self.bands)))
        gain, offset = self.variation.jitter * (common + 0.5 * own)
        return gain, offset

    def _vary(self, x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        z = self.normaliser.array(x)
        if not self.varies:
            return z
        noise, blur = self.variation.noise, self.variation.blur_px
        optical = np.array([parse_band(name).band.unit == "reflectance" for name in self.bands])
        gain, offset = self.light(rng)
        varied = z * (1 + gain[:, None, None]) + offset[:, None, None]
        if noise:
            varied = varied + noise * rng.normal(size=z.shape)
        if blur:
            varied = gaussian_filter(varied, (0, *[blur * rng.random()] * 2), mode="nearest")
        return np.where(optical[:, None, None] & np.isfinite(x), varied, z).astype(np.float32)


def arrays(chips: Chips, index: int, channels: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return one chip as numpy, checked.

    Raises:
        RequestError: it has other channels than the recipe's bands, or a label of another size.
    """
    x, y = (np.asarray(part) for part in chips[index])
    if x.ndim != 3 or x.shape[0] != channels or x.shape[1:] != y.shape:
        raise RequestError(
            f"sample {index} has shape {x.shape} and label {y.shape}, not ({channels}, H, "
            "W) and (H, W)",
            "Make the samples anew with the recipe's bands: `coslide samples`.",
        )
    return x.astype(np.float32, copy=False), y


def stacked(pairs: Sequence[tuple[NDArray[np.float32], NDArray[Any]]]) -> tuple[Tensor, Tensor]:
    """Return chips as one batch, `(B, C, H, W)` and `(B, H, W)`.

    Raises:
        RequestError: they differ in size.
    """
    sizes = {y.shape for _, y in pairs}
    if len(sizes) > 1:
        raise RequestError(
            f"samples of different sizes: {sorted(sizes)}",
            "Set `crop_px`, or make samples of one size.",
        )
    x, y = (np.ascontiguousarray(np.stack(part)) for part in zip(*pairs, strict=True))
    return torch.from_numpy(x), torch.from_numpy(y)


def crop_window(y: NDArray[Any], side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Return where a square is cut from a chip with labels `(H, W)`.

    Raises:
        RequestError: the chip is smaller.
    """
    height, width = y.shape
    if side > min(height, width):
        raise RequestError(
            f"samples of {height}×{width} px cannot be cropped to {side} px", "Lower `crop_px`."
        )
    window = (slice(0, side), slice(0, side))
    for _ in range(_CROP_TRIES):
        i, j = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        window = (slice(i, i + side), slice(j, j + side))
        if np.mean(y[window] != IGNORED) >= _LABELLED_SHARE:
            break
    return window
