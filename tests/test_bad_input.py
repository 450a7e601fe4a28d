"""Bad input at the command line: the contract's exit code, one JSON object with a remedy, and
nothing half-written left.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import torch
import yaml
from small_archive import AREA, EPICENTRE, RUN, SIDE, make_archive, make_cards, make_preset, write

from flows import steps
from flows.cli import main
from models.inference import runtime


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """Return a folder with an archive, checkpoints and a preset, ours to spoil."""
    make_archive(tmp_path / "archive")
    make_preset(tmp_path / "preset.yaml", make_cards(tmp_path / "cards"), "post")
    return tmp_path


def respond(ground: Path, *options: str, run: tuple[str, ...] = (*RUN, *AREA)) -> list[str]:
    return [
        *(
            "-q",
            "respond",
            *run,
            "--config",
            str(ground / "preset.yaml"),
            "--source",
            f"archive:{ground / 'archive'}",
        ),
        *("--out", str(ground / "out"), "--json", *options),
    ]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    printed = capsys.readouterr()
    answer: dict[str, Any] = json.loads(printed.out)
    assert answer["status"] == "error", answer
    assert answer["code"] == left.value.code
    assert answer["remedy"], answer
    assert "Traceback" not in printed.out + printed.err
    return answer


def at(**changes: str) -> tuple[str, ...]:
    given = {
        "--epicentre": EPICENTRE,
        "--date": "2018-09-05",
        "--as-of": "2018-12-01",
        "--radius-km": "1.2",
    }
    given |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return tuple(part for pair in given.items() for part in pair)


@pytest.mark.parametrize(
    ("run", "code", "words"),
    [
        (at(epicentre="95,141"), 2, "no place on Earth"),
        (at(epicentre="142.11,42.70"), 2, "142.11"),
        (at(date="2031-01-01"), 2, "future"),
        (at(pre="2018-10-01/2018-11-01"), 2, "--pre"),
        (at(name="../../x"), 2, "name"),
        (at(epicentre="10.5,20.5"), 3, "imagery"),
        (at(epicentre="0,-140"), 3, "sea"),
        (at(checkpoint="nobody"), 2, "nobody"),
        (at(radius_km="0"), 2, "radius"),
        (at(pre="2001-01-01/2001-02-01", checkpoint="both"), 3, "pre"),
    ],
)
def test_requests_that_cannot_be(
    ground: Path, capsys: pytest.CaptureFixture[str], run: tuple[str, ...], code: int, words: str
) -> None:
    answer = refused(capsys, respond(ground, run=run))
    assert answer["code"] == code
    assert words in f"{answer['message']} {answer['remedy']}"
    assert not (ground / "out").exists() or not list((ground / "out").iterdir())


@pytest.mark.parametrize(
    ("setting", "words"),
    [("model.runtime=openvino", "pip install"), ("model.runtime=compile", "compiler"),
     ("model.device=cuda", "model.device")],
)  # fmt: skip
def test_what_this_machine_cannot_compute_by_is_refused_before_anything_is_pulled(
    ground: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    setting: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(runtime, "installed", lambda: False)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(steps, "pull", lambda *_: pytest.fail("it was pulled"))
    for more in ((), ("--dry-run",)):
        answer = refused(capsys, respond(ground, "--set", setting, *more))
        assert answer["code"] == 2
        assert words in f"{answer['message']} {answer['remedy']}"
    assert not (ground / "out").exists() or not list((ground / "out").iterdir())


def test_a_swapped_pair_that_would_hit_the_imagery_is_told(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # An archive where both orders exist on Earth: it lies at latitude 12, longitude 42.
    east, north = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32638", always_xy=True).transform(
        42.0, 12.0
    )
    for path in (ground / "archive").glob("*.tif"):
        with rasterio.open(path) as file:
            values, pixel_m, nodata = file.read(1), file.transform.a, file.nodata
        write(path, values, pixel_m, "EPSG:32638", nodata, (east - 1500, north + 1500))
    answer = refused(capsys, respond(ground, run=at(epicentre="42.0,12.0")))
    assert answer["code"] == 3
    assert "--epicentre 12,42" in answer["remedy"]


def _empty(ground: Path) -> None:
    (ground / "archive" / "post_B4.tif").write_bytes(b"")


def _text(ground: Path) -> None:
    (ground / "archive" / "post_B4.tif").write_text("not a raster")


def _truncated(ground: Path) -> None:
    path = ground / "archive" / "post_B4.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _without_crs(ground: Path) -> None:
    write(ground / "archive" / "post_B4.tif", np.full((SIDE, SIDE), 900, np.uint16), crs=None)


def _without_band(ground: Path) -> None:
    content = yaml.safe_load((ground / "archive" / "archive.yaml").read_text())
    del content["scenes"][1]["bands"]["B3"]
    (ground / "archive" / "archive.yaml").write_text(yaml.safe_dump(content))


def _nodata(ground: Path) -> None:
    for band in ("B2", "B3", "B4"):
        write(ground / "archive" / f"post_{band}.tif", np.zeros((SIDE, SIDE), np.uint16))


def _nan(ground: Path) -> None:
    values = np.full((SIDE, SIDE), 900, np.float32)
    values[100:120] = np.nan
    write(ground / "archive" / "post_B4.tif", values)


def _weights(ground: Path) -> None:
    path = ground / "cards" / "post" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")


def _outside(ground: Path) -> None:
    content = yaml.safe_load((ground / "archive" / "archive.yaml").read_text())
    content["static"]["dem"]["file"] = "../../dem.tif"
    (ground / "archive" / "archive.yaml").write_text(yaml.safe_dump(content))


def _newer_card(ground: Path) -> None:
    path = ground / "cards" / "post" / "card.yaml"
    path.write_text(path.read_text().replace("coslide/card/1", "coslide/card/9"))


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_empty, 2, "post_B4.tif"),
        (_text, 2, "post_B4.tif"),
        (_truncated, 2, "post_B4.tif"),
        (_without_crs, 2, "coordinate"),
        (_without_band, 2, "B3"),
        (_nodata, 3, ""),
        (_nan, 2, "nodata: .nan"),
        (_weights, 2, "weights"),
        (_outside, 2, "leads out"),
        (_newer_card, 2, "newer"),
    ],
)
def test_files_that_cannot_be_used(
    ground: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    code: int,
    words: str,
) -> None:
    spoil(ground)
    answer = refused(capsys, respond(ground))
    assert answer["code"] == code
    assert words in f"{answer['message']} {answer['remedy']}"
    assert not list((ground / "out").iterdir()) if (ground / "out").exists() else True


@pytest.mark.parametrize("content", ['<?xml version="1.0"?><shakemap_grid', "bomb"])
def test_a_shakemap_that_cannot_be_used(
    ground: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    if content == "bomb":
        entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
            f'<!ENTITY {x} "{f"&{y};" * 10}">' for x, y in zip("bcdefg", "abcdef", strict=True)
        )
        content = (
            f'<?xml version="1.0"?><!DOCTYPE grid [{entities}]><shakemap_grid>&g;</shakemap_grid>'
        )
    (ground / "grid.xml").write_text(content)
    assert (
        refused(capsys, respond(ground, "--shakemap", str(ground / "grid.xml"), run=RUN))["code"]
        == 2
    )


def test_the_real_malformed_shakemap(
    ground: Path, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real / "events" / "shakemap" / "gorkha_2015_grid_malformed.xml"
    assert refused(capsys, respond(ground, "--shakemap", str(path), run=RUN))["code"] == 2


def test_usage_errors_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, ["respond", "--magnitude", "big", "--json"])["code"] == 2
    assert refused(capsys, ["responds", "--json"])["code"] == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_exit_five_and_the_same_command_goes_on(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ground / "out"
    out.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(out)], check=False
    ).returncode:
        pytest.skip("this machine cannot mount a small disk")
    try:
        answer = refused(capsys, respond(ground))
        assert (answer["code"], answer["error"]) == (5, "machine")
        subprocess.run(["mount", "-o", "remount,size=1g", str(out)], check=True)
        with pytest.raises(SystemExit) as left:
            main(respond(ground, "--name", "quake"))
        assert left.value.code == 0
    finally:
        subprocess.run(["umount", "-l", str(out)], check=False)


@pytest.mark.skipif(
    os.geteuid() == 0 or shutil.which("true") is None, reason="root may write everywhere"
)
def test_an_unwritable_folder(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ground / "out").mkdir(mode=0o500)
    assert refused(capsys, respond(ground))["code"] == 2


def test_a_file_where_the_folder_should_be(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ground / "out").write_text("a file")
    answer = refused(capsys, respond(ground))
    assert answer["code"] == 2
    assert "--out" in f"{answer['message']} {answer['remedy']}"
