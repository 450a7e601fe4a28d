"""Sentinel-2 (either level): the first clear pixel in the order of the scenes, with its date and
what was seen.

Clouds: Cloud Score+ where a scene has a match, s2cloudless where not, the scene classification
where neither exists, and the product's own masks in the first hours, when there is none of them.
SCL's own cloud class is not trusted beside Cloud Score+: it takes bright
fresh scars for clouds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from gee.earthengine.scenes import (
    Checkpoint,
    between,
    features,
    read_features,
    region_of,
    sampling_scale_m,
)

BANDS: Final = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
SCORE: Final = "cs_cdf"
SCL_SHADOW, SCL_SNOW = 3, 11
_SCL_CLOUDS: Final = (8, 9, 10)
"""Sen2Cor scene classification: https://sentiwiki.copernicus.eu/web/s2-processing (medium, high
probability, cirrus).
"""
_SUN: Final = ("MEAN_SOLAR_AZIMUTH_ANGLE", "MEAN_SOLAR_ZENITH_ANGLE")
SCORED: Final = "cloud-score-plus"
OWN_MASKS: Final = "l1c-masks"
"""What the product brings along: opaque cloud, cirrus and snow at 60 m (MSK_CLASSI, from February
2022 on), and before that QA60.
"""
_OWN_FLAGS: Final = ("MSK_CLASSI_OPAQUE", "MSK_CLASSI_CIRRUS", "MSK_CLASSI_SNOW_ICE")
_OWN_OLDER: Final = "QA60"
OWN_BANDS: Final = (*_OWN_FLAGS, _OWN_OLDER)
_QA60_CLOUDS: Final = 1 << 10 | 1 << 11


def _collection_of(config: EarthEngineConfig) -> str:
    """Return the Sentinel-2 collection of the configured level."""
    return assets.S2_TOA if config.level == "L1C" else assets.S2_SURFACE


def listing(config: EarthEngineConfig, area: Area, days: DateRange) -> dict[str, Any]:
    """Return the questions about some days, for `survey`: the scenes, and which of them have which
    cloud mask. Metadata only: no pixel is looked at.
    """
    region = region_of(area)

    def indices(asset: str) -> Any:
        return between(asset, region, days).aggregate_array("system:index")

    properties = ("CLOUDY_PIXEL_PERCENTAGE", "MGRS_TILE", *_SUN)
    return {
        "scenes": features(between(_collection_of(config), region, days), properties),
        "scored": indices(assets.CLOUD_SCORE),
        "probable": indices(assets.CLOUD_PROBABILITY),
        "classified": indices(assets.S2_SURFACE),
    }


def shares(indices: Sequence[str], config: EarthEngineConfig, area: Area) -> Any:
    """Return the question which share of the area is clear in some scenes: ``s0``, … -> 0-1.

    The scenes are the bands of one image of the Cloud Score+ collection, so that one aggregation
    answers for all of them; a scene that shows a part of the area only counts the rest as not
    clear.
    """
    bands = [
        ee.Image(f"{assets.CLOUD_SCORE}/{index}")
        .select([SCORE])
        .gte(config.clear_score)
        .unmask(0, False)
        .rename([f"s{place}"])
        for place, index in enumerate(indices)
    ]
    return ee.Image.cat(bands).reduceRegion(
        ee.Reducer.mean(), region_of(area), sampling_scale_m(area), bestEffort=True, maxPixels=1e7
    )


def read_listing(
    answer: Mapping[str, Any], config: EarthEngineConfig, when: When, area: Area
) -> list[Checkpoint]:
    """Return the scenes of a window, each with the cloud mask it has (``clouds``) and whether it is
    classified (``scl``).
    """
    found = []
    masks = {name: frozenset(answer[name]) for name in ("scored", "probable", "classified")}
    for one in read_features(answer["scenes"], _collection_of(config), when, "{MGRS_TILE}", area):
        kinds = {"scored": SCORED, "probable": "s2cloudless", "classified": "scl"}
        clouds = next((kind for name, kind in kinds.items() if one.index in masks[name]), OWN_MASKS)
        facts = {"clouds": clouds, "scl": one.index in masks["classified"]}
        found.append(replace(one, facts=facts))
    return found


def recipe(
    scenes: Sequence[Scene],
    facts: Mapping[str, Mapping[str, Any]],
    bands: Sequence[str],
    config: EarthEngineConfig,
) -> Recipe:
    """Return the composite of some scenes, best first.

    Args:
        scenes: the scenes of one window that reach the block.
        facts: scene id -> ``clouds`` and ``scl`` (`read_listing`).
        bands: Sentinel-2 band names.
        config: thresholds.
    """
    images = [
        _shot(scene, slot, facts[scene.id], bands, config) for slot, scene in enumerate(scenes)
    ]
    water = terrain.occurrence().gte(config.water_percent)
    return clear_first(images, dict.fromkeys(bands, REFLECTANCE), tuple(scenes), water)


def _shot(
    scene: Scene,
    slot: int,
    facts: Mapping[str, Any],
    bands: Sequence[str],
    config: EarthEngineConfig,
) -> Any:
    """Return one scene: its bands in counts of at least 1, and its code; masked where any band
    is.
    """
    counts = ee.Image(scene.id).select(list(bands))
    whole = counts.mask().reduce(ee.Reducer.min()).eq(1)
    code = _class(scene.id.rsplit("/", 1)[-1], facts, config).add(first_code(slot)).rename(CODE)
    return counts.max(1).addBands(code).updateMask(whole)


def _class(index: str, facts: Mapping[str, Any], config: EarthEngineConfig) -> Any:
    """Return the observation class of every pixel of a scene."""
    scl = (
        ee.Image(f"{assets.S2_SURFACE}/{index}").select(["SCL"])
        if facts["scl"]
        else ee.Image.constant(0)
    )
    scl = scl.unmask(0, False)
    shadow = scl.eq(SCL_SHADOW)
    snow = scl.eq(SCL_SNOW)
    if facts["clouds"] == SCORED:
        score = ee.Image(f"{assets.CLOUD_SCORE}/{index}").select([SCORE]).unmask(0, False)
        cloud = score.lt(config.clear_score)
        shadow = shadow.And(
            cloud
        )  # the score covers shadow too: what it calls readable is not "shadow"
    elif facts["clouds"] == "s2cloudless":
        probability = (
            ee.Image(f"{assets.CLOUD_PROBABILITY}/{index}")
            .select(["probability"])
            .unmask(100, False)
        )
        cloud = probability.gte(config.cloud_probability)
    elif facts["clouds"] == OWN_MASKS:
        cloud, snow = _own_masks(index)
    else:
        cloud = scl.gte(_SCL_CLOUDS[0]).And(scl.lte(_SCL_CLOUDS[-1]))
    return (
        ee.Image.constant(int(ObservationClass.CLEAR))
        .where(cloud, int(ObservationClass.CLOUD))
        .where(shadow, int(ObservationClass.SHADOW))
        .where(snow, int(ObservationClass.SNOW))
    )


def _own_masks(index: str) -> tuple[Any, Any]:
    """Return (cloud, snow) by the product's own masks; what neither of them judged is cloud."""
    scene = ee.Image(f"{assets.S2_TOA}/{index}")
    opaque, cirrus, ice = (scene.select([name]) for name in _OWN_FLAGS)
    older = scene.select([_OWN_OLDER])
    judged = opaque.mask().max(older.mask())
    cloud = (
        opaque.unmask(0, False)
        .max(cirrus.unmask(0, False))
        .max(older.unmask(0, False).bitwiseAnd(_QA60_CLOUDS).neq(0))
        .max(judged.eq(0))
    )
    return cloud, ice.unmask(0, False).gt(0)
