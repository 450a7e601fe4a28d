"""The STAC item: valid, complete, and its checksums are those of the files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from small_scene import GEOBOX, SHAPE, about, small_scene

from configs.area import Area
from inventory.formats.geojson import outline_wgs84
from inventory.publish import Published, write_item, write_products


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Published]:
    folder = tmp_path_factory.mktemp("stac")
    scene = small_scene(folder)
    target = folder / "r001"
    target.mkdir()
    run = about()
    inventory = scene.outline(choice=run.choice)
    done = write_products(target, inventory, scene.probability, scene.observation, scene.stack, run)
    (target / "run.yaml").write_text("format: coslide/run/1\n")
    (target / "log.jsonl").write_text("{}\n")
    write_item(target, done)
    return target, done


@pytest.fixture
def item(published: tuple[Path, Published]) -> dict[str, Any]:
    return dict(json.loads((published[0] / "item.json").read_text()))


def test_it_is_valid_stac(published: tuple[Path, Published], item: dict[str, Any]) -> None:
    found = pystac.Item.from_file(str(published[0] / "item.json"))
    assert found.id == "small-r001"
    core = pystac.Item.from_dict({**item, "stac_extensions": []})
    assert core.validate(), (
        "against the core schemas that pystac carries; extensions' schemas are on the network"
    )
    assert len(item["stac_extensions"]) == 4


def test_every_product_is_an_asset_with_its_checksum(
    published: tuple[Path, Published], item: dict[str, Any]
) -> None:
    folder, done = published
    files = {path.name for path in folder.iterdir()} - {"item.json", "log.jsonl"}
    assert set(item["assets"]) == files
    assert set(done.products) <= files
    for name, asset in item["assets"].items():
        content = (folder / name).read_bytes()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        assert asset["file:size"] == len(content)
        assert asset["href"] == f"./{name}"


def test_grid_and_bands(item: dict[str, Any]) -> None:
    assert item["properties"]["proj:code"] == "EPSG:32654"
    assert item["properties"]["proj:shape"] == list(SHAPE)
    assert item["properties"]["proj:transform"] == list(GEOBOX.affine)[:6]
    mask = item["assets"]["landslides.tif"]["raster:bands"][0]
    assert (mask["nodata"], mask["data_type"]) == (255, "uint8")
    assert item["assets"]["probability.tif"]["raster:bands"][0]["nodata"] == "nan"


def test_it_says_what_was_found_and_by_what(item: dict[str, Any]) -> None:
    properties = item["properties"]
    assert properties["coslide:landslide_count"] == 4
    assert properties["coslide:simulated"] is True
    assert "card-a" in properties["processing:lineage"]
    assert properties["created"] == "2018-12-01T00:00:00Z"


def test_the_contracts_keys_are_in_the_summary(published: tuple[Path, Published]) -> None:
    plain = published[1].summary.as_plain()
    contract = {
        "event",
        "revision",
        "area_km2",
        "observed_fraction",
        "landslide_count",
        "landslide_area_km2",
    }
    assert contract | {"checkpoint", "out_of_domain", "warnings"} <= set(plain)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["area_km2"] == pytest.approx(90 * 116 * 1e-4)


def test_the_antimeridian_is_cut() -> None:
    geometry, bbox = outline_wgs84(shapely.box(179, -20, 181.5, -18))
    assert bbox == [179, -20, -178.5, -18]
    assert shapely.bounds(geometry).tolist() == [-180, -20, 180, -18]
    assert geometry.area == pytest.approx(5)
    assert outline_wgs84(shapely.box(-181, 0, -179, 1))[1] == [179, 0, -179, 1]


def test_across_the_antimeridian_it_is_valid_too(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    run = replace(about(), area=Area(shapely.box(179, -20, 181.5, -18), "bounds"))
    (tmp_path / "r").mkdir()
    done = write_products(
        tmp_path / "r", scene.outline(), scene.probability, scene.observation, scene.stack, run
    )
    plain = json.loads(write_item(tmp_path / "r", done).read_text())
    assert pystac.Item.from_dict({**plain, "stac_extensions": []}).validate()
