"""`coslide watch --feed FILE`: a drill with the earthquakes of a file, nothing over the network."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import flows.cli
from configs.errors import RequestError
from configs.service import read_service
from flows.commands.watch import verdict_words
from flows.watch.drill import Drill
from flows.watch.watch import open_watch

TIME_MS = 1_536_170_879_000
"""2018-09-05 18:07:59 UTC."""


def quake(name: str, magnitude: float, **more: Any) -> dict[str, Any]:
    properties = {"mag": magnitude, "place": "Hokkaido", "time": TIME_MS, "updated": TIME_MS}
    properties |= {"ids": f",{name},", "title": f"M {magnitude} - Hokkaido", "type": "earthquake"}
    place = {"type": "Point", "coordinates": [142.0, 42.7, 35.0]}
    return {"type": "Feature", "id": name, "properties": properties | more, "geometry": place}


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "feed.geojson"
    features = [quake("us2000h8ty", 6.6), quake("us2000aaaa", 4.6)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def watch(capsys: pytest.CaptureFixture[str], *options: str | Path) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as left:
        flows.cli.main(["watch", "--json", *map(str, options)])
    told = capsys.readouterr()
    return int(str(left.value.code)), json.loads(told.out), told.err


def service(tmp_path: Path, source: dict[str, Any]) -> Path:
    preset = {"format": "coslide/run/1", "out": str(tmp_path / "events"), "source": source}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(preset))
    path = tmp_path / "service.yaml"
    path.write_text("format: coslide/service/1\npreset: preset.yaml\n")
    return path


def test_a_file_stands_for_the_feed(
    tmp_path: Path,
    feed: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", "flows")  # whatever -q an earlier test has left
    monkeypatch.setattr("gee.fetch.fetch", lambda *a, **k: pytest.fail("asked over the network"))
    config = service(tmp_path, {"kind": "simulated"})  # no `drill: true`: a file is one
    options = ("--config", config, "--feed", feed, "--as-of", "2018-09-06")
    code, turn, told = watch(capsys, *options, "--dry-run")
    assert code == 0
    assert "us2000aaaa is left alone" in told + caplog.text
    assert turn["seen"] == 2
    assert [key.split(".")[0] for key in turn["intended"]] == ["us2000h8ty"]
    assert not (tmp_path / "events").exists()
    assert not (tmp_path / "events-drill").exists()


def test_what_a_drill_decides_stays_apart_and_can_be_read(
    tmp_path: Path, feed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = service(tmp_path, {"kind": "archive", "archive": str(tmp_path / "missing")})
    code, turn, _ = watch(capsys, "--config", config, "--feed", feed, "--as-of", "2018-09-06")
    assert code == 0
    assert "failed" in next(iter(turn["ended"].values()))  # the archive is not there
    assert not (tmp_path / "events").exists()
    _, told, _ = watch(capsys, "--config", config, "--verdicts", "--out", tmp_path / "events-drill")
    verdicts = {row["id"]: row for row in told["verdicts"]}
    assert "4.6" in verdicts["us2000aaaa"]["verdict"]
    assert "there is no archive" in verdicts["us2000h8ty"]["runs"][0]
    _, told, _ = watch(capsys, "--config", config, "--verdicts")
    assert told["verdicts"] == []
    code, told, _ = watch(capsys, "--verdicts", "--out", tmp_path / "events-dril")
    assert (code, "Did you mean" in told["remedy"]) == (2, True)


def test_what_a_killed_watch_has_left_half_written_goes_when_it_starts_again(
    tmp_path: Path, feed: Path
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    book = tmp_path / "events-drill" / ".watch"
    book.mkdir(parents=True)
    mine, *torn = (
        folder / f".x.yaml.{pid}.part"
        for folder, pid in ((book, os.getpid()), (book, dead.pid), (book.parent, dead.pid))
    )
    for path in (mine, *torn):
        path.touch()
    config = read_service(service(tmp_path, {"kind": "simulated"}))
    with open_watch(config, out=None, feed_file=feed):
        assert list(book.parent.rglob("*.part")) == [mine]


def test_a_watch_without_a_source_says_where_it_is_written(
    feed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, _ = watch(capsys, "--feed", feed, "--dry-run")
    assert (code, "Give --source" in told["remedy"]) == (2, False)
    assert "preset" in told["remedy"]


def test_a_detail_is_a_feed_of_one(tmp_path: Path) -> None:
    path = tmp_path / "detail.geojson"
    path.write_text(json.dumps(quake("us2000h8ty", 6.6)))
    drill = Drill.of(path)
    assert json.loads(drill("https://x/feed.geojson"))["features"][0]["id"] == "us2000h8ty"
    assert json.loads(drill("https://x/query?eventid=us2000h8ty&format=geojson"))["id"]
    for other in ("https://x/query?eventid=us1&format=geojson", "https://x/grid.xml"):
        with pytest.raises(RequestError):
            drill(other)


def test_verdicts_read_as_sentences() -> None:
    row = {"id": "us1", "title": "M 6.6 - Hokkaido", "withdrawn": False, "runs": [], "waits": ""}
    owed = {"runs": ["us1.m6.6 waiting"], "waits": "next try 2018-09-07 03:00 UTC: no image yet"}
    told = verdict_words(
        [
            {**row, **owed, "verdict": "1,380 km², land 96%"},
            {**row, "id": "us2", "verdict": "M 4.6 is below 5.5 (everywhere)"},
        ]
    )
    assert told.splitlines() == [
        "us1  M 6.6 - Hokkaido",
        "  to be mapped: 1,380 km², land 96%",
        "  us1.m6.6 waiting",
        "  waits: next try 2018-09-07 03:00 UTC: no image yet",
        "us2  M 6.6 - Hokkaido",
        "  left alone: M 4.6 is below 5.5 (everywhere)",
    ]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"features": 3}', '{"features": [{}]}', "[["])
def test_what_is_no_feed_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "feed.geojson"
    path.write_text(content)
    with pytest.raises(RequestError, match="no GeoJSON feed of earthquakes"):
        Drill.of(path)
    with pytest.raises(RequestError, match="no such file"):
        Drill.of(tmp_path / "missing.geojson")
