"""Sentinel-1: one orbit for both windows, and the Lee filter against an independent numpy
answer.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from numpy.lib.stride_tricks import sliding_window_view
from odc.geo.geobox import GeoBox

from configs.area import around
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.records import ObservationClass
from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from earthengine.pictures import Raster, asset
from gee.backscatter import around_px, geometry
from gee.earthengine import EarthEngineSource, radar

GRID = world.AREA.geobox(10)
BANDS = ("pre_VV", "post_VV", "post_VH")


def lee(power: np.ndarray, looks: float = 4.4) -> np.ndarray:
    """Lee (1980) with a 5×5 window, two pixels smaller on each side."""
    windows = sliding_window_view(power.astype(float), (5, 5))
    mean, variance = windows.mean(axis=(-1, -2)), windows.var(axis=(-1, -2))
    signal = np.maximum((variance - mean**2 / looks) / (1 + 1 / looks), 0)
    return mean + signal / variance * (power[2:-2, 2:-2] - mean)


def offset() -> tuple[int, int]:
    """Return (row, column) of the area's grid in the small Earth's 10 m pixels."""
    left, top = world.origin()
    return round((top - GRID.affine.f) / 10), round((GRID.affine.c - left) / 10)


def test_both_windows_are_of_the_orbit_that_covers_the_area(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    plan = EarthEngineSource(config).plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    assert [scene.id.rsplit("/", 1)[1] for scene in plan.scenes] == [
        "S1A_PRE_ASC",
        "S1A_POST_ASC",
        "S1A_POST_ASC2",
    ]
    assert {facts["orbit"] for facts in plan.details["scenes"].values()} == {"ASCENDING 68"}


@pytest.mark.parametrize("convention", ["sigma0", "gamma0"])
def test_backscatter_is_filtered_in_power_and_told_in_decibel(
    loopback: Loopback, config: EarthEngineConfig, convention: str
) -> None:
    source = EarthEngineSource(config.model_copy(update={"radar": convention}))
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    pulled = source.pull(plan, GRID)
    row, column = offset()
    height, width = GRID.shape
    for name, seed, power in (("pre_VV", 0, 0.1), ("post_VV", 1, 0.2), ("post_VH", 101, 0.02)):
        whole = world.speckled(power, seed)
        expected = lee(whole[row - 2 : row + height + 2, column - 2 : column + width + 2])
        if convention == "gamma0":
            expected = expected / math.cos(math.radians(35))
        np.testing.assert_allclose(pulled.bands[name], 10 * np.log10(expected), rtol=0, atol=0.0051)
    assert (pulled.observation[When.POST] == ObservationClass.CLEAR).all()
    assert plan.details["settings"]["radar"] == convention


def test_optics_and_radar_come_in_one_request(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    source = EarthEngineSource(config)
    plan = source.plan(
        world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4", "post_VV", "water")
    )
    pulled = source.pull(plan, GRID)
    assert len(loopback.requests()) == 1
    assert set(pulled.bands) == {"post_B4", "post_VV", "water"}
    assert ObservationClass.WATER in pulled.observation[When.POST]
    assert set(np.unique(pulled.bands["water"])) == {0, 97}


def with_radar(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, angle: float | None, **facts: float
) -> None:
    """Make the small Earth's radar scenes say more, or be seen under angles that grow eastward."""
    images = []
    for one in world.catalogue():
        if "S1_GRD" in str(one.id):
            size, affine = world.lattice(10)
            wide = np.tile(np.linspace(30.0, 46.0, size, dtype="float32"), (size, 1))
            angles = wide if angle is None else np.full((size, size), angle, "float32")
            (band,) = asset("angle", {"angle": Raster(angles, world.CRS, affine)}).bands
            bands = [band if band.name == each.name else each for each in one.bands]
            one = replace(one, bands=tuple(bands), properties=one.properties | facts)
        images.append(one)
    monkeypatch.setattr(loopback, "engine", Evaluator(images))


def test_the_edges_of_the_swath_are_not_imaged(
    loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_radar(loopback, monkeypatch, None)
    narrow = config.model_copy(update={"radar": "gamma0"})
    grid = GeoBox((20, 560), Affine(10, 0, world.origin()[0], 0, -10, GRID.affine.f), world.CRS)
    area = around(*world.CENTRE, 2.7)
    source = EarthEngineSource(narrow)
    plan = source.plan(area, grid, world.EVENT, world.WINDOWS, ("post_VV",))
    pulled = source.pull(plan, grid)
    seen = pulled.observation[When.POST] == ObservationClass.CLEAR
    size, _ = world.lattice(10)
    angles = np.linspace(30.0, 46.0, size)[: grid.shape[1]]
    within = (angles >= radar.NEAREST_DEG) & (angles <= radar.FARTHEST_DEG)
    assert within.any()
    assert not within.all()
    inner = slice(5, -5)  # the filter's window is cut at the scene's own edge
    np.testing.assert_array_equal(seen[10, inner], within[inner])
    assert np.isnan(pulled.bands["post_VV"][~seen]).all()


@pytest.mark.parametrize("heading", [-12.0, None])
def test_flattened_backscatter_has_the_terrain_taken_out(
    loopback: Loopback,
    config: EarthEngineConfig,
    monkeypatch: pytest.MonkeyPatch,
    heading: float | None,
) -> None:
    facts = {} if heading is None else {"platformHeading": heading}
    with_radar(loopback, monkeypatch, 36.0, **facts)
    bands = ("post_VV", "post_VH")
    plain = EarthEngineSource(config)
    before = plain.pull(plain.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, bands), GRID)
    source = EarthEngineSource(config.model_copy(update={"radar": "flattened"}))
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, bands)
    assert {one["to_sensor_deg"] for one in plan.details["scenes"].values()} == {258.0}
    pulled = source.pull(plan, GRID)
    assert set(pulled.bands) == set(bands)
    heights = source.elevation(plan, GRID, around_px(plan.elevation_step_m))
    found = geometry(heights, GRID, np.full(tuple(GRID.shape), 36, np.float32), 258.0)
    known = ~found.hidden & np.isfinite(found.flattening_db)
    assert 0.5 < known.mean() <= 1
    assert found.flattening_db[known].std() > 0.5
    for name in bands:
        expected = before.bands[name] + found.flattening_db
        np.testing.assert_allclose(pulled.bands[name][known], expected[known], atol=0.0051)
        assert np.isnan(pulled.bands[name][~known]).all()
        assert np.array_equal(np.isnan(pulled.bands[name]), pulled.stored[name] == -32768)
    assert plan.details["settings"]["radar"] == "flattened"
