"""What was lost or torn on the disk is noticed by its checksum and made anew: the same command ends
with the same map.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.errors import MachineError
from flows import publishing, steps
from flows.cli import main


def run(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(left.value.code, int)
    return left.value.code, answer


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Return a command whose run finds something, on a small archive."""
    preset = make_preset(
        tmp_path / "preset.yaml",
        make_cards(tmp_path / "cards"),
        "post",
        source={"kind": "archive", "archive": str(make_archive(tmp_path / "archive"))},
    )
    preset = tmp_path / "preset.yaml"
    preset.write_text(preset.read_text().replace("clean:", "clean:\n  threshold: 0.1"))
    out = ["--config", str(preset), "--out", str(tmp_path / "out"), "--name", "q", "--json"]
    return ["respond", *RUN, *AREA, *out]


def test_damaged_unfinished_work_ends_with_the_same_map(
    tmp_path: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, whole = run(capsys, command)
    assert code == 0
    shutil.rmtree(tmp_path / "out")

    def full(*_: Any, **__: Any) -> None:
        raise MachineError("the disk is full", "Free some space.")

    with monkeypatch.context() as stopped:
        stopped.setattr(publishing, "write_products", full)
        assert run(capsys, command)[0] == 5
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
            code, found = run(capsys, command)
            assert code == 0, (name, found)
            assert found["landslide_count"] == whole["landslide_count"] > 0, (name, lost)


@pytest.mark.parametrize("damage", ["empty", "lost", "flipped"])
def test_a_damaged_stack_is_not_carried_over(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    _, whole = run(capsys, command)
    chunk = tmp_path / "out/q/r001/stack/stack.zarr/post_B4/c/0/0"
    if damage == "lost":
        chunk.unlink()
    else:
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 1
        chunk.write_bytes(b"" if damage == "empty" else bytes(content))
    event = str(tmp_path / "out" / "q")
    code, found = run(capsys, ["refresh", event, "--as-of", "2018-12-05", "--force", "--json"])
    assert code == 0, found
    assert found["landslide_count"] == whole["landslide_count"]


def _odd_status(review: Path) -> None:
    frame = gpd.read_file(review, layer="landslides")
    frame.loc[0, "status"] = "maybe"
    frame.to_file(review, layer="landslides", driver="GPKG")


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_slip_in_a_review_throws_no_work_away(
    tmp_path: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: bool,
) -> None:
    run(capsys, command)
    event = tmp_path / "out" / "q"
    review = event / "review.gpkg"

    def slip() -> None:
        shutil.copy(event / "r001" / "landslides.gpkg", review)
        _odd_status(review)

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
        code, answer = run(capsys, again)
    assert code == 2
    assert "status `maybe`" in answer["message"]
    assert bool(list(event.glob(".work/*/run.yaml"))) is meanwhile
    review.unlink()
    code, answer = run(capsys, again)
    assert (code, answer.get("revision")) == (0, 2)


def test_a_prefect_server_that_is_gone_is_told(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, answer = run(capsys, command)
    assert code == 4
    assert "unset PREFECT_API_URL" in answer["remedy"]
