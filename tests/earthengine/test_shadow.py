"""Cast shadow through the real client: the sun from the scenes' metadata, heights beside the
pixels, and nothing asked for where no scene says where the sun stood.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.records import ObservationClass, Sun
from configs.stack import Stack
from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from gee.earthengine import EarthEngineSource
from gee.shadow import FAR_M, cast_shadow, margin_px
from gee.source import Plan
from gee.stack import assemble

SENTINEL = {"MEAN_SOLAR_AZIMUTH_ANGLE": 163.0, "MEAN_SOLAR_ZENITH_ANGLE": 81.0}
LANDSAT = {"SUN_AZIMUTH": 163.0, "SUN_ELEVATION": 9.0}
SUN = Sun(163.0, 9.0)
GRID = world.AREA.geobox(10)


def lit(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, **facts: float) -> None:
    """Make every image of the small Earth say where the sun stood."""
    images = [replace(one, properties=one.properties | facts) for one in world.catalogue()]
    monkeypatch.setattr(loopback, "engine", Evaluator(images))


def pulled(config: EarthEngineConfig, path: Path) -> tuple[EarthEngineSource, Plan, Stack]:
    source = EarthEngineSource(config)
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))
    return source, plan, assemble(source, plan, ("post_B4",), path)


def test_heights_reach_as_far_east_and_west_as_north_and_south(
    loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arc-second is 23 m from west to east here and 31 m from south to north."""
    lit(loopback, monkeypatch, MEAN_SOLAR_AZIMUTH_ANGLE=95.0, MEAN_SOLAR_ZENITH_ANGLE=84.0)
    source = EarthEngineSource(config)
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))
    block = GRID[:64, :64]
    around = source.elevation(plan, block, margin_px(Sun(95.0, 6.0), plan.elevation_step_m))
    here, there = block.geographic_extent.boundingbox, around.geobox.boundingbox
    per_degree = 111_320 * math.cos(math.radians(world.CENTRE[0]))
    assert (there.right - here.right) * per_degree > FAR_M
    assert (here.left - there.left) * per_degree > FAR_M


@pytest.mark.parametrize(("sensor", "facts"), [("sentinel-2", SENTINEL), ("landsat-8", LANDSAT)])
def test_the_scenes_tell_where_the_sun_stood(
    loopback: Loopback,
    config: EarthEngineConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sensor: str,
    facts: dict[str, float],
) -> None:
    config = config.model_copy(update={"sensor": sensor})
    _, before, plain = pulled(config, tmp_path / "plain.zarr")
    assert before.elevation_step_m == 0
    lit(loopback, monkeypatch, **facts)
    source, plan, dark = pulled(config, tmp_path / "dark.zarr")
    assert {scene.sun for scene in plan.scenes} == {SUN}
    assert plan.elevation_model == dark.attributes["elevation_model"] == "srtm"
    assert plan.requests > before.requests
    assert plan.megabytes > before.megabytes
    seen, was = dark.observation(When.POST), plain.observation(When.POST)
    heights = source.elevation(plan, GRID, margin_px(SUN, plan.elevation_step_m))
    dim = np.isin(was, (ObservationClass.CLEAR, ObservationClass.SHADOW))
    expected = cast_shadow(heights, GRID, SUN) & dim
    assert 0.02 < expected.mean() < 0.9
    np.testing.assert_array_equal(seen == ObservationClass.CAST_SHADOW, expected)
    np.testing.assert_array_equal(seen[~expected], was[~expected])
    np.testing.assert_array_equal(dark.read("post_B4"), plain.read("post_B4"))


def test_at_sea_there_is_nothing_to_cast_a_shadow(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [
        replace(one, properties=one.properties | SENTINEL)
        for one in world.catalogue()
        if "GLO30" not in str(one.id)
    ]
    monkeypatch.setattr(loopback, "engine", Evaluator(images))
    config = config.model_copy(update={"dem": "glo30"})
    _, plan, stack = pulled(config, tmp_path / "sea.zarr")
    assert plan.elevation_step_m == 0
    assert ObservationClass.CAST_SHADOW not in stack.observation(When.POST)
