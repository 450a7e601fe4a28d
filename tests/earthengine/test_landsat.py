"""Landsat-8 and 9: bands under their Sentinel names, clear pixels first, pan-sharpening that keeps
the radiometry; real-time scenes until the final ones are there.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.refresh import EventState
from configs.stack import Stack
from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from flows.events.decision import EventStatus, Refresh, is_refresh_due
from gee.earthengine import EarthEngineSource
from gee.source import DOUBTS, Plan
from gee.stack import assemble

GRID = world.AREA.geobox(15)


def test_sharpened_bands_carry_the_pan_s_detail_and_the_band_s_radiometry(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    source = EarthEngineSource(config.model_copy(update={"sensor": "landsat-8"}))
    assert source.offer().resolution_m == 15
    assert "pre_MNDWI" in source.offer().bands
    bands = ("post_B4", "post_B8", "post_MNDWI")
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, bands)
    pulled = source.pull(plan, GRID)
    assert set(pulled.bands) == {"post_B4", "post_B8", "post_B3", "post_B11"}
    _, top = world.origin()
    down = top - (GRID.affine.f - 15 * (np.arange(GRID.shape[0]) + 0.5))
    cloudy = down < 0.5 * world.SIDE_M - 30
    clear = down > 0.5 * world.SIDE_M + 30
    assert cloudy.any()
    assert clear.any()
    for rows, bright in ((cloudy, 0.20), (clear, 0.10)):
        infrared, red = pulled.bands["post_B8"][rows], pulled.bands["post_B4"][rows]
        np.testing.assert_allclose(infrared, bright + 0.05, atol=1e-4)
        assert abs(float(red.mean()) - (bright + 0.04)) < 0.002 * (bright + 0.04)
        assert red.max() / red.min() > 1.15  # the pan's chequerboard
    days = pulled.date[When.POST]
    assert (days[cloudy] == (date(2018, 9, 30) - date(1970, 1, 1)).days).all()
    assert (days[clear] == (date(2018, 9, 14) - date(1970, 1, 1)).days).all()


def test_both_satellites_and_every_scene_once(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    source = EarthEngineSource(config.model_copy(update={"sensor": "landsat-8"}))
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))
    assert [scene.id for scene in plan.scenes] == [
        "LANDSAT/LC08/C02/T1_TOA/LC08_107030_20180914",
        "LANDSAT/LC08/C02/T1_TOA/LC08_107030_20180930",
        "LANDSAT/LC09/C02/T1_TOA/LC09_107030_20181008",
        "LANDSAT/LC08/C02/T1_RT_TOA/LC08_107030_20181016",
    ]
    (doubt,) = plan.details[DOUBTS]
    assert "2018-10-16 is a real-time scene" in doubt
    assert "coslide refresh" in doubt


def test_the_final_version_of_a_real_time_scene_takes_its_place(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clear pixels stay in a refresh, but not those of a version that was withdrawn."""
    stacks: list[Stack] = []
    plans: list[Plan] = []
    index = "LC08_107030_20180914"
    for tier, bright in (("T1_RT_TOA", 0.10), ("T1_TOA", 0.25)):
        scenes = {
            f"LANDSAT/LC08/C02/{tier}/{index}": ("2018-09-14T01:15", bright, 0.5),
            "LANDSAT/LC08/C02/T1_TOA/LC08_107030_20180930": ("2018-09-30T01:15", 0.20, 0.0),
        }
        monkeypatch.setattr(loopback, "engine", Evaluator([*world.landsat(scenes), world.water()]))
        source = EarthEngineSource(config.model_copy(update={"sensor": "landsat-8"}))
        plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B8",))
        before = stacks[-1] if stacks else None
        stacks.append(
            assemble(source, plan, ("post_B8",), tmp_path / f"{tier}.zarr", before=before)
        )
        plans.append(plan)
    first, second = (stack.date(When.POST) for stack in stacks)
    np.testing.assert_array_equal(first, second)
    early = first == (date(2018, 9, 14) - date(1970, 1, 1)).days
    assert early.any()
    assert not early.all()
    was, now = (stack.read("post_B8") for stack in stacks)
    np.testing.assert_allclose(was[early], 0.15, atol=1e-4)
    np.testing.assert_allclose(now[early], 0.30, atol=1e-4)
    np.testing.assert_array_equal(was[~early], now[~early])
    assert DOUBTS in plans[0].details
    assert DOUBTS not in plans[1].details
    state = EventState(
        coverage_target=0.99, age_limit_days=90, latest_revision=1, observed_fraction=0.5
    )
    now_utc = world.WINDOWS.as_of
    status = EventStatus(
        state,
        "quake",
        world.EVENT.time,
        now_utc,
        world.WINDOWS.post.last,
        frozenset(scene.id for scene in plans[0].scenes),
    )
    decision = is_refresh_due(status, plans[1].scenes, now_utc)
    assert decision == Refresh("1 real-time image is final now")
