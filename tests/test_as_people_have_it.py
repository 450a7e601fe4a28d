"""Files as people have them: several layers, swapped numbers, rings over the dateline, local
systems, surfaces, geodatabases, bare dates, tildes. Each is read, or refused in words.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pytest
from pydantic import TypeAdapter, ValidationError
from pyproj import CRS
from shapely.geometry import Polygon, box

from configs.area import WGS84, Area, from_bounds, from_file
from configs.errors import RequestError
from configs.event import Moment, parse_moment
from configs.request import Request
from configs.run import SourceConfig
from configs.vectors import Layer, in_crs, layer_name


def save(path: Path, *shapes: Polygon, layer: str = "one", crs: str = WGS84) -> str:
    frame = gpd.GeoDataFrame(geometry=list(shapes), crs=crs)
    options = {"layer": layer} if path.suffix == ".gpkg" else {}
    frame.to_file(path, engine="pyogrio", **options)
    return str(path)


def test_a_file_of_several_layers_is_asked_which(tmp_path: Path) -> None:
    path = tmp_path / "both.gpkg"
    save(path, box(142, 42, 142.01, 42.01), layer="notes")
    save(path, box(142, 42, 142.02, 42.02), layer="aoi")
    with pytest.raises(RequestError, match="2 layers: notes, aoi"):
        from_file(path)
    assert from_file(f"{path}:aoi").km2 > 2 * from_file(f"{path}:notes").km2


def test_latitudes_that_stand_first_are_named(tmp_path: Path) -> None:
    swapped = save(tmp_path / "swapped.geojson", box(42.9, 142.4, 42.95, 142.45))
    with pytest.raises(RequestError, match=r"142\.4.* is no latitude") as wrong:
        from_file(swapped)
    assert "longitude stands first" in wrong.value.remedy


@pytest.mark.parametrize("number", [1e30, 1000.0])
def test_a_longitude_that_is_none_is_named(tmp_path: Path, number: float) -> None:
    far = Polygon([(142, 42), (number, 42), (142, 43)])
    with pytest.raises(RequestError, match="is no longitude"):
        from_file(save(tmp_path / "far.gpkg", far))
    with pytest.raises(RequestError, match="is no longitude"):
        Area.from_plain({"origin": "x", "wkt": far.wkt})


def test_metres_that_pass_for_degrees_are_named(tmp_path: Path) -> None:
    metres = save(tmp_path / "metres.geojson", box(615_000, 4_753_000, 617_000, 4_755_000))
    with pytest.raises(RequestError, match="seem to be metres") as wrong:
        from_file(metres)
    assert "EPSG:32654" in wrong.value.remedy


def test_west_and_east_that_are_swapped_are_named() -> None:
    with pytest.raises(RequestError, match="goes around the Earth") as wrong:
        from_bounds("142.42,42.92,142.40,42.94")
    assert "142.4,42.92,142.42,42.94" in wrong.value.remedy
    assert from_bounds("179.95,-16.6,-179.95,-16.5").km2 == pytest.approx(118.1, abs=0.1)


def test_a_whole_ring_of_the_earth_is_large() -> None:
    assert from_bounds("-180,-90,180,90").km2 == pytest.approx(510.07e6, rel=1e-3)
    assert from_bounds("-170,-10,170,10").km2 == pytest.approx(83.4e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "words", "remedy"),
    [
        ("area.kmz", "is packed", "Unpack it"),
        ("area.zip", "is packed", "Unpack it"),
        ("folder", "is a folder", "Name the file in it"),
        ("alone.shp", "lacks the file beside it that ends in .shx", "Copy all parts"),
        ("table.csv", "not a vector file", ".gpkg"),
    ],
)
def test_files_that_hold_no_layer_yet_are_told_with_the_next_step(
    tmp_path: Path, name: str, words: str, remedy: str
) -> None:
    (tmp_path / "folder").mkdir()
    if name != "folder":
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(RequestError, match=words) as wrong:
        from_file(tmp_path / name)
    assert remedy in wrong.value.remedy


def test_a_layer_may_hold_a_colon(tmp_path: Path) -> None:
    path = tmp_path / "one.gpkg"
    save(path, box(142, 42, 142.01, 42.01), layer="field: 2024:09")
    assert from_file(f"{path}:field: 2024:09").km2 > 0


@pytest.mark.filterwarnings("ignore")  # GDAL's own, of the same numbers
def test_outlines_with_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[[142, NaN], [143, 42], [142, 42]]]}')
    with pytest.raises(RequestError, match="numbers are missing or not finite"):
        from_file(path)


def test_a_ring_over_the_dateline_is_the_small_one(tmp_path: Path) -> None:
    ring = Polygon([(179.95, -16.6), (-179.95, -16.6), (-179.95, -16.5), (179.95, -16.5)])
    found = from_file(save(tmp_path / "fiji.gpkg", ring))
    assert found.km2 == pytest.approx(from_bounds("179.95,-16.6,-179.95,-16.5").km2, rel=1e-6)


def test_a_local_system_is_refused_by_name() -> None:
    local = CRS.from_wkt(
        'LOCAL_CS["WGS 84 / UTM zone 54N",UNIT["metre",1],AXIS["Easting",EAST],'
        'AXIS["Northing",NORTH]]'
    )
    frame = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=local)
    with pytest.raises(RequestError, match="a local system") as wrong:
        in_crs(frame, WGS84, Layer(Path("truth.shp")))
    assert "Assign its true one" in wrong.value.remedy


def test_a_geodatabase_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "truth.gdb").mkdir()
    with pytest.raises(RequestError, match="file geodatabase") as wrong:
        layer_name(Layer.parse(f"{tmp_path / 'truth.gdb'}:slides"))
    assert "ogr2ogr" in wrong.value.remedy


def test_a_bare_number_is_the_day_it_means() -> None:
    moment = TypeAdapter(Moment)
    assert moment.validate_python(20180920) == datetime(2018, 9, 20, tzinfo=UTC)
    for wrong in (1537401600, 2018, 20181340, 1.5):
        with pytest.raises(ValidationError):
            moment.validate_python(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "2018-09-05T18:08",
        "2018-09-05 18:08",
        "2018-09-06T03:08+09:00",
        "2018-09-06 03:08+0900",
        "2018-09-05T18:07:59.150Z",
    ],
)
def test_a_moment_is_read_as_catalogues_and_people_write_it(text: str) -> None:
    moment, has_time = parse_moment(str(Request(date=text, as_of=text).date))
    assert abs((moment - datetime(2018, 9, 5, 18, 8, tzinfo=UTC)).total_seconds()) < 1
    assert has_time
    assert Request(date=text[:10]).date == text[:10]
    with pytest.raises(ValidationError):
        Request(date=f"{text} or so")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SourceConfig(kind="archive", archive="~/images").archive == str(tmp_path / "images")
    assert SourceConfig(kind="archive", archive="/a/~b").archive == "/a/~b"
