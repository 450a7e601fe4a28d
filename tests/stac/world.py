"""A small Earth for the loopback: a few square kilometres of Hokkaido, two tiles of two UTM zones,
seven acquisitions, each with an encoding of its own.

Values are simple functions of place and scene, so that a test can say what each pixel must be.
"""

from __future__ import annotations

import zlib
from datetime import UTC, date, datetime

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area, around
from configs.event import DateRange, Event, Windows
from stac.earth import Pass, publish, publish_heights
from stac.loopback import Loopback

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
SIDE_M = 7200
BANDS = ("B2", "B3", "B4", "B8", "B11", "B12")
STEP = {name: 0.003 * place for place, name in enumerate(BANDS)}
CLEAR, CLOUD, SHADOW, WATER = 4, 9, 3, 6

SCENES = {
    # id: (moment, reflectance, share under cloud from the north, baseline, added, flag)
    "S2A_54TXN_20170910_0_L2A": ("2017-09-10T01:20", 0.02, 0.0, "05.00", 1000, None),
    "S2A_54TXN_20180601_0_L2A": ("2018-06-01T01:20", 0.03, 0.0, "02.07", 0, False),
    "S2A_54TXN_20180825_0_L2A": ("2018-08-25T01:20", 0.04, 0.5, "05.00", 0, True),
    "S2B_54TXN_20180915_0_L2A": ("2018-09-15T01:20", 0.05, 0.5, "05.00", 0, False),  # lies
    "S2B_54TXN_20180920_0_L2A": ("2018-09-20T01:20", 0.06, 0.4, "05.00", 1000, True),  # lies
    "S2B_54TXN_20181010_0_L2A": ("2018-10-10T01:20", 0.07, 0.0, "05.00", 1000, False),
    "S2B_54TXN_20181205_0_L2A": ("2018-12-05T01:20", 0.08, 0.0, "05.00", 1000, False),  # too late
}


def grid_around(crs: str, side_m: float = SIDE_M, place: tuple[float, float] = CENTRE) -> GeoBox:
    """Return a 10 m grid around a place, its corner on whole 60 m."""
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_crs.transform(place[1], place[0])
    left, top = round((x - side_m / 2) / 60) * 60.0, round((y + side_m / 2) / 60) * 60.0
    size = round(side_m / 10)
    return GeoBox((size, size), Affine(10, 0, left, 0, -10, top), crs)


def reflectance(name: str, bright: float, size: int) -> NDArray[np.float64]:
    """Return a band of a scene: a ramp along x, and noise of its own that no compression takes
    away, of whole 1e-4.
    """
    seed = zlib.crc32(f"{name} {bright}".encode())
    ramp = (np.arange(size) // 6) * 6e-4
    noise = np.random.default_rng(seed).integers(0, 64, (size, size)) * 1e-4
    found: NDArray[np.float64] = (bright + STEP[name] + ramp + noise).round(4)
    return found


def classes(cloud: float, size: int) -> NDArray[np.uint8]:
    """Return a classification: cloud from the north, a shadow below it."""
    found = np.full((size, size), CLEAR, np.uint8)
    rows = round(cloud * size)
    found[:rows] = CLOUD
    if cloud:
        found[rows : rows + 10] = SHADOW
    return found


def small_pass(name: str, crs: str = CRS, tile: str = "54TXN") -> Pass:
    """Return one of the small Earth's acquisitions."""
    moment, bright, cloud, baseline, added, flag = SCENES[name]
    grid = grid_around(crs)
    size = int(grid.shape[0])
    return Pass(
        name,
        datetime.fromisoformat(moment).replace(tzinfo=UTC),
        grid,
        {band: reflectance(band, bright, size) for band in BANDS},
        classes(cloud, size),
        100 * cloud,
        tile,
        baseline,
        added,
        flag,
    )


def heights_around(place: tuple[float, float] = CENTRE, half_deg: float = 0.06) -> GeoBox:
    """Return a grid of 1 arc-second around a place, pixel centres on whole arc-seconds."""
    step = 1 / 3600
    left = (round((place[1] - half_deg) / step) - 0.5) * step
    top = (round((place[0] + half_deg) / step) + 0.5) * step
    size = round(2 * half_deg / step)
    return GeoBox((size, size), Affine(step, 0, left, 0, -step, top), "EPSG:4326")


def hills(grid: GeoBox) -> NDArray[np.float64]:
    """Return hills that depend on the place alone, metres."""
    affine = grid.affine
    x = (affine.c + affine.a * (np.arange(grid.shape[1]) + 0.5)) * 3600
    y = (affine.f + affine.e * (np.arange(grid.shape[0]) + 0.5)) * 3600
    return 300 + 150 * np.sin(x / 20)[None, :] * np.cos(y / 25)[:, None]


def fill(server: Loopback) -> None:
    """Put the small Earth on a server: its scenes, and elevation in two tiles."""
    for name in SCENES:
        publish(server, small_pass(name))
    grid = heights_around()
    west, east = grid[:, : int(grid.shape[1]) // 2], grid[:, int(grid.shape[1]) // 2 :]
    for name, part in (("DEM_W", west), ("DEM_E", east)):
        publish_heights(server, name, hills(part), part)
