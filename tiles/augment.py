"""Mirror images and illumination changes of a chip, with bands that know where north is put right.

The paper's three: horizontal flip, vertical flip, diagonal mirror (Yang et al. 2024, IEEE JSTARS,
section II-D). Each is its own inverse. Scalars (reflectance, elevation, slope, curvature) only move
with their pixels. The aspect is a direction: its sine points east, its cosine north, so mirroring
the ground mirrors them too; rows run south, hence the signs below. Hillshade is light from one
azimuth: a mirrored hillshade is that of ground lit from elsewhere. The paper mirrors it all the
same (`hillshade="as_is"`); `"safe"` uses only those mirrors that leave the light where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from configs.bands import parse_band
from configs.errors import RequestError
from configs.records import IGNORED

_JITTERED = "reflectance"
"""Unit of the bands whose illumination is changed; indices, terrain and radar keep their values."""


class Geometry(NamedTuple):
    """What becomes of a chip's ground."""

    matrix: NDArray[np.float64] | None
    """From a pixel of the new chip to one of the old, `(y, x)` from its middle; None for itself."""
    mirrors: tuple[Mirror, ...]
    """Mirror images of that, one after the other."""


class Mirror(StrEnum):
    """A mirror image of the ground."""

    NONE = "none"
    HORIZONTAL = "horizontal"
    """West becomes east."""
    VERTICAL = "vertical"
    """North becomes south."""
    DIAGONAL = "diagonal"
    """Rows become columns: west becomes north, east becomes south."""


def mirror(array: NDArray[Any], how: Mirror) -> NDArray[Any]:
    """Return `(..., y, x)` mirrored, a view; its own inverse. Scalars only: see `mirror_bands` for
    directions.
    """
    if how is Mirror.HORIZONTAL:
        return array[..., ::-1]
    if how is Mirror.VERTICAL:
        return array[..., ::-1, :]
    return array.swapaxes(-1, -2) if how is Mirror.DIAGONAL else array


def mirror_bands(
    pixels: NDArray[np.float32], names: Sequence[str], how: Mirror
) -> NDArray[np.float32]:
    """Return `(..., band, y, x)` as the mirrored ground would show it; its own inverse.

    `aspect_sin` and `aspect_cos` turn with the ground; the diagonal mirror swaps them, so it needs
    both or neither.
    """
    out = mirror(pixels, how).copy()
    east, north = (names.index(n) if n in names else None for n in ("aspect_sin", "aspect_cos"))
    if how is Mirror.HORIZONTAL and east is not None:
        out[..., east, :, :] *= -1
    elif how is Mirror.VERTICAL and north is not None:
        out[..., north, :, :] *= -1
    elif how is Mirror.DIAGONAL and east is not None and north is not None:
        # x and y (southwards) change places: the new east is the old south, the new south the old
        # east.
        out[..., [east, north], :, :] = -out[..., [north, east], :, :]
    return out


def safe_mirrors(
    names: Sequence[str],
    hillshade: Literal["as_is", "safe"] = "as_is",
    azimuth_deg: float | None = None,
) -> tuple[Mirror, ...]:
    """Return the mirrors that `names` allow, `NONE` first.

    With ``hillshade="safe"`` only those that leave light from `azimuth_deg` (clockwise from north)
    where it is: the diagonal one for 315 and 135 degrees, the vertical one for 270 and 90, the
    horizontal one for 0 and 180.

    Raises:
        RequestError: ``hillshade="safe"`` with a hillshade whose azimuth nobody knows.
    """
    allowed = [Mirror.NONE, Mirror.HORIZONTAL, Mirror.VERTICAL]
    if ("aspect_sin" in names) == ("aspect_cos" in names):
        allowed.append(Mirror.DIAGONAL)
    if hillshade == "as_is" or "hillshade" not in names:
        return tuple(allowed)
    if azimuth_deg is None:
        raise RequestError(
            "the azimuth of the hillshade is not known", "Give it, or set `hillshade: as_is`."
        )
    light = np.array([np.sin(np.deg2rad(azimuth_deg)), np.cos(np.deg2rad(azimuth_deg))])
    as_bands = light.astype(np.float32)[:, None, None]
    return tuple(
        how
        for how in allowed
        if np.allclose(
            mirror_bands(as_bands, ("aspect_sin", "aspect_cos"), how), as_bands, atol=1e-6
        )
    )


@dataclass(frozen=True)
class Augment:
    """What may happen to a training chip."""

    mirrors: Literal["none", "flips", "paper", "all"] = "paper"
    """`paper`: the chip or one of its three mirror images; `flips`: west-east and north-south, each
    or both (four images); `all`: any combination of the three (eight images, quarter turns among
    them)."""
    hillshade: Literal["as_is", "safe"] = "as_is"
    scale: float = 0.0
    """Spread of the logarithm of a random zoom."""
    aspect: float = 0.0
    """Spread of the logarithm of a random stretch along one axis."""
    rotate: bool = False
    """Turn, half of the chips by any angle, half by quarter turns."""
    gain: float = 0.0
    """Largest relative change of a reflectance band, e.g. 0.1; one draw a band and chip."""
    offset: float = 0.0
    """Largest absolute change of a reflectance band, in reflectance."""

    def __call__(
        self,
        pixels: NDArray[np.float32],
        label: NDArray[np.uint8],
        names: Sequence[str],
        rng: np.random.Generator,
        azimuth_deg: float | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return a chip `(C, H, W)` and its label `(H, W)` changed at random; unobserved pixels
        stay NaN.

        `azimuth_deg`: of the light in band `hillshade`, only needed for ``hillshade="safe"``.
        The number of draws from `rng` does not depend on the chip.
        """
        geometry = self.draw(names, rng, azimuth_deg)
        if geometry.matrix is not None:
            pixels, label = _warped(pixels, label, geometry.matrix)
        for how in geometry.mirrors:
            pixels, label = mirror_bands(pixels, names, how), mirror(label, how)
        if self.gain or self.offset:
            optical = np.array([parse_band(name).band.unit == _JITTERED for name in names])
            gain = 1 + np.where(optical, rng.uniform(-self.gain, self.gain, len(names)), 0)
            offset = np.where(optical, rng.uniform(-self.offset, self.offset, len(names)), 0)
            pixels = (pixels * gain[:, None, None] + offset[:, None, None]).astype(np.float32)
        return np.ascontiguousarray(pixels), np.ascontiguousarray(label)

    def draw(
        self, names: Sequence[str], rng: np.random.Generator, azimuth_deg: float | None = None
    ) -> Geometry:
        """Return what becomes of a chip's ground this time.

        Raises:
            RequestError: chips are to be turned, and a band knows where north or the light is.
        """
        warped = self.scale or self.aspect or self.rotate
        matrix = self._matrix(names, rng) if warped else None
        return Geometry(matrix, tuple(self._mirrors(names, rng, azimuth_deg)))

    def _matrix(self, names: Sequence[str], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return how a chip is zoomed, stretched and turned."""
        bound = [name for name in names if name.startswith(("aspect", "hillshade"))]
        if self.rotate and bound:
            raise RequestError(
                f"chips with {', '.join(bound)} cannot be turned: the light would come "
                "from elsewhere",
                "Set `augmentation.rotate: false`, or leave the band out.",
            )
        angle = rng.uniform(0, 2 * np.pi) if self.rotate else 0.0
        if rng.random() < 0.5:
            angle = np.round(angle / (np.pi / 2)) * (np.pi / 2)
        down = np.exp(self.scale * rng.normal())
        across = down * np.exp(self.aspect * rng.normal())
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.asarray(turn * np.array([down, across]))

    def _mirrors(
        self, names: Sequence[str], rng: np.random.Generator, azimuth_deg: float | None
    ) -> list[Mirror]:
        if self.mirrors == "none":
            return []
        allowed = safe_mirrors(names, self.hillshade, azimuth_deg)
        if self.mirrors == "flips":
            allowed = tuple(how for how in allowed if how is not Mirror.DIAGONAL)
        if self.mirrors == "paper":
            return [allowed[rng.integers(len(allowed))]]
        return [
            how
            for how, wanted in zip(allowed[1:], rng.random(len(allowed) - 1) < 0.5, strict=True)
            if wanted
        ]


def _warped(
    pixels: NDArray[np.float32], label: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a chip zoomed, stretched and turned about its middle; labels beyond its edge are 255,
    pixels there mirrored.
    """
    middle = (np.array(label.shape) - 1) / 2
    offset = middle - matrix @ middle
    known = np.isfinite(pixels)
    moved = np.stack(
        [
            ndimage.affine_transform(
                np.where(k, band, np.nanmean(band) if k.any() else 0.0), matrix, offset,
                order=1, mode="mirror",
            )
            for band, k in zip(pixels, known, strict=True)
        ]
    )  # fmt: skip
    if not known.all():
        hidden = [
            ndimage.affine_transform(k.astype(np.float32), matrix, offset, order=1, mode="mirror")
            for k in known
        ]
        moved[np.stack(hidden) < 0.999] = np.nan
    labels = ndimage.affine_transform(label, matrix, offset, order=0, mode="constant", cval=IGNORED)
    return moved.astype(np.float32), labels.astype(np.uint8)
