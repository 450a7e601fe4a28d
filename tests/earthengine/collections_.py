"""Algorithms on collections, geometries and properties, and how results are written as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from shapely import box
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from earthengine.images import add_bands, select
from earthengine.loopback import Refused
from earthengine.pictures import Band, Grid, Image, inside

ELEMENTS = 5000


@dataclass(frozen=True)
class Feature:
    """A geometry with properties."""

    geometry: BaseGeometry | None
    properties: dict[str, Any]


class Features(list[Any]):
    """A list that stays a feature collection when it is empty."""


def filtered(collection: list[Any], filter: Callable[[Any], bool]) -> list[Any]:
    return type(collection)(one for one in collection if filter(one))


def _property(one: Any, name: str) -> Any:
    return one.properties.get(name)


def intersects(leftField: str, rightValue: Any, maxError: Any = None) -> Callable[[Any], bool]:
    geometry = rightValue.geometry if isinstance(rightValue, Feature) else rightValue
    return lambda one: one.footprint is not None and one.footprint.intersects(geometry)


def date_range(start: Any, end: Any = None) -> tuple[float, float]:
    def milliseconds(moment: Any) -> float:
        if isinstance(moment, (int, float)):
            return float(moment)
        return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000

    return milliseconds(start), milliseconds(end)


def date_range_contains(leftValue: tuple[float, float], rightField: str) -> Callable[[Any], bool]:
    first, after = leftValue
    return lambda one: first <= _property(one, rightField) < after


def array(collection: list[Any], property: str) -> list[Any]:
    if len(collection) > ELEMENTS:
        raise Refused(400, f"Collection query aborted after accumulating over {ELEMENTS} elements.")
    return [_property(one, property) for one in collection]


def link_collection(
    input: Image,
    imageCollection: list[Image],
    linkedBands: Any = None,
    linkedProperties: Any = None,
    matchPropertyName: str = "system:index",
) -> Image:
    """Return the image with the bands of its match; without one they are fully masked."""
    names = linkedBands if isinstance(linkedBands, list) else [linkedBands]
    key = _property(input, matchPropertyName)
    matches = [one for one in imageCollection if _property(one, matchPropertyName) == key]
    if matches:
        return add_bands(input, select(matches[0], names))
    native = input.bands[0].native

    def nothing(grid: Grid) -> Any:
        return np.zeros((grid.height, grid.width)), np.zeros((grid.height, grid.width))

    return input.with_bands(
        [*input.bands, *(Band(name, "float64", nothing, native) for name in names)]
    )


def set_property(object: Any, key: str, value: Any = None) -> Any:
    return replace(object, properties={**object.properties, key: value})


def geometry_of(feature: Any, maxError: Any = None, **_: Any) -> BaseGeometry:
    return feature.footprint if isinstance(feature, Image) else feature.geometry


def reduce_region(
    image: Image,
    reducer: str,
    geometry: BaseGeometry,
    scale: float | None = None,
    bestEffort: bool = False,
    maxPixels: float = 1e7,
    **_: Any,
) -> dict[str, Any]:
    """Return the mean of each band over the pixels whose centres lie in a geometry, weighted by the
    mask.
    """
    if reducer != "mean":
        raise Refused(400, f"Image.reduceRegion: the emulator knows no reducer {reducer}.")
    grid = _region_grid(image.bands[0].native.crs, geometry, float(scale or 1000))
    if grid.height * grid.width > maxPixels and not bestEffort:
        raise Refused(
            400,
            f"Image.reduceRegion: Too many pixels in the region. Found {grid.height * grid.width}.",
        )
    within = inside(grid, geometry)
    out: dict[str, Any] = {}
    for band in image.bands:
        values, mask = band.paint(grid)
        weight = np.where(within, mask, 0)
        out[band.name] = float((values * weight).sum() / weight.sum()) if weight.sum() > 0 else None
    return out


def _region_grid(crs: str, geometry: BaseGeometry, scale: float) -> Grid:
    crs = crs if pyproj.CRS(crs).is_projected else "EPSG:3857"
    to = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    west, south, east, north = to.transform_bounds(*geometry.bounds)
    left, top = math.floor(west / scale), math.ceil(north / scale)
    affine = Affine(scale, 0, left * scale, 0, -scale, top * scale)
    return Grid(crs, affine, top - math.floor(south / scale), math.ceil(east / scale) - left)


def projection_of(image: Image) -> Grid:
    natives = {(band.native.crs, band.native.affine) for band in image.bands}
    if len(natives) > 1:
        raise Refused(
            400,
            "Image.projection: The bands of the specified image do not all have the same "
            "projection.",
        )
    return image.bands[0].native


def transform_wkt(projection: Grid) -> str:
    names = ("elt_0_0", "elt_0_1", "elt_0_2", "elt_1_0", "elt_1_1", "elt_1_2")
    inner = ", \n  ".join(
        f'PARAMETER["{name}", {value!r}]'
        for name, value in zip(names, tuple(projection.affine)[:6], strict=True)
    )
    return (
        'PARAM_MT["Affine", \n  PARAMETER["num_row", 3.0], \n  PARAMETER["num_col", 3.0], '
        f"\n  {inner}]"
    )


def encode(value: Any) -> Any:
    """Return a result as the JSON of value:compute."""
    if isinstance(value, Feature):
        geometry = mapping(value.geometry) if value.geometry is not None else None
        return {"type": "Feature", "geometry": geometry, "properties": encode(value.properties)}
    if isinstance(value, list):
        items = [encode(one) for one in value]
        if isinstance(value, Features):
            if len(items) > ELEMENTS:
                raise Refused(
                    400, f"Collection query aborted after accumulating over {ELEMENTS} elements."
                )
            return {"type": "FeatureCollection", "columns": {}, "features": items}
        return items
    if isinstance(value, dict):
        return {name: encode(one) for name, one in value.items()}
    return value


def mapped(
    collection: list[Any], baseAlgorithm: Callable[[Any], Any], dropNulls: bool = False
) -> list[Any]:
    return Features(baseAlgorithm(one) for one in collection)


def rectangle(coordinates: Any) -> BaseGeometry:
    """Return a box from its corners."""
    corners = np.reshape(coordinates, (-1, 2))
    return box(*corners.min(axis=0), *corners.max(axis=0))


def _polygon(coordinates: Any, crs: Any = None, geodesic: bool = False, **_: Any) -> BaseGeometry:
    return shape({"type": "Polygon", "coordinates": coordinates})


def _multi_polygon(
    coordinates: Any, crs: Any = None, geodesic: bool = False, **_: Any
) -> BaseGeometry:
    return shape({"type": "MultiPolygon", "coordinates": coordinates})


ALGORITHMS: dict[str, Callable[..., Any]] = {
    "Collection.filter": filtered,
    "Collection.map": mapped,
    "Collection.limit": lambda collection, limit: type(collection)(collection[: int(limit)]),
    "ImageCollection.fromImages": lambda images: list(images),
    "AggregateFeatureCollection.array": array,
    "Filter.intersects": intersects,
    "Filter.dateRangeContains": date_range_contains,
    "Filter.equals": lambda leftField, rightValue: (
        lambda one: _property(one, leftField) == rightValue
    ),
    "Filter.listContains": lambda leftField, rightValue: (
        lambda one: rightValue in (_property(one, leftField) or [])
    ),
    "DateRange": date_range,
    "Dictionary.get": lambda dictionary, key: dictionary.get(key),
    "Element.get": lambda object, property: _property(object, property),
    "Element.set": set_property,
    "ErrorMargin": lambda value, unit="meters": value,
    "Feature": lambda geometry=None, metadata=None: Feature(geometry, metadata or {}),
    "GeometryConstructors.Point": lambda coordinates, crs=None: shape(
        {"type": "Point", "coordinates": coordinates}
    ),
    "GeometryConstructors.Polygon": _polygon,
    "GeometryConstructors.MultiPolygon": _multi_polygon,
    "Image.geometry": geometry_of,
    "Image.linkCollection": link_collection,
    "Image.projection": projection_of,
    "Image.reduceRegion": reduce_region,
    "Number.add": lambda left, right: left + right,
    "Projection": lambda crs: Grid(crs, Affine.identity()),
    "Projection.crs": lambda projection: projection.crs,
    "Projection.transform": transform_wkt,
}
