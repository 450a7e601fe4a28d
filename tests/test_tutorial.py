"""The tutorial, literally: the page's commands and the notebook's cells, in a student's folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from own_ground import export

from configs.checkpoint import read_card
from configs.errors import RequestError
from configs.training import recipe_file

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "tutorial.md"
NOTEBOOK = REPOSITORY / "docs" / "tutorial.ipynb"
MOST_COMMANDS = 5
RADIUS_KM = 2.0
BETTER_THAN_BRIGHTNESS = 0.3
"""F1 on 2 % of landslides: far above the 0.04 of calling everything one; a quick training on a
small place reaches about 0.6."""


def commands() -> list[str]:
    """Return the page's commands, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def run(command: list[str], folder: Path) -> str:
    """Return what a command prints, run as on a terminal in the environment of the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return export(tmp_path / "student", RADIUS_KM)


@pytest.mark.slow
def test_the_page_leads_from_files_to_a_card_and_its_scores(student: Path) -> None:
    listed = PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    for name in re.findall(r"\S+\.(?:tif|shp)", listed):
        assert (student / name).is_file(), name
    given = commands()
    assert 0 < len(given) <= MOST_COMMANDS
    told = [run(["bash", "-ec", command], student) for command in given]
    card = read_card(student / "cards" / "valley")
    assert not card.simulated, "coslide knows no more than the files say"
    assert card.scores[0].test_set == "valley/test"
    assert card.scores[0].values["f1"] > BETTER_THAN_BRIGHTNESS
    scores = next(text for command, text in zip(given, told, strict=True) if "evaluate" in command)
    assert "trained here" in scores
    assert (student / "scores" / "scores.csv").is_file()
    assert (student / "valley.onnx").is_file()


@pytest.mark.slow
def test_the_notebook_does_the_same_in_python(student: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells), "no output of this machine is kept"
    shown = 'print("F1", trained["scores"][0]["values"]["f1"], "count", len(run.landslides))'
    told = run([sys.executable, "-c", "\n".join([*code, shown])], student)
    f1, count = re.findall(r"F1 ([\d.]+) count (\d+)", told)[0]
    assert float(f1) > BETTER_THAN_BRIGHTNESS
    assert int(count) >= 1


def test_a_shipped_recipe_goes_by_its_name_and_others_are_listed() -> None:
    assert recipe_file("first").stem == "first"
    with pytest.raises(RequestError, match="there is no recipe `frist`") as wrong:
        recipe_file("frist")
    assert "first" in str(wrong.value)
