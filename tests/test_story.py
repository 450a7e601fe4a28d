"""The story from command to revision: products agree, a second run is revision 2, a killed one goes
on, one story for all.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import zarr
from calls import call
from rio_cogeo.cogeo import cog_validate
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.files import sha256
from flows.run import workspace

pytestmark = pytest.mark.slow

STAMPED = {"provenance.json", "log.jsonl", "run.yaml", "item.json"}
"""Products that tell time, machine or folder; all others are the same bits for the same run."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive whose pre image has a gap, two checkpoints and a preset."""
    folder = tmp_path_factory.mktemp("ground")
    make_archive(folder / "archive", gap=True)
    sheet = {"map": {"sheets": ["a4"]}}
    make_preset(folder / "preset.yaml", make_cards(folder / "cards"), "auto", product=sheet)
    return folder


def command(ground: Path, out: Path, *more: str) -> list[str]:
    source = f"archive:{ground / 'archive'}"
    return [
        "respond",
        *RUN,
        *AREA,
        "--config",
        str(ground / "preset.yaml"),
        "--source",
        source,
        "--out",
        str(out),
        *more,
    ]


def checksums(folder: Path) -> dict[str, str]:
    return {p.name: sha256(p) for p in folder.iterdir() if p.is_file() and p.name not in STAMPED}


@pytest.fixture(scope="module")
def first(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a finished run's output folder and answer, from a process of its own that also tells
    what it imported.
    """
    out = tmp_path_factory.mktemp("first")
    code = (
        "import sys, atexit; from flows.cli import main\n"
        "atexit.register(lambda: print('prefect' in sys.modules, file=sys.stderr))\n"
        f"main({command(ground, out, '--name', 'quake', '--json')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "False", (
        "a plain respond must not import prefect"
    )
    return out, json.loads(done.stdout)


def test_the_answer_is_the_contracts(first: tuple[Path, dict[str, Any]]) -> None:
    _, answer = first
    for key in (
        "status",
        "event",
        "revision",
        "area_km2",
        "observed_fraction",
        "landslide_count",
        "landslide_area_km2",
    ):
        assert key in answer
    assert (answer["status"], answer["event"], answer["revision"]) == ("ok", "quake", 1)
    assert answer["out_of_domain"] == "unknown"  # an untrained network on noise
    names = set(answer["products"])
    assert {
        "landslides.gpkg",
        "landslides.tif",
        "probability.tif",
        "observation.tif",
        "report.html",
        "selection.csv",
    } <= names
    assert {"log.jsonl", "run.yaml", "provenance.json", "item.json"} <= names
    assert {"landslides.geojson", "landslides.kml"} <= names
    assert {"catalog.json", "quake"} <= {
        path.name for path in Path(answer["products"]["item.json"]).parents[2].iterdir()
    }
    assert all(Path(path).exists() for path in answer["products"].values())


def test_the_rasters_are_valid_cogs_and_agree_with_the_polygons(
    first: tuple[Path, dict[str, Any]],
) -> None:
    folder = first[0] / "quake" / "r001"
    for name in ("landslides.tif", "probability.tif", "observation.tif"):
        valid, errors, warnings = cog_validate(folder / name, strict=True)
        assert valid, (name, errors, warnings)
    with rasterio.open(folder / "landslides.tif") as file:
        mask, transform = file.read(1), file.transform
    landslides = gpd.read_file(folder / "landslides.gpkg", layer="landslides")
    pixel_m2 = abs(transform.a * transform.e)
    assert landslides.area_m2.sum() == pytest.approx((mask == 1).sum() * pixel_m2, rel=0.01)
    assert set(np.unique(mask)) <= {0, 1, 255}
    assert first[1]["landslide_area_km2"] == pytest.approx(landslides.area_m2.sum() / 1e6, abs=0.01)


def test_what_has_no_pre_image_is_filled_and_told(first: tuple[Path, dict[str, Any]]) -> None:
    folder = first[0] / "quake" / "r001"
    used = json.loads((folder / "provenance.json").read_text())
    assert used["computed"]["device"] in {"cpu", "cuda"}
    assert used["computed"]["precision"] == "float32"
    assert used["computed"]["runtime"] in {"torch", "openvino"}
    if "both" in used["checkpoints"]:
        assert used["observation_px"]["no_pre"] > 0
        assert set(used["checkpoints"]) == {"both", "post"}
    with rasterio.open(folder / "probability.tif") as file:
        seen = np.isfinite(file.read(1, masked=True).filled(np.nan))
    assert seen.any()


def test_a_second_run_is_revision_two_and_leaves_the_first_alone(
    ground: Path, first: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = first[0]
    before = checksums(out / "quake" / "r001")
    code, answer = call(capsys, *command(ground, out, "--name", "quake"))
    assert (code, answer["revision"]) == (0, 2)
    assert checksums(out / "quake" / "r001") == before
    one, two = (
        gpd.read_file(out / "quake" / r / "landslides.gpkg", layer="landslides")
        for r in ("r001", "r002")
    )
    assert sorted(one.id) == sorted(two.id)
    assert not (out / "quake" / "r001" / "stack").exists()
    assert (out / "quake" / "r002" / "stack" / "stack.zarr").exists()
    assert not list((out / "quake" / ".work").glob("*/run.yaml"))


def test_the_written_configuration_repeats_the_run(
    ground: Path,
    first: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = [
        "respond",
        "--config",
        str(first[0] / "quake" / "r001" / "run.yaml"),
        "--out",
        str(tmp_path),
    ]
    code, answer = call(capsys, *again)
    assert code == 0
    one, two = (
        json.loads((folder / "r001" / "provenance.json").read_text())
        for folder in (first[0] / "quake", tmp_path / "quake")
    )
    assert one["scenes"] == two["scenes"]
    assert checksums(first[0] / "quake" / "r001") == checksums(tmp_path / "quake" / "r001")
    assert answer["landslide_count"] == first[1]["landslide_count"]
    scratch = tmp_path / "quake" / "r001" / "stack"
    strips = sorted(int(marker.name) for marker in (scratch / "probability.zarr.strips").iterdir())
    assert strips == list(range(len(strips)))
    assert strips
    assert np.isfinite(zarr.open_array(scratch / "probability.zarr", mode="r")[:]).any()


def test_the_log_is_json_lines_with_the_contracts_fields(
    first: tuple[Path, dict[str, Any]],
) -> None:
    lines = (first[0] / "quake" / "r001" / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert records
    assert all(
        set(record) == {"time", "level", "event", "request_id", "step", "message"}
        for record in records
    )
    assert {"pull", "choose", "map", "publish"} <= {record["step"] for record in records}


@pytest.mark.parametrize("moment", ["stack.zarr.blocks/0_0", "landslides.gpkg"])
def test_killed_anywhere_and_started_again_it_ends_the_same(
    ground: Path,
    first: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    moment: str,
) -> None:
    """SIGKILL as soon as the first or the last step's product appears; the same command then gives
    the products of an undisturbed run. (Before every rename: `make verify-faults`.)
    """
    again = command(ground, tmp_path, "--name", "quake")
    arguments = [sys.executable, "-m", "flows.cli", *again]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        work = list((tmp_path / "quake" / ".work").glob("*/run.yaml"))
        if work and (
            (work[0].parent / "stack" / moment).exists() or (work[0].parent / moment).exists()
        ):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    killed = process.wait() == -signal.SIGKILL
    assert killed, "the run ended before it could be killed"
    assert not (tmp_path / "quake" / "r001").exists()
    code, answer = call(capsys, *again)
    assert (code, answer["revision"]) == (0, 1), answer
    assert checksums(tmp_path / "quake" / "r001") == checksums(first[0] / "quake" / "r001")


def test_a_dry_run_tells_scenes_and_disk_and_fetches_nothing(
    ground: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, answer = call(capsys, *command(ground, tmp_path, "--dry-run"))
    assert code == 0
    assert [scene["id"] for scene in answer["scenes"]] == ["scene-pre", "scene-post"]
    assert not list(tmp_path.iterdir())
    assert 0 < answer["disk_gib"]["needed"] < answer["disk_gib"]["free"]
    monkeypatch.setattr(workspace, "BYTES_PER_PIXEL", 2**60)
    code, answer = call(capsys, *command(ground, tmp_path, "--dry-run"))
    assert code == 0
    assert "too full" in answer["warnings"][0]


def test_nothing_found_is_an_answer_too(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = make_preset(
        tmp_path / "none.yaml", ground / "cards", clean={"threshold": 0.9999999, "min_area_m2": 1e9}
    )
    arguments = command(ground, tmp_path / "out", "--name", "quiet")
    arguments[arguments.index("--config") + 1] = str(preset)
    code, answer = call(capsys, *arguments)
    assert (code, answer["landslide_count"]) == (0, 0)
    assert (
        len(
            gpd.read_file(
                tmp_path / "out" / "quiet" / "r001" / "landslides.gpkg", layer="landslides"
            )
        )
        == 0
    )
