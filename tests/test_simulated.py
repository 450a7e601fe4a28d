"""The simulated Earth as a source: deterministic, the same in every window, honest about what it
could not see.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from configs.area import around
from configs.bands import When
from configs.errors import NothingToSeeError, RequestError
from configs.event import DateRange, Event, Windows
from configs.records import Level, ObservationClass
from gee.simulated import LANDSCAPES, SimulatedSource
from gee.simulated.truth import truth_mask, truth_polygons
from gee.source import Plan, Pulled

REPOSITORY = Path(__file__).resolve().parent.parent
OPTICAL = ("B2", "B3", "B4", "B8", "B11", "B12")
BANDS = (*(f"{when}_{band}" for when in ("pre", "post") for band in OPTICAL), "dem")


def quake(latitude: float = 42.69, longitude: float = 141.93) -> Event:
    moment = datetime(2018, 9, 5, 18, 8, tzinfo=UTC)
    return Event(
        name="quake",
        time=moment,
        latitude=latitude,
        longitude=longitude,
        magnitude=6.6,
        depth_km=12,
    )


def windows(as_of: datetime = datetime(2019, 1, 1, tzinfo=UTC)) -> Windows:
    return Windows(
        pre=DateRange(first=date(2018, 7, 1), last=date(2018, 9, 5)),
        post=DateRange(first=date(2018, 9, 5), last=date(2018, 11, 15)),
        as_of=as_of,
    )


def planned(
    source: SimulatedSource, event: Event, radius_km: float = 1.2, bands: tuple[str, ...] = BANDS
) -> Plan:
    area = around(event.latitude, event.longitude, radius_km)
    return source.plan(area, area.geobox(10), event, windows(), bands)


def same(one: Pulled, other: Pulled, rows: slice, columns: slice) -> None:
    for name, values in one.bands.items():
        np.testing.assert_array_equal(values, other.bands[name][rows, columns], err_msg=name)
    for when in When:
        np.testing.assert_array_equal(one.observation[when], other.observation[when][rows, columns])
        np.testing.assert_array_equal(one.date[when], other.date[when][rows, columns])


@pytest.mark.parametrize("landscape", sorted(LANDSCAPES))
def test_a_window_is_the_same_window_of_a_larger_area_bit_for_bit(landscape: str) -> None:
    source, event = SimulatedSource(landscape, seed=3), quake()
    large = planned(source, event)
    small = planned(source, event, 0.5)
    rows, columns = slice(37, 111), slice(80, 171)
    block = large.geobox[rows, columns]
    whole = source.pull(large, large.geobox)
    same(source.pull(large, block), whole, rows, columns)
    same(
        source.pull(small, block), whole, rows, columns
    )  # another area, another plan, the same Earth
    mask = truth_mask(landscape, 3, event, large.geobox)
    np.testing.assert_array_equal(truth_mask(landscape, 3, event, block), mask[rows, columns])
    margin, block_margin = (
        source.elevation(large, large.geobox, 7),
        source.elevation(large, block, 3),
    )
    corner, origin = block_margin.geobox.affine, margin.geobox.affine
    left, top = round((corner.c - origin.c) / 30), round((origin.f - corner.f) / 30)
    height, width = block_margin.values.shape
    np.testing.assert_array_equal(
        block_margin.values, margin.values[top : top + height, left : left + width]
    )


@pytest.mark.parametrize("resolution", [5.0, 15.0, 20.0, 30.0])
def test_windows_agree_on_grids_of_any_resolution_and_origin(resolution: float) -> None:
    source, event = SimulatedSource("deep-gorge", 1), quake()
    plan = planned(source, event, 0.5)
    corner = plan.geobox.affine
    askew = Affine(resolution, 0, corner.c + 3.25, 0, -resolution, corner.f - 1.5)
    grid = GeoBox((48, 40), askew, plan.geobox.crs)
    same(source.pull(plan, grid[9:30, 5:33]), source.pull(plan, grid), slice(9, 30), slice(5, 33))
    mask = truth_mask("deep-gorge", 1, event, grid)
    np.testing.assert_array_equal(
        truth_mask("deep-gorge", 1, event, grid[9:30, 5:33]), mask[9:30, 5:33]
    )


def test_two_processes_see_the_same_earth() -> None:
    program = (
        "import zlib, tests.test_simulated as t\n"
        "from gee.simulated import SimulatedSource\n"
        "s = SimulatedSource('loess-basin', 5); p = t.planned(s, t.quake(), 0.3)\n"
        "print([zlib.crc32(b.tobytes()) for b in s.pull(p, p.geobox).bands.values()])\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    source = SimulatedSource("loess-basin", 5)
    plan = planned(source, quake(), 0.3)
    assert printed.strip() == str(
        [zlib.crc32(band.tobytes()) for band in source.pull(plan, plan.geobox).bands.values()]
    )


def test_another_seed_or_landscape_is_another_earth() -> None:
    event = quake()
    seen = []
    for landscape, seed in (("tephra-hills", 1), ("tephra-hills", 2), ("loess-basin", 1)):
        source = SimulatedSource(landscape, seed)
        plan = planned(source, event, 0.3)
        seen.append(source.elevation(plan, plan.geobox, 0).values)
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_the_southern_hemisphere_and_a_zone_edge_work() -> None:
    source = SimulatedSource("dry-mountains", 1)
    for latitude, longitude in ((-42.7, 173.0), (-0.9, 119.9), (0.0005, 179.99)):
        plan = planned(source, quake(latitude, longitude), 0.4)
        pulled = source.pull(plan, plan.geobox)
        assert np.isfinite(pulled.bands["post_B4"]).any()


def test_pixels_carry_plausible_reflectance_dates_and_classes() -> None:
    source, event = SimulatedSource("tephra-hills", 1), quake()
    plan = planned(source, event)
    pulled = source.pull(plan, plan.geobox)
    assert set(pulled.bands) == set(BANDS) - {"dem"}
    for name, values in pulled.bands.items():
        when = When(name.split("_")[0])
        imaged = pulled.observation[when] != ObservationClass.NOT_IMAGED
        assert np.isfinite(values[imaged]).all()
        assert np.isnan(values[~imaged]).all()
        assert (values[imaged] > 0).all()
        assert (values[imaged] < 1.5).all()
    event_day = (event.time.date() - date(1970, 1, 1)).days
    assert (pulled.date[When.PRE] <= event_day).all()
    seen = pulled.observation[When.POST] != ObservationClass.NOT_IMAGED
    assert (pulled.date[When.POST][seen] >= event_day).all()
    assert (pulled.date[When.POST][~seen] == 0).all()


def test_later_scenes_are_hidden_and_a_window_without_scenes_is_nothing_to_see() -> None:
    source, event = SimulatedSource("tephra-hills", 1), quake()
    area = around(event.latitude, event.longitude, 1)
    early = datetime(2018, 9, 20, tzinfo=UTC)
    plan = source.plan(area, area.geobox(10), event, windows(early), BANDS)
    assert all(scene.acquired <= early for scene in plan.scenes)
    assert len(plan.scenes) < len(planned(source, event).scenes)
    with pytest.raises(NothingToSeeError, match="post window"):
        source.plan(
            area, area.geobox(10), event, windows(datetime(2018, 9, 5, 20, tzinfo=UTC)), BANDS
        )
    one_day = Windows(
        pre=windows().pre,
        post=DateRange(first=date(2018, 9, 5), last=date(2018, 9, 5)),
        as_of=windows().as_of,
    )
    with pytest.raises(NothingToSeeError, match="--post"):
        source.plan(area, area.geobox(10), event, one_day, BANDS)


def test_scenes_are_ranked_by_clear_share_and_skies_span_from_clear_to_closed() -> None:
    source = SimulatedSource("tropical-range", 1)
    plan = planned(source, quake(-1.0, 119.9))
    post = [scene for scene in plan.scenes if scene.when is When.POST]
    clear = [round(scene.clear_fraction or 0.0, 1) for scene in post]
    assert clear == sorted(clear, reverse=True)
    cloudy = [scene.cloud_fraction or 0.0 for scene in plan.scenes]
    assert min(cloudy) < 0.1
    assert max(cloudy) > 0.95


def test_a_post_only_card_needs_no_pre_window() -> None:
    source, event = SimulatedSource("alpine-valley", 1), quake()
    plan = planned(source, event, 0.3, ("post_B4", "dem"))
    assert {scene.when for scene in plan.scenes} == {When.POST}
    pulled = source.pull(plan, plan.geobox)
    assert set(pulled.bands) == {"post_B4"}
    assert set(pulled.observation) == {When.POST}


def test_it_says_what_it_offers_and_refuses_the_rest() -> None:
    source, event = SimulatedSource("tephra-hills", 1), quake()
    offer = source.offer()
    assert offer.simulated
    assert offer.level is Level.TOA
    assert {"post_B4", "pre_NDVI", "dem", "slope", "post_MNDWI"} <= offer.bands
    assert "simulated" in offer.warnings[0]
    with pytest.raises(RequestError, match="water"):
        planned(source, event, 0.3, ("water",))
    with pytest.raises(RequestError, match="tephra-hills"):
        SimulatedSource("atlantis")
    area = around(event.latitude, event.longitude, 0.3)
    geographic = GeoBox((8, 8), Affine(1e-4, 0, 141.9, 0, -1e-4, 42.7), "EPSG:4326")
    with pytest.raises(RequestError, match="UTM"):
        source.plan(area, geographic, event, windows(), BANDS)


def test_mask_and_polygons_are_one_shape() -> None:
    event = quake()
    grid = around(event.latitude, event.longitude, 1.5).geobox(5)
    mask = truth_mask("tephra-hills", 1, event, grid)
    frame = truth_polygons("tephra-hills", 1, event, grid)
    assert len(frame) > 20
    assert frame.geometry.is_valid.all()
    assert frame.geometry.union_all().area == pytest.approx(mask.sum() * 25.0, rel=0.01)
    assert (frame.geometry.area <= frame.area_m2 + 1e-6).all()
