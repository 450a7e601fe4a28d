"""What a file counts in: metres or feet, degrees or radians, by the unit it names itself.

Names and sizes of lengths are PROJ's own database of units; heights may also get theirs from a
vertical CRS.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

import pyproj
from pyproj.database import get_units_map

from configs.bands import Band
from configs.errors import RequestError

_LENGTHS: Final = {
    "m": 1.0,
    "meter": 1.0,
    "us survey feet": 1200 / 3937,
    "feet": 0.3048,
    "ftus": 1200 / 3937,
    "usft": 1200 / 3937,
    "us ft": 1200 / 3937,
    "foot us": 1200 / 3937,
    "us foot": 1200 / 3937,
    "ft int": 0.3048,
    "ft (int)": 0.3048,
    "ft us": 1200 / 3937,
    "ft (us)": 1200 / 3937,
    "international foot": 0.3048,
    "international feet": 0.3048,
    "kilometer": 1000.0,
    "centimeter": 0.01,
    "millimeter": 0.001,
    "decimetre": 0.1,
}
"""Ways of writing that PROJ does not list, in metres."""
_ANGLES: Final = {"degree": 1.0, "deg": 1.0, "°": 1.0, "radian": math.degrees(1), "rad": 57.29578}
_NO_UNIT: Final = ("", "unknown", "none", "unitless", "-", "1")


def factor(
    band: Band | None, named: str | None, crs: pyproj.CRS, given: str | None, what: str
) -> float:
    """Return what turns a file's numbers into a band's unit; 1 for bands whose numbers have none.

    Args:
        band: what the numbers are; only lengths (``m``) and angles (``degree``) are converted.
        named: the unit that the file's band names, if any.
        crs: the file's CRS, perhaps with a vertical part.
        given: the unit that the user names, who knows best.
        what: for messages: which layer of which file.

    Raises:
        RequestError: a unit that is not known, or a height on a map in feet that names none.
    """
    if band is None or band.unit not in ("m", "degree"):
        return 1.0
    unit = named if named and named.strip().lower() not in _NO_UNIT else None
    unit = given or unit
    sizes = _lengths() if band.unit == "m" else _ANGLES
    if unit is not None:
        name = _plain(unit)
        found = sizes.get(name) or sizes.get(name.removesuffix("s"))
        if found is None:
            raise RequestError(
                f"{what} is in `{unit}`, which is no {'length' if band.unit == 'm' else 'angle'} "
                "that is known",
                f"Say what it is in with `unit: {band.unit}` in the manifest"
                f"{' (or ft, us-ft)' if band.unit == 'm' else ''}, or convert the file.",
            )
        return found
    if band.name != "dem":
        return 1.0
    upward, across = _vertical(crs)
    if upward is not None:
        return upward
    if across != 1.0:
        raise RequestError(
            f"{what} does not say what its heights are in, and its map counts in "
            f"{crs.axis_info[0].unit_name}",
            "Add `unit: m`, `unit: ft` or `unit: us-ft` to that layer of the manifest.",
        )
    return 1.0


def _plain(unit: str) -> str:
    return " ".join(unit.lower().replace("_", " ").replace("-", " ").replace(".", "").split())


@lru_cache(maxsize=1)
def _lengths() -> dict[str, float]:
    """Return metres by the names of lengths, in small letters."""
    found = {}
    for unit in get_units_map(category="linear").values():
        for name in (unit.name, unit.proj_short_name):
            if name and "decim" not in name and name != "dm":  # PROJ 9 has 0.01 m for a decimetre
                found[_plain(name)] = float(unit.conv_factor)
    return found | _LENGTHS


def _vertical(crs: Any) -> tuple[float | None, float]:
    """Return (metres per unit of height, None without a vertical axis; metres per unit of the map,
    1 for degrees).
    """
    axes = crs.axis_info
    upward = float(axes[2].unit_conversion_factor) if len(axes) > 2 else None
    across = 1.0 if crs.is_geographic or not axes else float(axes[0].unit_conversion_factor)
    return upward, across
