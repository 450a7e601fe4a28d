"""From vector truth to a label raster: 1 landslide, 0 none, 255 not known. The pixel-centre rule
decides.

A pixel belongs to a polygon when its centre does (GDAL's polygon rule), so areas are unbiased and a
raster cut in strips is labelled exactly as the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from configs.errors import RequestError
from configs.records import IGNORED
from configs.vectors import Layer, in_crs, read_vector


def read_layer(layer: Layer, crs: Any, *, may_be_empty: bool = False) -> gpd.GeoDataFrame:
    """Return a layer's polygons, valid, in the coordinate system `crs`.

    Raises:
        RequestError: no such file or layer, not a vector file, no coordinate system, or no polygon
            in it.
    """
    frame = read_vector(layer)
    found = sorted(set(frame.geom_type.dropna()))
    frame = frame[~(frame.geometry.is_empty | frame.geometry.isna())]
    frame = frame.set_geometry(frame.geometry.make_valid()).explode(index_parts=False)
    frame = frame[frame.geom_type == "Polygon"]
    if frame.empty and not may_be_empty:
        what = f"it has {', '.join(found)}" if found else "it is empty"
        condition = f" where {layer.where}" if layer.where else ""
        raise RequestError(
            f"{layer} has no polygon{condition}: {what}", "Name a layer of polygons, FILE:LAYER."
        )
    return in_crs(frame, crs, layer)


def covers(geobox: GeoBox, polygons: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """Return `(y, x)`: whether a pixel's centre lies in any of the polygons, which are in the
    grid's CRS.
    """
    shape = (int(geobox.shape[0]), int(geobox.shape[1]))
    west, south, east, north = geobox.boundingbox.bbox
    near = (
        polygons.geometry.iloc[polygons.sindex.intersection((west, south, east, north))]
        if len(polygons)
        else []
    )
    shapes = [(geometry, 1) for geometry in near if not geometry.is_empty]
    if not shapes:
        return np.zeros(shape, np.bool_)
    burnt = rasterize(
        shapes, out_shape=shape, transform=geobox.affine, fill=0, dtype=np.uint8, all_touched=False
    )
    return np.asarray(burnt, dtype=np.bool_)


def burn(
    geobox: GeoBox,
    landslides: gpd.GeoDataFrame,
    *,
    inside: gpd.GeoDataFrame | None = None,
    ignore: gpd.GeoDataFrame | None = None,
) -> NDArray[np.uint8]:
    """Return labels `(y, x)` uint8: 1 landslide, 0 none, 255 outside `inside` or within `ignore`.

    All polygons are in the grid's CRS; overlapping ones count once. `ignore` wins over landslides.
    """
    label = covers(geobox, landslides).astype(np.uint8)
    if inside is not None:
        label[~covers(geobox, inside)] = IGNORED
    if ignore is not None:
        label[covers(geobox, ignore)] = IGNORED
    return label


def truth(
    geobox: GeoBox,
    landslides: Sequence[Layer],
    *,
    inside: Layer | None = None,
    ignore: Sequence[Layer] = (),
) -> NDArray[np.uint8]:
    """Return the labels of a grid `(y, x)` from vector files, as `burn` does; several `landslides`
    layers are united.

    Raises:
        RequestError: a layer that cannot be read, or truth that lies elsewhere than the grid.
    """
    crs = geobox.crs
    united = _united([read_layer(layer, crs) for layer in landslides])
    extent = read_layer(inside, crs) if inside else None
    left_out = (
        _united([read_layer(layer, crs, may_be_empty=True) for layer in ignore]) if ignore else None
    )
    for where, frame in ((", ".join(map(str, landslides)), united), (str(inside), extent)):
        if frame is not None and not _meets(geobox, frame):
            raise RequestError(
                f"{where} lies outside the imagery: {_bounds(frame)} against "
                f"{_bounds(geobox)} in {crs}",
                "Check that the truth is of this event, and that its coordinate system is "
                "the right one.",
            )
    return burn(geobox, united, inside=extent, ignore=left_out)


def _united(frames: Sequence[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    geometry = [shape for frame in frames for shape in frame.geometry]
    return gpd.GeoDataFrame(geometry=geometry, crs=frames[0].crs)


def _meets(geobox: GeoBox, frame: gpd.GeoDataFrame) -> bool:
    west, south, east, north = geobox.boundingbox.bbox
    return bool(len(frame.sindex.intersection((west, south, east, north))))


def _bounds(of: gpd.GeoDataFrame | GeoBox) -> str:
    box = of.boundingbox.bbox if isinstance(of, GeoBox) else of.total_bounds
    return "(" + ", ".join(f"{value:.6g}" for value in box) + ")"
