"""What the simulated Earth offers beyond its first six bands: the old pixels keep every bit, the
new ones make physical sense.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import around
from configs.bands import When
from configs.errors import NothingToSeeError
from configs.event import DateRange, Event, Windows
from configs.records import ObservationClass
from gee.simulated import (
    SimulatedSource,
    fingerprint,
    geology,
    landsat,
    orbit,
    radar,
    sentinel2,
    spectra,
)
from gee.simulated.cover import place
from gee.simulated.fingerprint import added_fingerprint
from gee.simulated.lattice import Grid
from gee.simulated.relief import ground
from gee.simulated.scene import render
from gee.simulated.sky import Acquisition
from gee.simulated.slides import shaken
from gee.simulated.truth import truth_mask
from gee.simulated.world import world
from gee.source import Plan, Pulled

SIX = tuple(f"post_{band}" for band in spectra.BANDS)
MORE = tuple(f"post_{band}" for band in sentinel2.BANDS)
ECHOES = ("pre_VV", "post_VV", "pre_VH", "post_VH")
STILL = geology.LAYERS


def quake(latitude: float = 42.69, longitude: float = 141.93, magnitude: float = 6.6) -> Event:
    moment = datetime(2018, 9, 5, 18, 8, tzinfo=UTC)
    return Event(
        name="quake",
        time=moment,
        latitude=latitude,
        longitude=longitude,
        magnitude=magnitude,
        depth_km=12,
    )


def windows(last: date = date(2018, 11, 15)) -> Windows:
    return Windows(
        pre=DateRange(first=date(2018, 7, 1), last=date(2018, 9, 5)),
        post=DateRange(first=date(2018, 9, 5), last=last),
        as_of=datetime(2019, 1, 1, tzinfo=UTC),
    )


def planned(
    source: SimulatedSource,
    bands: tuple[str, ...],
    radius_km: float = 0.8,
    event: Event | None = None,
) -> Plan:
    event = event or quake()
    area = around(event.latitude, event.longitude, radius_km)
    return source.plan(area, area.geobox(10), event, windows(), bands)


@cache
def scene(landscape: str) -> tuple[Plan, Pulled]:
    """Return everything new of a landscape's 320 x 320 px around the epicentre."""
    source = SimulatedSource(landscape, seed=3)
    plan = planned(source, (*SIX, *MORE, *ECHOES, *STILL), 1.6)
    return plan, source.pull(plan, plan.geobox)


def slope_deg(landscape: str, plan: Plan) -> NDArray[np.float64]:
    """Return the ground's slope on a plan's grid, from its 30 m lattice by nearest node, `(y,
    x)`.
    """
    grid = Grid(
        10.0,
        -round(plan.geobox.affine.f / 10),
        round(plan.geobox.affine.c / 10),
        *plan.geobox.shape,
    )
    lattice = Grid(30.0, 0, 0, 1, 1).around(grid, 60)
    down, right = np.gradient(
        ground(world(landscape, 3, plan.geobox.crs), lattice).height.astype(np.float64), 30.0
    )
    rows = np.floor(-grid.y / 30).astype(int) - lattice.row
    columns = np.floor(grid.x / 30).astype(int) - lattice.column
    steep: NDArray[np.float64] = np.degrees(np.arctan(np.hypot(down, right)))[rows][:, columns]
    return steep


DRAWN = {
    "tephra-hills": (
        [0.13185, 0.11825, 0.08864, 0.29252, 0.17848, 0.10227],
        [0.12479, -9.98543, 2.7078],
        3769,
    ),
    "alpine-valley": (
        [0.11008, 0.10739, 0.09757, 0.22157, 0.16709, 0.11792],
        [0.11897, -9.67915, 2.87919],
        74,
    ),
    "tropical-range": (
        [0.1329, 0.12195, 0.10291, 0.27352, 0.19596, 0.12426],
        [0.13245, -12.43654, 4.35924],
        1976,
    ),
    "deep-gorge": (
        [0.08994, 0.08676, 0.07599, 0.2446, 0.1585, 0.08939],
        [0.1043, -7.1681, 3.20893],
        0,
    ),
    "loess-basin": (
        [0.11357, 0.11185, 0.10078, 0.24263, 0.18528, 0.12345],
        [0.12356, -13.81757, 4.5361],
        3581,
    ),
    "dry-mountains": (
        [0.11456, 0.11729, 0.11256, 0.25884, 0.22989, 0.15726],
        [0.1417, -11.96139, 2.52112],
        443,
    ),
}
"""Landscape → (means of the first six bands, means of B5, VV and lithology, landslide pixels)."""


@pytest.mark.parametrize("landscape", DRAWN)
def test_the_simulated_earth_is_the_one_that_its_marks_name(landscape: str) -> None:
    """Checkpoints and studies hold for this Earth only. If a mean moves, raise the mark
    (`fingerprint`, `added_fingerprint`) and train them anew.
    """
    assert (fingerprint(), added_fingerprint()) == ("6daac6c8bf2e1b84", "bb09453393dca101")
    source = SimulatedSource(landscape, seed=3)
    plan = planned(source, (*SIX, *MORE, *ECHOES, *STILL), 0.8)
    pulled = source.pull(plan, plan.geobox)
    first, added, truth = DRAWN[landscape]
    # Means of 25 600 pixels, written with five digits: processors differ in the last bits only.
    for names, wanted in ((SIX, first), (("post_B5", "post_VV", "lithology"), added)):
        means = [float(np.nanmean(pulled.bands[name])) for name in names]
        assert means == pytest.approx(wanted, abs=2e-5)
    mask = truth_mask(landscape, 3, quake(), plan.geobox)
    assert int(mask.sum()) == pytest.approx(truth, abs=3)


def test_the_first_six_bands_keep_every_bit_beside_others() -> None:
    plan, whole = scene("deep-gorge")
    source = SimulatedSource("deep-gorge", seed=3)
    alone = planned(source, SIX, 1.6)
    assert "simulator_added" not in alone.details
    assert plan.details["simulator_added"] == added_fingerprint()
    pulled = source.pull(alone, plan.geobox)
    for name in SIX:
        np.testing.assert_array_equal(pulled.bands[name], whole.bands[name])
    np.testing.assert_array_equal(pulled.observation[When.POST], whole.observation[When.POST])


@pytest.mark.parametrize("landscape", ["tephra-hills", "deep-gorge"])
def test_a_window_is_the_same_window_of_a_larger_area_bit_for_bit(landscape: str) -> None:
    plan, whole = scene(landscape)
    rows, columns = slice(91, 218), slice(103, 182)
    source, block = SimulatedSource(landscape, seed=3), plan.geobox[rows, columns]
    for asked in (plan, planned(source, (*MORE, *ECHOES, *STILL), 0.5)):
        part = source.pull(asked, block)
        for name in (*MORE, *ECHOES, *STILL):
            np.testing.assert_array_equal(
                part.bands[name], whole.bands[name][rows, columns], err_msg=name
            )
        for when in When:
            np.testing.assert_array_equal(
                part.observation[when], whole.observation[when][rows, columns]
            )
            np.testing.assert_array_equal(part.date[when], whole.date[when][rows, columns])


def test_windows_agree_on_other_grids_too() -> None:
    plan, _ = scene("deep-gorge")
    source, corner = SimulatedSource("deep-gorge", seed=3), plan.geobox.affine
    askew = GeoBox(
        (40, 36), type(corner)(20.0, 0, corner.c + 3.25, 0, -20.0, corner.f - 1.5), plan.geobox.crs
    )
    whole, part = source.pull(plan, askew), source.pull(plan, askew[7:30, 5:33])
    for name in (*MORE, *ECHOES, *STILL):
        np.testing.assert_array_equal(part.bands[name], whole.bands[name][7:30, 5:33], err_msg=name)


def test_landsat_has_its_own_pixels_days_and_windows() -> None:
    source, event = SimulatedSource("deep-gorge", seed=3, sensor="landsat-8"), quake()
    offer = source.offer()
    assert (offer.sensor, offer.resolution_m) == ("landsat-8", 15.0)
    assert "post_B5" not in offer.bands
    assert {"post_B1", "post_NDVI", "post_MNDWI", "post_VV", "lithology"} <= offer.bands
    area = around(event.latitude, event.longitude, 1.0)
    names = tuple(f"post_{band}" for band in landsat.BANDS)
    plan = source.plan(area, area.geobox(15), event, windows(), names)
    tracks: dict[str, set[int]] = {}
    for one in plan.scenes:
        tracks.setdefault(one.id.rsplit("_", 1)[1], set()).add(
            one.acquired.toordinal() % landsat.REVISIT_DAYS
        )
    assert all(len(days) == 1 for days in tracks.values())
    whole = source.pull(plan, plan.geobox)
    rows, columns = slice(21, 90), slice(33, 118)
    part = source.pull(plan, plan.geobox[rows, columns])
    for name in names:
        np.testing.assert_array_equal(
            part.bands[name], whole.bands[name][rows, columns], err_msg=name
        )


def test_landsat_and_sentinel_see_the_same_ground_at_their_own_sharpness() -> None:
    earth, window = world("deep-gorge", 3, "EPSG:32648"), Grid(10.0, -327_600, 41_300, 90, 90)
    one = Acquisition(earth, 0, 17_790)
    here = place(earth, landsat.reach(window))
    oli = landsat.render(here, one, window, landsat.BANDS)
    msi = dict(zip(spectra.BANDS, render(here, one, window), strict=True))
    for name, values in msi.items():
        assert float(oli[name].mean()) == pytest.approx(float(values.mean()), rel=0.03)
        assert np.corrcoef(oli[name].ravel(), values.ravel())[0, 1] > 0.95
    # The visible bands keep the detail of the pan band, the others that of 30 m.
    rough = {
        name: float(
            np.abs(np.diff(oli[name], axis=1)).mean() / np.abs(np.diff(msi[name], axis=1)).mean()
        )
        for name in msi
    }
    assert rough["B4"] > rough["B8"]


def test_a_mixture_of_covers_has_the_mixture_of_their_spectra() -> None:
    """The map from six bands gives each cover type's typical reflectance; being linear, it does so
    for mixtures.
    """
    for spectrum, typical in sentinel2._ENDMEMBERS:
        found = sentinel2.from_six() @ np.asarray(spectrum, np.float32)
        np.testing.assert_allclose(
            found, typical, atol=0.012 + 0.035 * float(np.max(spectrum) > 0.5)
        )


def test_coarse_bands_are_truly_coarse_and_lie_between_their_neighbours() -> None:
    plan, pulled = scene("tephra-hills")
    left, top = round(plan.geobox.affine.c / 10), -round(plan.geobox.affine.f / 10)
    for name, side in sentinel2.PIXEL.items():
        values = pulled.bands[f"post_{name}"][-top % side :, -left % side :]
        values = values[: values.shape[0] // side * side, : values.shape[1] // side * side]
        groups = values.reshape(values.shape[0] // side, side, values.shape[1] // side, side)
        assert (groups == groups[:, :1, :, :1]).mean() > 0.97  # but where two scenes meet
    clear = pulled.observation[When.POST] == ObservationClass.CLEAR
    mean = {
        name: float(values[clear].mean())
        for name, values in pulled.bands.items()
        if name.startswith("post_B")
    }
    assert mean["post_B4"] < mean["post_B5"] < mean["post_B6"] < mean["post_B7"] < mean["post_B8A"]
    assert abs(mean["post_B8A"] - mean["post_B8"]) < 0.03
    assert mean["post_B1"] > mean["post_B2"]  # Rayleigh: path light grows towards the blue
    assert mean["post_B9"] < 0.5 * mean["post_B8A"]  # water vapour


def test_speckle_has_the_looks_it_should_and_the_filter_of_the_live_wing() -> None:
    one, grid = (
        orbit.Pass(world("tephra-hills", 0, "EPSG:32654"), 0, 17000),
        Grid(10.0, 0, 0, 300, 300),
    )
    noise = radar.speckle(one, grid, "VV").astype(np.float64)
    assert noise.mean() == pytest.approx(1, abs=0.02)
    assert noise.mean() ** 2 / noise.var() == pytest.approx(radar.LOOKS, rel=0.06)
    assert not np.array_equal(noise, radar.speckle(one, grid, "VH"))
    filtered = radar.lee(noise.astype(np.float32))
    assert filtered.std() < 0.5 * noise.std()
    np.testing.assert_allclose(radar.lee(np.full((9, 9), 0.3, np.float32)), 0.3, rtol=1e-6)
    # Written out once more, as gee.earthengine.radar has it: weight (v - m²c²) / ((1 + c²) v), c² =
    # 1 / looks.
    part = noise[:5, :5].astype(np.float32).astype(np.float64)
    m, v, c2 = part.mean(), part.var(), 1 / 4.4
    assert filtered[0, 0] == pytest.approx(
        m + max((v - m * m * c2) / (1 + c2), 0) / v * (part[2, 2] - m), rel=1e-5
    )


def test_radar_sees_through_cloud_but_not_behind_mountains() -> None:
    plan, pulled = scene("deep-gorge")
    slope, unseen = slope_deg("deep-gorge", plan), np.isnan(pulled.bands["post_VV"])
    assert 0.001 < unseen.mean() < 0.5
    assert slope[unseen].mean() > slope[~unseen].mean() + 10
    source = SimulatedSource("tropical-range", 1)
    moment = datetime(2021, 11, 27, 10, tzinfo=UTC)
    event = Event(name="wet", time=moment, latitude=-0.9, longitude=119.9, magnitude=6.7)
    span = Windows(
        pre=DateRange(first=date(2021, 1, 1), last=moment.date()),
        post=DateRange(first=moment.date(), last=date(2021, 12, 11)),
        as_of=datetime(2022, 1, 1, tzinfo=UTC),
    )
    area = around(event.latitude, event.longitude, 0.6)
    plan = source.plan(area, area.geobox(10), event, span, ("post_B4", "post_VV"))
    pulled = source.pull(plan, plan.geobox)
    assert (pulled.observation[When.POST] == ObservationClass.CLOUD).mean() > 0.5
    assert np.isfinite(pulled.bands["post_VV"]).mean() > 0.95
    alone = source.plan(area, area.geobox(10), event, span, ("post_VV",))
    seen = source.pull(alone, plan.geobox)
    assert (seen.observation[When.POST] == ObservationClass.CLEAR).all()
    np.testing.assert_array_equal(seen.bands["post_VV"], pulled.bands["post_VV"])


def test_slopes_that_face_the_sensor_are_bright_and_both_dates_look_from_one_side() -> None:
    plan, pulled = scene("tephra-hills")
    echoes = [one for one in plan.scenes if one.product == radar.PRODUCT]
    assert [one.when for one in echoes] == [When.PRE, When.POST]
    assert len({one.id.rsplit("_", 1)[1] for one in echoes}) == 1
    assert all(windows().holds(one.when, one.acquired, quake()) for one in echoes)
    earth = world("tephra-hills", 3, plan.geobox.crs)
    east, north = orbit.towards(orbit.from_id(earth, echoes[1].id))
    grid = Grid(
        10.0,
        -round(plan.geobox.affine.f / 10),
        round(plan.geobox.affine.c / 10),
        *plan.geobox.shape,
    )
    height = ground(earth, Grid(30.0, 0, 0, 1, 1).around(grid, 30)).height
    down, right = np.gradient(height, 30.0)
    facing = np.asarray(-(right * east - down * north))  # rises away from the sensor
    coarse = pulled.bands["post_VV"][1::3, 1::3]
    both = facing[1 : coarse.shape[0] + 1, 1 : coarse.shape[1] + 1]
    known = np.isfinite(coarse)
    assert np.corrcoef(both[known], coarse[known])[0, 1] > 0.5


def test_fresh_scars_change_the_echo_and_levels_are_typical() -> None:
    plan, pulled = scene("tephra-hills")
    slide = truth_mask("tephra-hills", 3, quake(), plan.geobox) == 1
    change = np.abs(pulled.bands["post_VH"] - pulled.bands["pre_VH"])
    assert np.nanmean(change[slide]) > np.nanmean(change[~slide]) + 0.3
    assert -12 < np.nanmedian(pulled.bands["post_VV"]) < -6
    assert -19 < np.nanmedian(pulled.bands["post_VH"]) < -12


def test_no_pass_in_the_window_is_nothing_to_see() -> None:
    source, event = SimulatedSource("tephra-hills", 1), quake()
    area = around(event.latitude, event.longitude, 0.3)
    with pytest.raises(NothingToSeeError, match="radar scene of the post window"):
        source.plan(area, area.geobox(10), event, windows(date(2018, 9, 5)), ("post_VV",))


def test_rivers_run_where_the_valleys_are() -> None:
    plan, pulled = scene("deep-gorge")
    earth = world("deep-gorge", 3, plan.geobox.crs)
    lines = geology.rivers(earth, plan.geobox)
    assert len(lines) > 100
    grid = Grid(
        10.0,
        -round(plan.geobox.affine.f / 10),
        round(plan.geobox.affine.c / 10),
        *plan.geobox.shape,
    )
    lattice = Grid(30.0, 0, 0, 1, 1).around(grid, 30)
    valley = ground(earth, lattice).river_m[1 : grid.height // 3, 1 : grid.width // 3]
    found = pulled.bands["river_distance"][1::3, 1::3][: valley.shape[0], : valley.shape[1]]
    assert found[valley < 40].max() < 120
    assert (
        found <= valley * 1.5 + 60
    ).mean() > 0.97  # side streams may be nearer, never is a valley left out


def test_rock_and_old_faults_know_nothing_of_the_slides() -> None:
    """Lithology is the same whatever shook, and never a copy of the mask; alluvium lies on valley
    floors alone.
    """
    plan, pulled = scene("deep-gorge")
    source = SimulatedSource("deep-gorge", seed=3)
    other = planned(source, STILL, 1.6, quake(magnitude=7.2))
    again = source.pull(other, plan.geobox)
    np.testing.assert_array_equal(again.bands["lithology"], pulled.bands["lithology"])
    np.testing.assert_array_equal(again.bands["river_distance"], pulled.bands["river_distance"])
    codes = pulled.bands["lithology"]
    assert set(np.unique(codes)) <= {float(code) for code in geology.LITHOLOGY}
    assert len(np.unique(codes)) >= 4
    slide = truth_mask("deep-gorge", 3, quake(), plan.geobox) == 1
    shares = [
        abs(slide[codes == code].mean() - slide.mean())
        for code in np.unique(codes)
        if (codes == code).mean() > 0.05
    ]
    assert max(shares) < 0.1


def test_the_ruptured_fault_is_on_the_map() -> None:
    plan, pulled = scene("tephra-hills")
    quaking = shaken(world("tephra-hills", 3, plan.geobox.crs), quake())
    (x0, y0), (x1, y1) = quaking.rupture.start, quaking.rupture.end
    column = int(((x0 + x1) / 2 - plan.geobox.affine.c) // 10)
    row = int((plan.geobox.affine.f - (y0 + y1) / 2) // 10)
    assert pulled.bands["fault_distance"][row, column] < 300
    assert pulled.bands["fault_distance"].min() >= 0
    assert pulled.bands["fault_distance"].max() <= geology.FAULT_CAP_M
