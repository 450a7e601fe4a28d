"""Sentinel-1 IW GRD: VV and VH of one relative orbit, before and after, so that both look from the
same side.

Linear power, Lee filter 5×5 in the output grid's pixels, then decibel. sigma0 as the product has
it, or gamma0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import ee

from configs.area import Area
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange
from configs.records import ObservationClass, Scene
from gee.earthengine import assets
from gee.earthengine.layers import CODE, DECIBEL, Recipe, layered
from gee.earthengine.pixel_codes import first_code
from gee.earthengine.scenes import Checkpoint, between, covered, features, read_features, region_of

BANDS: Final = ("VV", "VH")
ANGLE: Final = "angle"
LOOKS: Final = 4.4
"""Equivalent number of looks of IW GRD high resolution (Sentinel-1 product specification, table
5-1).
"""
RADIUS_PX: Final = 2
FLOOR_DB, CEILING_DB = -60.0, 30.0
_ORBIT: Final = "{orbitProperties_pass} {relativeOrbitNumber_start}"


def listing(area: Area, days: DateRange) -> Any:
    """Return the question which dual-polarised scenes there are on these days."""
    scenes = (
        between(assets.S1_POWER, region_of(area), days)
        .filter(ee.Filter.eq("instrumentMode", "IW"))
        .filter(ee.Filter.listContains("transmitterReceiverPolarisation", "VH"))
        .filter(ee.Filter.listContains("transmitterReceiverPolarisation", "VV"))
    )
    return features(scenes, ("orbitProperties_pass", "relativeOrbitNumber_start"))


def read_listing(answer: Mapping[str, Any], when: When, area: Area) -> list[Checkpoint]:
    """Return the scenes of a window, the orbit as their tile."""
    return read_features(answer, assets.S1_POWER, when, _ORBIT, area)


def one_orbit(found: Iterable[Checkpoint], windows: Iterable[When], area: Area) -> list[Checkpoint]:
    """Return the scenes of the one orbit that covers most of the area in every window; ties: the
    earliest after the event.
    """
    wanted = tuple(windows)
    orbits: dict[str, list[Checkpoint]] = defaultdict(list)
    for one in found:
        orbits[one.tile].append(one)

    def worth(orbit: str) -> tuple[float, float, str]:
        least = min(
            covered((one for one in orbits[orbit] if one.scene.when is when), area)
            for when in wanted
        )
        posts = [
            one.scene.acquired.timestamp() for one in orbits[orbit] if one.scene.when is When.POST
        ]
        return -round(least, 2), min(posts, default=0.0), orbit

    return orbits[min(orbits, key=worth)] if orbits else []


def recipe(scenes: Sequence[Scene], bands: Sequence[str], config: EarthEngineConfig) -> Recipe:
    """Return the composite of some scenes of one orbit, best first; every imaged pixel counts as
    clear.
    """
    images = [_shot(scene, slot, bands, config) for slot, scene in enumerate(scenes)]
    return layered(images, dict.fromkeys(bands, DECIBEL), tuple(scenes))


def _shot(scene: Scene, slot: int, bands: Sequence[str], config: EarthEngineConfig) -> Any:
    raw = ee.Image(scene.id)
    power = lee(raw.select(list(bands)))
    if config.radar == "gamma0":
        power = power.divide(raw.select([ANGLE]).multiply(3.141592653589793 / 180).cos())
    decibel = power.log10().multiply(10).clamp(FLOOR_DB, CEILING_DB)
    stored = decibel.divide(DECIBEL.scale).round().rename(list(bands))
    whole = stored.mask().reduce(ee.Reducer.min()).eq(1)
    code = ee.Image.constant(first_code(slot) + ObservationClass.CLEAR).rename(CODE)
    return stored.addBands(code).updateMask(whole)


def lee(power: Any) -> Any:
    """Return power with its speckle filtered: Lee (1980), weight (v - m²c²) / ((1 + c²) v), c² = 1
    / looks, 5×5 window.
    """
    window = ee.Kernel.square(RADIUS_PX, "pixels")
    mean = power.reduceNeighborhood(ee.Reducer.mean(), window)
    variance = power.reduceNeighborhood(ee.Reducer.variance(), window)
    noise = 1 / LOOKS
    signal = variance.subtract(mean.multiply(mean).multiply(noise)).divide(1 + noise).max(0)
    weight = signal.divide(variance.max(1e-12))
    return mean.add(weight.multiply(power.subtract(mean)))
