"""Six invented landscapes that differ as real domains do (relief, cover, season, weather, traps).

All numbers are *typical* values chosen by trial: relief against the real elevation models of Iburi,
Jiuzhaigou, Big Tujunga and Leh, brightness against the Iburi bands and the near-infrared tiles
(docs/simulated-earth.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class _Relief:
    """How the ground is shaped. Lengths and heights in metres."""

    base_m: float
    """Elevation of the valley floors, on average."""
    broad_m: float
    """Amplitude of regional relief (wavelength 18 km)."""
    valley_m: float
    """Spacing of the main valleys."""
    valley_depth_m: float
    side_m: float
    """Spacing of the side valleys."""
    side_depth_m: float
    floor_m: float
    """Half-width of the flat floor of a main valley."""
    gully_m: float
    """Longest wavelength of the gullies; each octave halves it."""
    gully_octaves: int
    gully_strength: float
    """Cross-slope of a gully relative to the slope it is cut into."""
    rough_m: float
    """Amplitude of undirected small relief (wavelength 180 m)."""


@dataclass(frozen=True)
class Ground:
    """What fails, and how."""

    cohesion_kpa: float
    friction_deg: float
    thickness_m: float
    wetness: float
    """Share of the slab thickness below the water table."""
    susceptibility: float
    """Number of slides relative to Malamud et al. 2004 (0.3-10)."""
    area_scale: float
    """Factor on the slide areas of Malamud et al. 2004."""
    slope_unit_m: float
    """Length of hillside that one slide can use up; at most `slides.LONGEST_M`."""
    rockiness: float
    """Mean share of grey rock in fresh scars; the rest is soil."""
    soil: tuple[float, ...]
    """Surface reflectance of fresh soil, B2 B3 B4 B8 B11 B12."""
    rock: tuple[float, ...]
    remnant: float
    """Mean share of a scar that vegetation rafts and debris still cover."""
    faintest: float
    """How much of its material the least conspicuous scar shows; the others up to 0.95."""
    darkest: float
    """Brightness of the darkest scar relative to `soil` and `rock`; the brightest is 1.2."""


@dataclass(frozen=True)
class Cover:
    """What grows and lies on the ground. Shares are 0-1 of the ground that could carry it."""

    forest: float
    deciduous: float
    """Share of the forest that drops its leaves."""
    broadleaf_evergreen: bool
    treeline_m: float
    grass_dryness: float
    """0 green all year, 1 straw-coloured in the dry season."""
    rock_slope_deg: float
    """Slope from which bare rock shows."""
    bare: float
    """Share of bare or eroded ground among open slopes."""
    fields: float
    """Share of valley floors under the plough."""
    terraces: float
    """Share of gentle slopes with terraced fields."""
    old_scars: float
    """Old scars per square kilometre of failing ground."""
    clear_cuts: float
    roads: float
    burns: float
    bar_m: float
    """Half-width of river gravel."""
    texture: float
    """Relative spread of brightness from pixel to pixel."""
    stress: float
    """Amplitude of passing patches of pale vegetation."""


@dataclass(frozen=True)
class Weather:
    """Season and sky."""

    cloud_mean: float
    """Mean cloud fraction of an acquisition."""
    cloud_spread: float
    """0: every day alike; 1: all or nothing."""
    snow_winter_m: float
    """Snow line at its lowest."""
    snow_summer_m: float
    green_up_day: float
    """Day of the year (northern hemisphere) of leaf-out at 500 m."""
    leaf_fall_day: float
    dry_season_day: float
    """Day of the year when grass is driest."""
    haze: float


@dataclass(frozen=True)
class Landscape:
    """A domain: one kind of country."""

    name: str
    stands_for: str
    relief: _Relief
    ground: Ground
    cover: Cover
    weather: Weather


_GREY = (0.12, 0.15, 0.17, 0.22, 0.25, 0.22)
_PALE = (0.13, 0.155, 0.175, 0.22, 0.25, 0.22)

_ALL = (
    Landscape(
        "tephra-hills",
        "Iburi 2018",
        _Relief(20, 60, 5200, 75, 1050, 105, 200, 520, 3, 0.95, 4),
        Ground(
            6.0,
            34,
            1.5,
            0.35,
            8.0,
            3.6,
            400,
            0.05,
            (0.085, 0.12, 0.165, 0.25, 0.31, 0.26),
            _GREY,
            0.36,
            0.22,
            0.7,
        ),
        Cover(
            0.80, 0.85, False, 1600, 0.6, 50, 0.06, 0.75, 0.08, 1.5, 0.95, 0.4, 0.05, 22, 0.2, 0.21
        ),
        Weather(0.55, 0.75, -200, 3500, 132, 290, 100, 0.5),
    ),
    Landscape(
        "alpine-valley",
        "Jiuzhaigou 2017",
        _Relief(2250, 500, 7800, 900, 3000, 400, 60, 1300, 4, 0.65, 9),
        Ground(
            12.0,
            37,
            2.0,
            0.2,
            6.0,
            2.0,
            600,
            0.6,
            (0.10, 0.13, 0.165, 0.24, 0.29, 0.25),
            _PALE,
            0.28,
            0.28,
            0.7,
        ),
        Cover(
            0.74, 0.12, False, 3650, 0.6, 45, 0.12, 0.1, 0.05, 2.0, 0.6, 0.35, 0.02, 14, 0.2, 0.08
        ),
        Weather(0.6, 0.7, 2500, 4300, 120, 290, 30, 0.35),
    ),
    Landscape(
        "tropical-range",
        "Palu 2018",
        _Relief(40, 600, 8000, 650, 2600, 260, 260, 1000, 4, 0.7, 6),
        Ground(
            7.0,
            33,
            2.0,
            0.4,
            6.0,
            3.0,
            600,
            0.15,
            (0.065, 0.095, 0.155, 0.25, 0.31, 0.26),
            _GREY,
            0.35,
            0.2,
            0.66,
        ),
        Cover(0.70, 0.0, True, 4500, 0.75, 47, 0.10, 0.5, 0.1, 2.0, 1.0, 0.4, 0.25, 60, 0.17, 0.19),
        Weather(0.72, 0.6, 5000, 6500, 1, 365, 255, 0.8),
    ),
    Landscape(
        "deep-gorge",
        "Luding 2022",
        _Relief(1250, 700, 9500, 1250, 3200, 400, 40, 1300, 4, 0.62, 9),
        Ground(
            10.0,
            36,
            2.2,
            0.3,
            3.5,
            2.2,
            600,
            0.4,
            (0.10, 0.13, 0.165, 0.24, 0.295, 0.25),
            _GREY,
            0.27,
            0.34,
            0.68,
        ),
        Cover(
            0.62, 0.45, False, 3500, 0.55, 46, 0.12, 0.55, 0.35, 2.0, 0.4, 0.8, 0.06, 40, 0.19, 0.1
        ),
        Weather(0.7, 0.65, 2600, 4800, 100, 310, 40, 0.7),
    ),
    Landscape(
        "loess-basin",
        "Bailong river 2008-2013",
        _Relief(1050, 400, 7500, 480, 1800, 240, 150, 700, 4, 0.8, 4),
        Ground(
            8.0,
            31,
            2.5,
            0.3,
            4.0,
            2.8,
            600,
            0.1,
            (0.125, 0.17, 0.22, 0.295, 0.355, 0.31),
            _PALE,
            0.3,
            0.25,
            0.68,
        ),
        Cover(
            0.25, 0.6, False, 3000, 0.7, 48, 0.22, 0.7, 0.45, 1.5, 0.85, 0.5, 0.04, 45, 0.14, 0.19
        ),
        Weather(0.5, 0.75, 1900, 5000, 115, 300, 80, 0.6),
    ),
    Landscape(
        "dry-mountains",
        "Kaikoura 2016, Hindu Kush",
        _Relief(250, 800, 8600, 900, 2700, 330, 130, 1100, 4, 0.65, 7),
        Ground(
            11.0,
            36,
            1.8,
            0.12,
            4.0,
            2.6,
            600,
            0.6,
            (0.135, 0.17, 0.21, 0.285, 0.345, 0.31),
            _PALE,
            0.1,
            0.7,
            0.85,
        ),
        Cover(
            0.15, 0.2, False, 1900, 0.8, 48, 0.06, 0.45, 0.1, 1.5, 0.3, 0.4, 0.08, 70, 0.14, 0.06
        ),
        Weather(0.4, 0.8, 1900, 4400, 95, 320, 235, 0.35),
    ),
)

LANDSCAPES: Mapping[str, Landscape] = MappingProxyType({one.name: one for one in _ALL})
"""Every landscape by name."""
