"""What was lost or torn on the disk is noticed by its checksum and made anew: the same command ends
with the same map.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from calls import call
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.errors import MachineError
from configs.layout import EventFolder
from configs.run import read_run
from flows import publishing, steps
from flows.cli import main
from flows.events import state as event_state
from flows.refresh import refresh
from flows.watch import launch

pytestmark = pytest.mark.slow

LATER = datetime(2018, 12, 5, tzinfo=UTC)


def asking(ground: Path, out: Path) -> list[str]:
    """Return a command whose run finds something, on the small archive of a folder."""
    where = ["--config", str(ground / "preset.yaml"), "--out", str(out), "--name", "q"]
    return ["respond", *RUN, *AREA, *where]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive, a checkpoint, and in `out` what the command made of them."""
    ground = tmp_path_factory.mktemp("ground")
    preset = make_preset(
        ground / "preset.yaml",
        make_cards(ground / "cards"),
        "post",
        source={"kind": "archive", "archive": str(make_archive(ground / "archive"))},
    )
    preset.write_text(preset.read_text().replace("clean:", "clean:\n  threshold: 0.1"))
    with pytest.raises(SystemExit) as left:
        main(["-q", *asking(ground, ground / "out")])
    assert left.value.code == 0
    return ground


@pytest.fixture
def command(ground: Path, tmp_path: Path) -> list[str]:
    """Return the command in a folder of its own."""
    return asking(ground, tmp_path / "out")


@pytest.fixture
def event(ground: Path, tmp_path: Path) -> EventFolder:
    """Return a copy of the mapped event, where `command` would make it."""
    shutil.copytree(ground / "out", tmp_path / "out")
    event = EventFolder(tmp_path / "out" / "q")
    path = event.revision(1).config
    path.write_text(path.read_text().replace(str(ground / "out"), str(tmp_path / "out")))
    return event


def found_in(ground: Path) -> int:
    """Return how many landslides the undisturbed run found."""
    return len(gpd.read_file(ground / "out/q/r001/landslides.gpkg", layer="landslides"))


def test_damaged_unfinished_work_ends_with_the_same_map(
    ground: Path,
    tmp_path: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MachineError("the disk is full", "Free some space.")

    with monkeypatch.context() as stopped:
        stopped.setattr(publishing, "write_products", full)
        assert call(capsys, *command)[0] == 5
    shutil.move(tmp_path / "out", tmp_path / "unfinished")
    for name in (
        "run.yaml",
        "stack/steps.json",
        "stack/stack.zarr/post_B4/zarr.json",
        "stack/stack.zarr/post_B4/c/0/0",
        "stack/probability.zarr/zarr.json",
        "stack/probability.zarr/c/0/0",
    ):
        for lost in (False, True):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            shutil.copytree(tmp_path / "unfinished", tmp_path / "out")
            file = next((tmp_path / "out").glob(f"q/.work/*/{name}"))
            file.unlink() if lost else file.write_bytes(b"")
            code, found = call(capsys, *command)
            assert code == 0, (name, found)
            assert found["landslide_count"] == found_in(ground) > 0, (name, lost)


def killed_at(place: str, work: Callable[[], object]) -> None:
    """Do work in a process that dies where a function is called."""
    with pytest.MonkeyPatch.context() as killing:
        killing.setattr(place, _kill)
        with pytest.raises(Killed):
            work()


def test_a_revision_that_was_published_before_a_kill_is_not_made_twice(
    event: EventFolder, tmp_path: Path
) -> None:
    review = Path(shutil.copy(event.revision(1).folder / "landslides.gpkg", tmp_path / "my.gpkg"))
    _set_status(review, "confirmed")
    again = partial(refresh, event.folder, as_of=LATER, review=review, force=True)
    for place in (
        "flows.run.workspace.forget",  # after the rename; all that follows is struck in turn
        "flows.events.reviews.put_away",
        "flows.events.state.write_event_catalog",
        "flows.events.state.write_root_catalog",
        "flows.refresh._after",
    ):
        killed_at(place, again)
        assert list(event.revisions()) == [1, 2]
    answer = again()
    assert (answer["action"], answer["revision"]) == ("refreshed", 2)
    assert list(event.revisions()) == [1, 2]
    assert event_state.read_state(event).checked == LATER
    assert not event.revision(1).scratch.exists()
    assert (event.reviews / "r002.gpkg").exists()
    assert not event.review.exists()
    links = json.loads((event.folder.parent / "catalog.json").read_text())["links"]
    assert any("q/" in link["href"] for link in links)
    assert refresh(event.folder, as_of=LATER, force=True)["revision"] == 3, "it has answered"


def test_a_first_revision_that_was_published_before_a_kill_is_not_made_twice(
    ground: Path, command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    killed_at("flows.events.state.enter", lambda: main(["-q", *command]))
    event = EventFolder(tmp_path / "out" / "q")
    config = read_run(event.revision(1).config)
    assert launch.published(config) is None, "the watch lets the command end it"
    code, answer = call(capsys, *command)
    assert (code, answer["revision"], answer["landslide_count"]) == (0, 1, found_in(ground))
    assert event.state.exists()
    assert launch.published(config) == event.revision(1).folder


@pytest.mark.parametrize("damage", ["empty", "lost", "flipped"])
def test_a_damaged_stack_is_not_carried_over(
    ground: Path, event: EventFolder, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    chunk = event.revision(1).stack / "post_B4/c/0/0"
    if damage == "lost":
        chunk.unlink()
    else:
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 1
        chunk.write_bytes(b"" if damage == "empty" else bytes(content))
    code, found = call(capsys, "refresh", event.folder, "--as-of", "2018-12-05", "--force")
    assert code == 0, found
    assert found["landslide_count"] == found_in(ground)


class Killed(BaseException):
    """The process died."""


def _kill(*_: Any, **__: Any) -> None:
    raise Killed


def _set_status(review: Path, status: str) -> None:
    frame = gpd.read_file(review, layer="landslides")
    frame.loc[0, "status"] = status
    frame.to_file(review, layer="landslides", driver="GPKG")


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_slip_in_a_review_throws_no_work_away(
    event: EventFolder,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: bool,
) -> None:
    def slip() -> None:
        shutil.copy(event.revision(1).folder / "landslides.gpkg", event.review)
        _set_status(event.review, "maybe")

    again = [*command, "--post", "2018-09-05/2018-11-11"]
    with monkeypatch.context() as patched:
        if meanwhile:
            real = steps.outline_landslides

            def edited(*arguments: Any) -> Any:
                slip()
                return real(*arguments)

            patched.setattr(steps, "outline_landslides", edited)
        else:
            slip()
        code, answer = call(capsys, *again)
    assert code == 2
    assert "status `maybe`" in answer["message"]
    assert bool(list(event.folder.glob(".work/*/run.yaml"))) is meanwhile
    event.review.unlink()
    code, answer = call(capsys, *again)
    assert (code, answer.get("revision")) == (0, 2)


def test_a_prefect_server_that_is_gone_is_told(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, answer = call(capsys, *command)
    assert code == 4
    assert "unset PREFECT_API_URL" in answer["remedy"]
