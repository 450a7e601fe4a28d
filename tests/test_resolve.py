"""From a request to a run: what wins, what is refused, and what the same command means tomorrow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from configs.errors import NothingToSeeError, RequestError
from configs.run import RunConfig, read_run
from flows.commands.respond import parse_epicentre
from flows.resolve import Files, make_request, parse_source, resolve

NOW = datetime(2018, 10, 20, 9, tzinfo=UTC)
SIMULATED = {"source": {"kind": "simulated"}}
IBURI = {"latitude": 42.6861, "longitude": 141.9294, "date": "2018-09-05T18:08", "magnitude": 6.6}


def run(
    preset: dict[str, Any] | None = None,
    files: Files | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> RunConfig:
    request = make_request(**{**IBURI, **changes})
    return resolve(request, SIMULATED | (preset or {}), files or Files(), now)


def test_a_magnitude_alone_gives_an_area_and_windows() -> None:
    resolved = run()
    assert resolved.place.km2 == pytest.approx(10 ** (6.6 - 3.46), rel=0.01)
    assert str(resolved.windows.pre) == "2017-09-05/2018-09-05"
    assert str(resolved.windows.post) == "2018-09-05/2018-10-20"
    assert resolved.windows.as_of == NOW
    assert not resolved.warnings


def test_an_explicit_radius_beats_bounds_beat_the_magnitude(tmp_path: Path) -> None:
    assert run(radius_km=5).area["origin"] == "radius 5 km"
    assert run(files=Files(area="141.8,42.6,142.0,42.8")).area["origin"].startswith("bounds")
    assert "magnitude" in run().area["origin"]


def test_a_large_earthquake_without_shakemap_is_doubted() -> None:
    assert any("ShakeMap" in warning for warning in run(magnitude=7.8).warnings)
    assert not run(magnitude=7.8, radius_km=10).warnings


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"latitude": 95}, "latitude"),
        ({"longitude": 181}, "longitude"),
        ({"magnitude": 12}, "magnitude"),
        ({"radius_km": -1}, "radius_km"),
        ({"date": "soon"}, "date"),
        ({"date": "2030-01-01"}, "future"),
        ({"pre": "2018-09-20/2018-09-30"}, "--pre"),
        ({"post": "2018-01-01/2018-02-01"}, "--post"),
        ({"pre": "2018-05-01/2018-04-01"}, "after"),
        ({"name": "../../x"}, "name"),
        ({"magnitude": None}, "--radius-km"),
        ({"latitude": None}, "latitude"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        run(**fields)
    assert caught.value.remedy


def test_the_open_sea_is_nothing_to_see() -> None:
    with pytest.raises(NothingToSeeError, match="sea"):
        run(latitude=0.0, longitude=-140.0, radius_km=20)


def test_an_area_too_large_names_the_option() -> None:
    with pytest.raises(RequestError, match="largest_km2"):
        run(radius_km=300)


def test_a_run_file_repeats_the_run(tmp_path: Path) -> None:
    first = run(radius_km=8)
    first.write(tmp_path / "run.yaml")
    from configs.files import read_yaml

    again = resolve(
        make_request(), read_yaml(tmp_path / "run.yaml", "run"), now=NOW + timedelta(days=400)
    )
    assert again == first
    assert read_run(tmp_path / "run.yaml") == first


def test_the_same_command_tomorrow_is_the_same_request_and_another_area_is_not() -> None:
    assert run().request_id == run(now=NOW + timedelta(days=1)).request_id
    assert run().request_id != run(radius_km=9).request_id
    assert run().request_id != run(post="2018-09-06/2018-10-01").request_id
    assert run().request_id != run({"clean": {"min_area_m2": 900}}).request_id


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="min_aera"):
        run({"clean": {"min_aera": 900}})
    with pytest.raises(RequestError, match="look"):
        run({"look": {"pre_day": 3}})


@pytest.mark.parametrize("text", ["landsat", "archive:", "earthengine:x", ""])
def test_a_source_that_is_none(text: str) -> None:
    with pytest.raises(RequestError, match="--source"):
        parse_source(text)


def test_a_swapped_epicentre_is_recognised() -> None:
    with pytest.raises(RequestError, match=r"42\.69,141\.93"):
        parse_epicentre("141.93,42.69")
    for text in ("95,10", "1,2,3", "x,y", "nan,3"):
        with pytest.raises(RequestError, match="--epicentre"):
            parse_epicentre(text)
    assert parse_epicentre("-17.5,179.9") == (-17.5, 179.9)


def test_a_run_file_says_where_it_looked_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeating a run must not depend on what the event's ShakeMap has become since; a request for
    the event itself does.
    """
    from gee import shakemap

    def ask(*given: Any, **more: Any) -> None:
        raise AssertionError("the ShakeMap was asked for")

    monkeypatch.setattr(shakemap, "fetch", ask)
    first = run(radius_km=7)
    event = first.event.model_copy(
        update={"shakemap_url": "https://usgs.example/grid.xml"}
    ).model_dump(mode="json")
    preset = SIMULATED | {"event": event, "area": first.area}
    assert resolve(make_request(), preset, now=NOW).area == first.area
    with pytest.raises(AssertionError, match="asked for"):
        resolve(make_request(), SIMULATED | {"event": event}, now=NOW)


def test_a_served_run_asks_no_other_host() -> None:
    for hosts in ((), ("nowhere.example",)):
        with pytest.raises(
            RequestError, match=r"earthquake\.usgs\.gov is not on the list of hosts"
        ):
            resolve(make_request(usgs="us2000h8ty"), SIMULATED, now=NOW, hosts=hosts)
