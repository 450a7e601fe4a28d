"""Cast shadow through the real client: the sun from the items, heights beside the pixels, and
nothing asked for where no item says where the sun stood or the catalogue has no heights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from shapely import box

from configs.area import around
from configs.bands import When
from configs.records import ObservationClass, Sun
from configs.stac import StacConfig
from configs.stack import Stack
from gee.archive import ArchiveSource
from gee.freeze import freeze
from gee.shadow import FAR_M, cast_shadow, margin_px
from gee.source import Plan
from gee.stac import StacSource
from gee.stac.elevation import margin_deg
from gee.stack import assemble
from stac import world
from stac.earth import HEIGHTS, OPTICS, publish
from stac.loopback import Loopback

SUN = Sun(163.0, 9.0)
GRID = world.AREA.geobox(10)


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Return a catalogue of its own, which the test may change."""
    with Loopback() as server:
        world.fill(server)
        yield server


def lit(server: Loopback) -> None:
    """Make every item say where the sun stood, in the one way and the other by turns."""
    for number, name in enumerate(world.SCENES):
        publish(server, replace(world.small_pass(name), sun=SUN, like=number % 2))


def pulled(server: Loopback, path: Path) -> tuple[StacSource, Plan, Stack]:
    source = StacSource(StacConfig(catalogue=server.url, block_px=256, workers=2, requests=4))
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))
    return source, plan, assemble(source, plan, ("post_B4",), path)


def test_the_items_tell_where_the_sun_stood(server: Loopback, tmp_path: Path) -> None:
    _, before, plain = pulled(server, tmp_path / "plain.zarr")
    assert before.elevation_step_m == 0
    assert not any("sun" in facts for facts in before.details["scenes"].values())
    lit(server)
    source, plan, dark = pulled(server, tmp_path / "dark.zarr")
    assert {scene.sun for scene in plan.scenes} == {SUN}
    assert all(facts["sun"] == asdict(SUN) for facts in plan.details["scenes"].values())
    assert 22 < plan.elevation_step_m < 23.5  # 1 arc-second of longitude
    assert plan.elevation_model == dark.attributes["elevation_model"] != ""
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


def test_an_archive_replays_the_shadow(server: Loopback, tmp_path: Path) -> None:
    lit(server)
    source, plan, live = pulled(server, tmp_path / "live.zarr")
    freeze(source, plan, tmp_path / "frozen", stack=live)
    archive = ArchiveSource(tmp_path / "frozen")
    again = archive.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))
    replayed = assemble(archive, again, ("post_B4",), tmp_path / "replayed.zarr")
    seen = live.observation(When.POST)
    assert ObservationClass.CAST_SHADOW in seen
    np.testing.assert_array_equal(replayed.observation(When.POST), seen)


def test_without_heights_no_shadow_is_cast(server: Loopback, tmp_path: Path) -> None:
    lit(server)
    del server.items[HEIGHTS]
    assert OPTICS in server.items
    _, plan, stack = pulled(server, tmp_path / "sea.zarr")
    assert plan.elevation_step_m == 0
    assert ObservationClass.CAST_SHADOW not in stack.observation(When.POST)


@pytest.mark.parametrize("latitude", [0.0, 43.0, -79.0])
def test_heights_are_looked_for_as_far_as_ground_may_hide_the_sun(latitude: float) -> None:
    area = around(latitude, 10.0, 1.0)
    edges = box(*area.polygon.bounds).buffer(margin_deg(area, shaded=True)).bounds
    beyond = around(latitude, 10.0, 1.0 + FAR_M / 1000).polygon
    assert box(*edges).contains(beyond)
