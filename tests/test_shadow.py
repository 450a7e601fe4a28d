"""Cast shadow against rays that are followed in another way: on terrain given by a formula, metre
by metre; and that it is the same whatever block is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyproj
import pytest
import yaml
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from small_archive import make_archive

from configs.area import around
from configs.bands import When
from configs.errors import RequestError
from configs.event import Event, default_windows
from configs.records import ObservationClass, Sun
from configs.stack import Stack
from gee.archive import fingerprints
from gee.archive.manifest import CloudMask, read_manifest
from gee.archive.source import ArchiveSource
from gee.observation import observe
from gee.shadow import FAR_M, RELIEF_M, cast_shadow, margin_px
from gee.source import Elevation
from gee.stack import assemble

Terrain = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
LATITUDE, LONGITUDE = 44.0, 8.9
UTM = "EPSG:32632"
METRIC = f"+proj=aeqd +lat_0={LATITUDE} +lon_0={LONGITUDE} +ellps=WGS84"


def cone(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """900 m high, 1.2 km wide: steeper than a low sun."""
    return 200 + 900 * np.maximum(0, 1 - np.hypot(x, y) / 1200)


def wall(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """300 m high, 120 m thick, from south-west to north-east, over a gentle slope."""
    across = (x - y) / np.sqrt(2)
    return 0.03 * y + 300 * np.clip(2 - np.abs(across) / 60, 0, 1)


def ridge(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two ridges of 600 m across the map, one behind the other."""
    return 600 * (np.exp(-(((y - 0.2 * x) / 400) ** 2)) + np.exp(-(((y + 1500) / 300) ** 2)))


def followed(
    terrain: Terrain, x: NDArray[np.float64], y: NDArray[np.float64], sun: Sun
) -> NDArray[np.bool_]:
    """Return where a ray towards the sun, followed by 10 m, meets the formula's ground."""
    azimuth, slope = np.radians(sun.azimuth_deg), np.tan(np.radians(sun.elevation_deg))
    here, hidden = terrain(x, y), np.zeros(x.shape, bool)
    for metres in np.arange(10, min(FAR_M, RELIEF_M / slope), 10.0):
        ahead = terrain(x + metres * np.sin(azimuth), y + metres * np.cos(azimuth))
        hidden |= ahead > here + metres * slope
    return hidden


def grid(crs: str, step: float, half: int, turn_deg: float = 0) -> GeoBox:
    """Return a grid of 2 × half pixels around the middle."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(
        LONGITUDE, LATITUDE
    )
    affine = (
        Affine.translation(x, y)
        @ Affine.rotation(turn_deg)
        @ Affine.scale(step, -step)
        @ Affine.translation(-half, -half)
    )
    return GeoBox((2 * half, 2 * half), affine, crs)


def metres_of(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return true metres (east, north) of pixel centres from the middle."""
    columns, rows = np.meshgrid(np.arange(geobox.shape[1]) + 0.5, np.arange(geobox.shape[0]) + 0.5)
    x, y = geobox.affine @ (columns, rows)
    found = pyproj.Transformer.from_crs(str(geobox.crs), METRIC, always_xy=True).transform(x, y)
    return np.asarray(found[0]), np.asarray(found[1])


NATIVE = {
    "UTM": lambda half: grid(UTM, 15, half),
    "degrees": lambda half: grid("EPSG:4326", 1 / 7200, half + half // 2),
    "Web Mercator": lambda half: grid("EPSG:3857", 20, half),
    "turned": lambda half: grid(UTM, 15, half + half // 2, 33),
}


@lru_cache
def modelled(native: str, terrain: Terrain) -> Elevation:
    """Return the formula on a model's pixels, as far around as the shadows below reach."""
    model = NATIVE[native](300)
    return Elevation(terrain(*metres_of(model)).astype(np.float32), model)


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("terrain", [cone, wall, ridge])
@pytest.mark.parametrize("sun", [Sun(155.0, 25.0), Sun(318.0, 35.0)])
def test_it_is_what_rays_over_the_formula_meet(native: str, terrain: Terrain, sun: Sun) -> None:
    """≥ 99 %, on pixels of 15 m; on coarser ones an edge of the formula is blunter than it is."""
    elevation, block = modelled(native, terrain), grid(UTM, 25, 50)
    expected = followed(terrain, *metres_of(block), sun)
    found = cast_shadow(elevation, block, sun)
    assert (found == expected).mean() >= 0.99
    if expected.any():
        assert (found & expected).sum() / (found | expected).sum() > 0.9


def test_the_cases_cast_shadows_of_every_size() -> None:
    block = grid(UTM, 20, 100)
    shares = [followed(f, *metres_of(block), Sun(155.0, 25.0)).mean() for f in (cone, wall, ridge)]
    assert all(0.05 < share < 0.6 for share in shares), shares


def test_a_block_s_shadow_is_that_of_the_whole_bit_for_bit() -> None:
    rng = np.random.default_rng(7)
    model = grid("EPSG:4326", 1 / 3600, 420)
    x, y = metres_of(model)
    heights = ridge(x, y) + cone(x, y) + rng.normal(0, 20, x.shape)
    elevation, sun = Elevation(heights.astype(np.float32), model), Sun(141.0, 22.0)
    whole = grid(UTM, 10, 256)
    expected = cast_shadow(elevation, whole, sun)
    assert 0.1 < expected.mean() < 0.9
    margin = margin_px(sun, 22.0)  # the narrower side of its pixels
    for rows, columns in ((slice(0, 100), slice(0, 90)), (slice(300, 512), slice(77, 400))):
        block = whole[rows, columns]
        # The window that a source would deliver for this block.
        lon, lat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(
            *(
                block.affine
                @ np.array([[0, block.shape[1], 0, block.shape[1]], [0, 0, *[block.shape[0]] * 2]])
            )
        )
        c, r = ~model.affine @ (np.asarray(lon), np.asarray(lat))
        part = (
            slice(int(r.min()) - margin, int(r.max()) + margin + 1),
            slice(int(c.min()) - margin, int(c.max()) + margin + 1),
        )
        near = Elevation(elevation.values[part], model[part])
        np.testing.assert_array_equal(cast_shadow(near, block, sun), expected[rows, columns])


def test_voids_hide_nothing_and_are_not_hidden() -> None:
    model = grid(UTM, 30, 100)
    heights = cone(*metres_of(model))
    heights[90:110, 90:110] = np.nan
    found = cast_shadow(Elevation(heights.astype(np.float32), model), model, Sun(180.0, 20.0))
    assert not found[90:110, 90:110].any()
    assert found.any()
    lost = Elevation(np.full((4, 4), np.nan, np.float32), model[:4, :4])
    assert not cast_shadow(lost, model, Sun(180.0, 20.0)).any()


def test_flat_ground_and_a_high_sun_cast_nothing() -> None:
    model = grid(UTM, 30, 60)
    flat = Elevation(np.full((120, 120), 300, np.float32), model)
    assert not cast_shadow(flat, model, Sun(170.0, 3.0)).any()
    steep = Elevation(cone(*metres_of(model)).astype(np.float32), model)
    assert not cast_shadow(steep, model, Sun(170.0, 60.0)).any()


def shaded(folder: Path, out: Path, **angles: float) -> Stack:
    """Return the stack of an archive whose later scene says where the sun stood."""
    make_archive(folder)
    content = yaml.safe_load((folder / "archive.yaml").read_text())
    content["scenes"][1] |= angles
    (folder / "archive.yaml").write_text(yaml.safe_dump(content))
    source, bands = ArchiveSource(folder), ("pre_B4", "post_B4")
    area = around(42.70, 142.11, 1.0)
    event = Event(name="e", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42.7, longitude=142.11)
    windows = default_windows(event, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    plan = source.plan(area, area.geobox(10), event, windows, bands)
    return assemble(source, plan, bands, out)


def test_an_archive_that_says_where_the_sun_stood(tmp_path: Path) -> None:
    plain = shaded(tmp_path / "a", tmp_path / "a.zarr")
    low = shaded(tmp_path / "b", tmp_path / "b.zarr", sun_azimuth_deg=160.0, sun_elevation_deg=22.0)
    high = shaded(
        tmp_path / "c", tmp_path / "c.zarr", sun_azimuth_deg=160.0, sun_elevation_deg=60.0
    )
    before, dark = plain.observation(When.POST), low.observation(When.POST)
    cast = dark == ObservationClass.CAST_SHADOW
    assert 0.02 < cast.mean() < 0.5
    np.testing.assert_array_equal(dark[~cast], before[~cast])
    for name in ("post_B4", "pre_B4"):  # the pixels stay: only what is said of them changes
        np.testing.assert_array_equal(low.read(name), plain.read(name))
    for stack, when in ((low, When.PRE), (high, When.PRE), (high, When.POST)):
        np.testing.assert_array_equal(stack.observation(when), plain.observation(when))
    area = around(42.70, 142.11, 1.0)
    seen = observe(low, ("pre_B4", "post_B4"), area, tmp_path / "seen")
    assert seen.counts[ObservationClass.CAST_SHADOW] > 0
    assert seen.observed_fraction < 1


def test_fingerprints_of_archives_without_angles_stay(tmp_path: Path) -> None:
    """An archive written before there was a sun in it is not a changed archive."""
    manifest, _, folder = read_manifest(make_archive(tmp_path))
    entry = manifest.scenes[0].model_copy(
        update={"cloud_mask": CloudMask(file="pre_B4.tif", cloud=(1,))}
    )
    described = fingerprints._described(entry)
    assert "sun_azimuth_deg" not in described
    assert "cast_shadow" not in described["cloud_mask"]
    lit = entry.model_copy(update={"sun_azimuth_deg": 150.0, "sun_elevation_deg": 30.0})
    prints = [fingerprints.fingerprints(manifest, folder, [one]) for one in (entry, lit)]
    assert prints[0][entry.id] != prints[1][entry.id]


def test_half_a_sun_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="give both sun_azimuth_deg and sun_elevation_deg"):
        shaded(tmp_path / "a", tmp_path / "a.zarr", sun_azimuth_deg=160.0)
