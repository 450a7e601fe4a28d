"""Work folders, locks and revisions: nothing half-finished is ever called a revision."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configs import area as areas
from configs.errors import MachineError, RequestError
from configs.event import Event, default_windows
from configs.layout import RunLayout
from configs.run import RunConfig
from flows import freezing
from flows import respond as responding
from flows.run import workspace

EVENT = Event(
    name="quake", time=datetime(2018, 9, 5, 18, tzinfo=UTC), latitude=42.7, longitude=141.9
)


def config(day: int = 20) -> RunConfig:
    windows = default_windows(EVENT, datetime(2018, 10, day, tzinfo=UTC), 365, 90)
    return RunConfig(event=EVENT, area=areas.around(42.7, 141.9, 3).as_plain(), windows=windows)


def test_unfinished_work_is_taken_up_with_its_own_clock(tmp_path: Path) -> None:
    event = workspace.open_event(tmp_path, "quake")
    layout, first = workspace.begin(event, config(20))
    again, resumed = workspace.begin(event, config(25))
    assert again == layout
    assert resumed == first
    assert resumed.windows.as_of.day == 20


def test_a_revision_appears_in_one_rename_and_older_stacks_go(tmp_path: Path) -> None:
    event = workspace.open_event(tmp_path, "quake")
    for number in (1, 2):
        layout, _ = workspace.begin(event, config())
        (layout.scratch / "x").write_text("stack")
        assert number not in event.revisions()
        workspace.publish(event, layout, number, "latest")
    assert list(event.revisions()) == [1, 2]
    assert not event.revision(1).scratch.exists()
    assert event.revision(2).scratch.exists()
    assert event.revision(1).config.exists()


def test_abandoned_work_leaves_nothing(tmp_path: Path) -> None:
    event = workspace.open_event(tmp_path / "out", "quake")
    layout, _ = workspace.begin(event, config())
    workspace.abandon(event, layout)
    assert not event.folder.exists()


def test_abandoning_spares_the_revisions(tmp_path: Path) -> None:
    event = workspace.open_event(tmp_path, "quake")
    layout, _ = workspace.begin(event, config())
    workspace.publish(event, layout, 1, "latest")
    layout, _ = workspace.begin(event, config())
    workspace.abandon(event, layout)
    assert list(event.revisions()) == [1]


def _hold(
    path: Path, ready: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event
) -> None:
    with workspace.locked(path, "working"):
        ready.set()
        done.wait(20)


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "x.lock", ready, done))
    holder.start()
    assert ready.wait(20)
    with (
        pytest.raises(MachineError, match="another coslide"),
        workspace.locked(tmp_path / "x.lock", "working"),
    ):
        pass
    assert holder.pid
    os.kill(holder.pid, 9)
    holder.join()
    with workspace.locked(tmp_path / "x.lock", "working"):
        pass


def test_a_full_disk_is_said_before_the_work(tmp_path: Path) -> None:
    workspace.check_space(tmp_path, 1000)
    with pytest.raises(MachineError, match="GiB"):
        workspace.check_space(tmp_path, 10**13)


def test_a_file_in_the_way_is_a_request_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RequestError, match="--out"):
        workspace.open_event(tmp_path / "out", "quake")


def test_a_stack_is_not_dropped_under_its_reader(tmp_path: Path) -> None:
    event = workspace.open_event(tmp_path, "quake")

    def make(number: int) -> None:
        layout, _ = workspace.begin(event, config())
        (layout.scratch / "x").write_text("stack")
        workspace.publish(event, layout, number, "latest")

    make(1)
    with workspace.reading(event.revision(1)), workspace.reading(event.revision(1)):
        make(2)
        assert (event.revision(1).scratch / "x").read_text() == "stack"
    make(3)
    assert [layout.scratch.exists() for layout in event.revisions().values()] == [
        False,
        False,
        True,
    ]


def test_a_freeze_keeps_the_stack_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = workspace.open_event(tmp_path, "quake")
    layout, _ = workspace.begin(event, config())
    (layout.scratch / "x").write_text("stack")
    workspace.publish(event, layout, 1, "latest")
    seen: list[bool] = []

    def frozen(where: Path, layout: RunLayout | None, *more: object) -> None:
        del where, more
        newer, _ = workspace.begin(event, config())
        workspace.publish(event, newer, 2, "latest")
        seen.append(layout is not None and layout.scratch.exists())

    monkeypatch.setattr(freezing, "_freeze", frozen)
    freezing.freeze_run(event.folder, tmp_path / "archive")
    assert seen == [True]


def test_a_request_that_fails_for_a_full_disk_keeps_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(cause: Exception | None) -> Callable[..., None]:
        def story(*_: object) -> None:
            raise RequestError("cannot be written", "Check it.") from cause

        return story

    run = config().model_copy(update={"out": str(tmp_path)})
    event = workspace.open_event(tmp_path, "quake")
    for cause, kept in ((OSError(28, "No space left on device"), True), (None, False)):
        monkeypatch.setattr(responding, "map_event", fails(cause))
        with pytest.raises(RequestError):
            responding.respond(run)
        assert event.work(run.request_id).config.exists() == kept
