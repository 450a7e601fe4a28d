"""Land, lakes, borders and places of the whole Earth, for orientation: coarse, packaged, offline.

Natural Earth 1:10m (public domain) and GeoNames (CC BY 4.0), made small by
`benchmarks/make_basemap.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

PATH = Path(__file__).parent / "data" / "earth.npz"
UNITS_PER_DEGREE = 1000
CREDIT = "Natural Earth (public domain); GeoNames (CC BY 4.0)"

Bounds = tuple[float, float, float, float]


class Place(NamedTuple):
    """A place with a name."""

    name: str
    lon: float
    lat: float
    people: int


@cache
def _content() -> dict[str, NDArray[Any]]:
    with np.load(PATH) as file:
        return dict(file)


@cache
def _shapes(name: str) -> shapely.STRtree:
    content = _content()
    kind = shapely.GeometryType(int(content[f"{name}_kind"]))
    xy = content[f"{name}_steps"].T.cumsum(axis=0) / UNITS_PER_DEGREE
    levels = sorted(key for key in content if key.startswith(f"{name}_offsets"))
    offsets = tuple(content[key] for key in levels)
    return shapely.STRtree(shapely.from_ragged_array(kind, xy, offsets))


def shapes(name: str, bounds: Bounds) -> NDArray[Any]:
    """Return ``land``, ``lakes`` or ``borders`` inside bounds (west, south, east, north; WGS 84).

    Bounds may run beyond ±180 degrees; what is found is moved there.
    """
    west, south, east, north = bounds
    found = []
    for turn in (-360.0, 0.0, 360.0):
        inside = shapely.box(west - turn, max(south, -90.0), east - turn, min(north, 90.0))
        near = _shapes(name).geometries[np.sort(_shapes(name).query(inside))]
        near = np.where(shapely.is_valid(near), near, shapely.make_valid(near))
        cut = shapely.clip_by_rect(near, *inside.bounds) if len(near) else near
        cut = cut[~shapely.is_empty(cut)]
        if len(cut):
            found.append(shapely.transform(cut, _turned(turn)))
    return np.concatenate(found) if found else np.empty(0, dtype=object)


def _turned(degrees: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda xy: xy + np.array([degrees, 0.0])


def places(bounds: Bounds, most: int) -> list[Place]:
    """Return the `most` most populous places inside bounds, the largest first."""
    west, south, east, north = bounds
    content = _content()
    where = content["places"] / UNITS_PER_DEGREE
    lon = west + (where[:, 0] - west) % 360
    inside = np.flatnonzero((lon <= east) & (where[:, 1] >= south) & (where[:, 1] <= north))[:most]
    names = _names()
    return [
        Place(names[n], float(lon[n]), float(where[n, 1]), int(content["people"][n]))
        for n in inside.tolist()
    ]


@cache
def _names() -> list[str]:
    return _content()["names"].tobytes().decode("utf-8").split("\n")
