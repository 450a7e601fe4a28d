"""Events from the USGS: real answers, bad answers, and a network that is played by the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.errors import RequestError, SourceError
from gee import fetch as fetching
from gee.catalog import fetch_event, parse_event, preferred_shakemap, read_event
from gee.fetch import fetch


def detail(**changes: Any) -> dict[str, Any]:
    """Return a small event detail."""
    properties = {
        "mag": 6.6,
        "place": "somewhere",
        "time": 1536170879150,
        "title": "M 6.6 - somewhere",
        "products": {},
    }
    return {
        "type": "Feature",
        "id": "us2000h8ty",
        "properties": properties | changes,
        "geometry": {"type": "Point", "coordinates": [141.9294, 42.6861, 35]},
    }


def shakemap(
    weight: int, updated: int, url: str = "https://usgs.example/{}/grid.xml", status: str = "UPDATE"
) -> dict[str, Any]:
    """Return one version of a ShakeMap product."""
    contents = {"download/grid.xml": {"url": url.format(updated)}}
    return {
        "preferredWeight": weight,
        "updateTime": updated,
        "status": status,
        "contents": contents,
    }


def test_a_detail_becomes_an_event() -> None:
    event = parse_event(json.dumps(detail()).encode(), "x")
    assert (event.name, event.usgs_id, event.magnitude, event.depth_km) == (
        "us2000h8ty",
        "us2000h8ty",
        6.6,
        35,
    )
    assert event.time == datetime(2018, 9, 5, 18, 7, 59, 150000, tzinfo=UTC)
    assert (event.latitude, event.longitude) == (42.6861, 141.9294)
    assert event.shakemap_url is None
    assert event.time_of_day_known


def test_the_preferred_shakemap_is_the_heaviest_then_the_newest_that_was_not_deleted() -> None:
    versions = [
        shakemap(233, 9),
        shakemap(325, 5),
        shakemap(325, 7),
        shakemap(900, 8, status="DELETE"),
        shakemap(999, 10, url="http://usgs.example/{}/grid.xml"),
        {"preferredWeight": 1000, "contents": {}},
    ]
    assert preferred_shakemap({"shakemap": versions}) == "https://usgs.example/7/grid.xml"
    assert preferred_shakemap({}) is None
    assert preferred_shakemap({"shakemap": [shakemap(1, 1, status="DELETE")]}) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "no GeoJSON"),
        (b"[" * 100_000, "no GeoJSON"),
        (b"[]", "not one event's detail"),
        (b'{"type": "FeatureCollection", "features": [{}, {}]}', "list of 2 events"),
        (b'{"type": "Feature", "properties": {}}', "time|geometry"),
        (json.dumps(detail(time=None)).encode(), "not one event's detail"),
        (json.dumps(detail(mag=99)).encode(), "magnitude"),
        (json.dumps(detail() | {"id": "../../x"}).encode(), "name"),
        (json.dumps(detail() | {"geometry": {"coordinates": [141, 95, 1]}}).encode(), "latitude"),
    ],
)
def test_bad_details_are_refused_with_a_word(content: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parse_event(content, "the file")


def test_longitudes_beyond_the_antimeridian_come_back() -> None:
    content = detail() | {"geometry": {"coordinates": [181.5, -17.0, 10]}}
    assert parse_event(json.dumps(content).encode(), "x").longitude == pytest.approx(-178.5)


def test_missing_files_and_ids(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read"):
        read_event(tmp_path / "no.geojson")
    with pytest.raises(RequestError, match="no event id"):
        fetch_event("../etc/passwd")


@pytest.mark.parametrize(
    ("name", "magnitude", "source"),
    [
        ("us2000h8ty", 6.6, "us2000h8ty/atlas/1594401324136"),
        ("ci3144585", 6.7, "ci3144585/atlas/1594159786829"),
        ("us10007uph", 7.9, "us10007uph/atlas"),
        ("nn00570710", 5.6, "nn00570710/nn/1487421746344"),
        ("usp0006dzc", 8.2, "usp0006dzc/atlas"),
    ],
)
def test_real_details(real: Path, name: str, magnitude: float, source: str) -> None:
    event = read_event(real / "events" / "comcat" / f"{name}_detail.geojson")
    assert event.usgs_id == name
    assert event.magnitude == magnitude
    assert event.shakemap_url is not None
    assert source in event.shakemap_url


def test_a_real_list_is_no_event(real: Path) -> None:
    with pytest.raises(RequestError, match="list of 109 events"):
        read_event(real / "events" / "comcat" / "query_summary_m0_20170101_20170111.geojson")


Answer = Callable[[httpx.Request], httpx.Response]


def play(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Let the test be the network."""
    monkeypatch.setattr(
        fetching, "_client", lambda: httpx.Client(transport=httpx.MockTransport(answer))
    )


def test_fetch_an_event_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json=detail())

    play(monkeypatch, answer)
    assert fetch_event("us2000h8ty").name == "us2000h8ty"
    assert asked == [
        "https://earthquake.usgs.gov/fdsnws/event/1/query?eventid=us2000h8ty&format=geojson"
    ]


def _raise(error: Exception) -> httpx.Response:
    raise error


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda request: httpx.Response(404), RequestError),
        (lambda request: httpx.Response(429), SourceError),
        (lambda request: httpx.Response(503), SourceError),
        (lambda request: _raise(httpx.ConnectError("no route")), SourceError),
        (lambda request: _raise(httpx.ReadTimeout("slow")), SourceError),
        (
            lambda request: httpx.Response(302, headers={"location": "http://inside.example/"}),
            RequestError,
        ),
        (
            lambda request: httpx.Response(302, headers={"location": "https://elsewhere.example/"}),
            RequestError,
        ),
        (lambda request: httpx.Response(302, headers={"location": str(request.url)}), SourceError),
        (lambda request: httpx.Response(200, content=b"x" * 5000), SourceError),
    ],
)
def test_bad_answers(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, error: type[Exception]
) -> None:
    play(monkeypatch, answer)
    with pytest.raises(error):
        fetch("https://usgs.example/grid.xml", limit_bytes=4000, hosts={"usgs.example"})


def test_redirects_within_bounds_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(302, headers={"location": "/b"})
            if request.url.path == "/a"
            else httpx.Response(200, content=b"b")
        )

    play(monkeypatch, answer)
    assert fetch("https://usgs.example/a", hosts={"usgs.example"}) == b"b"


def test_a_slow_drip_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", -1.0)
    monkeypatch.setattr(
        fetching,
        "_client",
        lambda: httpx.Client(
            transport=httpx.MockTransport(lambda request: httpx.Response(200, content=b"x"))
        ),
    )
    with pytest.raises(SourceError, match="longer than"):
        fetch("https://usgs.example/a")


@pytest.mark.parametrize(
    "url", ["http://usgs.example/a", "file:///etc/passwd", "ftp://x/y", "https://"]
)
def test_only_https(url: str) -> None:
    with pytest.raises(RequestError, match="no https address"):
        fetch(url)
