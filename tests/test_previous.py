"""What a revision keeps of the one before, pixel by pixel: clear stays clear with its image and
date, gaps are filled.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from fake_source import FakeSource, an_event, small_world

from configs import area as areas
from configs.bands import When
from configs.event import default_windows
from configs.records import ObservationClass, Scene
from configs.stack import Stack
from gee.previous import kept_scenes
from gee.source import Plan
from gee.stack import assemble

EVENT = an_event()
AREA = areas.around(EVENT.latitude, EVENT.longitude, 3.2)
BANDS = ("pre_B4", "post_B4", "post_B8", "post_NDVI", "dem", "slope")
CLEAR, CLOUD = ObservationClass.CLEAR, ObservationClass.CLOUD
LATER = 40


def plan_of(source: FakeSource, **changes: Any) -> Plan:
    windows = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    grid = changes.pop("area", AREA).geobox(10.0)
    plan = source.plan(AREA, grid, EVENT, windows, BANDS)
    return replace(plan, **changes)


def cloudy() -> FakeSource:
    """Return a fake of several blocks: everything clear before the event, a cloud over the
    north-west corner after it.
    """
    source = small_world(AREA, EVENT)
    seen = {when: np.full(source.grid.shape, CLEAR, np.uint8) for when in When}
    seen[When.POST][:200, :200] = CLOUD
    return replace(source, observation=seen, pulled=[])


def brighter(source: FakeSource, fill: bool = True) -> FakeSource:
    """Return the same Earth some weeks later: all reflectances differ, the cloud is gone (or has
    moved to the south).
    """
    seen = {when: np.full(source.grid.shape, CLEAR, np.uint8) for when in When}
    if not fill:
        seen[When.POST][-200:] = CLOUD
        seen[When.POST][:200, :200] = CLOUD
    bands = {name: values + np.float32(0.1) for name, values in source.bands.items()}
    scenes = (
        source.scenes[0],
        Scene("fake-later", When.POST, EVENT.time + timedelta(days=LATER), "fake"),
    )
    return replace(source, bands=bands, observation=seen, scenes=scenes, pulled=[])


@pytest.fixture
def first(tmp_path: Path) -> Stack:
    source = cloudy()
    return assemble(source, plan_of(source), BANDS, tmp_path / "r001" / "stack.zarr")


def everything(stack: Stack) -> dict[str, Any]:
    return {name: np.asarray(array[:]) for name, array in stack.group.arrays()}


def test_clear_pixels_keep_image_and_date_and_gaps_are_filled(first: Stack, tmp_path: Path) -> None:
    source = brighter(cloudy())
    second = assemble(
        source, plan_of(source), BANDS, tmp_path / "r002" / "stack.zarr", before=first
    )
    was = first.observation(When.POST) == CLEAR
    filled = ~was & (first.observation(When.POST) == CLOUD)
    old, new = everything(first), everything(second)
    for name in ("post_B4", "post_NDVI", "post_date", "pre_B4", "pre_date", "slope"):
        assert np.array_equal(new[name][was], old[name][was]), name
    assert (second.observation(When.POST)[filled] == CLEAR).all()
    first_day, later = int(old["post_date"].max()), int(new["post_date"].max())
    assert later == first_day + LATER - 20
    assert (new["post_date"][filled] == later).all()
    assert second.read("post_B4")[filled] == pytest.approx(
        brighter(cloudy()).bands["post_B4"][filled], abs=1e-4
    )


def test_only_blocks_that_were_not_clear_are_asked_for_and_only_their_window(
    first: Stack, tmp_path: Path
) -> None:
    source, asked = brighter(cloudy()), []
    pull = source.pull

    class Listening(FakeSource):
        def pull(self, plan: Plan, block: Any) -> Any:
            asked.append((tuple(block.boundingbox)[:2], plan.bands))
            return pull(plan, block)

        def elevation(self, plan: Plan, block: Any, margin_px: int) -> Any:
            raise AssertionError("terrain does not change between revisions")

    listening = Listening(**{name: getattr(source, name) for name in source.__dataclass_fields__})
    second = assemble(
        listening, plan_of(source), BANDS, tmp_path / "r002" / "stack.zarr", before=first
    )
    assert {bands for _, bands in asked} == {("post_B4", "post_B8")}
    assert (
        0
        < len(asked)
        == second.attributes["carried"]["asked"]
        < second.attributes["carried"]["blocks"]
    )
    assert second.attributes["carried"]["news_px"] > 0


def test_latest_takes_the_new_pixel_and_falls_back_on_the_earlier_one(
    first: Stack, tmp_path: Path
) -> None:
    source = brighter(cloudy(), fill=False)
    second = assemble(
        source, plan_of(source), BANDS, tmp_path / "s.zarr", before=first, policy="latest"
    )
    old, new = first.date(When.POST), second.date(When.POST)
    south = np.s_[-150:, 250:300]
    assert (new[south] == old[south]).all(), "cloudy now, clear then: the earlier pixel stays"
    assert (new[250:300, 250:300] == new.max()).all(), "clear in both: the later image"
    assert (second.observation(When.POST)[:50, 150:200] == CLOUD).any(), (
        "never clear: said as it is"
    )


def test_nothing_new_is_counted_as_nothing(first: Stack, tmp_path: Path) -> None:
    source = cloudy()
    again = assemble(source, plan_of(source), BANDS, tmp_path / "again.zarr", before=first)
    assert again.attributes["carried"]["news_px"] == 0
    old, new = everything(first), everything(again)
    assert all(np.array_equal(new[name], old[name]) for name in old)


def test_a_pixel_whose_scene_may_not_be_used_any_more_is_not_kept(
    first: Stack, tmp_path: Path
) -> None:
    source = brighter(cloudy())
    plan = plan_of(source)
    early = plan.windows.model_copy(update={"as_of": EVENT.time + timedelta(days=5)})
    second = assemble(
        source, replace(plan, windows=early), BANDS, tmp_path / "s.zarr", before=first
    )
    assert not (second.date(When.POST) == first.date(When.POST).max()).any(), (
        "an image from after the clock"
    )


def test_a_changed_scene_of_an_archive_is_not_kept_another_one_is(
    first: Stack, tmp_path: Path
) -> None:
    group = zarr.open_group(first.path, mode="r+")
    scenes = {"fake-pre": "a", "fake-post": "b", "static": "c"}
    group.attrs["source_details"] = {"fingerprints": scenes}
    first = Stack(first.path)
    source = brighter(cloudy())
    for changes, kept in (({}, True), ({"fake-post": "B"}, False)):
        details = {"fingerprints": {**scenes, **changes}}
        path = tmp_path / f"{kept}.zarr"
        stack = assemble(source, plan_of(source, details=details), BANDS, path, before=first)
        assert (stack.date(When.POST) == first.date(When.POST).max()).any() == kept
    withdrawn = plan_of(source, details={"fingerprints": {"fake-pre": "a", "static": "c"}})
    stack = assemble(source, withdrawn, BANDS, tmp_path / "withdrawn.zarr", before=first)
    assert not (stack.date(When.POST) == first.date(When.POST).max()).any()


def test_another_kind_of_pixel_is_never_kept(first: Stack, tmp_path: Path) -> None:
    source = brighter(cloudy())
    other = replace(source, name="other")
    stack = assemble(other, plan_of(other), BANDS, tmp_path / "s.zarr", before=first)
    assert stack.attributes["carried"]["blocks"] == 0
    assert (
        stack.date(When.POST)[stack.observation(When.POST) == CLEAR] == stack.date(When.POST).max()
    ).all()


def test_a_larger_area_keeps_what_the_smaller_one_saw(first: Stack, tmp_path: Path) -> None:
    larger = areas.around(EVENT.latitude, EVENT.longitude, 3.6)
    source = small_world(larger, EVENT, seed=1)
    seen = {when: np.full(source.grid.shape, CLEAR, np.uint8) for when in When}
    scenes = (
        source.scenes[0],
        Scene("fake-later", When.POST, EVENT.time + timedelta(days=LATER), "fake"),
    )
    source = replace(source, observation=seen, scenes=scenes)
    windows = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    plan = source.plan(larger, larger.geobox(10.0), EVENT, windows, BANDS)
    second = assemble(source, plan, BANDS, tmp_path / "s.zarr", before=first)
    top = round((first.geobox.affine.f - second.geobox.affine.f) / -10)
    left = round((first.geobox.affine.c - second.geobox.affine.c) / 10)
    assert top > 0 or left > 0
    where = slice(top if top > 0 else 0, None), slice(left if left > 0 else 0, None)
    inner = second.date(When.POST)[-top:, -left:] if top < 0 else second.date(When.POST)[where]
    height, width = first.shape
    inner = inner[:height, :width]
    was = first.observation(When.POST)[: inner.shape[0], : inner.shape[1]] == CLEAR
    assert (inner[was] == first.date(When.POST)[: inner.shape[0], : inner.shape[1]][was]).all()
    assert (second.date(When.POST) == first.date(When.POST).max() + LATER - 20).any()


def test_a_killed_refresh_goes_on_and_ends_the_same(first: Stack, tmp_path: Path) -> None:
    source = brighter(cloudy())
    whole = assemble(source, plan_of(source), BANDS, tmp_path / "whole.zarr", before=first)

    def fault(block: Any) -> None:
        raise OSError(5, "gone")

    broken = replace(source, fault=fault)
    with pytest.raises(Exception, match="gone"):
        assemble(broken, plan_of(broken), BANDS, tmp_path / "again.zarr", before=first)
    again = assemble(source, plan_of(source), BANDS, tmp_path / "again.zarr", before=first)
    old, new = everything(whole), everything(again)
    assert all(np.array_equal(new[name], old[name]) for name in old)


def test_scenes_that_only_kept_pixels_come_from_stay_in_the_record(
    first: Stack, tmp_path: Path
) -> None:
    source = brighter(cloudy())
    plan = plan_of(source)
    second = assemble(source, plan, BANDS, tmp_path / "s.zarr", before=first)
    assert [scene.id for scene in kept_scenes(second, plan)] == ["fake-post"]
    third = assemble(source, plan, BANDS, tmp_path / "t.zarr", before=second)
    assert {one["id"] for one in third.attributes["scenes"]} == {
        "fake-pre",
        "fake-post",
        "fake-later",
    }
