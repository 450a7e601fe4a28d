"""The GeoPackage: every layer and field, even when empty; described, styled, ours, and the same
bytes for the same run.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from small_scene import SmallScene, about, small_scene

from configs.errors import RequestError
from inventory.footprints import not_observed, scene_footprints
from inventory.formats.geopackage import (
    inventory_metadata,
    read_inventory,
    read_metadata,
    write_geopackage,
)
from inventory.formats.layers import (
    Layer,
    affected_area_layer,
    area_layer,
    event_layer,
    inventory_layers,
    scenes_layer,
    unseen_layer,
)
from inventory.formats.styles import STYLES
from inventory.outline.attributes import FIELDS
from inventory.outline.outline import Inventory
from inventory.summary import count_seen, summarise

LAYERS = ["landslides", "rejected", "affected_area", "not_observed", "scenes", "area", "event"]


@pytest.fixture
def scene(tmp_path: Path) -> SmallScene:
    return small_scene(tmp_path)


def _layers(scene: SmallScene, inventory: Inventory) -> list[Layer]:
    run = about()
    summary = summarise(inventory, count_seen(scene.probability, scene.observation), run)
    return [
        *inventory_layers(inventory),
        affected_area_layer(inventory),
        unseen_layer(not_observed(scene.probability, scene.observation, scene.stack)),
        scenes_layer(run, scene_footprints(run.scenes, scene.stack)),
        area_layer(run, summary, inventory),
        event_layer(run, summary, inventory),
    ]


def _write(path: Path, scene: SmallScene, inventory: Inventory) -> Path:
    return write_geopackage(
        path, _layers(scene, inventory), inventory_metadata(inventory), about().stamp
    )


@pytest.fixture
def package(scene: SmallScene, tmp_path: Path) -> Path:
    return _write(tmp_path / "landslides.gpkg", scene, scene.outline())


def _empty(scene: SmallScene) -> Inventory:
    nothing = SmallScene(np.full_like(scene.probability, 0.1), scene.observation, scene.stack)
    return nothing.outline()


def test_every_layer_opens_with_every_field(package: Path, scene: SmallScene) -> None:
    assert [name for name, kind in pyogrio.list_layers(package) if kind] == LAYERS
    for layer in _layers(scene, scene.outline()):
        frame = gpd.read_file(package, layer=layer.name)
        assert list(frame.columns) == [*(field.name for field in layer.fields), "geometry"]
        assert len(frame) == len(layer.frame) > 0
        assert frame.crs.to_epsg() == 32654
        assert frame.geometry.is_valid.all()


def test_the_affected_area_counts_shared_ground_once(scene: SmallScene) -> None:
    inventory = scene.outline()
    twice = pd.concat([inventory.landslides, inventory.landslides], ignore_index=True)
    frame = affected_area_layer(replace(inventory, landslides=twice)).frame
    assert frame["area_m2"].sum() == pytest.approx(inventory.landslides["area_m2"].sum(), abs=0.1)
    assert frame["area_m2"].is_monotonic_decreasing


def test_an_empty_inventory_has_every_layer_and_field_too(
    scene: SmallScene, tmp_path: Path
) -> None:
    path = _write(tmp_path / "empty.gpkg", scene, _empty(scene))
    full = _write(tmp_path / "full.gpkg", scene, scene.outline())
    for name in LAYERS:
        before, after = (pyogrio.read_info(file, layer=name) for file in (full, path))
        assert before["fields"].tolist() == after["fields"].tolist()
        assert before["dtypes"].tolist() == after["dtypes"].tolist()
        assert before["geometry_type"] == after["geometry_type"]
    assert len(gpd.read_file(path, layer="landslides")) == 0
    assert len(read_inventory(path).landslides) == 0


def test_what_is_written_is_read_back(package: Path, scene: SmallScene) -> None:
    inventory = scene.outline()
    again = read_inventory(package)
    pd.testing.assert_frame_equal(again.landslides, inventory.landslides, check_dtype=False)
    pd.testing.assert_frame_equal(
        again.rejected[inventory.rejected.columns],
        inventory.rejected,
        check_dtype=False,
        check_column_type=False,
    )
    assert again.geobox == inventory.geobox
    assert again.threshold == inventory.threshold


def test_dates_are_dates_and_scene_times_are_times(package: Path) -> None:
    info = pyogrio.read_info(package, layer="landslides")
    kinds = dict(zip(info["fields"], info["ogr_types"], strict=True))
    assert kinds["pre_date"] == kinds["last_seen"] == "OFTDate"
    scenes = gpd.read_file(package, layer="scenes")
    assert pd.Timestamp(scenes["acquired"].iloc[0]).hour == 1
    assert scenes["used_km2"].sum() == pytest.approx(2 * 90 * 120 * 1e-4)


def _rows(package: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(package)) as database:
        return database.execute(query).fetchall()


def test_every_field_is_described(package: Path) -> None:
    told = _rows(
        package,
        "SELECT column_name, description FROM gpkg_data_columns WHERE table_name = 'landslides'",
    )
    assert dict(told) == FIELDS
    assert (
        len(
            _rows(
                package,
                "SELECT 1 FROM gpkg_data_column_constraints WHERE constraint_name = 'status'",
            )
        )
        == 3
    )
    assert _rows(package, "SELECT count(*) FROM gpkg_contents WHERE description = ''")[0][0] == 0


def test_every_layer_is_styled(package: Path) -> None:
    styles = _rows(
        package, "SELECT f_table_name, styleQML, styleSLD, useAsDefault FROM layer_styles"
    )
    assert sorted(name for name, *_ in styles) == sorted(LAYERS)
    for name, qml, sld, default in styles:
        root = ET.fromstring(qml.split("\n", 1)[1])
        assert root.find("renderer-v2") is not None, name
        ET.fromstring(sld)
        assert default
    assert {style.layer for style in STYLES} == {
        *LAYERS,
        "changes",
        "affected_roads",
        "affected_buildings",
        "reach",
    }


def test_sqlite_and_the_standard_find_nothing_wrong(package: Path) -> None:
    assert _rows(package, "PRAGMA integrity_check") == [("ok",)]
    assert _rows(package, "PRAGMA foreign_key_check") == []
    tables = {
        name for (name,) in _rows(package, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    extended = {table for (table,) in _rows(package, "SELECT table_name FROM gpkg_extensions")}
    assert extended <= tables
    assert {"gpkg_data_columns", "gpkg_metadata", "gpkg_metadata_reference"} <= extended
    contents = {name for (name,) in _rows(package, "SELECT table_name FROM gpkg_contents")}
    assert contents == {*LAYERS, "layer_styles"}


def test_stamps_come_from_the_run(package: Path) -> None:
    assert {stamp for (stamp,) in _rows(package, "SELECT last_change FROM gpkg_contents")} == {
        about().stamp
    }
    assert _rows(package, "SELECT timestamp FROM gpkg_metadata_reference") == [(about().stamp,)]


def test_the_same_run_gives_the_same_bytes(
    package: Path, scene: SmallScene, tmp_path: Path
) -> None:
    again = _write(tmp_path / "again.gpkg", scene, scene.outline())
    assert again.read_bytes() == package.read_bytes()


def test_it_says_what_it_is(package: Path) -> None:
    assert read_metadata(package)["format"] == "coslide/inventory/1"


def test_newer_formats_and_strangers_are_refused(package: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(package)) as database, database:
        database.execute(
            "UPDATE gpkg_metadata SET metadata = replace(metadata, 'inventory/1', 'inventory/2')"
        )
    with pytest.raises(RequestError, match="newer than this coslide"):
        read_inventory(package)
    (tmp_path / "text.gpkg").write_text("no database")
    for name in ("text.gpkg", "absent.gpkg"):
        with pytest.raises(RequestError):
            read_inventory(tmp_path / name)


def test_a_field_that_was_dropped_is_named(package: Path) -> None:
    with closing(sqlite3.connect(package)) as database, database:
        database.execute("ALTER TABLE landslides RENAME COLUMN status TO verdict")
    with pytest.raises(RequestError, match="no field status"):
        read_inventory(package)


def test_a_failure_leaves_nothing(scene: SmallScene, tmp_path: Path) -> None:
    inventory = scene.outline()
    broken = replace(inventory, rejected=inventory.rejected.drop(columns="reason"))
    folder = tmp_path / "out"
    layers, metadata = inventory_layers(broken), inventory_metadata(broken)
    with pytest.raises(KeyError):
        write_geopackage(folder / "draft.gpkg", layers, metadata, about().stamp)
    assert list(folder.iterdir()) == []


def test_not_observed_says_why(package: Path, scene: SmallScene) -> None:
    frame = gpd.read_file(package, layer="not_observed")
    assert frame["why"].tolist() == ["cloud"]
    assert frame["area_m2"].sum() == 100 * np.isnan(scene.probability[:, :116]).sum()
