"""Shaking and slides: the published relations, and slides that keep to them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.integrate import quad

from configs.area import around
from configs.event import Event
from gee.simulated import LANDSCAPES, shaking
from gee.simulated.grids import native_window
from gee.simulated.slides import NUMBER_SPREAD, REACH_M, cells, shaken, slides
from gee.simulated.world import world


def quake(magnitude: float = 6.6, latitude: float = 42.69) -> Event:
    moment = datetime(2018, 9, 5, 18, 8, tzinfo=UTC)
    return Event(
        name="q", time=moment, latitude=latitude, longitude=141.93, magnitude=magnitude, depth_km=12
    )


def test_peak_acceleration_is_campbell_1981() -> None:
    # By hand: 0.0159 exp(0.868 * 6.5) = 4.4812; (10 + 0.0606 exp(4.55))^-1.09 = 15.735^-1.09 =
    # 0.04958
    assert shaking.peak_acceleration(6.5, np.array([10.0]))[0] == pytest.approx(0.2222, rel=2e-3)
    far = shaking.peak_acceleration(6.5, np.array([1.0, 5.0, 20.0, 50.0]))
    assert (np.diff(far) < 0).all()
    assert (
        shaking.peak_acceleration(7.5, np.array([10.0]))
        > shaking.peak_acceleration(6.5, np.array([10.0]))
    ).all()


def test_displacement_and_failure_are_jibson() -> None:
    # Half the peak: 0.215 + log10(0.5^2.341 * 0.5^-1.438) = 0.215 - 0.903 log10 2 = -0.0568
    moved = shaking.newmark_displacement_cm(np.array([0.2]), np.array([0.4]))[0]
    assert math.log10(moved) == pytest.approx(0.215 - 0.903 * math.log10(2), abs=1e-9)
    assert shaking.newmark_displacement_cm(np.array([0.5]), np.array([0.4]))[0] == 0
    probability = shaking.failure_probability(np.array([0.0, 5.0, 1e3]))
    assert probability[0] == 0
    assert probability[1] == pytest.approx(0.335 * (1 - math.exp(-0.048 * 5**1.565)))
    assert probability[2] == pytest.approx(0.335)


def test_numbers_areas_and_lengths_of_an_earthquake() -> None:
    assert math.log10(shaking.expected_number(7.0)) == pytest.approx(1.29 * 7 - 5.65)
    assert math.log10(shaking.affected_km2(7.0)) == pytest.approx(3.54)
    assert math.log10(shaking.rupture_length_km(7.0)) == pytest.approx(0.59 * 7 - 2.44)
    length, reach = shaking.rupture_length_km(6.6), shaking.affected_distance_km(6.6)
    assert 2 * reach * length + math.pi * reach**2 == pytest.approx(shaking.affected_km2(6.6))


def test_the_area_density_is_a_density_with_the_published_mean_and_mode() -> None:
    total, _ = quad(
        lambda a: float(shaking.area_density(np.array(a))),
        0,
        100,
        limit=500,
        points=[4e-4, 1e-2, 1],
    )
    assert total == pytest.approx(1, abs=0.01)
    fine = np.linspace(1e-5, 5e-3, 20_000)
    assert fine[np.argmax(shaking.area_density(fine))] == pytest.approx(4e-4, rel=0.05)
    tail = shaking.area_density(np.array([1.0, 10.0]))
    assert math.log10(tail[1] / tail[0]) == pytest.approx(-2.40, abs=0.01)


def test_drawn_areas_follow_the_truncated_density() -> None:
    uniform = (np.arange(20_000) + 0.5) / 20_000
    areas = shaking.slide_areas_m2(uniform) * 1e-6
    assert areas.min() >= 25e-6 - 1e-9
    assert areas.max() <= shaking.LARGEST_KM2
    for low, high in ((2e-4, 1e-3), (1e-3, 1e-2), (1e-2, 1e-1)):
        inside, _ = quad(lambda a: float(shaking.area_density(np.array(a))), low, high)
        kept, _ = quad(
            lambda a: float(shaking.area_density(np.array(a))),
            25e-6,
            shaking.LARGEST_KM2,
            limit=500,
            points=[4e-4, 1e-2],
        )
        assert ((areas > low) & (areas <= high)).mean() == pytest.approx(inside / kept, rel=0.03)
    assert 2.4e-3 < areas.mean() < 3.07e-3  # truncation takes the far tail off the published mean
    assert np.median(shaking.slide_areas_m2(uniform, 3.0)) == pytest.approx(
        3 * np.median(areas) * 1e6, rel=0.02
    )


@pytest.mark.parametrize("name", sorted(LANDSCAPES))
def test_an_earthquake_releases_about_its_number_of_slides(name: str) -> None:
    event = quake()
    earth = world(name, 1, "EPSG:32654")
    shock = shaken(earth, event)
    factor = shock.total / shaking.expected_number(6.6) / LANDSCAPES[name].ground.susceptibility
    assert abs(math.log10(factor)) <= 1.5 * NUMBER_SPREAD + 1e-9
    assert 0.3 <= LANDSCAPES[name].ground.susceptibility <= 10


def test_cells_share_out_the_whole_number() -> None:
    event = quake(5.6)  # a small affected area, so that all of it can be counted
    shock = shaken(world("tephra-hills", 1, "EPSG:32654"), event)
    reach = shaking.affected_distance_km(5.6) + shaking.rupture_length_km(5.6) / 2 + 1
    window = native_window(around(event.latitude, event.longitude, reach).geobox(30))
    counted = sum(len(slides(shock, row, column).x) for row, column in cells(window))
    assert counted == pytest.approx(shock.total, rel=0.25)


def test_stronger_shaking_releases_more_and_only_steep_ground_fails() -> None:
    earth = world("alpine-valley", 2, "EPSG:32654")
    totals = [shaken(earth, quake(magnitude)).total for magnitude in (6.0, 6.5, 7.0)]
    assert totals[0] < totals[1] < totals[2]


def test_no_slide_leaves_the_reach_of_its_cell() -> None:
    event = quake()
    shock = shaken(world("deep-gorge", 1, "EPSG:32654"), event)
    window = native_window(around(event.latitude, event.longitude, 2).geobox(10))
    from gee.simulated.drawing import reach_of
    from gee.simulated.slides import CELL_M

    for row, column in cells(window):
        group = slides(shock, row, column)
        for number in range(len(group.x)):
            west, south, east, north = reach_of(group, number)
            assert west > column * CELL_M - REACH_M
            assert east < (column + 1) * CELL_M + REACH_M
            assert north < -row * CELL_M + REACH_M
            assert south > -(row + 1) * CELL_M - REACH_M


def test_slides_run_downhill() -> None:
    from gee.simulated.relief import ground_at

    event = quake()
    earth = world("alpine-valley", 1, "EPSG:32654")
    shock = shaken(earth, event)
    window = native_window(around(event.latitude, event.longitude, 2).geobox(10))
    groups = [slides(shock, row, column) for row, column in cells(window)]
    heads = np.concatenate([np.stack([g.x[:, 0], g.y[:, 0]]) for g in groups], axis=1)
    toes = np.concatenate([np.stack([g.x[:, -1], g.y[:, -1]]) for g in groups], axis=1)
    drop = ground_at(earth, *heads)[0] - ground_at(earth, *toes)[0]
    assert (drop > 0).mean() > 0.97
