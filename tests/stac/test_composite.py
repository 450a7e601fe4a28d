"""What a catalogue's scenes become: several tiles and UTM zones, gaps, overlaps, water, and what is
not asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from configs.bands import When
from configs.records import ObservationClass
from configs.stac import StacConfig
from configs.stack import EPOCH_DAY
from gee.rasters import Raster
from gee.source import Plan
from gee.stac import StacSource
from stac import world
from stac.earth import Pass, publish, publish_heights
from stac.loopback import Loopback

GRID = world.AREA.geobox(10)
FIRST_DAY = datetime(2018, 9, 10, 1, 20, tzinfo=UTC)


def smooth(grid: GeoBox) -> np.ndarray:
    """Return a reflectance that depends on the place alone: one unit of 1e-4 changes over 5 m."""
    to_degrees = pyproj.Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    affine = grid.affine
    x, y = np.meshgrid(
        affine.c + affine.a * (np.arange(grid.shape[1]) + 0.5),
        affine.f + affine.e * (np.arange(grid.shape[0]) + 0.5),
    )
    lon, lat = to_degrees.transform(x, y)
    found: np.ndarray = 0.02 + 2.0 * (lon - 141.87) + 1.0 * (lat - 42.65)
    return found


def one_pass(name: str, days: int = 0, crs: str = world.CRS, tile: str = "54TXN") -> Pass:
    grid = world.grid_around(crs)
    values = smooth(grid)
    return Pass(
        name,
        FIRST_DAY + timedelta(days=days),
        grid,
        dict.fromkeys(("B2", "B4"), values),
        np.full(values.shape, world.CLEAR, np.uint8),
        tile=tile,
    )


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        grid = world.heights_around()
        publish_heights(running, "DEM", world.hills(grid), grid)
        yield running


def source_of(server: Loopback) -> StacSource:
    return StacSource(StacConfig(catalogue=server.url, block_px=256, workers=2, requests=4))


def plan_of(source: StacSource) -> Plan:
    return source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))


def test_tiles_of_two_zones_make_one_image_without_seams(server: Loopback) -> None:
    """The tile of the grid's own zone shows the west only; the rest comes from the next zone."""
    own, next_zone = one_pass("A"), one_pass("B", crs="EPSG:32653", tile="53TPG")
    half = int(own.grid.shape[1]) // 2
    for values in own.bands.values():
        values[:, half:] = np.nan
    classes = own.classes.copy()
    classes[:, half:] = 0
    publish(server, replace(own, classes=classes))
    publish(server, next_zone)
    source = source_of(server)
    plan = plan_of(source)
    assert {scene.id for scene in plan.scenes} == {"A", "B"}
    whole = source.pull(plan, GRID)
    assert (whole.observation[When.POST] == ObservationClass.CLEAR).all()
    error = whole.bands["post_B4"] - smooth(GRID)
    assert np.abs(error).max() < 4e-4  # half a pixel of the other zone's grid, in both directions
    for rows, columns in ((slice(0, 60), slice(100, 240)), (slice(101, 170), slice(5, 77))):
        part = source.pull(plan, GRID[rows, columns])
        np.testing.assert_array_equal(part.bands["post_B4"], whole.bands["post_B4"][rows, columns])


def test_whole_rows_at_once_are_the_same_pixels(server: Loopback) -> None:
    """Grids beside, beyond, finer, coarser and shifted against the file's: the quick way and the
    general one.
    """
    publish(server, one_pass("A"))
    source = source_of(server)
    plan = plan_of(source)
    raster = source._files.band(plan.scenes[0], plan.details["scenes"]["A"], "B4")
    west = world.grid_around(world.CRS).affine.c
    for step in (10.0, 5.0, 2.5, 7.0, 20.0):
        for shift in (0.0, 3.7, -5200.0, 5.0):
            affine = Affine(step, 0, GRID.affine.c + shift, 0, -step, GRID.affine.f - shift)
            block = GeoBox((90, 170), affine, GRID.crs)
            np.testing.assert_array_equal(
                raster.warp(block, "nearest"), Raster.warp(raster, block, "nearest")
            )
    assert west > GRID.affine.c - 5200  # one of them reaches beyond the file


def test_overlaps_take_the_first_clear_scene_and_keep_its_day(server: Loopback) -> None:
    size = int(one_pass("A").grid.shape[0])
    cloudy = one_pass("A")
    classes = cloudy.classes.copy()
    classes[: size // 2] = world.CLOUD
    publish(server, replace(cloudy, classes=classes))
    publish(server, one_pass("B", days=5))
    source = source_of(server)
    found = source.pull(plan_of(source), GRID)
    days = found.date[When.POST] - (FIRST_DAY.date() - EPOCH_DAY).days
    middle = int(GRID.shape[0]) // 2
    assert set(np.unique(days[: middle - 2])) == {5}
    assert set(np.unique(days[middle + 2 :])) == {0}


def test_a_scene_that_is_not_needed_is_not_read(server: Loopback) -> None:
    publish(server, one_pass("A"))
    publish(server, one_pass("B", days=5))
    plan = plan_of(source_of(server))
    before = len(server.requests())
    source_of(server).pull(plan, GRID)
    asked = {entry.path.split("/")[2] for entry in server.requests()[before:]}
    assert asked == {"A"}


def test_the_estimate_is_about_what_it_takes(server: Loopback) -> None:
    noise = np.random.default_rng(1).integers(0, 500, one_pass("A").classes.shape) * 1e-4
    for name, days in (("A", 0), ("B", 5)):
        made = one_pass(name, days)
        publish(server, replace(made, bands={band: v + noise for band, v in made.bands.items()}))
    plan = plan_of(source_of(server))
    before = len(server.requests())
    source_of(server).pull(plan, GRID)
    asked = server.requests()[before:]
    assert plan.megabytes == pytest.approx(sum(one.sent for one in asked) / 1e6, rel=0.5)
    assert len(asked) / 2 <= plan.requests <= 2 * len(asked)


def test_water_is_what_two_days_call_so(server: Loopback) -> None:
    shaded, lake = one_pass("A"), one_pass("B", days=5)
    size = int(shaded.grid.shape[0])
    west, east = np.s_[:, : size // 2], np.s_[:, size // 2 :]
    both, one = lake.classes.copy(), shaded.classes.copy()
    one[west] = one[east] = world.WATER
    both[east] = world.WATER
    publish(server, replace(shaded, classes=one))
    publish(server, replace(lake, classes=both))
    source = source_of(server)
    seen = source.pull(plan_of(source), GRID).observation[When.POST]
    middle = int(GRID.shape[1]) // 2
    assert set(np.unique(seen[:, : middle - 2])) == {ObservationClass.CLEAR}
    assert set(np.unique(seen[:, middle + 2 :])) == {ObservationClass.WATER}


def test_water_that_one_day_alone_shows_stays_water(server: Loopback) -> None:
    lake = one_pass("A")
    publish(server, replace(lake, classes=np.full(lake.classes.shape, world.WATER, np.uint8)))
    source = source_of(server)
    seen = source.pull(plan_of(source), GRID).observation[When.POST]
    assert (seen == ObservationClass.WATER).all()


def test_a_pixel_without_a_number_was_not_imaged(server: Loopback) -> None:
    """The classification says clear; the band has 0, or is saturated."""
    gap = one_pass("A")
    values = gap.bands["B4"].copy()
    values[:400] = np.nan
    values[400:420] = 6.4535  # 65535 with the offset
    publish(server, replace(gap, bands={**gap.bands, "B4": values}))
    source = source_of(server)
    found = source.pull(plan_of(source), GRID)
    seen = found.observation[When.POST]
    np.testing.assert_array_equal(
        seen == ObservationClass.NOT_IMAGED, np.isnan(found.bands["post_B4"])
    )
    np.testing.assert_array_equal(seen == ObservationClass.NOT_IMAGED, found.date[When.POST] == 0)
    assert (seen[-10:] == ObservationClass.CLEAR).all()
    assert (seen[:10] == ObservationClass.NOT_IMAGED).all()


def test_the_other_catalogues_keys_give_the_same_pixels(server: Loopback) -> None:
    """Planetary Computer's names, no flag and no word of an offset."""
    pulled = []
    for like in (1, 0):
        publish(server, replace(one_pass("A"), like=like))
        source = source_of(server)
        plan = plan_of(source)
        assert plan.details["scenes"]["A"]["offset"] == -0.1
        pulled.append(source.pull(plan, GRID).bands["post_B4"])
    np.testing.assert_array_equal(*pulled)


def test_what_is_left_out_is_left_out(server: Loopback) -> None:
    publish(server, one_pass("A"))
    publish(server, one_pass("B", days=5))
    config = StacConfig(catalogue=server.url, leave_out=("A",))
    assert [one.id for one in plan_of(StacSource(config)).scenes] == ["B"]
