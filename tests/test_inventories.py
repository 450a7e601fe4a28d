"""The catalogue of published inventories: every fact with its source, and a downloaded file that is
right, or wrong in one of the ways that downloads are.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import yaml
from calls import answered, call
from shapely import Polygon, box

from configs.errors import RequestError
from configs.published import CATALOGUE, catalogue, published, read_inventory
from flows.cli import main
from flows.learning import inventories
from flows.learning.inventories import check


def landslides(crs: str = "EPSG:4326", centre: tuple[float, float] = (141.93, 42.69)) -> Any:
    """Return forty squares of about 50 m around a place (lon, lat), in a coordinate system."""
    squares = [
        box(x, y, x + 0.0006, y + 0.0005)
        for x, y in (
            (centre[0] + 0.002 * i, centre[1] + 0.003 * j) for i in range(8) for j in range(5)
        )
    ]
    return gpd.GeoDataFrame(geometry=squares, crs="EPSG:4326").to_crs(crs)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "iburi.gpkg"
    landslides("EPSG:32654").to_file(path, layer="slides")
    return path


def test_at_least_twelve_events_each_with_what_a_training_needs() -> None:
    found = catalogue()
    assert len(found) >= 12
    for name, one in found.items():
        assert (CATALOGUE / f"{name}.yaml").is_file()
        assert one.coverage.polygon.covers(
            box(*(one.earthquake.longitude, one.earthquake.latitude) * 2).centroid
        ), name
        assert one.windows.pre.value.first < one.event.time.value.date(), name
        assert one.windows.post.value.last > one.event.time.value.date(), name
    ids = [one.earthquake.usgs_id for one in found.values() if one.earthquake.usgs_id]
    assert len(set(ids)) == len(ids)


def test_a_fact_without_its_source_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load((CATALOGUE / "palu-2018.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "palu-2018.yaml"
    for change, says in (
        ({"sources": {k: v for k, v in content["sources"].items() if k != "gfdb"}}, "gfdb"),
        ({"sources": {**content["sources"], "nobody": "says nothing"}}, "nobody"),
        ({"files": {**content["files"], "count": 15600}}, "files.count"),
        ({"files": {**content["files"], "count": ""}}, "files.count"),
        ({"colour": "red"}, "colour"),
    ):
        path.write_text(yaml.safe_dump({**content, **change}), encoding="utf-8")
        with pytest.raises(RequestError, match=says):
            read_inventory(path)


def test_a_good_file_is_counted_and_its_next_command_told(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = check(str(good), published("iburi-2018"))
    assert (found.count, found.mended, found.inside_share) == (40, 0, 1.0)
    assert found.area_km2 == pytest.approx(40 * 0.0491 * 0.0556, rel=0.02)
    told = answered(capsys, "inventories", "check", good, "--as", "iburi-2018")
    assert told["next"].startswith("coslide train --kit")
    assert any("40 landslides, 6,679 were published" in note for note in told["notes"])


def wrong_crs(folder: Path) -> Path:
    frame = landslides("EPSG:32654").set_crs("EPSG:4326", allow_override=True)
    frame.to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def wrong_zone(folder: Path) -> Path:
    frame = landslides("EPSG:32654").set_crs("EPSG:32645", allow_override=True)
    frame.to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def no_crs(folder: Path) -> Path:
    frame = gpd.GeoDataFrame(geometry=list(landslides().geometry))
    frame.to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def wrong_event(folder: Path) -> Path:
    landslides(centre=(119.85, -0.9)).to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def nowhere(folder: Path) -> Path:
    landslides(centre=(10.0, 46.0)).to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def empty(folder: Path) -> Path:
    landslides().iloc[:0].to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def points(folder: Path) -> Path:
    frame = landslides()
    frame.set_geometry(frame.geometry.representative_point()).to_file(folder / "file.gpkg")
    return folder / "file.gpkg"


def broken(folder: Path) -> Path:
    landslides().to_file(folder / "file.gpkg")
    path = folder / "file.gpkg"
    path.write_bytes(path.read_bytes()[:5000])
    return path


def archive(folder: Path) -> Path:
    (folder / "file.zip").write_bytes(b"PK")
    return folder / "file.zip"


@pytest.mark.parametrize(
    ("made", "says", "remedy"),
    [
        (wrong_crs, "wrong coordinate system.*EPSG:32654", "-a_srs EPSG:32654"),
        (wrong_zone, "wrong coordinate system.*EPSG:32654", "-a_srs EPSG:32654"),
        (no_crs, "does not say its coordinate system", "-a_srs"),
        (wrong_event, "wrong event.*Palu", "--as palu-2018"),
        (nowhere, "wrong event: its landslides lie at 10.00", "coordinate system"),
        (empty, "is empty", "Download it again"),
        (points, "no polygon.*Point", "layer of polygons"),
        (broken, "damaged|broken", "again"),
        (archive, "is packed", "Unpack it"),
    ],
)
def test_each_wrong_file_has_its_word(
    made: Any, says: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(tmp_path)
    code, told = call(capsys, "inventories", "check", path, "--as", "iburi-2018")
    assert code == 2
    assert re.search(says, told["message"]), told
    assert re.search(remedy, told["remedy"]), told


def test_a_huge_file_is_refused_before_it_is_read(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventories, "MOST_FEATURES", 39)
    monkeypatch.setattr(inventories, "read_vector", lambda _: pytest.fail("it was read"))
    with pytest.raises(RequestError, match="huge: 40 features"):
        check(str(good), published("iburi-2018"))


def test_broken_outlines_and_strays_are_told_and_the_rest_is_used(tmp_path: Path) -> None:
    frame = landslides()
    bow = Polygon([(141.95, 42.7), (141.951, 42.701), (141.951, 42.7), (141.95, 42.701)])
    stray = box(119.8, -0.9, 119.801, -0.899)
    rest = gpd.GeoDataFrame(geometry=[*frame.geometry, bow, stray], crs=frame.crs)
    rest.to_file(tmp_path / "mixed.gpkg")
    found = check(str(tmp_path / "mixed.gpkg"), published("iburi-2018"))
    assert found.mended == 1
    assert 0.9 < found.inside_share < 1
    assert found.bounds[0] > 141, "the stray has no part in the area"
    assert any("cross themselves" in note for note in found.notes)
    assert any("outside the event's coverage" in note for note in found.notes)


def test_a_repository_of_many_events_is_read_by_its_condition(tmp_path: Path) -> None:
    ours, other = landslides(centre=(119.85, -0.9)), landslides()
    ours["event_name"], other["event_name"] = "M 7.5 - 72 km N of Palu, Indonesia", "another"
    both = gpd.GeoDataFrame(
        {"event_name": [*ours["event_name"], *other["event_name"]]},
        geometry=[*ours.geometry, *other.geometry],
        crs=ours.crs,
    ).to_crs("EPSG:3857")
    both.to_file(tmp_path / "gf.gpkg", layer="Ground_Failure_Polygons")
    found = check(str(tmp_path / "gf.gpkg"), published("palu-2018"))
    assert (found.count, found.inside_share) == (40, 1.0)


def test_the_list_and_one_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answered(capsys, "inventories")["inventories"]
    assert {row["name"] for row in rows} == set(catalogue())
    with pytest.raises(SystemExit):
        main(["inventories"])
    assert "kaikoura-2016" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["inventories", "show", "kaikoura-2016"])
    words = capsys.readouterr().out
    assert "31623  [gns]" in words
    assert "[gns] " in words
    assert "extent        unknown" in words
    with pytest.raises(SystemExit) as left:
        main(["inventories", "show", "atlantis"])
    assert left.value.code == 2
