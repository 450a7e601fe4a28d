"""Calling `coslide` in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_archive import AREA, RUN

from flows.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Return (exit code, answer) of `coslide ARGUMENTS --json`."""
    with pytest.raises(SystemExit) as left:
        main([*map(str, arguments), "--json"])
    code = left.value.code
    assert isinstance(code, int)
    return code, json.loads(capsys.readouterr().out)


def answered(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Return the answer of a command that succeeds."""
    code, answer = call(capsys, "-q", *arguments)
    assert code == 0, answer
    return answer


def on_archive(ground: Path, preset: Path, *more: str) -> list[str]:
    """Return the arguments that ask for a map of the small archive in a folder, into its `out`."""
    source = f"archive:{ground / 'archive'}"
    where = ["--config", str(preset), "--source", source, "--out", str(ground / "out")]
    return ["respond", *RUN, *AREA, *where, *more]
