"""Sentinel-2 (either level): the first clear pixel in the order of the scenes, with its date and
what was seen.

Clouds: Cloud Score+ where a scene has a match, s2cloudless where not, the scene classification
where neither exists. SCL's own cloud class is not trusted beside Cloud Score+: it takes bright
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
UNJUDGED: Final = "none"


def _collection_of(config: EarthEngineConfig) -> str:
    """Return the Sentinel-2 collection of the configured level."""
    return assets.S2_TOA if config.level == "L1C" else assets.S2_SURFACE


def listing(config: EarthEngineConfig, area: Area, days: DateRange) -> dict[str, Any]:
    """Return the questions about one window, for `scenes.ask`: the scenes, and which of them have
    which cloud mask.
    """
    region, scale = region_of(area), sampling_scale_m(area)
    scored = between(assets.CLOUD_SCORE, region, days)
    linked = between(_collection_of(config), region, days).linkCollection(scored, [SCORE])

    def with_share(image: Any) -> Any:
        clear = ee.Image(image).select([SCORE]).gte(config.clear_score).unmask(0, False)
        share = clear.reduceRegion(ee.Reducer.mean(), region, scale, bestEffort=True, maxPixels=1e7)
        return ee.Image(image).set("clear", share.get(SCORE))

    properties = ("CLOUDY_PIXEL_PERCENTAGE", "MGRS_TILE", "clear")
    return {
        "scenes": features(linked.map(with_share), properties),
        "scored": scored.aggregate_array("system:index"),
        "probable": between(assets.CLOUD_PROBABILITY, region, days).aggregate_array("system:index"),
        "classified": between(assets.S2_SURFACE, region, days).aggregate_array("system:index"),
    }


def read_listing(
    answer: Mapping[str, Any], config: EarthEngineConfig, when: When, area: Area
) -> list[Checkpoint]:
    """Return the scenes of a window, each with the cloud mask it has (``clouds``) and whether it is
    classified (``scl``).
    """
    found = []
    masks = {name: frozenset(answer[name]) for name in ("scored", "probable", "classified")}
    for one in read_features(answer["scenes"], _collection_of(config), when, "{MGRS_TILE}", area):
        kinds = {"scored": "cloud-score-plus", "probable": "s2cloudless", "classified": "scl"}
        clouds = next((kind for name, kind in kinds.items() if one.index in masks[name]), UNJUDGED)
        share = one.scene.clear_fraction if clouds == "cloud-score-plus" else None
        facts = {"clouds": clouds, "scl": one.index in masks["classified"]}
        found.append(replace(one, scene=replace(one.scene, clear_fraction=share), facts=facts))
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
    if facts["clouds"] == "cloud-score-plus":
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
    else:
        cloud = scl.gte(_SCL_CLOUDS[0]).And(scl.lte(_SCL_CLOUDS[-1]))
    return (
        ee.Image.constant(int(ObservationClass.CLEAR))
        .where(cloud, int(ObservationClass.CLOUD))
        .where(shadow, int(ObservationClass.SHADOW))
        .where(scl.eq(SCL_SNOW), int(ObservationClass.SNOW))
    )
