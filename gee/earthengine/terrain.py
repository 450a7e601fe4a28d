"""Elevation on its native grid, and permanent water. Slope and its like are never asked of the
service.

`ee.Terrain` differentiates in the output's projection: asked for at 10 m on a 30 m model it shows
stair-steps. Heights are pulled on the model's own grid with a margin; `gee.derive` does the rest,
as for every other source.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import ee
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

from configs.area import Area
from configs.errors import NothingToSeeError
from gee.earthengine import assets
from gee.earthengine.failures import Damaged
from gee.earthengine.layers import cast
from gee.earthengine.scenes import region_of
from gee.source import Elevation

HEIGHT, KNOWN = "height", "known"
VOID_M = -32768
OCCURRENCE = "occurrence"


def listing(dem: str, area: Area) -> Any:
    """Return the question on which grid an elevation model lies here: one feature, or none where it
    has nothing.
    """
    model = assets.DEMS[dem]
    tiles = (
        ee.ImageCollection(model.asset)
        if model.is_collection
        else ee.ImageCollection([ee.Image(model.asset)])
    )

    def describe(tile: Any) -> Any:
        projection = ee.Image(tile).select([model.band]).projection()
        return ee.Feature(None, {"crs": projection.crs(), "transform": projection.transform()})

    return ee.FeatureCollection(tiles.filterBounds(region_of(area)).limit(1).map(describe))


def read_listing(answer: Mapping[str, Any], dem: str) -> dict[str, Any]:
    """Return the native grid as JSON: CRS and affine coefficients of the model's lattice.

    Raises:
        NothingToSeeError: the model has no tile here.
    """
    if not answer["features"]:
        raise NothingToSeeError(
            f"the elevation model {dem} has nothing here: open sea, or beyond its latitudes",
            "Choose another place, or another model: `source.earthengine.dem: glo30`.",
        )
    grid = answer["features"][0]["properties"]
    return {"dem": dem, "crs": grid["crs"], "transform": list(_affine(grid["transform"]))[:6]}


def _affine(transform: str | list[float]) -> Affine:
    """Return a projection's transform, which the service sends as WKT (``PARAM_MT``) or as six
    numbers.
    """
    if not isinstance(transform, str):
        return Affine(*transform[:6])
    entries = {}
    for piece in transform.split("PARAMETER[")[1:]:
        name, value = piece.split("]")[0].split(",")
        entries[name.strip().strip('"')] = float(value)
    return Affine(
        entries.get("elt_0_0", 1.0),
        entries.get("elt_0_1", 0.0),
        entries.get("elt_0_2", 0.0),
        entries.get("elt_1_0", 0.0),
        entries.get("elt_1_1", 1.0),
        entries.get("elt_1_2", 0.0),
    )


def image(dem: str) -> tuple[Any, dict[str, str]]:
    """Return (heights and a never-zero mask as `ee.Image`, their types)."""
    model = assets.DEMS[dem]
    raw = ee.ImageCollection(model.asset).mosaic() if model.is_collection else ee.Image(model.asset)
    height = raw.select([model.band])
    dtype = "int16" if model.whole_metres else "float32"
    known = height.mask().gt(0).unmask(0, False).add(1)  # 1 void, 2 known
    both = ee.Image.cat([cast(height, dtype, VOID_M), cast(known, "uint8", 1)]).rename(
        [HEIGHT, KNOWN]
    )
    return both, {HEIGHT: dtype, KNOWN: "uint8"}


def within_turn(grid: GeoBox) -> list[tuple[slice, GeoBox]]:
    """Return a geographic grid's parts between -180 and 180 degrees: (columns, grid) each, moved
    there.
    """
    if not CRS.from_user_input(str(grid.crs)).is_geographic:
        return [(slice(0, int(grid.shape[1])), grid)]
    parts = []
    affine, width = grid.affine, int(grid.shape[1])
    edges = sorted({0, width, *(round((180 * k - affine.c) / affine.a) for k in (-3, -1, 1, 3))})
    for left, right in pairwise(edges):
        if left < 0 or right > width:
            continue
        middle = affine.c + affine.a * (left + right) / 2
        turns = round(middle / 360)
        part = affine @ Affine.translation(left, 0)
        moved = Affine(part.a, part.b, part.c - 360 * turns, part.d, part.e, part.f)
        parts.append(
            (slice(left, right), GeoBox((int(grid.shape[0]), right - left), moved, grid.crs))
        )
    return parts


def check(layers: Mapping[str, Any]) -> None:
    """Make sure that every pixel says whether its height is known.

    Raises:
        Damaged: part of them arrived as zeros.
    """
    if not layers[KNOWN].all():
        raise Damaged("part of the block arrived as zeros")


def read(layers: Mapping[str, Any], grid: GeoBox) -> Elevation:
    """Return pulled heights, voids as NaN."""
    values = np.where(layers[KNOWN] == 2, layers[HEIGHT], np.nan).astype(np.float32)
    return Elevation(values, grid)


def occurrence() -> Any:
    """Return how often water was seen, percent 0-100, 0 where never, as `ee.Image`."""
    return cast(ee.Image(assets.WATER).select([OCCURRENCE]), "uint8", 0)
