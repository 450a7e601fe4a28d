"""Catalogues as they are: ids with an underscore, withdrawn events, odd and packed ShakeMaps."""

from __future__ import annotations

import gzip
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import pytest

from configs.errors import RequestError
from configs.request import Request
from gee import shakemap
from gee.catalog import parse_event, preferred_shakemap

GRID = {"download/grid.xml": {"url": "https://usgs.example/one/grid.xml"}}


def detail(**properties: Any) -> bytes:
    place = {"type": "Point", "coordinates": [141.9, 42.7, 35]}
    known = {"time": 1536170879150, "mag": 6.6, "title": "M 6.6"}
    feature = {"id": "us2000h8ty", "properties": known | properties, "geometry": place}
    return json.dumps(feature).encode()


@pytest.mark.parametrize("name", ["us2000h8ty", "official20100227063411530_30", "ci3144585"])
def test_every_id_of_the_usgs_may_be_asked_for(name: str) -> None:
    assert Request(usgs=name).usgs == name


def test_an_event_that_was_withdrawn_is_refused() -> None:
    assert parse_event(detail(status="reviewed"), "x").magnitude == 6.6
    for word in ("deleted", "DELETED"):
        with pytest.raises(RequestError, match="the USGS has withdrawn x"):
            parse_event(detail(status=word), "x")


@pytest.mark.parametrize(
    ("odd", "usable"),
    [
        ({"contents": None}, False),
        ({"contents": {"download/grid.xml": None}}, False),
        ({"contents": {}}, False),
        ({"contents": GRID, "preferredWeight": "216", "updateTime": None}, True),
        ({"contents": GRID, "preferredWeight": "much"}, True),
        ("no entry at all", False),
    ],
)
def test_an_odd_shakemap_never_hides_the_event(
    odd: Any, usable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        event = parse_event(detail(products={"shakemap": [odd]}), "x")
    assert event.magnitude == 6.6
    assert bool(event.shakemap_url) == usable
    if isinstance(odd, dict) and not usable:
        assert "none with a download/grid.xml that can be fetched" in caplog.text
    better = {"contents": {"download/grid.xml": {"url": "https://usgs.example/two/grid.xml"}}}
    both = {"shakemap": [odd, better | {"preferredWeight": 300}]}
    assert str(preferred_shakemap(both)).endswith("two/grid.xml")


@pytest.fixture
def grid(real: Path) -> Path:
    return real / "events" / "shakemap" / "lomaprieta_1989_grid.xml"


def test_packed_grids_are_read_as_they_were_downloaded(tmp_path: Path, grid: Path) -> None:
    plain = shakemap.area(str(grid), "MMI", 6.0)
    (tmp_path / "grid.xml.gz").write_bytes(gzip.compress(grid.read_bytes()))
    with zipfile.ZipFile(tmp_path / "grid.xml.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(grid, "grid.xml")
    for name in ("grid.xml.gz", "grid.xml.zip"):
        assert shakemap.area(str(tmp_path / name), "MMI", 6.0).km2 == plain.km2


def test_what_cannot_be_unpacked_or_would_never_end_is_refused(
    tmp_path: Path, grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(grid.read_bytes())[:2000])
    with pytest.raises(RequestError, match="cannot be unpacked"):
        shakemap.area(str(cut), "MMI", 6.0)
    two = tmp_path / "two.zip"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.xml", "<a/>")
        archive.writestr("b.xml", "<b/>")
    with pytest.raises(RequestError, match="holds 2 XML files"):
        shakemap.area(str(two), "MMI", 6.0)
    monkeypatch.setattr(shakemap, "LARGEST_BYTES", 10_000)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(RequestError, match="larger than any ShakeMap grid"):
        shakemap.area(str(bomb), "MMI", 6.0)
