"""The officer's page, followed literally: its commands are read from it and typed as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY
from test_deploy import check_command

PAGE = REPOSITORY / "docs" / "officer.md"
OPENED = ("report.html", "map.pdf", "map-a3.pdf", "landslides.qgz")


def commands() -> list[str]:
    """Return every line of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def _ours(line: str) -> bool:
    return line.startswith("coslide ")


def _needs_network(line: str) -> bool:
    return "earthengine" in line or "us2000h8ty" in line


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_page_exists(line: str) -> None:
    if _ours(line):
        check_command(shlex.split(line))
    elif line.startswith("make "):
        assert re.search(rf"^{line.split()[1]}:", (REPOSITORY / "Makefile").read_text(), re.M)
    else:
        assert line.startswith(("git clone ", "source .venv/bin/activate"))


@pytest.mark.slow
def test_the_walk_ends_with_everything_to_hand_over(tmp_path: Path) -> None:
    typed = [line for line in commands() if _ours(line) and not _needs_network(line)]
    assert [line.split()[1] for line in typed] == [
        "doctor", "respond", "events", "verify", "evaluate", "review",
    ]  # fmt: skip
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "2",
    }
    environment.pop("PREFECT_API_URL", None)
    answers = {}
    for line in typed:
        done = subprocess.run(
            shlex.split(line), cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
        answers[line.split()[1]] = done.stdout
    revision = tmp_path / "runs" / "exercise" / "r001"
    assert "simulated landslide" in answers["respond"]
    assert re.search(r"took \d+ s", answers["respond"])
    assert "exercise" in answers["events"]
    assert "F1" in answers["evaluate"]
    assert (tmp_path / "runs" / "exercise" / "review.gpkg").is_file()
    for name in OPENED:
        assert (revision / name).stat().st_size > 1000, name
    assert "publisher: Geological Survey of Somewhere" in (revision / "run.yaml").read_text()
    index = (tmp_path / "runs" / "index.html").read_text()
    for link in re.findall(r'href="(exercise/[^"]+)"', index):
        assert (tmp_path / "runs" / link).is_file(), link
    assert "exercise/r001/report.html" in index
    with zipfile.ZipFile(revision / "landslides.qgz") as project:
        assert "landslides.qgs" in project.namelist()


def test_every_file_that_the_page_names_is_a_product_that_the_report_explains() -> None:
    from inventory.outline.words import words_of

    named = set(re.findall(r"`((?:landslides|map|report)[a-z0-9-]*\.[a-z]+)`", PAGE.read_text()))
    assert named >= {"map.pdf", "report.html", "landslides.qgz", "landslides.gpkg"}
    assert named - {"report.html"} <= set(words_of()["file_words"])
