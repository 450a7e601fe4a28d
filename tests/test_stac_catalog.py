"""STAC as a whole: items with their extensions, and the catalogs over an output folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pystac
import pytest
from small_scene import about, publish, small_scene
from stac_schemas import local_validation, schemas

from configs.layout import EventFolder
from inventory.formats.stac import write_event_catalog, write_root_catalog
from inventory.publish import write_item


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder: two events, one with two revisions, and a stranger's folder."""
    folder = tmp_path_factory.mktemp("out")
    scene = small_scene(tmp_path_factory.mktemp("scene"))
    for name, revisions in (("quake-a", 2), ("quake-b", 1)):
        for number in range(1, revisions + 1):
            event = about().event.model_copy(update={"name": name, "title": f"<b>{name}</b>"})
            run = about(event=event, revision=number)
            target = folder / name / f"r{number:03d}"
            write_item(target, publish(target, scene, run))
        write_event_catalog(EventFolder(folder / name))
    (folder / "stranger").mkdir()
    write_root_catalog(folder)
    return folder


def _item(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "quake-a" / "r001" / "item.json").read_text()))


def test_items_and_their_extensions_are_valid(out: Path) -> None:
    plain = _item(out)
    assert set(plain["stac_extensions"]) == set(schemas())
    with local_validation():
        assert len(pystac.Item.from_dict(plain).validate()) == 1 + 4


def _put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(item: dict[str, Any]) -> None:
        for key in path[:-1]:
            item = item[key]  # type: ignore[index]
        item[path[-1]] = value  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        _put("properties", "proj:shape", value=[1, 2, 3]),
        _put("properties", "proj:zone", value=54),
        _put("properties", "processing:software", value={"coslide": 1}),
        _put("assets", "landslides.tif", "file:checksum", value="no hex"),
        _put("assets", "landslides.tif", "raster:bands", 0, "nodata", value="none"),
        _put("properties", "start_datetime", value="yesterday"),
    ],
)
def test_the_validation_would_find_a_fault(
    out: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    plain = _item(out)
    spoil(plain)
    with (
        local_validation(),
        pytest.raises((pystac.STACValidationError, pystac.STACError, ValueError)),
    ):
        pystac.Item.from_dict(plain).validate()


def test_the_catalog_leads_to_every_revision_and_is_valid(out: Path) -> None:
    root = pystac.Catalog.from_file(str(out / "catalog.json"))
    assert [child.id for child in root.get_children()] == ["quake-a", "quake-b"]
    assert sorted(item.id for item in root.get_items(recursive=True)) == [
        "quake-a-r001",
        "quake-a-r002",
        "quake-b-r001",
    ]
    with local_validation():
        assert root.validate_all() == 3
    for item in root.get_items(recursive=True):
        assert item.get_root() is root
        parent = item.get_parent()
        assert parent is not None
        assert item.id.startswith(parent.id)


def test_every_link_is_relative_and_leads_somewhere(out: Path) -> None:
    for path in [
        *out.glob("catalog.json"),
        *out.glob("*/catalog.json"),
        *out.glob("*/*/item.json"),
    ]:
        for link in json.loads(path.read_text())["links"]:
            assert not link["href"].startswith(("/", "http", "file")), path
            assert (path.parent / link["href"]).is_file(), (path, link)


def test_the_folder_may_be_moved(out: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(out, tmp_path / "elsewhere"))
    root = pystac.Catalog.from_file(str(moved / "catalog.json"))
    assets = [
        asset.get_absolute_href()
        for item in root.get_items(recursive=True)
        for asset in item.assets.values()
    ]
    assert assets
    assert all(
        Path(str(href)).is_relative_to(moved) and Path(str(href)).is_file() for href in assets
    )


def test_a_damaged_catalog_is_mended_and_a_damaged_item_left_out(out: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(out, tmp_path / "copy"))
    (copy / "catalog.json").write_text("{")
    (copy / "quake-b" / "catalog.json").write_text("[]")
    (copy / "quake-a" / "r001" / "item.json").write_text("half a fi")
    write_event_catalog(EventFolder(copy / "quake-a"))
    write_root_catalog(copy)
    root = pystac.Catalog.from_file(str(copy / "catalog.json"))
    assert [item.id for item in root.get_items(recursive=True)] == ["quake-a-r002"]
    write_event_catalog(EventFolder(copy / "quake-b"))
    write_root_catalog(copy)
    assert len(list(pystac.Catalog.from_file(str(copy / "catalog.json")).get_children())) == 2


def test_nothing_to_list_is_a_catalog_too(tmp_path: Path) -> None:
    root = pystac.Catalog.from_file(str(write_root_catalog(tmp_path)))
    assert root.validate()
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.json"]
