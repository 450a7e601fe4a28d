"""``landslides.geojson``: the inventory for the web (RFC 7946), written feature by feature."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import shapely

from configs.files import replacing
from inventory.layers import Layer
from inventory.lonlat import bbox_of, in_lonlat
from inventory.outline import code_of


def plain_value(value: Any) -> Any:
    """Return a field's value as JSON knows it: dates as ISO 8601 text, unknown numbers and dates as null."""
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
    return [{name: plain_value(value) for name, value in zip(names, row, strict=True)} for row in rows]


def write_geojson(path: Path, layer: Layer, told: dict[str, Any]) -> Path:
    """Return the path of a feature collection, written whole or not at all.

    Args:
        path: where it goes.
        layer: polygons in any projected CRS.
        told: what the collection says of itself, a foreign member (RFC 7946, section 6.1).
    """
    shapes = in_lonlat(layer.frame.geometry.to_numpy(), code_of(layer.frame.crs))
    bbox = bbox_of(shapes)
    head = {"type": "FeatureCollection", "name": layer.name, "coslide": told} | ({"bbox": bbox} if bbox else {})
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, ensure_ascii=False, allow_nan=False)[:-1] + ', "features": [')
        for number, (shape, fields) in enumerate(zip(shapes, properties(layer), strict=True)):
            feature = {"type": "Feature", "id": fields["id"], "geometry": shapely.geometry.mapping(shape)}
            text = json.dumps(feature | {"properties": fields}, ensure_ascii=False, allow_nan=False)
            file.write((",\n" if number else "\n") + text)
        file.write("\n]}\n")
    return path
