"""``landslides.qgz``: a QGIS project over the files beside it, so that one double click shows the
inventory in our colours.

A .qgz is a zip archive of a .qgs, which is XML. There is no published schema: this one holds the
few elements that QGIS 3 needs (checked with 3.22 by `tests/test_readers.py`); it fills in the rest.
Paths are relative, so that the folder may be moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pyproj

from inventory.colours import OBSERVATION
from inventory.formats.layers import Layer
from inventory.formats.styles import STYLES, qml
from inventory.formats.tables import write_zip
from inventory.outline.outline import code_of

FILE = "landslides.qgz"
_VERSION = "3.22.0"
_GROUPS = (
    ("Landslides", ("landslides", "changes", "affected_area", "rejected")),
    ("What may be affected", ("affected_roads", "affected_buildings", "reach")),
    ("Where and when", ("event", "area", "not_observed", "scenes")),
)
_SWITCHED_OFF = ("changes", "affected_area", "rejected", "scenes", "observation", "probability")
_GEOMETRY = {"MultiPolygon": "Polygon", "MultiLineString": "Line", "Point": "Point"}
_HEAT = ((0.0, "#ffffb2"), (0.25, "#fecc5c"), (0.5, "#fd8d3c"), (0.75, "#f03b20"), (1.0, "#bd0026"))


@dataclass(frozen=True)
class _Raster:
    name: str
    title: str


_RASTERS = (
    _Raster("probability", "Landslide probability"),
    _Raster("observation", "What was seen of each pixel"),
)


def _crs(parent: ET.Element, tag: str, crs: str) -> None:
    outer = ET.SubElement(parent, tag)
    inner = ET.SubElement(outer, "spatialrefsys", nativeFormat="Wkt")
    known = pyproj.CRS(crs)
    ET.SubElement(inner, "wkt").text = known.to_wkt()
    ET.SubElement(inner, "authid").text = crs if crs.startswith("EPSG:") else ""
    ET.SubElement(inner, "description").text = known.name


def _identity(name: str) -> str:
    """Return the id of a layer; QGIS gives new ones to layers whose id is short."""
    return f"coslide_layer_{name}"


def _map_layer(
    parent: ET.Element, kind: str, name: str, title: str, source: str, crs: str
) -> ET.Element:
    layer = ET.SubElement(parent, "maplayer", type=kind, refreshOnNotifyEnabled="0")
    ET.SubElement(layer, "id").text = _identity(name)
    ET.SubElement(layer, "datasource").text = source
    ET.SubElement(layer, "layername").text = title
    _crs(layer, "srs", crs)
    return layer


def _vector(parent: ET.Element, layer: Layer, package: str) -> None:
    source = f"./{package}|layername={layer.name}"
    crs = code_of(layer.frame.crs)
    element = _map_layer(parent, "vector", layer.name, layer.title, source, crs)
    element.set("geometry", _GEOMETRY[str(layer.geometry)])
    ET.SubElement(element, "abstract").text = layer.description
    ET.SubElement(element, "provider", encoding="UTF-8").text = "ogr"
    style = next(each for each in STYLES if each.layer == layer.name)
    element.set("labelsEnabled", str(int(bool(style.label))))
    drawn = ET.fromstring(qml(style).partition("\n")[2])
    element.extend(list(drawn))
    aliases = ET.SubElement(element, "aliases")
    for number, one in enumerate(layer.fields, 1):  # 0 is the feature's own number
        ET.SubElement(aliases, "alias", field=one.name, index=str(number), name=alias(one.name))


_UNITS = {"m2": "m²", "km2": "km²", "m": "m", "deg": "°", "px": "px"}


def alias(field: str) -> str:
    """Return the name of a field as people read it: ``slope_mean_deg`` is *Slope mean (°)*."""
    words, unit = field.split("_"), ""
    if len(words) > 1 and words[-1] in _UNITS:
        unit = f" ({_UNITS[words.pop()]})"
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}{unit}"


def _raster(parent: ET.Element, raster: _Raster, crs: str) -> None:
    source = f"./{raster.name}.tif"
    element = _map_layer(parent, "raster", raster.name, raster.title, source, crs)
    ET.SubElement(element, "provider").text = "gdal"
    pipe = ET.SubElement(element, "pipe")
    common: dict[str, Any] = {"band": "1", "opacity": "0.8", "alphaBand": "-1"}
    if raster.name == "observation":
        drawn = ET.SubElement(pipe, "rasterrenderer", type="paletted", **common)
        palette = ET.SubElement(drawn, "colorPalette")
        for kind, (name, colour) in OBSERVATION.items():
            ET.SubElement(
                palette, "paletteEntry", value=str(int(kind)), color=colour, label=name, alpha="255"
            )
        return
    limits: dict[str, Any] = {"classificationMin": "0", "classificationMax": "1"}
    drawn = ET.SubElement(pipe, "rasterrenderer", type="singlebandpseudocolor", **common, **limits)
    shader = ET.SubElement(ET.SubElement(drawn, "rastershader"), "colorrampshader")
    for name, text in (
        ("colorRampType", "INTERPOLATED"),
        ("classificationMode", "1"),
        ("clip", "0"),
    ):
        shader.set(name, text)
    for value, colour in _HEAT:
        ET.SubElement(
            shader, "item", value=f"{value:g}", color=colour, label=f"{value:g}", alpha="255"
        )


def _tree_layer(parent: ET.Element, name: str, title: str, source: str, provider: str) -> None:
    shown = "Qt::Unchecked" if name in _SWITCHED_OFF else "Qt::Checked"
    ET.SubElement(
        parent, "layer-tree-layer", id=_identity(name), name=title, source=source,
        providerKey=provider, checked=shown, expanded=str(int(name == "landslides")),
    )  # fmt: skip


def _tree(root: ET.Element, layers: Sequence[Layer], package: str) -> None:
    """Write the panel of layers: groups, from what lies on top."""
    tree = ET.SubElement(root, "layer-tree-group")
    by_name = {layer.name: layer for layer in layers}
    for title, names in _GROUPS:
        held = [by_name[name] for name in names if name in by_name]
        if not held:
            continue
        group = ET.SubElement(
            tree, "layer-tree-group", name=title, checked="Qt::Checked", expanded="1"
        )
        for layer in held:
            _tree_layer(
                group, layer.name, layer.title, f"./{package}|layername={layer.name}", "ogr"
            )
    group = ET.SubElement(
        tree, "layer-tree-group", name="Rasters", checked="Qt::Checked", expanded="0"
    )
    for raster in _RASTERS:
        _tree_layer(group, raster.name, raster.title, f"./{raster.name}.tif", "gdal")


def write_project(
    path: Path, title: str, words: Sequence[str], layers: Sequence[Layer], moment: datetime
) -> Path:
    """Return the path of a QGIS project over ``landslides.gpkg`` and the rasters beside it.

    Args:
        path: where it goes, beside those files.
        title: of the project.
        words: headline and warnings, shown as its abstract.
        layers: those of the GeoPackage, ``landslides`` and ``area`` among them.
        moment: written instead of now.
    """
    drawn = [layer for layer in layers if any(style.layer == layer.name for style in STYLES)]
    area = next(layer for layer in layers if layer.name == "area")
    crs, package = code_of(area.frame.crs), "landslides.gpkg"
    root = ET.Element("qgis", projectname=title, version=_VERSION)
    ET.SubElement(root, "title").text = title
    metadata = ET.SubElement(root, "projectMetadata")
    ET.SubElement(metadata, "title").text = title
    ET.SubElement(metadata, "abstract").text = "\n".join(words)
    _crs(root, "projectCrs", crs)
    _tree(root, drawn, package)
    canvas = ET.SubElement(root, "mapcanvas", name="theMapCanvas", annotationsVisible="1")
    ET.SubElement(canvas, "units").text = "meters"
    extent = ET.SubElement(canvas, "extent")
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), area.frame.total_bounds, strict=True):
        ET.SubElement(extent, name).text = f"{value:.2f}"
    _crs(canvas, "destinationsrs", crs)
    held = ET.SubElement(root, "projectlayers")
    for layer in drawn:
        _vector(held, layer, package)
    for raster in _RASTERS:
        _raster(held, raster, crs)
    properties = ET.SubElement(root, "properties")
    paths = ET.SubElement(properties, "Paths")
    ET.SubElement(paths, "Absolute", type="bool").text = "false"
    system = ET.SubElement(properties, "SpatialRefSys")
    ET.SubElement(system, "ProjectionsEnabled", type="int").text = "1"
    text = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ET.tostring(
        root, encoding="unicode"
    )
    return write_zip(path, {path.with_suffix(".qgs").name: text}, moment)
