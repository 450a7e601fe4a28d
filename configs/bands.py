"""What a band *is*: its unit, range, resolution and how it is stored. A stack band is a base band
seen in a window.

Names in a stack: ``pre_B4``, ``post_NDVI`` (window and base), or the base alone where time does not
matter (``slope``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from configs.errors import RequestError


class When(StrEnum):
    """The two observation windows of a run."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True)
class Band:
    """A physical quantity per pixel and the integers it is stored as.

    ``value = stored * scale + offset``; the stored value ``nodata`` means "not known here".
    """

    name: str
    unit: str
    low: float
    """Smallest physical value that can be stored."""
    high: float
    """Largest physical value that can be stored."""
    scale: float
    offset: float
    dtype: str
    nodata: int
    resolution_m: float
    """Native ground resolution in metres; 20 m and 60 m Sentinel-2 bands are truly coarser than the
    grid.
    """
    static: bool
    """Whether the band is the same before and after the event (terrain, factors)."""
    title: str


def _optical(name: str, resolution_m: float, title: str) -> Band:
    # Earth Engine's own scale for Sentinel-2 and Landsat TOA: 1e-4 (facts: collection pages). 0 is
    # its "no data".
    return Band(
        name, "reflectance", 0.0001, 6.5534, 1e-4, 0.0, "uint16", 0, resolution_m, False, title
    )


def _index(name: str, title: str) -> Band:
    return Band(name, "1", -1.0, 1.0, 1e-4, 0.0, "int16", -32768, 10.0, False, title)


def _radar(name: str, title: str) -> Band:
    return Band(name, "dB", -60.0, 30.0, 0.01, 0.0, "int16", -32768, 10.0, False, title)


def _static(
    name: str, unit: str, low: float, high: float, scale: float, resolution_m: float, title: str
) -> Band:
    return Band(name, unit, low, high, scale, 0.0, "int16", -32768, resolution_m, True, title)


_ALL: Final = (
    _optical("B1", 60, "coastal aerosol"),
    _optical("B2", 10, "blue"),
    _optical("B3", 10, "green"),
    _optical("B4", 10, "red"),
    _optical("B5", 20, "red edge 1"),
    _optical("B6", 20, "red edge 2"),
    _optical("B7", 20, "red edge 3"),
    _optical("B8", 10, "near infrared"),
    _optical("B8A", 20, "narrow near infrared"),
    _optical("B9", 60, "water vapour"),
    _optical("B11", 20, "short-wave infrared 1"),
    _optical("B12", 20, "short-wave infrared 2"),
    _index("NDVI", "normalised difference vegetation index (B8 - B4) / (B8 + B4)"),
    _index("MNDWI", "modified normalised difference water index (B3 - B11) / (B3 + B11)"),
    _radar("VV", "Sentinel-1 backscatter, vertical-vertical"),
    _radar("VH", "Sentinel-1 backscatter, vertical-horizontal"),
    _static("dem", "m", -500, 9000, 0.5, 30, "elevation"),
    _static("slope", "degree", 0, 90, 0.01, 30, "slope"),
    _static(
        "hillshade",
        "1",
        0,
        255,
        0.01,
        30,
        "hillshade, azimuth and altitude in the stack's attributes",
    ),
    _static("aspect_sin", "1", -1, 1, 1e-4, 30, "sine of the aspect (clockwise from true north)"),
    _static("aspect_cos", "1", -1, 1, 1e-4, 30, "cosine of the aspect (clockwise from true north)"),
    _static("curvature", "1/100 m", -32, 32, 0.001, 30, "curvature, positive on ridges"),
    _static("river_distance", "m", 0, 60000, 2, 10, "distance to the nearest river"),
    _static("fault_distance", "m", 0, 60000, 2, 10, "distance to the nearest fault"),
    _static("lithology", "class", 0, 1000, 1, 10, "coded lithology"),
    _static("water", "percent", 0, 100, 0.01, 30, "occurrence of surface water"),
)
BANDS: Final[dict[str, Band]] = {band.name: band for band in _ALL}
"""Every base band by name."""

DERIVED: Final[dict[str, tuple[str, ...]]] = {
    "NDVI": ("B8", "B4"),
    "MNDWI": ("B3", "B11"),
    "slope": ("dem",),
    "hillshade": ("dem",),
    "aspect_sin": ("dem",),
    "aspect_cos": ("dem",),
    "curvature": ("dem",),
}
"""Bands computed on our side by ``gee.derive``, and from what."""


TERRAIN: Final = frozenset(
    {"dem", *(name for name, inputs in DERIVED.items() if inputs == ("dem",))}
)
"""Elevation and what is made of it."""
RADAR: Final = ("VV", "VH")
"""Bands that see through cloud."""


@dataclass(frozen=True)
class StackBand:
    """A band of a stack: the base band and, unless it is static, the window it is seen in."""

    band: Band
    when: When | None

    @property
    def name(self) -> str:
        """Return the name in the stack, e.g. ``post_B4`` or ``slope``."""
        return f"{self.when}_{self.band.name}" if self.when else self.band.name


def parse_band(name: str) -> StackBand:
    """Return what a stack band's name means.

    Raises:
        RequestError: the name is not a base band, or its window is missing or too much.
    """
    when, _, base = name.partition("_")
    if when in (When.PRE, When.POST) and base in BANDS and not BANDS[base].static:
        return StackBand(BANDS[base], When(when))
    if name in BANDS and BANDS[name].static:
        return StackBand(BANDS[name], None)
    raise RequestError(
        f"unknown band `{name}`",
        f"Use pre_/post_ with one of {', '.join(b.name for b in _ALL if not b.static)}; "
        f"or one of {', '.join(b.name for b in _ALL if b.static)}.",
    )


def inputs_of(names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the stack bands a source must deliver so that `names` can be had, derived ones
    replaced by their inputs.
    """
    wanted: dict[str, None] = {}
    for name in names:
        parsed = parse_band(name)
        for base in DERIVED.get(parsed.band.name, (parsed.band.name,)):
            wanted[StackBand(BANDS[base], None if BANDS[base].static else parsed.when).name] = None
    return tuple(wanted)
