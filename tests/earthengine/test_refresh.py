"""A refresh against the loopback: what was clear keeps its image, and only what is missing is asked
for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.records import ObservationClass
from earthengine import world
from earthengine.loopback import Loopback
from gee.earthengine import EarthEngineSource
from gee.stack import assemble

GRID = world.AREA.geobox(10)
BANDS = ("pre_B4", "post_B4", "dem", "slope")


def test_a_later_scene_fills_the_gaps_with_less_asked_for(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path
) -> None:
    live = EarthEngineSource(config)
    early = world.WINDOWS.model_copy(update={"as_of": datetime(2018, 9, 16, tzinfo=UTC)})
    first = assemble(
        live, live.plan(world.AREA, GRID, world.EVENT, early, BANDS), BANDS, tmp_path / "r001.zarr"
    )
    requested = len(loopback.requests())
    plan = live.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    second = assemble(live, plan, BANDS, tmp_path / "r002.zarr", before=first)
    again = len(loopback.requests()) - requested
    whole = assemble(live, plan, BANDS, tmp_path / "whole.zarr")
    anew = len(loopback.requests()) - requested - again
    was = first.observation(When.POST) == ObservationClass.CLEAR
    assert was.any()
    assert not was.all()
    for when in When:
        assert np.array_equal(second.date(when), whole.date(when)), (
            "the earliest clear image, kept or asked for anew"
        )
        assert np.array_equal(second.observation(when), whole.observation(when))
    assert np.array_equal(second.read("post_B4"), whole.read("post_B4"), equal_nan=True)
    assert np.array_equal(second.read("slope"), whole.read("slope"), equal_nan=True)
    assert second.attributes["carried"]["news_px"] > 0
    assert again < anew, "no heights, and no block that was clear already"
    loopback.reset()
    third = assemble(live, plan, BANDS, tmp_path / "r003.zarr", before=second)
    assert third.attributes["carried"] == {
        "blocks": third.attributes["carried"]["blocks"],
        "asked": 0,
        "news_px": 0,
    }
    assert not loopback.requests(), "everything is clear: nothing is asked for"
