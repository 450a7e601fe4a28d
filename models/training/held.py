"""Training samples that lie on the device once, and are cropped, turned, mirrored and varied there.

A GPU waits for samples that a processor draws one by one. What is drawn for a step is what
`Batches` draws, from the same numbers (seed, step); only noise and blur have draws of the device's
own, and arithmetic rounds otherwise, so that weights differ as they do between devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from configs.bands import parse_band
from configs.errors import RequestError
from configs.records import IGNORED
from configs.training import TrainingConfig
from models.training.batches import Batches, Geometry, arrays, crop_window

_SHARE: Final = 0.5
"""Share of a GPU's free memory that samples may take; the rest is the training's."""
_WHOLE: Final = 0.999
"""Weight of known pixels from which on a pixel between them is known, as on the processor."""
_EDGE: Final = 1e-4
"""Rounding of a place on the edge, pixels."""
_BLUR_REACH: Final = 4.0
"""Standard deviations that a blur's window reaches, as on the processor."""


class _Drawn(NamedTuple):
    """What becomes of one chip in a step."""

    chip: int
    window: tuple[slice, slice]
    geometry: Geometry | None
    dropped: bool
    """Whether it is shown without its optional bands."""
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]


def fits(batches: Batches, device: torch.device) -> bool:
    """Return whether the samples of a recipe can lie on a GPU: they are the same in every pass and
    small enough; a processor has them near already.
    """
    if device.type != "cuda" or not _steady(batches):
        return False
    x, y = batches.chips[0]
    needed = len(batches.chips) * (np.asarray(x).size * 4 + np.asarray(y).size)
    free, _ = torch.cuda.mem_get_info(device)
    return needed < _SHARE * free


def _steady(batches: Batches) -> bool:
    own = getattr(batches.chips, "steady", not hasattr(batches.chips, "set_epoch"))
    return bool(own) and (batches.augment is None or hasattr(batches.augment, "draw"))


def held(config: TrainingConfig, batches: Batches, device: torch.device) -> Batches | Held:
    """Return what gives a training its batches: the samples on the device, where the recipe says so
    or they fit on a GPU; else `batches`.

    Raises:
        RequestError: the recipe wants them there, and they change from pass to pass.
    """
    if config.samples_on == "device" and not _steady(batches):
        raise RequestError(
            "the samples change from pass to pass and cannot lie on the device",
            "Set `samples_on: auto`.",
        )
    there = config.samples_on == "device" or (config.samples_on == "auto" and fits(batches, device))
    return Held.of(batches, device) if there else batches


@dataclass(frozen=True)
class Held:
    """A recipe's samples on a device, and its batches made there."""

    batches: Batches
    pixels: Tensor
    """`(N, C, H, W)` float32, physical, NaN where not observed."""
    labels: Tensor
    """`(N, H, W)` uint8."""
    here: NDArray[np.uint8]
    """The labels in memory, which crops are chosen by."""

    @classmethod
    def of(cls, batches: Batches, device: torch.device) -> Held:
        """Return the samples of a recipe, copied to a device.

        Raises:
            RequestError: they are not the recipe's (`arrays`).
        """
        channels, count = len(batches.bands), len(batches.chips)
        pairs = (arrays(batches.chips, index, channels) for index in range(count))
        pixels, labels = zip(*pairs, strict=True)
        here = np.stack(labels).astype(np.uint8)
        there = [torch.from_numpy(part).to(device) for part in (np.stack(pixels), here)]
        return cls(batches, there[0], there[1], here)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return a step's inputs `(B, C, H, W)` float32 and labels `(B, H, W)`, on the device."""
        rng = np.random.default_rng([self.batches.order.seed, 1, step])
        drawn = [self._draw(index, rng) for _, index in self.batches.order.of(step)]
        x = torch.stack([self.pixels[one.chip, :, *one.window] for one in drawn])
        y = torch.stack([self.labels[one.chip, *one.window] for one in drawn])
        if drawn[0].geometry is not None:
            x, y = _moved(x, y, [one.geometry for one in drawn if one.geometry], self.batches.bands)
        optional = len(self.batches.optional)
        if not optional:
            return self._varied(x, drawn, step), y
        x[[one.dropped for one in drawn], -optional:] = torch.nan
        return _with_presence(x, self._varied(x, drawn, step), optional), y

    def _draw(self, index: int, rng: np.random.Generator) -> _Drawn:
        batches, label = self.batches, self.here[index]
        side = batches.crop_px
        window = (slice(None), slice(None)) if side is None else crop_window(label, side, rng)
        augment: Any = batches.augment
        geometry = None if augment is None else augment.draw(batches.bands, rng)
        dropped = batches.drops(rng)
        if not batches.varies:
            return _Drawn(index, window, geometry, dropped, np.zeros(0), np.zeros(0))
        return _Drawn(index, window, geometry, dropped, *batches.light(rng))

    def _varied(self, x: Tensor, drawn: Sequence[_Drawn], step: int) -> Tensor:
        """Return network inputs, their light, noise and sharpness varied."""
        z = self.batches.normaliser.tensor(x)
        if not self.batches.varies:
            return z
        device, wanted = x.device, self.batches.variation
        gain, offset = (
            torch.from_numpy(np.stack(part)).to(device, torch.float64)[:, :, None, None]
            for part in ([one.gain for one in drawn], [one.offset for one in drawn])
        )
        varied = (z * (1 + gain) + offset).float()
        own = torch.Generator(device).manual_seed(hash((self.batches.order.seed, step)) % 2**63)
        if wanted.noise:
            varied = varied + wanted.noise * torch.randn(z.shape, generator=own, device=device)
        if wanted.blur_px:
            spread = wanted.blur_px * torch.rand(len(z), generator=own, device=device)
            varied = _blurred(varied, spread, wanted.blur_px)
        optical = torch.tensor(
            [parse_band(name).band.unit == "reflectance" for name in self.batches.bands],
            device=device,
        )
        return torch.where(optical[:, None, None] & torch.isfinite(x), varied, z)


def _with_presence(x: Tensor, z: Tensor, optional: int) -> Tensor:
    """Return inputs of chips `(B, C, H, W)` with whether each optional band is there."""
    there = torch.isfinite(x[:, -optional:]).flatten(2).any(-1)[..., None, None]
    presence = there.to(z.dtype).expand(-1, -1, *z.shape[-2:])
    return torch.cat([z[:, :-optional], z[:, -optional:] * presence, presence], 1)


def _moved(
    x: Tensor, y: Tensor, geometries: Sequence[Geometry], bands: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Return chips turned, zoomed and mirrored, each as was drawn for it."""
    if geometries[0].matrix is not None:
        x, y = _warped(x, y, np.stack([np.asarray(one.matrix) for one in geometries]))
    pairs = []
    for pixels, label, one in zip(x, y, geometries, strict=True):
        for how in one.mirrors:
            pixels, label = mirrored_chip(pixels, bands, str(how)), _mirrored(label, str(how))
        pairs.append((pixels, label))
    return torch.stack([one for one, _ in pairs]), torch.stack([one for _, one in pairs])


def _mirrored(x: Tensor, how: str) -> Tensor:
    if how == "diagonal":
        return x.transpose(-1, -2)
    return x.flip({"horizontal": -1, "vertical": -2}[how]) if how != "none" else x


def mirrored_chip(pixels: Tensor, bands: Sequence[str], how: str) -> Tensor:
    """Return a chip `(C, H, W)` as the mirrored ground would show it, directions mirrored too
    (`tiles.augment.mirror_bands`).
    """
    out = _mirrored(pixels, how).clone()
    east, north = (bands.index(n) if n in bands else None for n in ("aspect_sin", "aspect_cos"))
    if how == "horizontal" and east is not None:
        out[east] *= -1
    elif how == "vertical" and north is not None:
        out[north] *= -1
    elif how == "diagonal" and east is not None and north is not None:
        out[[east, north]] = -out[[north, east]]
    return out


def _warped(x: Tensor, y: Tensor, matrices: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Return chips `(B, C, H, W)` and labels zoomed, stretched and turned about their middles;
    labels beyond the edge are 255, pixels there mirrored.
    """
    height, width = y.shape[-2:]
    half = torch.tensor([(height - 1) / 2, (width - 1) / 2], device=x.device)
    rows, columns = (torch.arange(n, device=x.device) - (n - 1) / 2 for n in (height, width))
    from_middle = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)  # (H, W, 2), y x
    matrix = torch.from_numpy(matrices).to(x.device, torch.float32)
    at = torch.einsum("bij,hwj->bhwi", matrix, from_middle)  # (B, H, W, 2), from the middle
    grid = (at / half.clamp(min=0.5)).flip(-1)  # x before y, -1 to 1 between the outer pixels
    known = torch.isfinite(x)
    mean = torch.nan_to_num(torch.where(known, x, torch.nan).nanmean((-1, -2), keepdim=True))
    moved = _sampled(torch.where(known, x, mean), grid, "bilinear")
    if not bool(known.all()):
        moved = torch.where(_sampled(known.float(), grid, "bilinear") < _WHOLE, torch.nan, moved)
    label = _sampled(y[:, None].float(), grid, "nearest")[:, 0].to(torch.uint8)
    outside = (at.abs() > half + _EDGE).any(-1)
    return moved, torch.where(outside, IGNORED, label)


def _sampled(x: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(x, grid, mode, "reflection", align_corners=True)


def _blurred(x: Tensor, spread: Tensor, largest: float) -> Tensor:
    """Return `(B, C, H, W)`, each chip under a Gaussian of its own standard deviation, pixels."""
    reach = int(_BLUR_REACH * largest + 0.5)
    at = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (at / spread.clamp(min=1e-3)[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)  # (B, K)
    many, channels, height, width = x.shape
    kernels = weights.repeat_interleave(channels, 0)
    flat = x.reshape(1, many * channels, height, width)
    across = functional.pad(flat, (reach, reach, 0, 0), "replicate")
    flat = functional.conv2d(across, kernels[:, None, None, :], groups=many * channels)
    down = functional.pad(flat, (0, 0, reach, reach), "replicate")
    flat = functional.conv2d(down, kernels[:, None, :, None], groups=many * channels)
    return flat.reshape(x.shape)
