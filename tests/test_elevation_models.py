"""Which elevation model terrain comes from: known from the stack to the card, and said where a map
is made from another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cards import make_card
from small_archive import make_archive

from configs.area import around
from configs.bands import inputs_of
from configs.event import Event, default_windows
from flows.learning.train import _elevation
from flows.publishing import other_elevation
from gee.archive.source import ArchiveSource
from gee.source import Plan
from gee.stack import assemble
from tiles.samples import Origin

AREA = around(42.70, 142.11, 1.0)
EVENT = Event(name="e", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42.7, longitude=142.11)
WINDOWS = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
BANDS = ("post_B4", "slope")


def plan(details: dict[str, Any]) -> Plan:
    return Plan(("post_B4",), True, AREA.geobox(10), AREA, EVENT, WINDOWS, (), details=details)


@pytest.mark.parametrize(
    ("details", "name"),
    [
        ({"elevation": {"dem": "srtm", "crs": "EPSG:4326"}}, "srtm"),
        ({"elevation": {"collection": "cop-dem-glo-30", "tiles": {}}}, "glo30"),
        ({"elevation": {"model": "glo30"}}, "glo30"),
        ({"elevation": None}, ""),
        ({}, ""),
    ],
)
def test_one_model_has_one_name_whoever_serves_it(details: dict[str, Any], name: str) -> None:
    assert plan(details).elevation_model == name


@pytest.mark.parametrize("named", ["nasadem", ""])
def test_an_archive_s_model_reaches_the_samples(tmp_path: Path, named: str) -> None:
    changes = {"elevation_model": named} if named else {}
    source = ArchiveSource(make_archive(tmp_path / "archive", **changes))
    made = source.plan(AREA, AREA.geobox(10), EVENT, WINDOWS, inputs_of(BANDS))
    stack = assemble(source, made, BANDS, tmp_path / "stack.zarr")
    assert made.elevation_model == stack.attributes["elevation_model"] == named
    assert Origin.of(stack, "here", "here", "CC0-1.0").elevation == named


def origins(*models: str) -> list[Origin]:
    fields: dict[str, Any] = {"name": "here", "title": "here", "sensor": "sentinel-2"}
    fields |= {"level": "L1C", "resolution_m": 10, "simulated": False, "licence": "CC0-1.0"}
    return [Origin(**fields, elevation=model) for model in models]


def test_the_card_names_the_models_of_all_its_samples() -> None:
    learnt = _elevation(origins("srtm", "glo30", "srtm"), BANDS, None)
    card = make_card(training=learnt)
    assert card.elevation == ("glo30", "srtm")
    parent: Any = SimpleNamespace(card=card)
    assert make_card(training=_elevation(origins("nasadem"), BANDS, parent)).elevation == (
        "glo30",
        "nasadem",
        "srtm",
    )
    assert _elevation(origins("srtm", ""), BANDS, None) == {}, "one set that does not say"
    assert _elevation(origins("srtm"), ("post_B4",), None) == {}, "no terrain is read"
    unknown: Any = SimpleNamespace(card=make_card())
    assert _elevation(origins("srtm"), BANDS, unknown) == {}


def test_a_map_from_another_model_says_so() -> None:
    card = make_card(BANDS, training={"elevation": "nasadem, srtm"})
    (words,) = other_elevation(card, plan({"elevation": {"dem": "glo30"}}))
    assert words == (
        "terrain comes from glo30, checkpoint `tiny` learnt it from nasadem, srtm: the slopes of "
        "two models differ"
    )
    assert not other_elevation(card, plan({"elevation": {"dem": "srtm"}}))
    assert not other_elevation(card, plan({}))
    assert not other_elevation(make_card(BANDS), plan({"elevation": {"dem": "glo30"}}))
    colours = make_card(("post_B4",), training={"elevation": "srtm"})
    assert not other_elevation(colours, plan({"elevation": {"dem": "glo30"}}))
