"""Landsat-8 and 9 top of atmosphere, pan-sharpened to 15 m, under the names their bands have on
Sentinel-2 (Gao et al. 2021). Of Landsat-8 the scenes of the last days are real-time ones; the final
version of such a scene is another scene, and so a reason for a refresh.

Visible bands by smoothing-filter-based intensity modulation (Liu 2000, Int. J. Remote Sens.
21(18)): band × pan / smoothed pan, which leaves the 30 m radiometry alone. The pan band (0.50-0.68
µm) says nothing of the infrared: those are resampled only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import ee

from configs.area import Area
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange
from configs.records import ObservationClass, Scene
from gee.earthengine import assets, terrain
from gee.earthengine.layers import CODE, REFLECTANCE, Recipe, clear_first
from gee.earthengine.pixel_codes import first_code
from gee.earthengine.scenes import Checkpoint, between, features, read_features, region_of

NAMES: Final = {
    "B1": "B1",
    "B2": "B2",
    "B3": "B3",
    "B4": "B4",
    "B8": "B5",
    "B11": "B6",
    "B12": "B7",
}
"""Band of a stack -> band of OLI."""
BANDS: Final = tuple(NAMES)
_COLLECTIONS: Final = (*assets.LANDSAT_FINAL, assets.LANDSAT_REAL_TIME)
"""Final versions first."""
_SHARPENED: Final = ("B2", "B3", "B4")
PAN: Final = "B8"
QUALITY: Final = "QA_PIXEL"
# QA_PIXEL bits of Collection 2:
# https://www.usgs.gov/landsat-missions/landsat-collection-2-quality-assessment-bands
_CLOUD_BITS: Final = 1 << 1 | 1 << 2 | 1 << 3
_SHADOW_BIT: Final = 1 << 4
_SNOW_BIT: Final = 1 << 5


def listing(area: Area, days: DateRange) -> dict[str, Any]:
    """Return the questions which scenes there are on these days, one a collection."""
    properties = ("CLOUD_COVER", "WRS_PATH", "WRS_ROW", "SUN_AZIMUTH", "SUN_ELEVATION")
    region = region_of(area)
    return {asset: features(between(asset, region, days), properties) for asset in _COLLECTIONS}


def read_listing(answer: Mapping[str, Any], when: When, area: Area) -> list[Checkpoint]:
    """Return the scenes of a window, path and row as their tile; a real-time one only where its
    final version is not there yet.
    """
    found: dict[str, Checkpoint] = {}
    for asset in _COLLECTIONS:
        for one in read_features(answer[asset], asset, when, "{WRS_PATH}/{WRS_ROW}", area):
            found.setdefault(one.index, one)
    return list(found.values())


def is_real_time(scene: Scene) -> bool:
    """Return whether a scene is a preliminary version of itself."""
    return scene.product == assets.LANDSAT_REAL_TIME


def doubts(scenes: Iterable[Scene]) -> list[str]:
    """Return what to say of preliminary scenes, in words."""
    early = sorted({f"{scene.acquired:%Y-%m-%d}" for scene in scenes if is_real_time(scene)})
    if not early:
        return []
    return [
        f"Landsat-8 of {', '.join(early)} is a real-time scene, of preliminary place and "
        "calibration: `coslide refresh` takes up the final one when it is there (within a month)"
    ]


def recipe(scenes: Sequence[Scene], bands: Sequence[str], config: EarthEngineConfig) -> Recipe:
    """Return the composite of some scenes, best first: the first clear pixel, else what the first
    scene shows.
    """
    images = [_shot(scene, slot, bands) for slot, scene in enumerate(scenes)]
    water = terrain.occurrence().gte(config.water_percent)
    return clear_first(images, dict.fromkeys(bands, REFLECTANCE), tuple(scenes), water)


def _shot(scene: Scene, slot: int, bands: Sequence[str]) -> Any:
    raw = ee.Image(scene.id)
    parts = [_reflectance(raw, band) for band in bands]
    counts = ee.Image.cat(parts).divide(REFLECTANCE.scale).round().max(1).rename(list(bands))
    whole = counts.mask().reduce(ee.Reducer.min()).gt(0)
    code = _class(raw.select([QUALITY])).add(first_code(slot)).rename(CODE)
    return counts.addBands(code).updateMask(whole)


def _reflectance(raw: Any, band: str) -> Any:
    smooth = raw.select([NAMES[band]]).resample("bilinear")
    if band not in _SHARPENED:
        return smooth
    pan = raw.select([PAN])
    blurred = pan.reduceNeighborhood(ee.Reducer.mean(), ee.Kernel.square(1, "pixels"))
    return smooth.multiply(pan).divide(blurred)


def _class(quality: Any) -> Any:
    def bit(mask: int) -> Any:
        return quality.bitwiseAnd(mask).neq(0)

    return (
        ee.Image.constant(int(ObservationClass.CLEAR))
        .where(bit(_SNOW_BIT), int(ObservationClass.SNOW))
        .where(bit(_SHADOW_BIT), int(ObservationClass.SHADOW))
        .where(bit(_CLOUD_BITS), int(ObservationClass.CLOUD))
    )
