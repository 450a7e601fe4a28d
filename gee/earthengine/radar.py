"""Sentinel-1 IW GRD: VV and VH of one relative orbit, before and after, so that both look from the
same side.

Linear power, Lee filter 5×5 in the output grid's pixels, then decibel. sigma0 as the product has
it, gamma0, or gamma0 flattened by the terrain: that is done on our side (`gee.backscatter`), from
the angle that comes along as a layer. The edges of the swath are left out, where noise passes for
backscatter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import ee
import numpy as np
from numpy.typing import NDArray

from configs.area import Area
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange
from configs.records import ObservationClass, Scene
from gee.backscatter import Geometry
from gee.earthengine import assets
from gee.earthengine.layers import CODE, DECIBEL, Recipe, Travel, layered
from gee.earthengine.pixel_codes import first_code
from gee.earthengine.scenes import Checkpoint, between, covered, features, read_features, region_of

BANDS: Final = ("VV", "VH")
ANGLE: Final = "angle"
LOOKS: Final = 4.4
"""Equivalent number of looks of IW GRD high resolution (Sentinel-1 product specification, table
5-1).
"""
RADIUS_PX: Final = 2
NEAREST_DEG, FARTHEST_DEG = 30.64, 45.24
"""Angles within which a pixel counts: beyond lie the border noise and the invalid edges of GRD
scenes (Mullissa et al. 2021, Remote Sens. 13(10), 1954: S1 ARD, border noise masks).
"""
DEGREES: Final = Travel("int16", 0.01, -32768)
ASCENDING_DEG: Final = 258.0
"""Direction from the ground to the sensor of an ascending orbit, which heads 12 degrees west of
north and looks to the right; where a scene does not tell its heading.
"""
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
    names = ("orbitProperties_pass", "relativeOrbitNumber_start", "platformHeading")
    return features(scenes, names)


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
    travels = dict.fromkeys(bands, DECIBEL)
    if config.radar == "flattened":
        travels[ANGLE] = DEGREES
    return layered(images, travels, tuple(scenes))


def to_sensor_deg(one: Checkpoint) -> float:
    """Return the direction from the ground to the sensor, clockwise from north: left of where the
    platform heads, since it looks to the right.
    """
    heading = one.facts.get("platformHeading")
    if heading is not None:
        return round((float(heading) - 90) % 360, 2)
    ascends = one.facts.get("orbitProperties_pass") == "ASCENDING"
    return ASCENDING_DEG if ascends else 360 - ASCENDING_DEG


def _shot(scene: Scene, slot: int, bands: Sequence[str], config: EarthEngineConfig) -> Any:
    raw = ee.Image(scene.id)
    angle = raw.select([ANGLE])
    power = lee(raw.select(list(bands)))
    if config.radar == "gamma0":
        power = power.divide(angle.multiply(3.141592653589793 / 180).cos())
    decibel = power.log10().multiply(10).clamp(FLOOR_DB, CEILING_DB)
    stored = decibel.divide(DECIBEL.scale).round().rename(list(bands))
    whole = stored.mask().reduce(ee.Reducer.min()).eq(1)
    code = ee.Image.constant(first_code(slot) + ObservationClass.CLEAR).rename(CODE)
    within = angle.gte(NEAREST_DEG).And(angle.lte(FARTHEST_DEG))
    layers = stored.addBands(code)
    if config.radar == "flattened":
        layers = layers.addBands(angle.divide(DEGREES.scale).round().rename([ANGLE]))
    return layers.updateMask(whole).updateMask(within)


def flattened(stored: NDArray[np.int16], seen: Geometry) -> NDArray[np.int16]:
    """Return stored decibel with the terrain taken out; not known in layover and shadow."""
    known = (stored != DECIBEL.nodata) & ~seen.hidden & np.isfinite(seen.flattening_db)
    gain = np.where(known, seen.flattening_db, 0) / DECIBEL.scale
    low, high = FLOOR_DB / DECIBEL.scale, CEILING_DB / DECIBEL.scale
    values = np.clip(np.round(stored + gain), low, high)
    return np.where(known, values, DECIBEL.nodata).astype(np.int16)


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
