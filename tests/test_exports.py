"""Further formats: GeoJSON by the letter of RFC 7946, KML that readers open, a package in the shape
of Copernicus EMS.
"""

from __future__ import annotations

import csv
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from pydantic import ValidationError
from small_scene import NO_SHEETS, SmallScene, about, publish, small_scene

from configs.product import ProductConfig
from inventory.formats.ems import image_of
from inventory.formats.exports import FILES
from inventory.formats.geojson import bbox_of, in_lonlat, write_geojson
from inventory.formats.layers import Field, Layer
from inventory.formats.tables import short_name
from inventory.outline.attributes import AFFECTED, FIELDS
from inventory.publish import Published

HOSTILE = '<script>alert(1)</script> & "quotes" ]]> \x07 æ 山'
ALL = ProductConfig(exports=("geojson", "kml", "csv", "shapefile", "ems"))
KML = "{http://www.opengis.net/kml/2.2}"


def _published(
    folder: Path, scene: SmallScene, product: ProductConfig = ALL, **more: Any
) -> Published:
    product = product.model_copy(update={"map": NO_SHEETS.map})
    return publish(folder, scene, about(**more), product=product)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SmallScene:
    return small_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def folder(scene: SmallScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exports") / "r001"
    _published(
        target,
        scene,
        event=about().event.model_copy(update={"title": HOSTILE}),
        warnings=(HOSTILE,),
    )
    return target


def _check_rfc7946(content: dict[str, Any]) -> None:
    """Hold a feature collection against RFC 7946, section by section."""
    assert content["type"] == "FeatureCollection"
    assert "crs" not in content, "4: WGS 84 is the only system"
    ids = [feature["id"] for feature in content["features"]]
    assert len(set(ids)) == len(ids)
    for feature in content["features"]:
        assert set(feature) == {"type", "id", "geometry", "properties"}, "3.2"
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "MultiPolygon"
        for polygon in feature["geometry"]["coordinates"]:
            for number, ring in enumerate(polygon):
                xy = np.array(ring)
                assert len(ring) >= 4, "3.1.6"
                assert ring[0] == ring[-1]
                assert (np.abs(xy) <= (180, 90)).all()
                assert np.ptp(xy[:, 0]) < 180, "3.1.9: cut at the antimeridian"
                assert shapely.is_ccw(shapely.linearrings(xy)) == (number == 0), (
                    "3.1.6: the right-hand rule"
                )
        assert shapely.geometry.shape(feature["geometry"]).is_valid


def test_geojson_is_rfc_7946(folder: Path, scene: SmallScene) -> None:
    content = json.loads((folder / "landslides.geojson").read_text())
    _check_rfc7946(content)
    inventory = scene.outline()
    assert [feature["id"] for feature in content["features"]] == inventory.landslides["id"].tolist()
    west, south, east, north = content["bbox"]
    shapes = gpd.read_file(folder / "landslides.geojson")
    np.testing.assert_allclose(shapes.total_bounds, (west, south, east, north), atol=1e-9)
    back = shapes.to_crs(inventory.geobox.crs)
    np.testing.assert_allclose(back.area, inventory.landslides["area_m2"], rtol=2e-3)
    assert content["coslide"]["simulated"] is True


def test_geojson_says_nothing_that_json_does_not_know(folder: Path) -> None:
    text = (folder / "landslides.geojson").read_text()
    assert "NaN" not in text
    fields = json.loads(text)["features"][0]["properties"]
    assert fields["post_date"] == "2018-09-21"
    assert fields["area_m2"] == 60000


def _across(crs: str = "EPSG:32601", latitude: float = -18.0) -> gpd.GeoDataFrame:
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(180.0, latitude)
    hole = shapely.box(x - 200, y - 200, x + 300, y + 100)
    shapes = [
        shapely.box(x - 2000, y - 500, x + 1000, y + 500).difference(hole),
        shapely.box(x + 5000, y, x + 5100, y + 100),
    ]
    return gpd.GeoDataFrame({"id": ["L00001", "L00002"]}, geometry=shapes, crs=crs)


def test_what_crosses_the_antimeridian_is_cut(tmp_path: Path) -> None:
    frame = _across()
    layer = Layer("landslides", "", "", "MultiPolygon", (Field("id", "text", ""),), frame)
    content = json.loads(write_geojson(tmp_path / "a.geojson", layer, {}).read_text())
    _check_rfc7946(content)
    west, south, east, north = content["bbox"]
    assert west > 179.9 > 0 > -179.9 > east, "5.2: the first corner is the south-western one"
    assert south < north
    cut = shapely.geometry.shape(content["features"][0]["geometry"])
    assert len(cut.geoms) == 2
    geod = pyproj.Geod(ellps="WGS84")
    assert abs(geod.geometry_area_perimeter(cut)[0]) == pytest.approx(frame.area.iloc[0], rel=2e-3)


def test_shapes_on_either_side_are_told_apart() -> None:
    shapes = in_lonlat(_across().geometry.to_numpy(), "EPSG:32601")
    assert shapes[1].bounds[0] < -179.9
    assert bbox_of(shapes[:0]) is None
    assert bbox_of(np.array([shapely.MultiPolygon()], dtype=object)) is None


def test_kml_opens_and_holds_every_landslide(folder: Path, scene: SmallScene) -> None:
    path = folder / "landslides.kml"
    drivers = pyogrio.list_drivers(read=True)
    assert {"KML", "LIBKML"} & set(drivers), "no reader of KML here"
    layers = dict(pyogrio.list_layers(path))
    assert {"Landslides", "Not observed", "Area"} <= set(layers)
    read = gpd.read_file(path, layer="Landslides")
    inventory = scene.outline()
    assert (
        read[next(name for name in ("Name", "name", "id") if name in read.columns)].tolist()
        == inventory.landslides["id"].tolist()
    )
    np.testing.assert_allclose(
        read.to_crs(inventory.geobox.crs).area, inventory.landslides["area_m2"], rtol=2e-3
    )


def test_kml_is_escaped_and_well_formed(folder: Path) -> None:
    text = (folder / "landslides.kml").read_text()
    root = ET.fromstring(text)
    assert "<script" not in text
    assert root.findtext(f"{KML}Document/{KML}name") == HOSTILE.replace("\x07", "")
    told = root.findtext(f"{KML}Document/{KML}description") or ""
    assert "&lt;script&gt;" in told, "a globe reads it as HTML"
    assert {style.get("id") for style in root.iter(f"{KML}Style")} >= {"high", "medium", "low"}
    marks = root.findall(f".//{KML}Placemark")
    used = {mark.findtext(f"{KML}styleUrl", "").lstrip("#") for mark in marks} - {""}
    assert used <= {style.get("id") for style in root.iter(f"{KML}Style")}


def test_ems_package_has_the_manuals_layers_and_fields(folder: Path, scene: SmallScene) -> None:
    path = folder / "ems.gpkg"
    fields = {
        name: set(pyogrio.read_info(path, layer=name)["fields"])
        for name, _ in pyogrio.list_layers(path)
    }
    assert fields["source"] == {
        "source_nam",
        "src_date",
        "source_tm",
        "sensor_gsd",
        "eventphase",
        "src_id",
    }
    assert fields["areaOfInterestA"] == {"emsr_id", "glide_no", "area_id", "locality", "map_type"}
    assert fields["observedEventA"] == {
        "event_type",
        "obj_desc",
        "det_method",
        "notation",
        "dmg_src_id",
        "area",
    }
    assert {"obj_type", "or_src_id"} <= fields["imageFootprintA"]
    assert "summaryTable" in fields
    events = gpd.read_file(path, layer="observedEventA")
    assert events.crs.to_epsg() == 4326
    assert set(events["event_type"]) == {"6-Mass Movement"}
    assert set(events["obj_desc"]) == {"Landslide"}
    np.testing.assert_allclose(
        events["area"], scene.outline().landslides["area_m2"] / 1e4, atol=1e-4
    )
    sources = pyogrio.read_dataframe(path, layer="source")
    assert set(events["dmg_src_id"]) <= set(sources["src_id"])
    assert sources["src_date"].str.fullmatch(r"\d\d/\d\d/\d{4}").all()
    assert sources["source_tm"].str.fullmatch(r"T\d\d:\d\d:\d\dZ").all()
    footprints = gpd.read_file(path, layer="imageFootprintA")
    assert set(footprints["obj_type"]) == {"Image Footprint", "Not Analysed"}
    summary = pyogrio.read_dataframe(path, layer="summaryTable").set_index(["category", "unit"])[
        "affected"
    ]
    assert summary["Observed event: landslides", "number"] == 4


def test_a_landslide_names_the_image_it_was_seen_in() -> None:
    frame = gpd.GeoDataFrame(
        {"post_date": np.array(["2018-09-16", "2018-09-21", "NaT", "2019-01-01"], "datetime64[s]")}
    )
    assert image_of(frame["post_date"], about().scenes) == [3, 4, 4, 4]
    assert image_of(frame["post_date"], ()) == [None] * 4


def test_csv_has_the_fields_of_the_geopackage(folder: Path) -> None:
    with (folder / "landslides.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    frame = gpd.read_file(folder / "landslides.gpkg", layer="landslides")
    assert list(rows[0]) == [*(name for name in frame.columns if name != "geometry"), "beware"]
    assert [row["id"] for row in rows] == frame["id"].tolist()
    for name in ("lon", "lat", "area_m2", "probability_mean"):
        np.testing.assert_allclose([float(row[name]) for row in rows], frame[name], rtol=1e-9)
    assert rows[0]["post_date"] == "2018-09-21"


def test_shapefile_is_the_geopackage_under_short_names(folder: Path) -> None:
    read = gpd.read_file(folder / "landslides-shapefile.zip")
    frame = gpd.read_file(folder / "landslides.gpkg", layer="landslides")
    names = [short_name(name) for name in frame.columns]
    assert read.columns.tolist() == names
    assert len(set(names)) == len(names)
    assert read.crs == frame.crs
    assert shapely.equals(read.normalize().values, frame.geometry.normalize().values).all()
    for name in frame.columns[:-1]:
        assert read[short_name(name)].notna().tolist() == frame[name].notna().tolist(), name
    with zipfile.ZipFile(folder / "landslides-shapefile.zip") as archive:
        text = archive.read("landslides.txt").decode()
    assert HOSTILE in text
    assert all(f"\n{name:<11}" in text for name in names[:-1])


def test_every_field_has_a_name_that_dbase_allows() -> None:
    names = [short_name(name) for name in (*FIELDS, *AFFECTED)]
    assert max(map(len, names)) <= 10
    assert len(set(names)) == len(names)


def test_an_empty_inventory_has_every_export_too(scene: SmallScene, tmp_path: Path) -> None:
    nothing = replace(
        scene, probability=np.where(np.isnan(scene.probability), np.nan, np.float32(0.1))
    )
    done = _published(tmp_path / "r", nothing)
    assert set(FILES.values()) <= set(done.products)
    content = json.loads(done.products["landslides.geojson"].read_text())
    assert content["features"] == []
    assert "bbox" not in content
    ET.parse(done.products["landslides.kml"])
    assert len(done.products["landslides.csv"].read_text().splitlines()) == 1
    assert len(gpd.read_file(done.products["landslides-shapefile.zip"])) == 0
    assert len(gpd.read_file(done.products["ems.gpkg"], layer="observedEventA")) == 0


@pytest.mark.parametrize("exports", [(), ("kml",), ("csv",), ("shapefile",), ("ems", "geojson")])
def test_each_switch_writes_its_file_and_no_other(
    scene: SmallScene, tmp_path: Path, exports: tuple[Any, ...]
) -> None:
    done = _published(tmp_path / "r", scene, ProductConfig(exports=exports))
    wanted = {FILES[name] for name in exports}
    assert {name for name in FILES.values() if (tmp_path / "r" / name).exists()} == wanted
    assert set(done.products) & set(FILES.values()) == wanted
    html = done.products["report.html"].read_text()
    assert all((f'href="{name}"' in html) == (name in wanted) for name in FILES.values())


def test_the_same_run_gives_the_same_bytes(folder: Path, scene: SmallScene, tmp_path: Path) -> None:
    again = _published(
        tmp_path / "r",
        scene,
        event=about().event.model_copy(update={"title": HOSTILE}),
        warnings=(HOSTILE,),
    )
    for name in FILES.values():
        assert again.products[name].read_bytes() == (folder / name).read_bytes(), name


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValidationError):
        ProductConfig.model_validate({"exports": ["dxf"]})
