"""What lies under the simulated scenes: the same world before and after, except where it slid;
light, seasons, sky.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio

from configs.event import Event
from configs.records import ObservationClass
from gee.simulated import LANDSCAPES
from gee.simulated.cover import Place, cut_out, place, snow_share, struck, surface
from gee.simulated.lattice import FRACTAL_STD, Grid, fractal, value_noise, white
from gee.simulated.relief import gradient, ground, measured_elevation
from gee.simulated.scene import MARGIN_PX, classes, render
from gee.simulated.season import leaves, season_day, snow_line_m
from gee.simulated.sky import Acquisition, acquisitions, imaged, sky
from gee.simulated.slides import shaken
from gee.simulated.sun import cast_shadow, sun_at
from gee.simulated.world import World, world

EARTH = world("tephra-hills", 1, "EPSG:32654")
GRID = Grid(10.0, -472_700, 57_600, 96, 96)
"""A window near 42.69 N 141.93 E."""
DAY = date(2018, 9, 10)


def quake() -> Event:
    moment = datetime(2018, 9, 5, 18, 8, tzinfo=UTC)
    return Event(
        name="q", time=moment, latitude=42.69, longitude=141.93, magnitude=6.6, depth_km=12
    )


@pytest.fixture(scope="module")
def before() -> Place:
    return place(EARTH, GRID)


@pytest.fixture(scope="module")
def after(before: Place) -> Place:
    return struck(before, shaken(EARTH, quake()))


def test_outside_the_slides_the_world_is_the_same_and_inside_it_is_barer(
    before: Place, after: Place
) -> None:
    assert after.new is not None
    one, other = surface(before, DAY), surface(after, DAY)
    far, inside = after.new.depth_m < -7, after.new.depth_m > 10
    np.testing.assert_array_equal(one[:, far], other[:, far])
    assert inside.sum() > 30
    red, infrared = 2, 3
    assert other[red, inside].mean() > one[red, inside].mean()
    assert other[infrared, inside].mean() < one[infrared, inside].mean()


def test_painting_a_day_changes_nothing_that_another_day_sees(after: Place) -> None:
    first = surface(after, DAY)
    surface(after, DAY + timedelta(days=90))
    np.testing.assert_array_equal(surface(after, DAY), first)


def test_a_part_of_a_place_renders_as_the_whole(after: Place) -> None:
    one = acquisitions(EARTH, GRID, DAY, DAY + timedelta(days=5))[0]
    inner = Grid(10.0, GRID.row + 20, GRID.column + 30, 40, 24)
    whole = render(after, one, Grid(10.0, GRID.row + 4, GRID.column + 4, 88, 88))
    part = render(cut_out(after, inner.grown(MARGIN_PX)), one, inner)
    np.testing.assert_array_equal(part, whole[:, 16:56, 26:50])


def test_noise_has_no_seams_and_the_promised_spread() -> None:
    large = Grid(10.0, -50, 1000, 300, 300)
    window = Grid(10.0, 13, 1101, 57, 91)
    for noise in (
        lambda g: white(g, 5),
        lambda g: value_noise(g, 73.0, 5),
        lambda g: fractal(g, 900.0, 4, 5),
    ):
        np.testing.assert_array_equal(noise(window), noise(large)[window.inside(large)])
    assert white(large, 5).std() == pytest.approx(1, abs=0.02)
    wide = Grid(137.0, 0, 0, 500, 500)
    assert value_noise(wide, 1111.0, 3).std() == pytest.approx(0.45, abs=0.02)
    assert fractal(wide, 2_600.0, 5, 3).std() == pytest.approx(FRACTAL_STD, abs=0.06)


@pytest.mark.parametrize("name", sorted(LANDSCAPES))
def test_relief_is_what_the_landscape_promises(name: str) -> None:
    earth = World(name, 1, 32654)
    grid = Grid(30.0, -157_300, 16_700, 128, 128)
    height = ground(earth, grid).height
    gx, gy = gradient(earth, grid)
    slope = np.degrees(np.arctan(np.hypot(gx, gy)))
    lowest, highest = {
        "tephra-hills": (-50, 600),
        "alpine-valley": (1700, 5200),
        "tropical-range": (-300, 2800),
    }.get(name, (-400, 5500))
    assert lowest < height.min() < height.max() < highest
    steep = {"tephra-hills": (8, 28), "alpine-valley": (24, 42), "deep-gorge": (24, 50)}.get(
        name, (10, 40)
    )
    assert steep[0] < np.median(slope[slope > 3]) < steep[1]
    assert 0.5 < (measured_elevation(earth, grid) - height).std() < 3


def test_relief_is_as_rough_as_the_real_hills(real: Path) -> None:
    with rasterio.open(real / "iburi-2018" / "dem.tif") as file:
        dem = file.read(1).astype(float)
    down, right = np.gradient(dem, 30.0, 30.0 * 0.735)
    real_slope = np.degrees(np.arctan(np.hypot(down, right)))
    gx, gy = gradient(World("tephra-hills", 1, 32654), Grid(30.0, -157_300, 16_700, 300, 300))
    slope = np.degrees(np.arctan(np.hypot(gx, gy)))
    assert np.percentile(slope, 90) == pytest.approx(np.percentile(real_slope, 90), abs=12)
    assert slope.mean() == pytest.approx(real_slope.mean(), abs=8)


def test_the_sun_is_high_in_summer_east_of_south_and_north_of_the_southern_observer() -> None:
    summer, winter = sun_at(42.7, date(2018, 6, 21)), sun_at(42.7, date(2018, 12, 21))
    assert 55 < np.degrees(summer.elevation) < 68
    assert 15 < np.degrees(winter.elevation) < 25
    assert 100 < np.degrees(winter.azimuth) < 180
    assert abs(np.degrees(sun_at(-42.7, date(2018, 6, 21)).azimuth)) < 90


def test_low_sun_casts_longer_shadows() -> None:
    earth = World("alpine-valley", 1, 32648)
    grid = Grid(10.0, -368_000, 40_000, 200, 200)
    low, high = (
        cast_shadow(earth, grid, date(2018, 12, 21)),
        cast_shadow(earth, grid, date(2018, 6, 21)),
    )
    assert low.mean() > high.mean()
    assert ((low >= 0) & (low <= 1)).all()


def test_seasons_are_half_a_year_apart_on_the_hemispheres_and_snow_falls_in_winter(
    before: Place,
) -> None:
    assert abs(season_day(DAY, True) - season_day(DAY, False)) == pytest.approx(182.5)
    weather = LANDSCAPES["tephra-hills"].weather
    level, flat = np.full((2, 2), 100, np.float32), np.zeros((2, 2), np.float32)
    assert leaves(weather, 200, level, flat)[0].min() == 1
    assert leaves(weather, 20, level, flat)[0].max() == 0
    assert snow_line_m(weather, 45) < snow_line_m(weather, 110) < snow_line_m(weather, 220)
    assert snow_share(before, 45.0).mean() > 0.3
    assert snow_share(before, 220.0).max() == 0


def test_clouds_cover_what_the_weather_says_and_shadows_fall_beside_them() -> None:
    wide = Grid(120.0, -39_400, 4_800, 160, 160)
    overpasses = acquisitions(EARTH, wide, date(2018, 1, 1), date(2018, 12, 31))
    cloudy = np.array([(sky(one, wide).cloud > 0.1).mean() for one in overpasses])
    wanted = np.array([one.cloud_fraction for one in overpasses])
    assert cloudy.min() == 0
    assert cloudy.max() > 0.97
    assert np.corrcoef(cloudy, wanted)[0, 1] > 0.85
    broken = overpasses[int(np.argmin(np.abs(cloudy - 0.4)))]
    over = sky(broken, wide)
    assert (over.shade > 0.3).mean() == pytest.approx((over.cloud > 0.3).mean(), abs=0.2)
    assert not np.array_equal(over.cloud, over.shade)


def test_overpasses_come_every_five_days_and_swaths_have_edges() -> None:
    wide = Grid(600.0, -7_900, 700, 300, 300)
    found = acquisitions(EARTH, wide, date(2018, 6, 1), date(2018, 6, 30))
    for track in {one.track for one in found}:
        days = [one.day for one in found if one.track == track]
        assert set(np.diff(days)) == {5}
    part = imaged(found[0], wide)
    assert 0 < part.mean() < 1
    both = sum(imaged(one, wide) for one in {one.track: one for one in found}.values())
    assert both.min() >= 1


def test_the_mask_knows_cloud_shadow_snow_water_and_what_was_not_imaged(before: Place) -> None:
    seen: set[int] = set()
    for one in acquisitions(EARTH, GRID, date(2018, 1, 1), date(2018, 6, 30)):
        seen |= set(np.unique(classes(before, one)).tolist())
    assert {
        ObservationClass.CLEAR,
        ObservationClass.CLOUD,
        ObservationClass.SHADOW,
        ObservationClass.SNOW,
    } <= seen
    outside = Acquisition(EARTH, 10_000, 17_800)
    assert (classes(before, outside) == ObservationClass.NOT_IMAGED).all()
