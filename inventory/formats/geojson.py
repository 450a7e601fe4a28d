"""``landslides.geojson``: the inventory for the web (RFC 7946), written feature by feature."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from configs.area import WGS84
from configs.files import replacing
from inventory.formats.layers import Layer
from inventory.outline.outline import code_of

_DIGITS = 6
"""Decimals of a degree: a tenth of a metre, as RFC 7946 (section 11.2) advises."""


def outline_wgs84(polygon: BaseGeometry) -> tuple[BaseGeometry, list[float]]:
    """Return (geometry, bbox) within ±180 degrees; what crosses the antimeridian is cut there (RFC
    7946, 3.1.9, 5.2).

    A dozen lines instead of the package `antimeridian`: shapes of one UTM zone cross it once, with
    longitudes that run on beyond ±180.
    """
    west, south, east, north = polygon.bounds
    if east <= 180 and west >= -180:
        return polygon, [west, south, east, north]
    if west >= 180 or east <= -180:
        shift = -360.0 if west >= 180 else 360.0
        return _shifted(polygon, shift), [west + shift, south, east + shift, north]
    middle = 180.0 if east > 180 else -180.0
    # Both sides by intersection: a difference leaves slivers along edges that the cut has bent by a
    # rounding.
    inner = shapely.intersection(polygon, shapely.box(-180, -90, 180, 90))
    beyond = sorted((middle, 3 * middle))
    moved = _shifted(
        shapely.intersection(polygon, shapely.box(beyond[0], -90, beyond[1], 90)), -2 * middle
    )
    parts = [
        part
        for part in (*shapely.get_parts(inner), *shapely.get_parts(moved))
        if part.geom_type == "Polygon"
    ]
    lons = (west, east - 360) if east > 180 else (west + 360, east)
    return shapely.MultiPolygon(parts), [lons[0], south, lons[1], north]


def _shifted(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    moved: BaseGeometry = shapely.transform(geometry, lambda xy: xy + np.array([degrees, 0.0]))
    return moved


def in_lonlat(polygons: NDArray[Any], crs: str) -> NDArray[Any]:
    """Return MultiPolygons in WGS 84: cut at the antimeridian, shells counter-clockwise (RFC 7946,
    3.1.6), six decimals.

    Args:
        polygons: `(n,)` Polygons or MultiPolygons in `crs`; empty ones stay empty.
        crs: a projected system whose shapes are at most half the Earth wide.
    """
    to_wgs84 = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    xy = shapely.get_coordinates(polygons)
    lon, lat = (np.asarray(each) for each in to_wgs84.transform(xy[:, 0], xy[:, 1]))
    if len(lon):  # one piece on either side of the antimeridian, until it is cut
        lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    moved = shapely.set_coordinates(
        polygons.copy(), np.column_stack([np.round(lon, _DIGITS), np.round(lat, _DIGITS)])
    )
    return np.array([_proper(each) for each in moved], dtype=object)


def _proper(polygon: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = polygon.bounds
    if east > 180 or west < -180:
        polygon = outline_wgs84(polygon)[0]
    if not polygon.is_valid:  # rounding may close the gap of a very thin shape
        polygon = shapely.make_valid(polygon)
    parts = [
        part
        for part in shapely.get_parts(polygon)
        if part.geom_type == "Polygon" and not part.is_empty
    ]
    proper: BaseGeometry = shapely.orient_polygons(shapely.MultiPolygon(parts), exterior_cw=False)
    return proper


def bbox_of(polygons: NDArray[Any]) -> list[float] | None:
    """Return [west, south, east, north] of shapes from `in_lonlat`, west > east across the
    antimeridian; None without any.
    """
    full = polygons[~shapely.is_empty(polygons)] if len(polygons) else polygons
    if not len(full):
        return None
    parts = shapely.bounds(shapely.get_parts(full))
    south, north = float(parts[:, 1].min()), float(parts[:, 3].max())
    west, east = float(parts[:, 0].min()), float(parts[:, 2].max())
    if east - west > 180:
        eastern, western = parts[parts[:, 0] >= 0], parts[parts[:, 0] < 0]
        west, east = float(eastern[:, 0].min()), float(western[:, 2].max())
    return [west, south, east, north]


def _plain_value(value: Any) -> Any:
    """Return a field's value as JSON knows it: dates as ISO 8601 text, unknown numbers and dates as
    null.
    """
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def properties(layer: Layer) -> list[dict[str, Any]]:
    """Return the fields of a layer's rows as JSON types."""
    names = [field.name for field in layer.fields]
    rows = layer.frame[names].astype(object).itertuples(index=False, name=None)
    return [
        {name: _plain_value(value) for name, value in zip(names, row, strict=True)} for row in rows
    ]


def write_geojson(path: Path, layer: Layer, metadata: dict[str, Any]) -> Path:
    """Return the path of a feature collection, written whole or not at all.

    Args:
        path: where it goes.
        layer: polygons in any projected CRS.
        metadata: what the collection says of itself, a foreign member (RFC 7946, section 6.1).
    """
    shapes = in_lonlat(layer.frame.geometry.to_numpy(), code_of(layer.frame.crs))
    bbox = bbox_of(shapes)
    head = {"type": "FeatureCollection", "name": layer.name, "coslide": metadata} | (
        {"bbox": bbox} if bbox else {}
    )
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, ensure_ascii=False, allow_nan=False)[:-1] + ', "features": [')
        for number, (shape, fields) in enumerate(zip(shapes, properties(layer), strict=True)):
            feature = {
                "type": "Feature",
                "id": fields["id"],
                "geometry": shapely.geometry.mapping(shape),
            }
            text = json.dumps(feature | {"properties": fields}, ensure_ascii=False, allow_nan=False)
            file.write((",\n" if number else "\n") + text)
        file.write("\n]}\n")
    return path
