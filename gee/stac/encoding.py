"""What a scene's numbers mean: which offset is in them, by what its item says and by its pixels.

From processing baseline 04.00 on 1000 is added to Sentinel-2's numbers. Some catalogues take it
off again, some tell so, and what they tell is wrong for part of the items (Element84/earth-search
issues 66 and 71, cirrus-geo/cirrus-earth-search issue 33); one catalogue tells nothing and mixes
baselines (microsoft/PlanetaryComputer issue 134). The date is no sign: old dates are processed
anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pystac

from gee.plausible import OFFSET, dark_at_offset, no_reflectance, too_bright, too_dark
from gee.rasters import Array
from gee.stac.items import asset_of, baseline, told

SCALE: Final = 1e-4
_OFFSET_BASELINE: Final = 4.0
FLAG: Final = "earthsearch:boa_offset_applied"


@dataclass(frozen=True)
class Encoding:
    """Reflectance = number * scale + offset."""

    scale: float
    offset: float
    reason: str
    """How it was found out, in words."""
    doubt: str = ""
    """What looks wrong all the same, for people."""

    def as_plain(self) -> dict[str, Any]:
        """Return it for the provenance, JSON types."""
        return {"scale": self.scale, "offset": self.offset, "offset_by": self.reason}


class SpoiltError(Exception):
    """A scene whose numbers are no reflectances whatever the offset."""


def said(item: pystac.Item) -> Encoding:
    """Return what an item tells of its numbers, by the fields that are most often right."""
    red = asset_of(item, "B4") or asset_of(item, "B8")
    numbers = told(red) if red else {}
    scale = numbers.get("scale", SCALE)
    version, flag = baseline(item), item.properties.get(FLAG)
    if flag is True:
        return Encoding(scale, 0.0, "the item says that the offset is taken off")
    if version is not None and version < _OFFSET_BASELINE:
        return Encoding(scale, 0.0, f"baseline {version:05.2f} has none")
    if version is not None:
        return Encoding(scale, -OFFSET, f"baseline {version:05.2f} has one")
    offset = numbers.get("offset", 0.0)
    return Encoding(scale, offset, "the item says so" if "offset" in numbers else "nothing is said")


def decided(item: pystac.Item, clear: Mapping[str, Array]) -> Encoding:
    """Return what a scene's numbers mean, by its item and its pixels; pixels are believed before
    the item.

    Args:
        item: the scene's item.
        clear: stack band -> the file's numbers of clear ground, NaN where not known.

    Raises:
        SpoiltError: the numbers are no reflectances.
    """
    first = said(item)
    seen = {name: (values * first.scale + first.offset) for name, values in clear.items()}
    if no_reflectance(seen):
        raise SpoiltError("its numbers are no reflectances")
    if first.offset < 0 and too_dark(seen):
        return Encoding(
            first.scale, 0.0, f"its pixels: no offset is in them, though {first.reason}"
        )
    if first.offset == 0 and too_bright(seen):
        version = baseline(item)
        if dark_at_offset(seen) and (version is None or version >= _OFFSET_BASELINE):
            reason = f"its pixels: the offset is in them, though {first.reason}"
            return Encoding(first.scale, -OFFSET, reason)
        if item.properties.get(FLAG) is not True:
            doubt = f"no clear pixel of {item.id} is darker than {OFFSET}, and {first.reason}"
            return replace(first, doubt=doubt)
    return first
