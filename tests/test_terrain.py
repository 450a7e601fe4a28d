"""Planes and cones of known slope and aspect keep them in whatever projection the elevation comes,
however far from where that is true.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import utm_crs
from configs.bands import BANDS
from configs.errors import RequestError
from gee.derive import MARGIN_PX, terrain
from gee.ground import ground_steps, pixel_size_m
from gee.rasters import Numbers, look_at
from gee.resample import transformer
from gee.source import Elevation

TANGENT = np.tan(np.radians(30))
FALLS_TO_DEG = 250.0
_F64 = NDArray[np.float64]

PLACES = [
    (crs, lon, lat)
    for crs, lon, south in (
        ("EPSG:3857", 142.0, False),
        ("EPSG:4326", 142.0, False),
        ("EPSG:3413", 30.0, False),
        ("EPSG:3031", 70.0, True),
        ("EPSG:6933", 142.0, False),
        ("EPSG:5070", -40.0, False),  # Albers of the conterminous US, 56° off its meridian
        ("EPSG:2927", -118.0, False),  # Lambert in US survey feet
        ("EPSG:32654", 143.9, False),
    )
    for lat in ((-70.0, -45.0, 0.0) if south else (0.0, 45.0, 70.0))
]


def local(lon: float, lat: float) -> str:
    """Return a CRS of true metres and true north around a place."""
    return f"+proj=aeqd +lat_0={lat} +lon_0={lon} +ellps=WGS84 +units=m"


def native(crs: str, lon: float, lat: float, turn: str, ground_m: float = 30.0) -> GeoBox:
    """Return a grid around a place whose pixels are at most so long on the ground."""
    x, y = transformer("EPSG:4326", crs).transform(lon, lat)
    step = 1e-4 if crs == "EPSG:4326" else 10.0
    probe = Affine(step, 0, x, 0, -step, y)
    step *= ground_m / max(pixel_size_m(GeoBox((1, 1), probe, crs)))
    affine = {
        "north-up": Affine(step, 0, 0, 0, -step, 0),
        "south-up": Affine(step, 0, 0, 0, step, 0),
        "rotated": Affine.rotation(25) @ Affine(step, 0, 0, 0, -step, 0),
    }[turn]
    affine = Affine.translation(x, y) @ affine @ Affine.translation(-100, -60)
    return GeoBox((120, 200), affine, crs)


def metres(geobox: GeoBox, lon: float, lat: float) -> tuple[_F64, _F64]:
    """Return (east, north) of a grid's pixel centres from a place, true metres."""
    rows, columns = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
    x, y = geobox.affine @ (columns, rows)
    there = transformer(str(geobox.crs), local(lon, lat))
    east, north = there.transform(x, y)
    return np.asarray(east), np.asarray(north)


def plane(east: _F64, north: _F64) -> _F64:
    towards = np.radians(FALLS_TO_DEG)
    return 3000 - TANGENT * (east * np.sin(towards) + north * np.cos(towards))


def cone(east: _F64, north: _F64) -> _F64:
    return 3000 - TANGENT * np.hypot(east - 900, north + 100)  # the top lies beyond the block


def block_at(lon: float, lat: float) -> GeoBox:
    crs = utm_crs(lon, lat)
    x, y = transformer("EPSG:4326", crs).transform(lon, lat)
    return GeoBox((20, 20), Affine(10, 0, x - 100, 0, -10, y + 100), crs)


def check(elevation: Elevation, lon: float, lat: float, surface: str) -> None:
    block = block_at(lon, lat)
    found = terrain(elevation, block, ["slope", "aspect_sin", "aspect_cos", "hillshade"])
    east, north = metres(block, lon, lat)
    aspect = FALLS_TO_DEG * np.ones_like(east)
    if surface == "cone":
        aspect = np.degrees(np.arctan2(east - 900, north + 100))
    assert np.abs(found["slope"] - 30).max() < 0.7
    got = np.degrees(np.arctan2(found["aspect_sin"], found["aspect_cos"]))
    assert np.abs((got - aspect + 180) % 360 - 180).max() < 2
    facing = np.cos(np.radians(aspect - 270))
    light = np.sqrt(0.5) * (np.sin(np.radians(30)) * facing + np.cos(np.radians(30)))
    assert np.abs(found["hillshade"] - 255 * np.maximum(light, 0)).max() < 2


@pytest.mark.parametrize(("crs", "lon", "lat"), PLACES)
@pytest.mark.parametrize("turn", ["north-up", "south-up", "rotated"])
@pytest.mark.parametrize("surface", ["plane", "cone"])
def test_a_surface_keeps_its_slope_aspect_and_shade_in_every_projection(
    crs: str, lon: float, lat: float, turn: str, surface: str
) -> None:
    grid = native(crs, lon, lat, turn)
    z = (plane if surface == "plane" else cone)(*metres(grid, lon, lat))
    check(Elevation(z.astype(np.float32), grid), lon, lat, surface)


@pytest.mark.parametrize("turn", ["north-up", "rotated"])
def test_curvature_is_of_the_ground_not_of_the_map(turn: str) -> None:
    grid = native("EPSG:6933", 142.0, 60.0, turn)
    east, north = metres(grid, 142.0, 60.0)
    bowl = Elevation(((east**2 + 2 * north**2) / 1000).astype(np.float32), grid)
    found = terrain(bowl, block_at(142.0, 60.0), ["curvature"])["curvature"]
    assert np.allclose(found, -0.6, atol=0.03)


def test_steps_of_a_pixel_are_the_same_in_every_window() -> None:
    grid = native("EPSG:3413", 30.0, 70.0, "rotated")
    whole = ground_steps(grid).east_column
    for rows, columns in ((slice(0, 50), slice(7, 90)), (slice(61, 120), slice(100, 200))):
        part = ground_steps(grid[rows, columns]).east_column
        np.testing.assert_array_equal(part, whole[rows, columns])


def write(path: Path, z: _F64, grid: GeoBox, unit: str | None, crs: str | None = None) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=1, height=z.shape[0], width=z.shape[1],
        crs=crs or str(grid.crs), transform=grid.affine,
    ) as file:  # fmt: skip
        file.write(z.astype(np.float32), 1)
        if unit is not None:
            file.units = [unit]


@pytest.mark.parametrize(
    ("unit", "crs", "unit_m"),
    [
        (None, None, 1.0),
        ("m", None, 1.0),
        ("metre", None, 1.0),
        ("US survey foot", None, 1200 / 3937),
        ("ft", None, 0.3048),
        ("cm", None, 0.01),
        (None, "EPSG:32654+6360", 1200 / 3937),  # NAVD88 height (ftUS)
        (None, "EPSG:32654+5703", 1.0),
    ],
)
def test_heights_are_metres_whatever_the_file_counts_in(
    tmp_path: Path, unit: str | None, crs: str | None, unit_m: float
) -> None:
    grid = native("EPSG:32654", 142.0, 45.0, "north-up")
    write(tmp_path / "dem.tif", plane(*metres(grid, 142.0, 45.0)) / unit_m, grid, unit, crs)
    raster = look_at(tmp_path, "dem.tif", 1, "dem", holds=BANDS["dem"])
    values, there = raster.around(block_at(142.0, 45.0), MARGIN_PX)
    check(Elevation(values, there), 142.0, 45.0, "plane")


def test_units_that_nobody_knows_are_refused_by_name(tmp_path: Path) -> None:
    grid = native("EPSG:32654", 142.0, 45.0, "north-up")
    write(tmp_path / "dem.tif", plane(*metres(grid, 142.0, 45.0)), grid, "smoot")
    with pytest.raises(RequestError, match=r"`smoot`") as caught:
        look_at(tmp_path, "dem.tif", 1, "dem", holds=BANDS["dem"])
    assert "unit: m" in caught.value.remedy
    look_at(tmp_path, "dem.tif", 1, "dem", Numbers(unit="m"), BANDS["dem"])


def test_heights_without_a_unit_on_a_map_in_feet_are_asked_about(tmp_path: Path) -> None:
    grid = native("EPSG:2927", -121.0, 46.0, "north-up")
    write(tmp_path / "dem.tif", plane(*metres(grid, -121.0, 46.0)), grid, None)
    with pytest.raises(RequestError, match="US survey foot") as caught:
        look_at(tmp_path, "dem.tif", 1, "dem", holds=BANDS["dem"])
    assert "unit: ft" in caught.value.remedy
