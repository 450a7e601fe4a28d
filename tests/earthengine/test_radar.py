"""Sentinel-1: one orbit for both windows, and the Lee filter against an independent numpy
answer.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.records import ObservationClass
from earthengine import world
from earthengine.loopback import Loopback
from gee.earthengine import EarthEngineSource

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
