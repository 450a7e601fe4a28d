"""The page of all events: every one is on it, whatever state its folder is in."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
import yaml
from small_scene import about, publish, small_scene

from configs.layout import EventFolder
from inventory.publish import write_item
from inventory.report.events_page import event_rows, world, write_events_page

HOSTILE = "<script>alert(1)</script> & co"


@pytest.fixture(scope="module")
def event(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an event with one revision."""
    folder = tmp_path_factory.mktemp("out") / "small"
    scene, run = small_scene(tmp_path_factory.mktemp("scene")), about()
    revision = EventFolder(folder).revision(1)
    write_item(revision.folder, publish(revision.folder, scene, run))
    config = run.event.model_copy(update={"title": HOSTILE}).model_dump(mode="json")
    revision.config.write_text(yaml.safe_dump({"format": "coslide/run/1", "event": config}))
    state = {"format": "coslide/event/1", "state": "closed", "reason": HOSTILE}
    EventFolder(folder).state.write_text(yaml.safe_dump(state))
    return folder


def _copied(event: Path, out: Path, name: str) -> Path:
    for part in ("event.yaml", "r001/run.yaml", "r001/item.json", "r001/landslides.gpkg"):
        (out / name / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(event / part, out / name / part)
    (out / name / "r001" / "map.pdf").touch()
    return out / name


def test_an_event_is_told_with_its_links(event: Path, tmp_path: Path) -> None:
    _copied(event, tmp_path, "a quake")
    html = write_events_page(tmp_path).read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert 'href="a%20quake/r001/map.pdf"' in html
    assert "report.html" not in html, "there is none"
    assert "4 landslides" in html
    assert not re.search(r"(src|href)=\"(https?:)?//", html), "it asks no network"
    assert 'class="closed"' in html


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("event.yaml", "state: [open"),
        ("event.yaml", None),
        ("r001/item.json", "{"),
        ("r001/item.json", "[]"),
        ("r001/run.yaml", "format: coslide/run/1\nevent: 3"),
        ("r001/landslides.gpkg", "no database"),
        ("r001/landslides.gpkg", None),
    ],
)
def test_a_damaged_event_never_stops_the_page(
    event: Path, tmp_path: Path, part: str, content: str | None
) -> None:
    _copied(event, tmp_path, "good")
    bad = _copied(event, tmp_path, "bad")
    if content is None:
        (bad / part).unlink()
    else:
        (bad / part).write_text(content)
    rows = {row.folder: row for row in event_rows(tmp_path)}
    assert rows["good"].state == "closed"
    assert rows["bad"].state == "damaged"
    assert str(tmp_path) not in rows["bad"].note
    html = write_events_page(tmp_path).read_text()
    assert "damaged" in html
    assert html.index('<tr id="good"') < html.index('<tr id="bad"')


def test_what_is_no_event_is_left_out_and_what_waits_is_open(event: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    for name in ("event.yaml", "run.yaml"):
        (waiting / name).write_text("format: coslide/event/1\nstate: open\n")
    assert [(row.folder, row.state) for row in event_rows(tmp_path)] == [("waiting", "open")]


def test_two_hundred_events_are_written_fast_and_stay_light(event: Path, tmp_path: Path) -> None:
    for number in range(200):
        _copied(event, tmp_path, f"quake-{number:03d}")
    world()
    start = time.process_time()
    page = write_events_page(tmp_path)
    assert time.process_time() - start < 20, "loose: two cores are shared"
    assert page.read_text().count("<tr id=") == 200
    assert page.stat().st_size < 500_000
