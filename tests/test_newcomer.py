"""The path that docs/architecture.md sends a newcomer along is the one a run takes."""

from __future__ import annotations

import re
import sys
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml
from small_archive import make_archive, make_cards, make_preset

from flows.cli import main

REPOSITORY = Path(__file__).resolve().parent.parent
MOST = 12
"""Files of `flows` between the command and the published revision."""


def test_the_newcomers_path_is_true_and_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = make_preset(tmp_path / "preset.yaml", make_cards(tmp_path / "cards"), "post")
    content = yaml.safe_load(preset.read_text()) | {"out": str(tmp_path / "out")}
    preset.write_text(yaml.safe_dump(content))
    arguments = ["--epicentre", "42.70,142.11", "--date", "2018-09-05", "--as-of", "2018-12-01"]
    source = f"archive:{make_archive(tmp_path / 'archive')}"
    passed: dict[str, None] = {}

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        is_function = frame.f_code.co_flags & CO_OPTIMIZED  # no body of a module or a class
        if event == "call" and "/flows/" in path and is_function:
            passed.setdefault(path.rpartition("/flows/")[2], None)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        with pytest.raises(SystemExit) as left:
            main(
                ["-q", "respond", *arguments, "--radius-km", "1.2", "--source", source,
                 "--config", str(preset), "--json"]
            )  # fmt: skip
    finally:
        sys.setprofile(before)
    assert left.value.code == 0, capsys.readouterr().out
    path = [name for name in passed if name not in ("cli.py", "commands/options.py")]
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## A newcomer's path")[2].partition("\n## ")[0]
    written = re.findall(r"^\d+\. `flows/([a-z_/]+\.py)`", section, re.MULTILINE)
    assert path == written
    assert len(path) <= MOST
