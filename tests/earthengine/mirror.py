"""The simulated Earth as Earth Engine would hold it: every overpass of a plan as assets on the
sensor's own grids.

So the same simulated event can be asked for twice: through `--source simulated` and through the
client and the loopback.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import BANDS, When
from configs.records import ObservationClass, Scene
from earthengine.pictures import Image, Raster, asset
from gee.source import Plan, Pulled, Source

OPTICS, SCORES = "COPERNICUS/S2_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
CLASSIFIED, DEMS, LAKES = (
    "COPERNICUS/S2_SR_HARMONIZED",
    "COPERNICUS/DEM/GLO30_2024_1",
    "JRC/GSW1_4/GlobalSurfaceWater",
)
AROUND_PX = 210
"""Of elevation, so that whatever hides the sun is there."""
SCL = {ObservationClass.CLOUD: 9, ObservationClass.SHADOW: 3, ObservationClass.SNOW: 11}


def mirror(source: Source, plan: Plan) -> list[Image]:
    """Return the assets that show what a simulated plan shows, each of its overpasses alone."""
    grid = _even(plan.geobox)
    images: list[Image] = []
    lakes = np.zeros(tuple(grid.shape), bool)
    for scene in plan.scenes:
        bands = tuple(name for name in plan.bands if name.startswith(f"{scene.when}_"))
        alone = source.pull(replace(plan, scenes=(scene,), bands=bands), grid)
        lakes |= alone.observation[scene.when] == ObservationClass.WATER
        images += _assets(scene, alone, grid)
    heights = source.elevation(plan, plan.geobox, AROUND_PX)
    images.append(
        asset(f"{DEMS}/SIM", {"DEM": Raster(heights.values, str(grid.crs), heights.geobox.affine)})
    )
    occurrence = Raster(np.where(lakes, 100, 0).astype("uint8"), str(grid.crs), grid.affine)
    images.append(asset(LAKES, {"occurrence": occurrence}))
    return images


def _even(geobox: GeoBox) -> GeoBox:
    """Return a grid that covers another, its edges on whole 20 m pixels."""
    left, top = np.floor(geobox.affine.c / 20) * 20, np.ceil(geobox.affine.f / 20) * 20
    height, width = ((int(n) + 3) // 2 * 2 for n in geobox.shape)
    return GeoBox((height, width), Affine(10, 0, left, 0, -10, top), geobox.crs)


def _assets(scene: Scene, alone: Pulled, grid: GeoBox) -> list[Image]:
    """Return a scene, its cloud score and its classification; what the swath misses is masked."""
    crs, seen = str(grid.crs), alone.observation[When(scene.when)]
    imaged = (seen != ObservationClass.NOT_IMAGED).astype(float)
    bands = {}
    for name, values in alone.bands.items():
        base = name.split("_")[1]
        step = round(BANDS[base].resolution_m / 10)
        counts: NDArray[np.uint16] = np.nan_to_num(np.round(values[::step, ::step] / 1e-4)).astype(
            "uint16"
        )
        bands[base] = Raster(counts, crs, grid.affine @ Affine.scale(step), imaged[::step, ::step])
    unclear = np.isin(seen, (ObservationClass.CLOUD, ObservationClass.SHADOW))
    scl = np.full(seen.shape, 4, np.uint8)
    for kind, number in SCL.items():
        scl[seen == kind] = number
    facts = {
        "system:time_start": scene.acquired.timestamp() * 1000,
        "CLOUDY_PIXEL_PERCENTAGE": 100 * (scene.cloud_fraction or 0.0),
        "MGRS_TILE": "54TXN",
    }
    if scene.sun:
        facts["MEAN_SOLAR_AZIMUTH_ANGLE"] = scene.sun.azimuth_deg
        facts["MEAN_SOLAR_ZENITH_ANGLE"] = 90 - scene.sun.elevation_deg
    score = Raster(np.where(unclear, 0.1, 0.9).astype("float32"), crs, grid.affine)
    return [
        asset(f"{OPTICS}/{scene.id}", bands, facts),
        asset(f"{SCORES}/{scene.id}", {"cs_cdf": score}, facts),
        asset(f"{CLASSIFIED}/{scene.id}", {"SCL": Raster(scl, crs, grid.affine)}, facts),
    ]
