"""Assemble and observe: what is on disk is what the source said, however often the run was
killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from fake_source import FakeSource, an_event, small_world
from odc.geo.geobox import GeoBox

from configs.area import Area, around
from configs.bands import When
from configs.errors import MachineError, RequestError, SourceError
from configs.event import default_windows
from configs.records import ObservationClass
from configs.stack import CHUNK_PX, Stack
from gee.derive import index, terrain
from gee.observation import OUTSIDE, observe
from gee.source import Plan
from gee.stack import assemble, plan_key
from gee.store import markers

BANDS = ("pre_B4", "post_B4", "post_B8", "post_NDVI", "slope", "hillshade")
EVENT = an_event()
WINDOWS = default_windows(EVENT, datetime(2019, 1, 1, tzinfo=UTC), 365, 90)
AREA = around(42.69, 141.93, 3.0)


@pytest.fixture
def source() -> FakeSource:
    return small_world(AREA, EVENT)


def plan_of(source: FakeSource, bands: tuple[str, ...] = BANDS, area: Area = AREA) -> Plan:
    return source.plan(area, source.grid, EVENT, WINDOWS, bands)


def test_the_stack_holds_what_the_source_said(source: FakeSource, tmp_path: Path) -> None:
    plan = plan_of(source)
    calls: list[tuple[int, int]] = []
    stack = assemble(
        source,
        plan,
        BANDS,
        tmp_path / "stack.zarr",
        progress=lambda done, total: calls.append((done, total)),
    )
    assert stack.band_names == BANDS
    assert stack.shape == tuple(source.grid.shape)
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] == 9
    truth = source.bands["post_B4"]
    np.testing.assert_allclose(stack.read("post_B4"), truth, atol=0.5e-4 + 1e-6)
    imaged = source.observation[When.PRE] != ObservationClass.NOT_IMAGED
    pre = stack.read("pre_B4")
    np.testing.assert_array_equal(np.isfinite(pre), imaged)
    ndvi = index("NDVI", {"B8": source.bands["post_B8"], "B4": truth})
    np.testing.assert_allclose(stack.read("post_NDVI"), ndvi, atol=1e-4)
    relief = terrain(source.terrain, source.grid, ["slope", "hillshade"])
    np.testing.assert_allclose(stack.read("slope"), relief["slope"], atol=0.006)
    np.testing.assert_allclose(stack.read("hillshade"), relief["hillshade"], atol=0.006)
    for when in When:
        np.testing.assert_array_equal(stack.observation(when), source.observation[when])
        np.testing.assert_array_equal(stack.date(when) == 0, source.observation[when] == 0)
    attributes = stack.attributes
    assert attributes["complete"]
    assert attributes["hillshade_azimuth_deg"] == 270
    assert [scene["id"] for scene in attributes["scenes"]] == ["fake-pre", "fake-post"]


def test_other_readers_decode_the_stack(source: FakeSource, tmp_path: Path) -> None:
    stack = assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")
    with xr.open_zarr(stack.path, consolidated=False) as opened:
        np.testing.assert_allclose(opened["post_B4"].to_numpy(), stack.read("post_B4"), atol=1e-6)
        assert opened["post_B4"].dims == ("y", "x")
        assert opened["slope"].attrs["units"] == "degree"


def _same(one: Stack, other: Stack) -> None:
    for name in (*BANDS, "pre_observation", "post_observation", "pre_date", "post_date"):
        np.testing.assert_array_equal(
            np.asarray(one.group[name]), np.asarray(other.group[name]), err_msg=name
        )


def test_an_interrupted_assembly_asks_only_for_what_is_missing(
    source: FakeSource, tmp_path: Path
) -> None:
    whole = assemble(source, plan_of(source), BANDS, tmp_path / "whole.zarr")
    broken = small_world(AREA, EVENT)

    def fault(block: GeoBox) -> None:
        if len(broken.pulled) > 5:
            raise SourceError("the line went dead", "Try again.")

    broken.fault = fault
    with pytest.raises(SourceError, match="dead"):
        assemble(broken, plan_of(broken), BANDS, tmp_path / "stack.zarr")
    assert not Stack(tmp_path / "stack.zarr").attributes["complete"]
    again = small_world(AREA, EVENT)
    done = len(list(markers(tmp_path / "stack.zarr").iterdir()))
    assert 0 < done < 9
    _same(assemble(again, plan_of(again), BANDS, tmp_path / "stack.zarr"), whole)
    assert len(again.pulled) == 9 - done
    assemble(again, plan_of(again), BANDS, tmp_path / "stack.zarr")
    assert len(again.pulled) == 9 - done


@pytest.mark.parametrize(
    "damage", ["chunk lost", "chunk garbled", "marker garbled", "marker of another plan"]
)
def test_a_damaged_block_is_asked_for_again(
    source: FakeSource, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "stack.zarr"
    stack = assemble(source, plan_of(source), BANDS, path)
    whole = np.asarray(stack.group["post_B4"])
    marker = markers(path) / "1_1"
    if damage == "chunk lost":
        (path / "post_B4" / "c" / "1" / "1").unlink()
    elif damage == "chunk garbled":
        (path / "post_B4" / "c" / "1" / "1").write_bytes(b"not a chunk")
    elif damage == "marker garbled":
        marker.write_text("{")
    else:
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "key": "another"}))
    source.pulled.clear()
    again = assemble(source, plan_of(source), BANDS, path)
    assert len(source.pulled) == 1
    np.testing.assert_array_equal(np.asarray(again.group["post_B4"]), whole)


def test_another_plan_never_mixes(source: FakeSource, tmp_path: Path) -> None:
    path = tmp_path / "stack.zarr"
    assemble(source, plan_of(source), BANDS, path)
    other = small_world(AREA, EVENT, seed=1)
    other.scenes = tuple(replace(scene, id=f"later-{scene.when}") for scene in other.scenes)
    plan = plan_of(other)
    assert plan_key(other, plan, BANDS) != plan_key(source, plan_of(source), BANDS)
    stack = assemble(other, plan, BANDS, path)
    assert len(other.pulled) == 9
    np.testing.assert_allclose(stack.read("post_B4"), other.bands["post_B4"], atol=1e-4)


def test_the_key_is_not_the_clock(source: FakeSource) -> None:
    plan = plan_of(source)
    later = replace(
        plan,
        windows=WINDOWS.model_copy(update={"as_of": datetime(2020, 1, 1, tzinfo=UTC)}),
        requests=7,
    )
    assert plan_key(source, plan, BANDS) == plan_key(source, later, BANDS)
    for change in (
        {"details": {"orbit": 5}},
        {"scenes": plan.scenes[:1]},
        {"geobox": plan.geobox[:256, :256]},
    ):
        assert plan_key(source, replace(plan, **change), BANDS) != plan_key(source, plan, BANDS)


def test_blocks_that_miss_the_area_are_not_asked_for(source: FakeSource, tmp_path: Path) -> None:
    corner = Area(around(42.705, 141.90, 0.6).polygon, "a corner")
    plan = replace(plan_of(source), area=corner)
    stack = assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    assert 0 < len(source.pulled) < 4
    assert np.isnan(stack.read("post_B4", slice(512, None), slice(512, None))).all()
    assert not stack.observation(When.POST, slice(512, None), slice(512, None)).any()


def test_only_whole_chunks(source: FakeSource, tmp_path: Path) -> None:
    source.block_px = CHUNK_PX + 1
    with pytest.raises(RequestError, match="whole chunks"):
        assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")
    source.block_px = CHUNK_PX
    with pytest.raises(RequestError, match="post_B2"):
        assemble(source, plan_of(source), (*BANDS, "post_B2"), tmp_path / "stack.zarr")
    assert not (tmp_path / "stack.zarr").exists()


def test_a_folder_that_is_no_stack_is_left_alone(source: FakeSource, tmp_path: Path) -> None:
    (tmp_path / "stack.zarr").mkdir()
    (tmp_path / "stack.zarr" / "thesis.tex").write_text("years of work")
    with pytest.raises(RequestError, match="no stack"):
        assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")
    assert (tmp_path / "stack.zarr" / "thesis.tex").exists()


def test_impossible_values_count_as_not_imaged(source: FakeSource, tmp_path: Path) -> None:
    values = source.bands["post_B4"].copy()
    values[0, :3] = [-0.2, np.inf, 40.0]
    values[1, 0] = np.nan
    source.bands = {**source.bands, "post_B4": values}
    source.observation[When.POST][:2, :3] = ObservationClass.CLEAR
    everywhere = Area(source.grid.geographic_extent.geom, "all of it")
    stack = assemble(source, plan_of(source, area=everywhere), BANDS, tmp_path / "stack.zarr")
    assert np.isnan(stack.read("post_B4")[0, :3]).all()
    assert stack.attributes["implausible"] == {"post_B4": 3}
    assert any("post_B4: 3 pixels" in text for text in stack.attributes["warnings"])
    seen = observe(stack, ("post_B4",), everywhere, tmp_path / "seen.zarr")
    classes = np.asarray(seen.array)
    assert set(classes[0, :3]) == {ObservationClass.NOT_IMAGED}
    assert classes[1, 0] == ObservationClass.NOT_IMAGED
    assert seen.unreadable_px == 4


def test_observation_follows_the_windows_a_card_reads(source: FakeSource, tmp_path: Path) -> None:
    source.observation[When.PRE][300:310, 300:310] = ObservationClass.WATER
    source.observation[When.POST][300:310, 300:310] = ObservationClass.WATER
    source.observation[When.PRE][320:330, 300:310] = (
        ObservationClass.WATER
    )  # clouded over, or not seen as water, afterwards
    source.observation[When.POST][320:325, 300:310] = ObservationClass.CLOUD
    stack = assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")
    inside = AREA.mask(source.grid)
    post_only = observe(stack, ("post_B4", "slope"), AREA, tmp_path / "post.zarr")
    both = observe(stack, ("pre_B4", "post_B4"), AREA, tmp_path / "both.zarr")
    one, two = np.asarray(post_only.array), np.asarray(both.array)
    np.testing.assert_array_equal(one == OUTSIDE, ~inside)
    np.testing.assert_array_equal(one[inside], source.observation[When.POST][inside])
    no_pre = (
        (source.observation[When.PRE] == 0)
        & (source.observation[When.POST] == ObservationClass.CLEAR)
        & inside
    )
    np.testing.assert_array_equal(two == ObservationClass.NO_PRE, no_pre)
    assert no_pre.any()
    water = np.zeros(two.shape, bool)
    water[300:310, 300:310] = water[320:330, 300:310] = True
    np.testing.assert_array_equal(two == ObservationClass.WATER, water)
    np.testing.assert_array_equal(two[inside & ~no_pre & ~water], one[inside & ~no_pre & ~water])
    for seen, wet in ((post_only, 100), (both, 200)):
        land = inside.sum() - wet
        assert seen.area_px == inside.sum()
        assert seen.observed_fraction == pytest.approx(seen.clear_px / land)
        assert sum(seen.counts.values()) == seen.area_px
    assert both.observed_fraction < post_only.observed_fraction


def test_a_full_disk_is_the_machines_fault(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gee.stack.write_block", full)
    with pytest.raises(MachineError, match="disk is full"):
        assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")


_KILLED = """
    import itertools, sys, time
    sys.path.append("tests")
    from datetime import UTC, datetime
    from pathlib import Path
    from configs.area import around
    from configs.event import default_windows
    from fake_source import an_event, small_world
    from gee.stack import assemble
    area, event = around(42.69, 141.93, 3.0), an_event()
    source = small_world(area, event)
    blocks = itertools.count()
    source.fault = lambda block: time.sleep(600 if next(blocks) >= 4 else 0)  # until it is killed
    windows = default_windows(event, datetime(2019, 1, 1, tzinfo=UTC), 365, 90)
    plan = source.plan(area, source.grid, event, windows, {bands!r})
    assemble(source, plan, {bands!r}, Path(sys.argv[1]))
"""


def _blocks_done(path: Path) -> list[Path]:
    """The markers of finished blocks; one that is still being written (a hidden part) is none."""
    if not markers(path).is_dir():
        return []
    return [name for name in markers(path).iterdir() if not name.name.startswith(".")]


def test_killed_and_started_again_it_ends_the_same(source: FakeSource, tmp_path: Path) -> None:
    path = tmp_path / "stack.zarr"
    script = textwrap.dedent(_KILLED.format(bands=BANDS))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=Path(__file__).parent.parent
    )
    deadline = time.monotonic() + 60
    while not _blocks_done(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = _blocks_done(path)
    assert 0 < len(done) < 9
    stack = assemble(source, plan_of(source), BANDS, path)
    assert len(source.pulled) == 9 - len(done)
    _same(stack, assemble(source, plan_of(source), BANDS, tmp_path / "whole.zarr"))


def test_a_stack_can_move_with_its_folder(source: FakeSource, tmp_path: Path) -> None:
    assemble(source, plan_of(source), BANDS, tmp_path / "work" / "stack.zarr")
    shutil.move(tmp_path / "work", tmp_path / "r001")
    assert Stack(tmp_path / "r001" / "stack.zarr").attributes["complete"]
    source.pulled.clear()
    assemble(source, plan_of(source), BANDS, tmp_path / "r001" / "stack.zarr")
    assert not source.pulled
    assert isinstance(zarr.open_group(tmp_path / "r001" / "stack.zarr", mode="r"), zarr.Group)


def test_never_more_blocks_at_once_than_the_source_allows(
    source: FakeSource, tmp_path: Path
) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def count(block: GeoBox) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.03)
        with lock:
            inside -= 1

    source.fault, source.workers = count, 3
    assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")
    assert most == 3
