"""What catalogues of earthquakes and people's downloads really hold: words for "withdrawn" of all
kinds, products that are none, packed and oddly named grids, other units of acceleration. What can
be used is used, and what cannot be is said.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import logging
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest
from test_shakemap import FIELDS, grid_xml

from configs.errors import RequestError
from configs.request import Request
from configs.run import read_run
from flows.resolve import Files, resolve
from gee import shakemap
from gee.catalog import parse_event
from gee.feed import read_detail, read_feed

GRID = "https://localhost/grid.xml"
ENTRY: dict[str, Any] = {
    "status": "UPDATE",
    "preferredWeight": 100,
    "updateTime": 1,
    "contents": {"download/grid.xml": {"url": GRID}},
}


def detail(place: Any = (142.41, 42.93, 10.0), **said: Any) -> dict[str, Any]:
    properties = {"mag": 5.6, "time": 1726311600000, "updated": 1726311700000, "status": "reviewed"}
    return {
        "id": "us7000s00",
        "geometry": {"coordinates": list(place)},
        "properties": properties | said,
    }


@pytest.mark.parametrize(
    "word", ["deleted", "DELETED", "delete", "DELETE", " Deleted ", "withdrawn"]
)
def test_a_withdrawn_event_is_refused_however_the_word_is_written(word: str) -> None:
    with pytest.raises(RequestError, match="withdrawn"):
        parse_event(json.dumps(detail(status=word)).encode(), "x")
    assert read_feed(json.dumps({"features": [detail(status=word)]}).encode(), "x").quakes[0].gone


NO_PRODUCTS: list[Any] = [[{}], "x", 3, *({"shakemap": odd} for odd in ({}, 7, "abc"))]
NO_CONTENTS: list[Any] = [[1], "x", *({"download/grid.xml": odd} for odd in (None, "x", {}))]


@pytest.mark.parametrize(
    "products", [*NO_PRODUCTS, *({"shakemap": [ENTRY | {"contents": odd}]} for odd in NO_CONTENTS)]
)
def test_products_that_are_none_leave_the_circle_of_the_magnitude_and_a_word(
    products: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.WARNING):
        event = parse_event(json.dumps(detail(products=products)).encode(), "x")
    assert (event.shakemap_url, event.magnitude) == (None, 5.6)
    assert "from the magnitude instead" in caplog.text or products == {"shakemap": {}}
    assert event.shakemap_doubt in caplog.text
    preset = {"source": {"kind": "simulated"}}
    path = tmp_path / "detail.geojson"
    path.write_text(json.dumps(detail(products=products)))
    run = resolve(Request(as_of="2024-12-01"), preset, Files(usgs=path))
    told = any("from the magnitude instead" in one for one in run.warnings)
    assert told is bool(event.shakemap_doubt)
    run.write(tmp_path / "run.yaml")
    assert read_run(tmp_path / "run.yaml").warnings == run.warnings


@pytest.mark.parametrize(
    "odd",
    [
        {"preferredWeight": None},
        {"preferredWeight": "heavy"},
        {"preferredWeight": float("nan")},
        {"updateTime": "2018"},
        {"status": None},
    ],
)
def test_an_odd_version_of_a_product_hides_no_other(odd: dict[str, Any]) -> None:
    worse = ENTRY | odd | {"contents": {"download/grid.xml": {"url": GRID + "2"}}}
    alert = ENTRY | {"properties": {"landslide-alert": "orange"}}
    products = {"shakemap": [None, worse, ENTRY], "ground-failure": ["x", 3, alert | odd, alert]}
    found = read_detail(json.dumps(detail(products=products)).encode(), "x")
    assert found.event.shakemap_url == GRID or odd.keys() & {"status", "updateTime"}
    assert found.landslide_alert == "orange"
    gone = parse_event(
        json.dumps(detail(products={"shakemap": [ENTRY | {"status": "deleted"}]})).encode(), "x"
    )
    assert gone.shakemap_url is None


def test_a_depth_or_magnitude_that_is_none_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    odd = detail((142.41, 42.93, 5000), mag="big")
    event = parse_event(json.dumps(odd).encode(), "x")
    assert (event.depth_km, event.magnitude) == (None, None)
    assert "magnitude is no number" in caplog.text
    assert "5000 km" in caplog.text
    quake = read_feed(json.dumps({"features": [odd]}).encode(), "x").quakes[0]
    assert quake.magnitude is None


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        '"x"',
        json.dumps(detail(time="2024-09-14")),
        json.dumps(detail(time=None)),
        json.dumps(detail(())),
        json.dumps(detail((None, 1))),
        json.dumps(detail((42.93, 142.41))),
        json.dumps(detail((1e9, 42.93))),
        json.dumps(detail() | {"geometry": None}),
        json.dumps(detail() | {"properties": None}),
        json.dumps(detail() | {"id": "../../x"}),
    ],
)
def test_what_is_no_event_is_refused_without_words_of_python(content: str) -> None:
    with pytest.raises(RequestError) as told:
        parse_event(content.encode(), "x")
    for word in ("object", "indices", "NoneType", "float", "subscriptable", "str"):
        assert word not in told.value.message
    listed = json.dumps({"features": [json.loads(content)]}).encode()
    for skipped in read_feed(listed, "x").skipped:
        assert "Error" not in skipped
        assert "object" not in skipped


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()


def test_a_packed_grid_is_read_however_it_was_packed(tmp_path: Path) -> None:
    grid = grid_xml()
    whole = shakemap.area(str(save(tmp_path, grid)), "MMI", 6).km2
    for content in (
        gzip.compress(grid),
        bz2.compress(grid),
        lzma.compress(grid),
        zipped(GRID_XML=grid),
        zipped(download__grid_xml=grid, uncertainty_xml=b"<a/>"),
        zipped(grid_xml=grid, MACOSX__grid=b"\0", a__xml=b""),
    ):
        assert shakemap.area(str(save(tmp_path, content)), "MMI", 6).km2 == whole


def save(folder: Path, content: bytes) -> Path:
    path = folder / "packed"
    path.write_bytes(content)
    return path


def test_what_cannot_be_unpacked_is_refused(tmp_path: Path) -> None:
    locked = bytearray(zipped(grid_xml=grid_xml()))
    directory = locked.find(b"PK\1\2")
    locked[6] |= 1  # the bit that says "encrypted", before the file and in the directory
    locked[directory + 8] |= 1
    odd = bytearray(zipped(grid_xml=grid_xml()))
    odd[8:10] = odd[directory + 10 : directory + 12] = (99).to_bytes(2, "little")
    for content in (bytes(locked), bytes(odd), zipped(), zipped(a_xml=b"", b_xml=b"")):
        with pytest.raises(RequestError):
            shakemap.area(str(save(tmp_path, content)), "MMI", 6)


@pytest.mark.parametrize(
    ("unit", "percent_g"),
    [
        ("%g", 1.0),
        ("g", 100.0),
        ("mg", 0.1),
        ("cm/s^2", 0.1019716),
        ("Gal", 0.1019716),
        ("m/s^2", 10.19716),
        ("m / s2", 10.19716),
    ],
)
def test_acceleration_is_percent_of_g_whatever_it_is_written_in(
    unit: str, percent_g: float
) -> None:
    fields = tuple((name, unit if name == "PGA" else other) for name, other in FIELDS)
    grid = shakemap.read_grid(grid_xml(fields=fields), "x")
    plain = shakemap.read_grid(grid_xml(), "x").values["PGA"]
    assert grid.values["PGA"] == pytest.approx(plain * percent_g, rel=1e-5)
