"""The public data sets that the recipes read, and the facts about them that code depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

S2_TOA: Final = "COPERNICUS/S2_HARMONIZED"
S2_SURFACE: Final = "COPERNICUS/S2_SR_HARMONIZED"
CLOUD_SCORE: Final = "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
"""Joins Sentinel-2 of either level by ``system:index``. The backfill is incomplete: a scene may
have no match.
"""
CLOUD_PROBABILITY: Final = "COPERNICUS/S2_CLOUD_PROBABILITY"
S1_POWER: Final = "COPERNICUS/S1_GRD_FLOAT"
"""Linear power, where a speckle filter belongs; S1_GRD holds the same in dB and comes later."""
LANDSAT_FINAL: Final = ("LANDSAT/LC08/C02/T1_TOA", "LANDSAT/LC09/C02/T1_TOA")
"""Landsat-8 and 9 top of atmosphere; the surface product has no panchromatic band."""
LANDSAT_REAL_TIME: Final = "LANDSAT/LC08/C02/T1_RT_TOA"
"""The same with scenes of the last month, whose place and calibration are preliminary; each is
taken out when its final version comes. Landsat-9 has none: its scenes are final at once
(https://developers.google.com/earth-engine/guides/landsat).
"""
WATER: Final = "JRC/GSW1_4/GlobalSurfaceWater"

DN_SCALE: Final = 1e-4
"""Reflectance per count of Sentinel-2 (both levels); Landsat's floats travel in the same counts."""


@dataclass(frozen=True)
class _Dem:
    """An elevation model."""

    asset: str
    band: str
    is_collection: bool
    """True where it is a collection of tiles, whose mosaic has lost its projection."""
    whole_metres: bool
    """Whether the heights are integers, which travel in half the bytes."""
    south: float
    north: float
    """Latitudes that it covers, degrees."""


DEMS: Final[dict[str, _Dem]] = {
    "srtm": _Dem("USGS/SRTMGL1_003", "elevation", False, True, -56.0, 60.0),
    "nasadem": _Dem("NASA/NASADEM_HGT/001", "elevation", False, True, -56.0, 60.0),
    "aw3d30": _Dem("JAXA/ALOS/AW3D30/V4_1", "DSM", True, True, -84.0, 84.0),
    "glo30": _Dem("COPERNICUS/DEM/GLO30_2024_1", "DEM", True, False, -90.0, 90.0),
}


AUTOMATIC: Final = ("srtm", "glo30")
"""What ``auto`` chooses from: the first within its latitudes, the second beyond."""


def choose_dem(wanted: str, south: float, north: float) -> str:
    """Return the name of the elevation model for an area's latitudes; ``auto`` is SRTM, beyond its
    reach GLO-30.
    """
    if wanted != "auto":
        return wanted
    near, beyond = AUTOMATIC
    return near if DEMS[near].south <= south and north <= DEMS[near].north else beyond
