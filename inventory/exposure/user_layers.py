"""The user's own layers, read piece by piece: roads, buildings, people. Any CRS; checked before a
run begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from configs.area import Area
from configs.errors import RequestError
from configs.product import AffectedConfig
from configs.vectors import UNREADABLE, Layer, layer_name
from inventory.formats.geojson import in_lonlat

Floats = NDArray[np.float64]
_Box = tuple[float, float, float, float]

NAMES = ("name", "ref", "road_name", "street")
KINDS = ("highway", "fclass", "class", "type", "building")
"""Fields that name a feature, and say its kind, in the order they are looked for (OpenStreetMap's
and Geofabrik's first).
"""
_MOST_CELLS = 200_000
"""Cells of a population raster that are looked at together."""


def _boxes(bounds: _Box, source: str, target: str) -> list[_Box]:
    """Return bounds in another CRS; two boxes where they cross the antimeridian of a geographic
    one.
    """
    there = pyproj.Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds)
    west, south, east, north = (float(n) for n in there)
    if west > east:
        return [(west, south, 180.0, north), (-180.0, south, east, north)]
    return [(west, south, east, north)]


def _area_boxes(area: Area, crs: str) -> list[_Box]:
    west, south, east, north = area.projected().bounds
    return _boxes((west, south, east, north), area.crs, crs)


def _meet(a: _Box, b: _Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


@dataclass(frozen=True)
class Features:
    """A vector layer of the user's."""

    what: str
    """``roads`` or ``buildings``."""
    layer: Layer
    name: str
    crs: str
    fields: dict[str, str]
    """Our ``name`` and ``kind`` → the layer's own field."""

    @classmethod
    def open(cls, text: str, what: str, geometries: tuple[str, ...]) -> Features:
        """Return a layer, checked.

        Raises:
            RequestError: unreadable, no such layer, without a CRS, or of other geometries.
        """
        layer = Layer.parse(text)
        try:
            name = layer_name(layer)
            info = pyogrio.read_info(layer.file, layer=name)
        except RequestError as error:
            raise RequestError(f"affected.{what}: {error.message}", error.remedy) from error
        except UNREADABLE as error:
            raise RequestError(
                f"affected.{what}: cannot read {layer}: {error}", "Export it again."
            ) from error
        kind = (
            str(info["geometry_type"] or "None")
            .removesuffix(" Z")
            .removeprefix("2.5D ")
            .removeprefix("Multi")
        )
        if kind not in (*geometries, "Unknown", "GeometryCollection"):
            wanted = " or ".join(geometries)
            raise RequestError(
                f"affected.{what}: {layer} holds {kind}, not {wanted}",
                "Name the right layer, FILE:LAYER.",
            )
        if not info["crs"]:
            raise RequestError(
                f"affected.{what}: {layer} does not say its coordinate system",
                "Assign one, e.g. `ogr2ogr -a_srs EPSG:4326 out.gpkg in`.",
            )
        own = {str(field).lower(): str(field) for field in info["fields"]}
        fields = {
            ours: next((own[each] for each in names if each in own), "")
            for ours, names in (("name", NAMES), ("kind", KINDS))
        }
        return cls(
            what,
            layer,
            name,
            str(info["crs"]),
            {ours: theirs for ours, theirs in fields.items() if theirs},
        )

    def lies_in(self, area: Area) -> bool:
        """Return whether the layer reaches into the area."""
        info = pyogrio.read_info(self.layer.file, layer=self.name, force_total_bounds=True)
        total = info["total_bounds"]
        return total is not None and any(
            _meet(tuple(total), box) for box in _area_boxes(area, self.crs)
        )

    def near(self, bounds: _Box, crs: str) -> gpd.GeoDataFrame:
        """Return the valid features that meet bounds, in `crs`: `fid`, `name`, `kind`, geometry."""
        parts = [
            pyogrio.read_dataframe(
                self.layer.file,
                layer=self.name,
                columns=list(set(self.fields.values())),
                bbox=box,
                fid_as_index=True,
            )
            for box in _boxes(bounds, crs, self.crs)
        ]
        frames = []
        for part in parts:
            part = part[~(part.geometry.isna() | part.geometry.is_empty)]
            texts = {
                ours: part[self.fields[ours]].astype("string").fillna("")
                if ours in self.fields
                else ""
                for ours in ("name", "kind")
            }
            moved = part.geometry.force_2d().to_crs(crs).to_numpy()
            frames.append(gpd.GeoDataFrame({"fid": part.index, **texts}, geometry=moved, crs=crs))
        found = frames[0] if len(frames) == 1 else gpd.GeoDataFrame(pd.concat(frames), crs=crs)
        found = found.drop_duplicates("fid").reset_index(drop=True)
        return found.set_geometry(found.geometry.make_valid())


@dataclass(frozen=True)
class People:
    """A population raster of the user's: people per cell."""

    path: Path
    crs: str
    bounds: _Box

    @classmethod
    def open(cls, text: str) -> People:
        """Return the raster, checked.

        Raises:
            RequestError: no raster, without a CRS, turned, or of several bands.
        """
        path, what = Path(text), "affected.population"
        if not path.is_file():
            raise RequestError(f"{what}: no such file: {path}", "Check the path.")
        try:
            with rasterio.open(path, driver="GTiff") as file:
                if file.crs is None:
                    raise RequestError(
                        f"{what}: {path} does not say its coordinate system",
                        "Assign one with `gdal_edit.py -a_srs`.",
                    )
                if file.transform.b or file.transform.d or file.count != 1:
                    raise RequestError(
                        f"{what}: {path} is turned, or has {file.count} bands",
                        "Warp it north up, one band of people.",
                    )
                return cls(path, file.crs.to_wkt(), tuple(file.bounds))
        except rasterio.errors.RasterioError as error:
            raise RequestError(f"{what}: cannot read {path}: {error}", "Give a GeoTIFF.") from error

    def lies_in(self, area: Area) -> bool:
        """Return whether the raster reaches into the area."""
        return any(_meet(self.bounds, box) for box in _area_boxes(area, self.crs))

    @cached_property
    def _geographic(self) -> bool:
        return bool(pyproj.CRS(self.crs).is_geographic)

    def within(self, polygons: NDArray[Any], crs: str) -> Floats:
        """Return the people within polygons: cells by the share of them that is covered; NaN off
        the raster.

        Cells without data count as empty: population rasters leave out what nobody lives in.
        """
        if self._geographic:
            there = in_lonlat(polygons, crs)
        else:
            to_raster = pyproj.Transformer.from_crs(crs, self.crs, always_xy=True)
            there = shapely.transform(
                polygons, lambda xy: np.column_stack(to_raster.transform(xy[:, 0], xy[:, 1]))
            )
        with rasterio.open(self.path) as file:
            return np.array(
                [
                    sum((_people(file, part) for part in shapely.get_parts(each)), 0.0)
                    for each in there
                ]
            )


def _people(file: Any, polygon: Any) -> float:
    """Return the people within a polygon in the raster's CRS."""
    affine, (west, south, east, north) = file.transform, polygon.bounds
    columns, rows = (
        (np.array([west, east]) - affine.c) / affine.a,
        (np.array([north, south]) - affine.f) / affine.e,
    )
    left, right = max(0, int(np.floor(columns.min()))), min(file.width, int(np.ceil(columns.max())))
    top, bottom = max(0, int(np.floor(rows.min()))), min(file.height, int(np.ceil(rows.max())))
    if left >= right or top >= bottom:
        return float("nan")
    shapely.prepare(polygon)
    total, at_once = 0.0, max(1, _MOST_CELLS // (right - left))
    for first in range(top, bottom, at_once):
        last = min(first + at_once, bottom)
        count = (
            file.read(1, window=Window(left, first, right - left, last - first), masked=True)
            .astype(float)
            .filled(0.0)
        )
        count = np.where(np.isfinite(count) & (count > 0), count, 0.0)
        y, x = np.nonzero(count)
        x0, y0 = affine.c + (left + x) * affine.a, affine.f + (first + y) * affine.e
        cells = shapely.box(x0, y0, x0 + affine.a, y0 + affine.e)
        total += float(
            (count[y, x] * shapely.area(shapely.intersection(cells, polygon))).sum()
            / abs(affine.a * affine.e)
        )
    return total


@dataclass(frozen=True)
class UserLayers:
    """What the user gave; None where they gave nothing."""

    roads: Features | None
    buildings: Features | None
    people: People | None

    @classmethod
    def open(cls, config: AffectedConfig) -> UserLayers:
        """Return the user's layers, checked.

        Raises:
            RequestError: one of them cannot be used.
        """
        return cls(
            Features.open(config.roads, "roads", ("LineString",)) if config.roads else None,
            Features.open(config.buildings, "buildings", ("Polygon", "Point"))
            if config.buildings
            else None,
            People.open(config.population) if config.population else None,
        )

    def in_area(self, area: Area) -> tuple[UserLayers, tuple[str, ...]]:
        """Return only what reaches into the area, and a warning for each that does not: silence is
        not "none affected".
        """
        there = {
            name: each
            for name in ("roads", "buildings", "people")
            if (each := getattr(self, name)) is not None
        }
        elsewhere = [name for name, each in there.items() if not each.lies_in(area)]
        warnings = tuple(
            f"the given layer of {name} lies elsewhere: nothing is said about {name}"
            for name in elsewhere
        )
        kept = {
            name: None if name in elsewhere else there.get(name)
            for name in ("roads", "buildings", "people")
        }
        return UserLayers(kept["roads"], kept["buildings"], kept["people"]), warnings
