"""Where nothing is known of how a checkpoint does, every product says so before anything else."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import rasterio
import yaml
from odc.geo.geobox import GeoBox
from PIL import Image
from small_archive import EPICENTRE, make_archive, make_cards, make_preset
from small_scene import about

from configs.layout import RunLayout
from configs.records import ObservationClass
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond
from flows.service import artifacts
from flows.watch import launch
from inventory.formats import ems
from inventory.formats.geopackage import read_metadata
from inventory.outline.words import words_of
from inventory.summary import _Seen, headline, summarise

SAID = "NOT KNOWN TO WORK HERE: post was trained on a single event, here"


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the answer of a run far from home, all formats asked for."""
    folder = tmp_path_factory.mktemp("far")
    preset = make_preset(folder / "preset.yaml", make_cards(folder / "cards"), "post")
    content = yaml.safe_load(preset.read_text()) | {
        "product": {"exports": ["geojson", "kml", "csv", "shapefile", "ems"]},
        "source": parse_source(f"archive:{make_archive(folder / 'archive')}"),
        "out": str(folder / "out"),
    }
    latitude, longitude = map(float, EPICENTRE.split(","))
    request = make_request(
        latitude=latitude, longitude=longitude, date="2018-09-05", as_of="2018-12-01",
        radius_km=1.2, name="far", checkpoint="post",
    )  # fmt: skip
    return respond(resolve(request, content))


def text(answer: dict[str, Any], name: str) -> str:
    return Path(answer["products"][name]).read_text(encoding="utf-8")


def test_the_answer_begins_with_it(answer: dict[str, Any]) -> None:
    assert answer["out_of_domain"] == "unknown"
    assert answer["words"][0].startswith(SAID)


def test_the_report_warns_of_it_first(answer: dict[str, Any]) -> None:
    page = text(answer, "report.html")
    beware = page.index('<section class="beware"')
    first = re.search(r"<li>(.*?)</li>", page[beware:], re.DOTALL)
    assert first is not None
    assert "trained on a single event, here" in first[1]


def test_geopackages_say_it_of_themselves(answer: dict[str, Any]) -> None:
    path = Path(answer["products"]["landslides.gpkg"])
    assert read_metadata(path)["words"][0].startswith(SAID)
    event = pyogrio.read_info(path, layer="event")
    assert SAID in json.dumps(event["layer_metadata"]) + json.dumps(event["dataset_metadata"])


def test_the_rapid_mapping_package_says_it(answer: dict[str, Any]) -> None:
    assert SAID.encode() in Path(answer["products"][ems.FILE]).read_bytes()


@pytest.mark.parametrize("name", ["map.pdf", "map-a3.pdf"])
def test_the_map_says_it_of_itself(answer: dict[str, Any], name: str) -> None:
    content = Path(answer["products"][name]).read_bytes()
    assert SAID.encode() in content or SAID.encode("utf-16-be") in content


def test_project_and_shapefile_say_it(answer: dict[str, Any]) -> None:
    for name, part in (("landslides.qgz", ".qgs"), ("landslides-shapefile.zip", ".txt")):
        with zipfile.ZipFile(answer["products"][name]) as archive:
            assert SAID in archive.read(f"landslides{part}").decode()


@pytest.mark.parametrize("name", ["landslides.geojson", "landslides.kml", "item.json"])
def test_other_formats_say_it(answer: dict[str, Any], name: str) -> None:
    found = text(answer, name)
    assert SAID in found
    if name == "landslides.geojson":
        assert json.loads(found)["coslide"]["words"][0].startswith(SAID)
    if name == "item.json":
        assert json.loads(found)["properties"]["description"].startswith(SAID)


@pytest.mark.parametrize("name", ["landslides.tif", "probability.tif", "observation.tif"])
def test_rasters_say_it_where_programs_look(answer: dict[str, Any], name: str) -> None:
    with rasterio.open(answer["products"][name]) as file:
        assert file.tags()["TIFFTAG_IMAGEDESCRIPTION"].startswith(SAID)
        assert file.tags()["out_of_domain"] == "unknown"


def test_the_legend_of_the_mask_promises_nothing(answer: dict[str, Any]) -> None:
    names = Path(answer["products"]["landslides.tif"] + ".aux.xml").read_text(encoding="utf-8")
    assert "no landslide" not in names
    assert "nothing mapped" in names


def test_picture_and_table_say_it(answer: dict[str, Any]) -> None:
    with Image.open(answer["products"]["preview.png"]) as picture:
        assert picture.text["Description"].startswith(SAID)  # type: ignore[attr-defined]
    with Path(answer["products"]["landslides.csv"]).open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        assert "beware" in (table.fieldnames or ())
        assert all(row["beware"].startswith(SAID) for row in table)


def test_catalogue_and_page_of_events_say_it(answer: dict[str, Any]) -> None:
    event = Path(answer["products"]["item.json"]).parent.parent
    catalog = json.loads((event / "catalog.json").read_text(encoding="utf-8"))
    (link,) = (one for one in catalog["links"] if one["rel"] == "item")
    assert link["title"].startswith("Not known to work here.")
    assert "Not known to work here." in (event.parent / "index.html").read_text(encoding="utf-8")


def test_who_is_told_of_a_run_by_the_watch_reads_it_first(answer: dict[str, Any]) -> None:
    told = launch._outcome(0, json.dumps({**answer, "products": dict(answer["products"])}))
    assert told.message.startswith(SAID)


@pytest.mark.parametrize("domain", ["unknown", True])
@pytest.mark.parametrize("language", ["en", "es"])
def test_that_nothing_was_mapped_is_not_that_nothing_slid(domain: Any, language: str) -> None:
    seen = _Seen(100, 100, dict.fromkeys(ObservationClass, 0))
    scene = SimpleNamespace(
        landslides=gpd.GeoDataFrame({"area_m2": [], "confidence": []}),
        rejected=(), geobox=GeoBox.from_bbox((0, 0, 100, 100), "EPSG:32654", resolution=10),
    )  # fmt: skip
    choice = replace(about().choice, out_of_domain=domain, trained_on="a single event, here")
    words = headline(summarise(scene, seen, about(choice=choice)), language)  # type: ignore[arg-type]
    assert {"en": "a single event, here", "es": "un solo evento, here"}[language] in words[0]
    assert words[1] == words_of(language)["headline"]["none_unknown"]


def test_the_artifact_says_it_under_its_title(answer: dict[str, Any]) -> None:
    layout = RunLayout(artifacts.folder_of(answer))
    lines = artifacts.headline(answer, layout).split("\n\n")
    assert SAID in lines[1]
