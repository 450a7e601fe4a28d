"""Whether the numbers of an optical scene can be reflectances: what metadata say about them is
wrong now and then, in archives and in public catalogues alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from configs.bands import BANDS, parse_band
from gee.rasters import Array

OFFSET: Final = 0.1
"""Reflectance that Sentinel-2 files of processing baseline 04.00 (25 January 2022) and later hold
too much, until 1000 is taken from their numbers (ESA, Sentinel-2 Products Specification
Document)."""
_ODD_SHARE, _FEWEST_PX = 0.001, 400
REFLECTANCES: Final = frozenset(
    name for name, band in BANDS.items() if band.unit == "reflectance" and not band.static
)
_SHADOW: Final = 0.08
"""Reflectance that the darkest thousandth of a landscape hardly exceeds in any band but the near
infrared; chosen above leaves in the short-wave infrared and below dry sand in the red."""
_VISIBLE: Final = ("B2", "B3", "B4")
_NEGATIVE: Final = -0.005
_NEGATIVE_SHARE: Final = 0.2
"""Atmospheric correction leaves a few per cent of dark pixels below zero; of ground whose offset
was taken off twice it is most of what is green or wet. Chosen between the two."""
_BRIGHTEST: Final = 2.0
"""No clear ground reflects so much: median of a scene whose numbers are none
(Element84/earth-search issue 78: 64 000 and more)."""


def too_bright(pixels: Mapping[str, Array]) -> bool:
    """Return whether every known pixel of every optical band is at least as bright as the offset
    alone would make black ground: somewhere in a landscape lies water or shadow.

    Args:
        pixels: stack band -> reflectance, NaN where not known.
    """
    known = list(_optical(pixels, REFLECTANCES))
    return bool(known) and all(
        len(values) >= _FEWEST_PX and np.quantile(values, _ODD_SHARE) >= OFFSET for values in known
    )


def dark_at_offset(pixels: Mapping[str, Array]) -> bool:
    """Return whether the darkest ground of every optical band reflects just as much as the offset
    alone makes of shadow or water: unlike sand and snow, whose bands differ or are far brighter.
    """
    return too_bright(pixels) and all(
        np.quantile(values, _ODD_SHARE) <= OFFSET + _SHADOW
        for values in _optical(pixels, REFLECTANCES)
    )


def too_dark(pixels: Mapping[str, Array]) -> bool:
    """Return whether much of the ground reflects less than nothing in a visible band, as if an
    offset had been taken off that was not in the numbers.
    """
    return any(
        len(values) >= _FEWEST_PX and np.mean(values < _NEGATIVE) > _NEGATIVE_SHARE
        for values in _optical(pixels, _VISIBLE)
    )


def no_reflectance(pixels: Mapping[str, Array]) -> bool:
    """Return whether clear ground in some band reflects more than anything can: the file is
    spoilt.
    """
    return any(
        len(values) >= _FEWEST_PX and np.median(values) > _BRIGHTEST
        for values in _optical(pixels, REFLECTANCES)
    )


def _optical(pixels: Mapping[str, Array], bands: Iterable[str]) -> Iterable[Array]:
    """Yield the known values of each of some bands."""
    for name, values in pixels.items():
        if parse_band(name).band.name in bands:
            yield values[np.isfinite(values)]
