"""What `coslide doctor` says of a catalogue."""

from __future__ import annotations

from pathlib import Path

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
