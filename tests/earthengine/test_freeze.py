"""A live stack, frozen and replayed from its archive, is the same stack bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.earthengine import EarthEngineConfig
from configs.errors import RequestError
from earthengine import world
from earthengine.loopback import Loopback
from gee.archive import ArchiveSource
from gee.earthengine import EarthEngineSource
from gee.freeze import freeze
from gee.stack import assemble

GRID = world.AREA.geobox(10)
BANDS = ("pre_B4", "pre_B8", "post_B4", "post_B8", "post_NDVI", "dem", "slope")


def test_the_archive_replays_the_live_stack(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path
) -> None:
    live = EarthEngineSource(config)
    plan = live.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    original = assemble(live, plan, BANDS, tmp_path / "live.zarr")
    requested = len(loopback.requests())
    manifest = freeze(live, plan, tmp_path / "frozen", stack=original)
    assert len(loopback.requests()) == requested + 1  # the heights only
    assert manifest.name == "archive.yaml"
    before = len(loopback.entries)
    archive = ArchiveSource(tmp_path / "frozen")
    assert archive.offer().sensor == "sentinel-2"
    again = archive.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    replayed = assemble(archive, again, BANDS, tmp_path / "replayed.zarr")
    assert len(loopback.entries) == before
    for name in sorted(original.group.array_keys()):
        np.testing.assert_array_equal(
            np.asarray(replayed.group[name][:]), np.asarray(original.group[name][:]), err_msg=name
        )


def test_bands_the_stack_lacks_are_pulled(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path
) -> None:
    live = EarthEngineSource(config)
    plan = live.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_NDVI",))
    stack = assemble(live, plan, ("post_NDVI",), tmp_path / "live.zarr")
    freeze(live, plan, tmp_path / "frozen", stack=stack)
    assert "post_B8" in ArchiveSource(tmp_path / "frozen").offer().bands
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_an_existing_folder_is_refused(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path
) -> None:
    live = EarthEngineSource(config)
    plan = live.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",))
    (tmp_path / "frozen").mkdir()
    with pytest.raises(RequestError, match="exists"):
        freeze(live, plan, tmp_path / "frozen")
