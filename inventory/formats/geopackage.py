"""Inventories as GeoPackage: OGR writes the layers, SQLite adds what OGR's short road leaves out.

That is: descriptions of every field (``gpkg_data_columns``), the three values of ``status`` as a
list to choose from, our format and grid (``gpkg_metadata``), and styles (``layer_styles``). OGC
GeoPackage 1.3, http://www.geopackage.org/spec130/. Stamps come from the run's clock, so the same
run gives the same bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from configs.errors import RequestError
from configs.files import check_format, format_of, replacing
from configs.stack import grid_attributes, grid_from
from configs.vectors import UNREADABLE
from inventory.formats.layers import LANDSLIDE_FIELDS, REASON, Field, Layer, column
from inventory.formats.styles import STYLES, Style, qml, sld
from inventory.outline.attributes import DATES, STATUSES, kind_of
from inventory.outline.outline import Inventory, code_of

FORMAT = format_of("inventory")
VERSION = "1.3"
"""Of the standard: what readers of the last years all know; 1.4 makes QGIS 3.22 and its kind
warn.
"""

_EXTENSIONS = (
    ("gpkg_data_columns", "gpkg_schema", "http://www.geopackage.org/spec121/#extension_schema"),
    (
        "gpkg_data_column_constraints",
        "gpkg_schema",
        "http://www.geopackage.org/spec121/#extension_schema",
    ),
    ("gpkg_metadata", "gpkg_metadata", "http://www.geopackage.org/spec121/#extension_metadata"),
    (
        "gpkg_metadata_reference",
        "gpkg_metadata",
        "http://www.geopackage.org/spec121/#extension_metadata",
    ),
)
_TABLES = """
CREATE TABLE IF NOT EXISTS gpkg_extensions (table_name TEXT, column_name TEXT, \
extension_name TEXT NOT NULL,
  definition TEXT NOT NULL, scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, \
column_name, extension_name));
CREATE TABLE gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, \
title TEXT,
  description TEXT, mime_type TEXT, constraint_name TEXT, \
CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
  CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE gpkg_data_column_constraints (constraint_name TEXT NOT NULL, \
constraint_type TEXT NOT NULL, value TEXT,
  min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
  CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
CREATE TABLE gpkg_metadata (id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL, \
md_scope TEXT NOT NULL DEFAULT 'dataset',
  md_standard_uri TEXT NOT NULL, mime_type TEXT NOT NULL DEFAULT 'text/xml', \
metadata TEXT NOT NULL DEFAULT '');
CREATE TABLE gpkg_metadata_reference (reference_scope TEXT NOT NULL, table_name TEXT, \
column_name TEXT,
  row_id_value INTEGER, timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  md_file_id INTEGER NOT NULL, md_parent_id INTEGER,
  CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
  CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id));
CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256),
  f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), \
styleName TEXT(30), styleQML TEXT,
  styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), \
update_time DATETIME);
"""


@contextmanager
def _options(stamp: str) -> Iterator[None]:
    """Have OGR write this moment instead of now, and not wait for the disk after every page."""
    names = {"OGR_CURRENT_DATE": stamp, "OGR_SQLITE_SYNCHRONOUS": "OFF"}
    before = {name: pyogrio.get_gdal_config_option(name) for name in names}
    pyogrio.set_gdal_config_options(names)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _multi(geometry: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return polygons as MultiPolygons, empty ones as none."""
    single = shapely.get_type_id(geometry) == shapely.GeometryType.POLYGON
    result = geometry.copy()
    result[single] = [shapely.MultiPolygon([polygon]) for polygon in geometry[single]]
    result[shapely.is_empty(result)] = None
    return result


def _write_layer(path: Path, layer: Layer) -> None:
    columns = [column(layer.frame[field.name], field.kind) for field in layer.fields]
    options = {"IDENTIFIER": layer.title, "DESCRIPTION": layer.description}
    shape: dict[str, Any] = {"geometry": None, "layer_options": options}
    if layer.geometry is not None:
        geometry = layer.frame.geometry.to_numpy()
        geometry = _multi(geometry) if layer.geometry == "MultiPolygon" else geometry
        shape["geometry"] = shapely.to_wkb(geometry, flavor="iso")
        shape |= {
            "geometry_type": layer.geometry,
            "crs": code_of(layer.frame.crs),
            "promote_to_multi": False,
        }
        shape["layer_options"] = {**options, "GEOMETRY_NAME": "geom"}
    pyogrio.raw.write(
        path,
        field_data=[values for values, _ in columns],
        fields=[field.name for field in layer.fields],
        field_mask=[null if null.any() else None for _, null in columns],
        layer=layer.name,
        driver="GPKG",
        dataset_options={"VERSION": VERSION},
        **shape,
    )


def _describe(database: sqlite3.Connection, layers: Sequence[Layer]) -> None:
    rows = [
        (layer.name, f.name, None, f.description, "status" if f.name == "status" else None)
        for layer in layers
        for f in layer.fields
    ]
    database.executemany(
        "INSERT INTO gpkg_data_columns (table_name, column_name, name, description, "
        "constraint_name) VALUES (?,?,?,?,?)",
        rows,
    )
    words = dict(
        zip(
            STATUSES,
            ("not looked at yet", "a landslide, seen by a person", "not a landslide"),
            strict=True,
        )
    )
    database.executemany(
        "INSERT INTO gpkg_data_column_constraints (constraint_name, constraint_type, "
        "value, description) "
        "VALUES ('status', 'enum', ?, ?)",
        words.items(),
    )


def _stamp(database: sqlite3.Connection, metadata: dict[str, Any], stamp: str) -> None:
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
    database.execute(
        "INSERT INTO gpkg_metadata VALUES (1, 'dataset', ?, 'application/json', ?)",
        (f"urn:{FORMAT}", text),
    )
    database.execute(
        "INSERT INTO gpkg_metadata_reference (reference_scope, timestamp, md_file_id) "
        "VALUES ('geopackage', ?, 1)",
        (stamp,),
    )
    database.executemany(
        "INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, 'read-write')",
        [(table, name, definition) for table, name, definition in _EXTENSIONS],
    )


def _style(
    database: sqlite3.Connection, layers: Sequence[Layer], styles: Sequence[Style], stamp: str
) -> None:
    written = {layer.name for layer in layers}
    rows = [
        (style.layer, "geom", "coslide", qml(style), sld(style), 1, "coslide's own style", stamp)
        for style in styles
        if style.layer in written
    ]
    database.executemany(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
        "f_geometry_column, styleName, "
        "styleQML, styleSLD, useAsDefault, description, owner, update_time) VALUES ('', "
        "'', ?, ?, ?, ?, ?, ?, ?, '', ?)",
        rows,
    )
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change) "
        "VALUES ('layer_styles', 'attributes', 'layer_styles', 'How QGIS draws the layers', ?)",
        (stamp,),
    )
    database.execute("UPDATE gpkg_contents SET last_change = ?", (stamp,))


def write_geopackage(
    path: Path,
    layers: Sequence[Layer],
    metadata: dict[str, Any],
    stamp: str,
    styles: Sequence[Style] = STYLES,
) -> Path:
    """Return the path of a GeoPackage written whole or not at all.

    Args:
        path: where it goes.
        layers: the layers, drawn by QGIS in this order from the top.
        metadata: what it says of itself, as JSON; the inventory's `format` where it names none.
        stamp: moment of every time stamp in it, ISO 8601 in UTC with milliseconds.
        styles: how its layers are drawn.
    """
    with replacing(path) as part:
        work = part.with_name(part.name + ".gpkg")  # OGR insists on the suffix
        try:
            with _options(stamp):
                for layer in layers:
                    _write_layer(work, layer)
            with closing(sqlite3.connect(work)) as database, database:
                database.executescript(_TABLES)
                _describe(database, layers)
                _style(database, layers, styles, stamp)
                _stamp(database, {"format": FORMAT, **metadata}, stamp)
            work.replace(part)
        finally:
            work.unlink(missing_ok=True)
    return path


def inventory_metadata(inventory: Inventory) -> dict[str, Any]:
    """Return what a reader needs to know of an inventory beside its layers."""
    return {"grid": grid_attributes(inventory.geobox), "threshold": inventory.threshold}


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what a GeoPackage of ours says of itself.

    Raises:
        RequestError: no such file, no GeoPackage, not ours, or of a newer format.
    """
    if not path.is_file():
        raise RequestError(f"no such file: {path}", "Check the path.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute(
                "SELECT metadata FROM gpkg_metadata WHERE md_standard_uri LIKE 'urn:coslide/%'"
            ).fetchone()
        metadata = dict(json.loads(found[0])) if found else {}
    except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
        raise RequestError(
            f"{path} is no inventory of coslide: {error}", "Give a landslides.gpkg of a run."
        ) from error
    check_format(metadata.get("format"), "inventory", str(path))
    return metadata


def _read_layer(path: Path, name: str, fields: tuple[Field, ...]) -> gpd.GeoDataFrame:
    try:
        frame = pyogrio.read_dataframe(path, layer=name)
    except UNREADABLE as error:
        raise RequestError(
            f"{path}: cannot read layer `{name}`: {error}", "Restore the file from its run."
        ) from error
    if "kind" not in frame.columns and "area_m2" in frame.columns:  # of before there were kinds
        frame["kind"] = kind_of(frame["area_m2"].to_numpy())
    missing = [field.name for field in fields if field.name not in frame.columns]
    if missing:
        raise RequestError(
            f"{path}: layer `{name}` has no field {', '.join(missing)}",
            "Restore the fields; edit only their values.",
        )
    for date in DATES:
        frame[date] = frame[date].astype("datetime64[s]")
    return frame[[*(field.name for field in fields), "geometry"]]


def read_inventory(path: Path) -> Inventory:
    """Return the inventory in a GeoPackage of ours, published or a draft.

    Raises:
        RequestError: unreadable, not ours, or of a newer format.
    """
    metadata = read_metadata(path)
    landslides = _read_layer(path, "landslides", LANDSLIDE_FIELDS)
    rejected = _read_layer(path, "rejected", (*LANDSLIDE_FIELDS, REASON))
    return Inventory(
        landslides, rejected, grid_from(metadata["grid"]), float(metadata["threshold"])
    )
