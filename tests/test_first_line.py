"""Where nothing is known of how a checkpoint does, every product says so before anything else."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pyogrio
import pytest
import yaml
from small_archive import EPICENTRE, make_archive, make_cards, make_preset

from configs.layout import RunLayout
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond
from flows.service import artifacts
from inventory.formats import ems
from inventory.formats.geopackage import read_metadata

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


def test_the_artifact_says_it_under_its_title(answer: dict[str, Any]) -> None:
    layout = RunLayout(artifacts.folder_of(answer))
    lines = artifacts.headline(answer, layout).split("\n\n")
    assert SAID in lines[1]
