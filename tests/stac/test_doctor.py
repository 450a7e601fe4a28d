"""What `coslide doctor` says of a catalogue."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.live import main as live
from configs.stac import StacConfig
from gee.stac.doctor import examine
from stac.loopback import Loopback


def test_a_catalogue_that_has_all(loopback: Loopback) -> None:
    found = list(examine(StacConfig(catalogue=loopback.url), needed=True))
    assert [one.state for one in found] == ["ok", "ok", "ok"]
    assert "sentinel-2-l2a, cop-dem-glo-30 can be searched" in found[-1].detail


def test_what_is_missing_is_named_with_its_remedy(loopback: Loopback, tmp_path: Path) -> None:
    config = StacConfig(catalogue=loopback.url, collection="sentinel-9")
    *_, last = examine(config, needed=True)
    assert (last.state, "no collection sentinel-9" in last.detail) == ("missing", True)
    assert "source.stac.collection" in last.remedy
    *_, gone = examine(StacConfig(catalogue=str(tmp_path / "nowhere")), needed=True)
    assert gone.state == "missing"


def test_a_catalogue_that_nobody_asked_for_is_a_note() -> None:
    with Loopback() as server:
        url = server.url
    found = list(examine(StacConfig(catalogue=url)))
    assert [one.state for one in found] == ["ok", "warn"]
    assert "cannot be reached" in found[-1].detail


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ({}, "is no STAC catalogue"),
        ([], "is no STAC catalogue"),
        ({"links": []}, "no collection sentinel-2-l2a"),
        ({"links": [{"rel": "child", "href": "./gone/collection.json"}]}, "files that are not"),
    ],
)
def test_a_folder_that_holds_no_whole_catalogue_is_told_in_words(
    root: object, told: str, tmp_path: Path
) -> None:
    if isinstance(root, dict) and root:
        root = {"type": "Catalog", "id": "a", "stac_version": "1.0.0", "description": "x"} | root
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    *_, last = examine(StacConfig(catalogue=str(tmp_path)), needed=True)
    assert last.state == "missing"
    assert re.search(told, last.detail), last.detail


def test_the_smoke_test_is_skipped_in_words_without_network() -> None:
    with Loopback() as server:
        url = server.url
    told = CliRunner().invoke(live, ["--source", f"stac:{url}"])
    assert told.exit_code == 0
    assert told.output.startswith("skipped: the live service was not asked, 127.0.0.1 cannot be")


def test_the_smoke_test_tells_the_cost_before_the_first_pixel(
    loopback: Loopback, tmp_path: Path
) -> None:
    asked = ("--source", f"stac:{loopback.url}", "--radius-km", "1.2", "--out", str(tmp_path))
    told = CliRunner().invoke(live, [*asked, "--cost"])
    assert told.exit_code == 0, told.output
    assert "can be searched" in told.output
    assert "MB in" in told.output
    whole = sum(len(content) for content in loopback.files.values())
    assert sum(entry.sent for entry in loopback.requests()) < whole / 2


def test_a_misspelled_public_catalogue_is_guessed() -> None:
    *_, last = examine(StacConfig(catalogue="erth-search"), needed=True)
    assert "Did you mean `earth-search`" in last.remedy
