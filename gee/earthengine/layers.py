"""What recipes hand to the puller: an image expression and the types its bands travel in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ee
import numpy as np
from numpy.typing import NDArray

from configs.bands import Band
from configs.records import ObservationClass, Scene
from gee.earthengine import pixel_codes
from gee.earthengine.pixel_codes import CLASSES, COUNTS, code_dtype, first_code, not_imaged

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
        # Rounded once, as an archive reads the same integers: an index of two bands is then the
        # same bit for bit.
        values = (stored.astype(np.float64) * self.scale).astype(np.float32)
        unknown = stored == self.nodata
        if unknown.any():
            values[unknown] = np.nan
        return values

    def is_of(self, band: Band) -> bool:
        """Return whether a stack stores a band in these very integers."""
        return (self.dtype, self.scale, self.nodata, 0.0) == (
            band.dtype,
            band.scale,
            band.nodata,
            band.offset,
        )


REFLECTANCE = Travel("uint16", 1e-4, 0)
"""Sentinel-2's own counts (assets.DN_SCALE); 0 is "not known", so a dark pixel counts 1 at least,
and the brightest 32767: reflectance beyond 3.28 is glint or a fire, and the top bit has another use
(`pixel_codes.pack`)."""
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
    def packed(self) -> bool:
        """Return whether the code travels in the top bits of the bands instead of a byte of its
        own.
        """
        return _packed(self.bands, len(self.scenes))

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each band of `image`, in order."""
        code = {} if self.packed else {CODE: code_dtype(len(self.scenes))}
        return {name: travel.dtype for name, travel in self.bands.items()} | code

    def read_code(self, layers: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the code of every pixel, checked; where it was packed, the layers lose it.

        Raises:
            Damaged: a code that no scene has.
        """
        code = (
            pixel_codes.unpack([layers[name] for name in self.bands])
            if self.packed
            else layers[CODE]
        )
        pixel_codes.check_codes(code, len(self.scenes))
        return code


def _packed(bands: Mapping[str, Travel], scenes: int) -> bool:
    reflectances = all(travel == REFLECTANCE for travel in bands.values())
    return reflectances and len(bands) >= pixel_codes.CODE_BITS and code_dtype(scenes) == "uint8"


def layered(
    images: Sequence[Any],
    bands: Mapping[str, Travel],
    scenes: tuple[Scene, ...],
    water: Any | None = None,
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
    values = ee.Image.cat(
        [
            _travelling(top.select([name for name in bands if bands[name] == one]), one)
            for one in _kinds(bands)
        ]
    )
    code = top.select(CODE)
    if water is not None:
        seen = code.subtract(1).mod(CLASSES)
        code = code.where(water, code.subtract(seen).add(int(ObservationClass.WATER)))
    return _recipe(values, cast(code, dtype, not_imaged(dtype)), bands, scenes)


def clear_first(
    images: Sequence[Any],
    bands: Mapping[str, Travel],
    scenes: tuple[Scene, ...],
    water: Any | None = None,
) -> Recipe:
    """Return the composite of each pixel's first clear image; where none is clear, the first that
    was taken at all.
    """
    clear = [
        image.updateMask(image.select(CODE).eq(first_code(slot) + int(ObservationClass.CLEAR)))
        for slot, image in enumerate(images)
    ]
    return layered([*clear, *images], bands, scenes, water)


def blank(bands: Mapping[str, Travel]) -> Recipe:
    """Return what a window looks like that no scene shows."""
    dtype = code_dtype(0)
    values = ee.Image.cat(
        [
            cast(
                ee.Image.constant([one.nodata for name in bands if bands[name] == one]),
                one.dtype,
                one.nodata,
            )
            for one in _kinds(bands)
        ]
    ).rename([name for one in _kinds(bands) for name in bands if bands[name] == one])
    return _recipe(
        values, cast(ee.Image.constant(not_imaged(dtype)), dtype, not_imaged(dtype)), bands, ()
    )


def _kinds(bands: Mapping[str, Travel]) -> list[Travel]:
    """Return the ways that bands travel: all of one way are one operation in the graph."""
    return list(dict.fromkeys(bands.values()))


def _recipe(
    values: Any, code: Any, bands: Mapping[str, Travel], scenes: tuple[Scene, ...]
) -> Recipe:
    if _packed(bands, len(scenes)):
        return Recipe(pixel_codes.pack(values, [*bands], code), bands, scenes)
    return Recipe(
        ee.Image.cat([values.select([*bands]), code]).rename([*bands, CODE]), bands, scenes
    )


def _travelling(image: Any, travel: Travel) -> Any:
    bounded = image.min(COUNTS) if travel == REFLECTANCE else image
    return cast(bounded, travel.dtype, travel.nodata)


def cast(image: Any, dtype: str, nodata: float) -> Any:
    """Return an image in a type, its masked pixels filled, beyond its footprint too."""
    return getattr(image.unmask(nodata, False), _CASTS[dtype])()
