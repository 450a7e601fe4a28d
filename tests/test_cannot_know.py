"""What imagery cannot tell is said where the map is made, and what it cannot feed is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from calls import call, on_archive
from small_archive import make_archive, make_cards, make_preset, write

from configs.bands import When
from configs.layout import RunLayout
from configs.records import ObservationClass
from configs.stack import Stack


def respond(
    folder: Path, capsys: pytest.CaptureFixture[str], checkpoint: str, *more: str
) -> tuple[Any, dict[str, Any]]:
    """Return (exit code, answer) of a request over the archive in `folder`."""
    cards = folder / "cards"
    if not cards.exists():
        make_cards(cards)
    preset = make_preset(folder / "preset.yaml", cards, checkpoint)
    content = yaml.safe_load(preset.read_text())
    preset.write_text(yaml.safe_dump(content | {"keep": "all"}))
    return call(capsys, "-q", *on_archive(folder, preset, "--name", "quake", *more))


def only_later(folder: Path) -> None:
    """Make an archive of the image after the event alone, on which side it lies left out."""
    path = make_archive(folder / "archive") / "archive.yaml"
    content = yaml.safe_load(path.read_text())
    content["scenes"] = [one for one in content["scenes"] if one["id"] == "scene-post"]
    for scene in content["scenes"]:
        scene.pop("when", None)
    path.write_text(yaml.safe_dump(content))


def test_a_checkpoint_that_cannot_run_here_is_left_out_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_later(tmp_path)
    code, answer = respond(tmp_path, capsys, "auto")
    assert code == 0
    assert answer["checkpoint"] not in ("both", "iburi-prepost")
    left_out = [words for words in answer["warnings"] if "left out" in words]
    assert {words.split("`")[1] for words in left_out} == {"both", "iburi-prepost"}
    assert all("no image from before the event" in words for words in left_out)
    assert any("after the event alone" in words for words in answer["warnings"])


def test_a_checkpoint_that_was_asked_for_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_later(tmp_path)
    code, answer = respond(tmp_path, capsys, "both")
    assert code == 3
    assert "pre window" in answer["message"]


def test_a_black_image_from_before_was_not_imaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_archive(tmp_path / "archive")
    path = folder / "archive.yaml"
    content = yaml.safe_load(path.read_text())
    for scene in content["scenes"]:
        for band in scene["bands"].values():
            del band["nodata"]
            black = np.full((300, 300), 800, np.uint16)
            black[:, :150] = 0 if scene["id"] == "scene-pre" else 800
            write(folder / band["file"], black, nodata=None)
    path.write_text(yaml.safe_dump(content))
    code, answer = respond(tmp_path, capsys, "both")
    assert code == 0
    stack = Stack(RunLayout(tmp_path / "out" / "quake" / "r001").stack)
    seen = stack.observation(When.PRE)
    assert (np.isfinite(stack.read("pre_B4")) == (seen != ObservationClass.NOT_IMAGED)).all()
    assert answer["observed_fraction"] < 1 or any(
        "was mapped from the image after" in words for words in answer["warnings"]
    )


def test_without_near_infrared_nobody_checked_the_vegetation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_archive(tmp_path / "archive")
    _, answer = respond(tmp_path, capsys, "both")
    assert any("vegetation was lost could not be checked" in words for words in answer["warnings"])
    assert not any("after the event alone" in words for words in answer["warnings"])
