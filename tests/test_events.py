"""`coslide events`: all that is there, whatever state it is in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import flows.cli
from flows.watch.ledger import Book

CHECKED = datetime(2018, 10, 1, 6, tzinfo=UTC)


def make_event(out: Path, name: str, **state: Any) -> Path:
    """Return the folder of an event as publishing leaves it, without its imagery."""
    revision = out / name / "r002"
    revision.mkdir(parents=True)
    about = {"landslide_count": 17, "warnings": ["snow"], "observed_fraction": 0.5}
    properties = {f"coslide:{key}": value for key, value in about.items()}
    (revision / "item.json").write_text(json.dumps({"properties": properties}))
    content = {"format": "coslide/event/1", "observed_fraction": 0.5, **state}
    (out / name / "event.yaml").write_text(yaml.safe_dump(content))
    return out / name


def ask(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        flows.cli.main(["events", *map(str, arguments)])
    told = capsys.readouterr()
    return int(str(left.value.code)), told.out, told.err


def events_of(capsys: pytest.CaptureFixture[str], out: Path) -> dict[str, dict[str, Any]]:
    code, text, _ = ask(capsys, out, "--json")
    assert code == 0
    return {one["event"]: one for one in json.loads(text)["events"]}


def test_state_findings_and_next_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_event(tmp_path, "followed", checked=CHECKED, every_hours=12)
    make_event(tmp_path, "over", state="closed", closed_by="age", reason="too old", checked=CHECKED)
    found = events_of(capsys, tmp_path)
    assert found["followed"] == {
        "event": "followed",
        "state": "open",
        "reason": "",
        "revision": 2,
        "observed_fraction": 0.5,
        "landslide_count": 17,
        "warnings": ["snow"],
        "next_refresh": "2018-10-01T18:00:00+00:00",
    }
    assert (found["over"]["state"], found["over"]["reason"]) == ("closed", "too old")
    assert found["over"]["next_refresh"] is None
    code, text, _ = ask(capsys, tmp_path)
    assert code == 0
    for words in ("r002", "50 % seen", "17 landslides", "2018-10-01 18:00 UTC", "WARNING: snow"):
        assert words in text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("event.yaml", "state: [open"),
        ("event.yaml", "\x00\x01"),
        ("event.yaml", "format: coslide/event/9\n"),
        ("event.yaml", "format: coslide/event/1\nstate: ajar\n"),
        ("r002/item.json", "{"),
        ("r002/item.json", "[]"),
        ("r002/item.json", None),
    ],
)
def test_a_damaged_event_never_hides_the_others(
    file: str, content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_event(tmp_path, "sound")
    path = make_event(tmp_path, "broken") / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    found = events_of(capsys, tmp_path)
    assert found["broken"]["state"] == "damaged"
    assert found["broken"]["reason"]
    assert found["sound"]["landslide_count"] == 17


def test_what_an_event_waits_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "begun" / ".work" / "abc").mkdir(parents=True)
    (tmp_path / "imageless").mkdir()
    state = {"format": "coslide/event/1", "checked": CHECKED}
    (tmp_path / "imageless" / "event.yaml").write_text(yaml.safe_dump(state))
    with Book.open(tmp_path / ".watch" / "book.sqlite") as book:
        book.note("us1", ["us1"], "M 6 - somewhere", 0, "mapped", "v1")
        book.intend("us1.v1", "us1", "v1", "{}", "{}", CHECKED, CHECKED)
        book.end("us1.v1", "waiting", "no image yet", CHECKED, CHECKED)
    found = events_of(capsys, tmp_path)
    assert found["begun"]["state"] == "unfinished"
    assert found["imageless"]["state"] == "waiting"
    assert found["imageless"]["next_refresh"] == "2018-10-02T06:00:00+00:00"
    assert found["us1"]["state"] == "waiting"
    assert found["us1"]["reason"] == "next try 2018-10-01 06:00 UTC: no image yet"


def test_no_folder_and_an_event_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, words = ask(capsys, tmp_path / "nowhere")
    assert code == 2
    assert "no such folder" in words
    code, _, words = ask(capsys, make_event(tmp_path, "one"))
    assert code == 2
    assert f"Name the folder above it: {tmp_path}" in words
