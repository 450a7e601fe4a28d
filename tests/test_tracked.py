"""One story: tracked by Prefect it gives the products of a plain run, and its artifacts are plain
words and rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from calls import answered
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.files import sha256
from configs.layout import RunLayout
from flows.service import artifacts

SAME = (
    "landslides.gpkg",
    "landslides.tif",
    "probability.tif",
    "observation.tif",
    "report.html",
    "preview.png",
    "selection.csv",
)


@pytest.mark.slow
def test_tracked_and_plain_runs_give_the_same_products(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    make_archive(tmp_path / "archive")
    preset = make_preset(tmp_path / "preset.yaml", make_cards(tmp_path / "cards"), "post")
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    source = f"archive:{tmp_path / 'archive'}"
    where = ["--config", str(preset), "--source", source, "--name", "quake"]
    arguments = ["respond", *RUN, *AREA, *where, "--out"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.cli",
            *arguments,
            str(tmp_path / "tracked"),
            "--prefect",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plain = answered(capsys, *arguments, tmp_path / "plain")
    answers = {"plain": plain, "tracked": json.loads(done.stdout)}
    for product in SAME:
        one, two = (tmp_path / name / "quake" / "r001" / product for name in answers)
        assert sha256(one) == sha256(two), product
    assert answers["plain"]["landslide_count"] == answers["tracked"]["landslide_count"]
    layout = RunLayout(tmp_path / "tracked" / "quake" / "r001")
    words = artifacts.headline(answers["tracked"], layout)
    assert "landslides" in words
    assert "data:image/png;base64" in words
    assert artifacts.key_of(answers["tracked"]) == "quake"
    assert artifacts.ranking(layout)[0]["card"]
    json.dumps(artifacts.landslides(layout))
