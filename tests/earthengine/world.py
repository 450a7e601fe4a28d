"""A small Earth for the loopback: a few square kilometres of Hokkaido in every collection that the
recipes read.

Values are simple functions of place and scene, so that a test can say what each pixel must be
without evaluating anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area, around
from configs.event import DateRange, Event, Windows
from earthengine.pictures import Image, Raster, asset

CRS = "EPSG:32654"
CENTRE = (42.70, 141.93)
EVENT = Event(
    name="quake",
    time=datetime(2018, 9, 5, 18, 7, tzinfo=UTC),
    latitude=CENTRE[0],
    longitude=CENTRE[1],
)
WINDOWS = Windows(
    pre=DateRange(first=date(2017, 9, 1), last=date(2018, 9, 5)),
    post=DateRange(first=date(2018, 9, 5), last=date(2018, 11, 30)),
    as_of=datetime(2018, 12, 1, tzinfo=UTC),
)
AREA: Area = around(*CENTRE, 1.2)
SIDE_M = 6000

S2_SCENES = {
    # index: (day and time, brightness, share of the ground under cloud from the north, has Cloud
    # Score+)
    "20170910T012000_T54TXN": ("2017-09-10T01:20", 1000, 0.0, True),
    "20180601T012000_T54TXN": ("2018-06-01T01:20", 2000, 0.0, True),
    "20180825T012000_T54TXN": ("2018-08-25T01:20", 3000, 0.5, True),
    "20180915T012000_T54TXN": ("2018-09-15T01:20", 4000, 0.5, True),
    "20180920T012000_T54TXN": ("2018-09-20T01:20", 5000, 0.25, False),
    "20181010T012000_T54TXN": ("2018-10-10T01:20", 6000, 0.0, True),
    "20181205T012000_T54TXN": ("2018-12-05T01:20", 7000, 0.0, True),  # after as_of
}
NATIVE_M = {
    "B2": 10,
    "B3": 10,
    "B4": 10,
    "B8": 10,
    "B5": 20,
    "B8A": 20,
    "B11": 20,
    "B12": 20,
    "B1": 60,
    "B9": 60,
}
BAND_STEP = {name: 10 * place for place, name in enumerate(NATIVE_M)}


def origin() -> tuple[float, float]:
    """Return the north-west corner of the small Earth (x, y), on a multiple of 60 m."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform(
        CENTRE[1], CENTRE[0]
    )
    return round((x - SIDE_M / 2) / 60) * 60.0, round((y + SIDE_M / 2) / 60) * 60.0


def lattice(step_m: float) -> tuple[int, Affine]:
    """Return (pixels a side, affine) of a raster of the small Earth."""
    left, top = origin()
    return round(SIDE_M / step_m), Affine(step_m, 0, left, 0, -step_m, top)


def ramp(step_m: float) -> NDArray[np.float64]:
    """Return numbers that tell pixels apart: 0-299 along x, whole."""
    size, _ = lattice(step_m)
    return np.broadcast_to(np.arange(size) * step_m // 20, (size, size)).astype(float)


def expected_s2(index: str, band: str, grid: GeoBox) -> NDArray[np.float64]:
    """Return the counts of a scene on a grid inside the small Earth, whole pixels apart from it."""
    left, _ = origin()
    columns = (grid.affine.c - left + 10 * (np.arange(grid.shape[1]) + 0.5)) // NATIVE_M[band]
    along = columns * NATIVE_M[band] // 20
    return np.broadcast_to(S2_SCENES[index][1] + BAND_STEP[band] + along, tuple(grid.shape)).astype(
        float
    )


def cloudy_rows(index: str, grid: GeoBox) -> NDArray[np.bool_]:
    """Return which rows of a grid lie under the scene's cloud."""
    _, top = origin()
    down = top - (grid.affine.f - 10 * (np.arange(grid.shape[0]) + 0.5))
    return np.asarray(down < S2_SCENES[index][2] * SIDE_M)


def sentinel2(collection: str = "COPERNICUS/S2_HARMONIZED") -> list[Image]:
    """Return the Sentinel-2 scenes of a level with their cloud masks and classifications."""
    images = []
    for index, (moment, bright, cloud, scored) in S2_SCENES.items():
        rasters = {}
        for band, step in NATIVE_M.items():
            _, affine = lattice(step)
            rasters[band] = Raster(
                (bright + BAND_STEP[band] + ramp(step)).astype("uint16"), CRS, affine
            )
        facts = {
            "system:time_start": datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
            * 1000,
            "CLOUDY_PIXEL_PERCENTAGE": 100 * cloud,
            "MGRS_TILE": "54TXN",
        }
        images.append(asset(f"{collection}/{index}", rasters, facts))
        images += _masks(index, cloud, scored, facts)
    return images


def _masks(index: str, cloud: float, scored: bool, facts: dict[str, object]) -> list[Image]:
    size, affine = lattice(10)
    rows = np.arange(size)[:, None] * 10 < cloud * SIDE_M
    under = np.broadcast_to(rows, (size, size))
    time = {"system:time_start": facts["system:time_start"]}
    score = Raster(np.where(under, 0.1, 0.9).astype("float32"), CRS, affine)
    probability = Raster(np.where(under, 90, 5).astype("uint8"), CRS, affine)
    size20, affine20 = lattice(20)
    scl = np.where(under[::2, ::2], 9, 4)
    if index.startswith("20180915"):  # a shadow at the cloud's edge, and snow in the far west
        scl[size20 // 2 - 10 : size20 // 2, :] = 3
        scl[:, :20] = 11
    images = [
        asset(f"COPERNICUS/S2_CLOUD_PROBABILITY/{index}", {"probability": probability}, time),
        asset(
            f"COPERNICUS/S2_SR_HARMONIZED/{index}",
            {"SCL": Raster(scl.astype("uint8"), CRS, affine20)},
            time,
        ),
    ]
    if scored:
        images.append(
            asset(f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{index}", {"cs_cdf": score}, time)
        )
    return images


def water() -> Image:
    """Return surface water: a lake in the south-east corner of the area, 30 m, geographic."""
    step = 1 / 4000
    longitude, latitude = CENTRE[1], CENTRE[0]
    affine = Affine(
        step,
        0,
        round((longitude - 0.05) / step) * step,
        0,
        -step,
        round((latitude + 0.05) / step) * step,
    )
    size = round(0.1 / step)
    x = affine.c + step * (np.arange(size) + 0.5)
    y = affine.f - step * (np.arange(size) + 0.5)
    lake = (x[None, :] > longitude + 0.008) & (y[:, None] < latitude - 0.006)
    return asset(
        "JRC/GSW1_4/GlobalSurfaceWater",
        {
            "occurrence": Raster(
                np.where(lake, 97, 0).astype("uint8"), "EPSG:4326", affine, lake.astype(float)
            )
        },
    )


def arc_second_grid(
    longitude: float, latitude: float, half_deg: float = 0.06
) -> tuple[tuple[int, int], Affine]:
    """Return (shape, affine) of a 1 arc-second raster around a place, pixel centres on whole
    arc-seconds, as SRTM's.
    """
    step = 1 / 3600
    left = (round((longitude - half_deg) / step) - 0.5) * step
    top = (round((latitude + half_deg) / step) + 0.5) * step
    size = round(2 * half_deg / step)
    return (size, size), Affine(step, 0, left, 0, -step, top)


def heights(longitude: float, latitude: float, half_deg: float = 0.06) -> Raster:
    """Return a hill, metres, with one void."""
    shape, affine = arc_second_grid(longitude, latitude, half_deg)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    z = 300 + 150 * np.sin(columns / 20) * np.cos(rows / 25)
    known = np.ones(shape)
    known[shape[0] // 2, shape[1] // 2] = 0
    return Raster(np.round(z).astype("int16"), "EPSG:4326", affine, known)


def elevation() -> list[Image]:
    """Return the elevation models: SRTM as an image, the others as tiles."""
    here = heights(CENTRE[1], CENTRE[0])
    floats = Raster(here.values.astype("float32") + 0.25, here.crs, here.affine, here.mask)
    north = heights(20.0, 69.0)
    return [
        asset("USGS/SRTMGL1_003", {"elevation": here}),
        asset("NASA/NASADEM_HGT/001", {"elevation": here}),
        asset("JAXA/ALOS/AW3D30/V4_1/N042E141", {"DSM": here}),
        asset("COPERNICUS/DEM/GLO30_2024_1/N42E141", {"DEM": floats}),
        asset(
            "COPERNICUS/DEM/GLO30_2024_1/N69E020",
            {"DEM": Raster(north.values.astype("float32"), north.crs, north.affine, north.mask)},
        ),
    ]


S1_SCENES = {
    # index: (day, pass, relative orbit, mean power, share of the ground from the west)
    "S1A_PRE_ASC": ("2018-08-25T08:00", "ASCENDING", 68, 0.10, 1.0),
    "S1A_POST_ASC": ("2018-09-18T08:00", "ASCENDING", 68, 0.20, 1.0),
    "S1A_POST_ASC2": ("2018-09-30T08:00", "ASCENDING", 68, 0.30, 1.0),
    "S1B_PRE_DESC": ("2018-08-27T20:00", "DESCENDING", 46, 0.40, 0.3),
    "S1B_POST_DESC": ("2018-09-08T20:00", "DESCENDING", 46, 0.50, 0.3),
}


def speckled(power: float, seed: int) -> NDArray[np.float32]:
    """Return power with gamma speckle of 4.4 looks over the small Earth at 10 m, `(y, x)`."""
    size, _ = lattice(10)
    return np.random.default_rng(seed).gamma(4.4, power / 4.4, (size, size)).astype("float32")


def sentinel1() -> list[Image]:
    """Return radar scenes of two orbits, one of which covers only a part."""
    size, affine = lattice(10)
    images = []
    for seed, (index, (moment, look, orbit, power, share)) in enumerate(S1_SCENES.items()):
        wide = round(size * share)
        rasters = {
            "VV": Raster(speckled(power, seed)[:, :wide], CRS, affine),
            "VH": Raster(speckled(power / 10, 100 + seed)[:, :wide], CRS, affine),
            "angle": Raster(np.full((size, wide), 35.0, "float32"), CRS, affine),
        }
        facts = {
            "system:time_start": datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
            * 1000,
            "instrumentMode": "IW",
            "transmitterReceiverPolarisation": ["VV", "VH"],
            "orbitProperties_pass": look,
            "relativeOrbitNumber_start": orbit,
        }
        images.append(asset(f"COPERNICUS/S1_GRD_FLOAT/{index}", rasters, facts))
    return images


LANDSAT = {
    # id: (day and time, brightness, share of the ground under cloud from the north)
    "LANDSAT/LC08/C02/T1_TOA/LC08_107030_20180914": ("2018-09-14T01:15", 0.10, 0.5),
    "LANDSAT/LC08/C02/T1_TOA/LC08_107030_20180930": ("2018-09-30T01:15", 0.20, 0.0),
    "LANDSAT/LC09/C02/T1_TOA/LC09_107030_20181008": ("2018-10-08T01:15", 0.30, 0.0),
    # Real-time and final scenes share a collection; only the last is not final.
    "LANDSAT/LC08/C02/T1_RT_TOA/LC08_107030_20180914": ("2018-09-14T01:15", 0.10, 0.5),
    "LANDSAT/LC08/C02/T1_RT_TOA/LC08_107030_20180930": ("2018-09-30T01:15", 0.20, 0.0),
    "LANDSAT/LC08/C02/T1_RT_TOA/LC08_107030_20181016": ("2018-10-16T01:15", 0.40, 0.0),
}


def landsat(scenes: Mapping[str, tuple[str, float, float]] = LANDSAT) -> list[Image]:
    """Return Landsat scenes after the event."""
    images = []
    for name, (moment, bright, cloud) in scenes.items():
        size, affine = lattice(30)
        fine, fine_affine = lattice(15)
        rasters = {
            f"B{number}": Raster(
                np.full((size, size), bright + 0.01 * number, "float32"), CRS, affine
            )
            for number in range(1, 8)
        }
        checks = np.indices((fine, fine)).sum(axis=0) % 2
        rasters["B8"] = Raster((bright * (1 + 0.2 * checks)).astype("float32"), CRS, fine_affine)
        rows = np.arange(size)[:, None] * 30 < cloud * SIDE_M
        quality = np.where(np.broadcast_to(rows, (size, size)), 1 << 3, 1 << 6).astype("uint16")
        rasters["QA_PIXEL"] = Raster(quality, CRS, affine)
        facts = {
            "system:time_start": datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
            * 1000,
            "CLOUD_COVER": 100 * cloud,
            "WRS_PATH": 107,
            "WRS_ROW": 30,
        }
        images.append(asset(name, rasters, facts))
    return images


def catalogue() -> list[Image]:
    """Return the small Earth's every image."""
    return [*sentinel2(), water(), *elevation(), *sentinel1(), *landsat()]
