"""What recipes hand to the puller: an image expression and the types its bands travel in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ee
import numpy as np
from numpy.typing import NDArray

from configs.records import ObservationClass, Scene
from gee.earthengine.codes import CLASSES, code_dtype, first_code, not_imaged

CODE = "code"
_CASTS = {"uint8": "toUint8", "uint16": "toUint16", "int16": "toInt16", "float32": "toFloat"}


@dataclass(frozen=True)
class Travel:
    """How a measured band travels: ``value = stored * scale``; `nodata` where not known."""

    dtype: str
    scale: float
    nodata: int

    def read(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return physical values, float32, NaN where not known."""
        values = stored.astype(np.float32) * np.float32(self.scale)
        values[stored == self.nodata] = np.nan
        return values


REFLECTANCE = Travel("uint16", 1e-4, 0)
"""Sentinel-2's own counts (assets.DN_SCALE); 0 is "not known", so a dark pixel counts 1 at least."""
DECIBEL = Travel("int16", 0.01, -32768)
PERCENT = Travel("uint8", 1.0, 255)


@dataclass(frozen=True)
class Recipe:
    """Some bands seen in one window by one instrument, composited from `scenes`."""

    image: Any
    """`ee.Image`: the bands, then the pixel code; everything typed, nothing masked."""
    bands: Mapping[str, Travel]
    scenes: tuple[Scene, ...]
    """In the order of their code slots."""

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each band of `image`, in order."""
        return {**{name: travel.dtype for name, travel in self.bands.items()}, CODE: code_dtype(len(self.scenes))}


def layered(
    images: Sequence[Any], bands: Mapping[str, Travel], scenes: tuple[Scene, ...], water: Any | None = None
) -> Recipe:
    """Return the composite in which, at each pixel, the first unmasked image shows.

    Args:
        images: `ee.Image` each, best first, with the bands and a ``code`` band.
        bands: how each band travels.
        scenes: in the order of the codes' slots.
        water: non-zero where permanent water is, which is then what was seen there.
    """
    dtype = code_dtype(len(scenes))
    if not images:
        return blank(bands)
    # `mosaic` puts the last image on top.
    top = ee.ImageCollection.fromImages(list(reversed(images))).mosaic()
    parts = [cast(top.select(name), travel.dtype, travel.nodata) for name, travel in bands.items()]
    code = top.select(CODE)
    if water is not None:
        seen = code.subtract(1).mod(CLASSES)
        code = code.where(water, code.subtract(seen).add(int(ObservationClass.WATER)))
    parts.append(cast(code, dtype, not_imaged(dtype)))
    return Recipe(ee.Image.cat(parts).rename([*bands, CODE]), bands, scenes)


def clear_first(
    images: Sequence[Any], bands: Mapping[str, Travel], scenes: tuple[Scene, ...], water: Any | None = None
) -> Recipe:
    """Return the composite of each pixel's first clear image; where none is clear, the first that was taken at all."""
    clear = [
        image.updateMask(image.select(CODE).eq(first_code(slot) + int(ObservationClass.CLEAR)))
        for slot, image in enumerate(images)
    ]
    return layered([*clear, *images], bands, scenes, water)


def blank(bands: Mapping[str, Travel]) -> Recipe:
    """Return what a window looks like that no scene shows."""
    dtype = code_dtype(0)
    parts = [cast(ee.Image.constant(travel.nodata), travel.dtype, travel.nodata) for travel in bands.values()]
    parts.append(cast(ee.Image.constant(not_imaged(dtype)), dtype, not_imaged(dtype)))
    return Recipe(ee.Image.cat(parts).rename([*bands, CODE]), bands, ())


def cast(image: Any, dtype: str, nodata: float) -> Any:
    """Return an image in a type, its masked pixels filled, beyond its footprint too."""
    return getattr(image.unmask(nodata, False), _CASTS[dtype])()
