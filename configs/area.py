"""Where we look: an area in WGS 84, and the metric grid it is mapped on.

Longitudes of an area may exceed ±180 where it crosses the antimeridian (179 … 181), so that its
polygon stays in one piece; UTM does not mind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely import (
    GEOSException,
    affinity,
    box,
    from_wkt,
    make_valid,
    ops,
    segmentize,
    to_wkt,
    transform,
)
from shapely.geometry import Point, shape
from shapely.geometry.base import BaseGeometry

from configs.errors import RequestError
from configs.vectors import Layer, in_crs, read_vector

_MOST_LONGITUDE = 720
"""Outlines over the antimeridian go on beyond 180."""
WGS84 = "EPSG:4326"
_LARGEST_RADIUS_KM = 500.0


@dataclass(frozen=True)
class Area:
    """A polygon in WGS 84 (lon, lat), and how it was found."""

    polygon: BaseGeometry
    origin: str
    """Where the outline comes from, for people: "radius 12 km", "ShakeMap MMI >= 6", a file's
    name.
    """
    context_m: float = 0.0
    """Ground beyond the outline that is pulled so that no tile is cut, and never mapped, metres."""

    @property
    def centre(self) -> tuple[float, float]:
        """Return (lon, lat) of the middle of the bounds; lon in [-180, 180)."""
        west, south, east, north = self.polygon.bounds
        return wrap((west + east) / 2), (south + north) / 2

    @property
    def crs(self) -> str:
        """Return the UTM zone (polar stereographic beyond 84°N / 80°S) the area is mapped in, as
        ``EPSG:n``.
        """
        return utm_crs(*self.centre)

    def projected(self, crs: str | None = None) -> BaseGeometry:
        """Return the outline in a metric CRS (default: the area's own), edges densified to 0.05
        degrees first.
        """
        to_crs = pyproj.Transformer.from_crs(WGS84, crs or self.crs, always_xy=True)
        outline: BaseGeometry = transform(
            segmentize(self.polygon, 0.05),
            lambda xy: np.column_stack(to_crs.transform(xy[:, 0], xy[:, 1])),
        )
        return outline

    def pulled(self, crs: str) -> BaseGeometry:
        """Return the outline with the context around it, in a metric CRS."""
        outline = self.projected(crs)
        if not self.context_m:
            return outline
        wider: BaseGeometry = outline.buffer(self.context_m, join_style="mitre")
        return wider

    def geobox(self, resolution_m: float) -> GeoBox:
        """Return the grid that covers the area: UTM, pixel edges on whole multiples of the
        resolution, rows north to south.
        """
        west, south, east, north = self.projected().bounds
        left, top = math.floor(west / resolution_m), math.ceil(north / resolution_m)
        width = max(1, math.ceil(east / resolution_m) - left)
        height = max(1, top - math.floor(south / resolution_m))
        affine = Affine(resolution_m, 0, left * resolution_m, 0, -resolution_m, top * resolution_m)
        return GeoBox((height, width), affine, self.crs)

    def mask(self, geobox: GeoBox) -> NDArray[np.bool_]:
        """Return which pixels of a grid have their centre in the area, `(y, x)`."""
        burnt = rasterize(
            [self.projected(str(geobox.crs))],
            out_shape=tuple(geobox.shape),
            transform=geobox.affine,
            dtype="uint8",
        )
        return np.asarray(burnt, dtype=bool)

    @property
    def km2(self) -> float:
        """Return the geodesic area in square kilometres; edges run along the map, as they are
        drawn, not the shortest way.
        """
        west, _, east, _ = self.polygon.bounds
        parts = [self.polygon]
        if east - west > 180:  # a ring around the Earth has an inside on either side
            starts = np.arange(west, east, 90)
            parts = [self.polygon.intersection(box(at, -90, at + 90, 90)) for at in starts]
        geod = pyproj.Geod(ellps="WGS84")
        drawn = (segmentize(part, 1.0) for part in parts)
        return sum(abs(geod.geometry_area_perimeter(part)[0]) for part in drawn) / 1e6

    def as_plain(self) -> dict[str, Any]:
        """Return the area as plain types for the run file."""
        plain = {
            "origin": self.origin,
            "wkt": to_wkt(self.polygon, rounding_precision=7, trim=True),
        }
        return plain | ({"context_m": self.context_m} if self.context_m else {})

    @staticmethod
    def from_plain(content: dict[str, Any]) -> Area:
        """Return the area that `as_plain` described."""
        try:
            context_m = float(content.get("context_m", 0))
            outline = from_wkt(content["wkt"])
            _check_degrees(np.array(outline.bounds), "area")
            return Area(outline, str(content["origin"]), context_m)
        except (KeyError, TypeError, ValueError, GEOSException) as error:
            raise RequestError(
                f"area: not an outline: {error}", "Write `origin` and `wkt` (WGS 84, lon lat)."
            ) from error


def wrap(longitude: float) -> float:
    """Return a longitude in [-180, 180)."""
    wrapped = (longitude + 180) % 360 - 180
    return (
        wrapped if wrapped < 180 else -180.0
    )  # the remainder of a tiny negative number rounds up to 360


def utm_crs(longitude: float, latitude: float) -> str:
    """Return the UTM zone of a point as ``EPSG:326zz`` (north) or ``EPSG:327zz`` (south).

    Beyond UTM's own limits (84°N, 80°S) the polar stereographic of the hemisphere (EPSG:3413 /
    EPSG:3031).
    """
    if latitude > 84:
        return "EPSG:3413"
    if latitude < -80:
        return "EPSG:3031"
    zone = int((wrap(longitude) + 180) // 6) + 1
    return f"EPSG:{32600 + zone if latitude >= 0 else 32700 + zone}"


def _circle(longitude: float, latitude: float, radius_m: float) -> BaseGeometry:
    """Return a geodesic circle around a point, in WGS 84, unwrapped around its centre."""
    if (
        pyproj.Geod(ellps="WGS84").line_length(
            [longitude] * 2, [latitude, math.copysign(90, latitude)]
        )
        <= radius_m
    ):
        raise RequestError(
            f"the circle of {radius_m / 1000:g} km around {latitude:g}, {longitude:g} holds a pole",
            "Check --epicentre LAT,LON, or give a smaller --radius-km.",
        )
    azimuths = np.linspace(0, 360, 180, endpoint=False)
    lon, lat, _ = pyproj.Geod(ellps="WGS84").fwd(
        np.full(180, longitude), np.full(180, latitude), azimuths, np.full(180, radius_m)
    )
    lon = longitude + (np.asarray(lon) - longitude + 180) % 360 - 180
    return shape({"type": "Polygon", "coordinates": [list(zip(lon, np.asarray(lat), strict=True))]})


def around(latitude: float, longitude: float, radius_km: float) -> Area:
    """Return the area within `radius_km` of a point.

    Raises:
        RequestError: a radius that is not positive or larger than 500 km, or a circle that holds a
            pole.
    """
    if not 0 < radius_km <= _LARGEST_RADIUS_KM:
        raise RequestError(
            f"--radius-km: {radius_km:g} is not between 0 and {_LARGEST_RADIUS_KM:g}",
            "Give a radius in kilometres, e.g. --radius-km 20.",
        )
    return Area(_circle(longitude, latitude, radius_km * 1000), f"radius {radius_km:g} km")


def radius_of(magnitude: float) -> float:
    """Return the radius in km of a circle as large as the area that an earthquake of this magnitude
    can affect.

    Keefer & Wilson (1989), quoted by Malamud et al. (2004): log10 A[km²] = M − 3.46 ± 0.47; clipped
    to 3-200 km.
    """
    return float(np.clip(math.sqrt(10 ** (magnitude - 3.46) / math.pi), 3, 200))


def from_magnitude(latitude: float, longitude: float, magnitude: float) -> Area:
    """Return the circle around the epicentre that an earthquake of this magnitude can affect
    (`radius_of`).
    """
    radius_km = radius_of(magnitude)
    return Area(
        _circle(longitude, latitude, radius_km * 1000),
        f"magnitude {magnitude:g}: radius {radius_km:.1f} km (Keefer & Wilson 1989)",
    )


def from_bounds(text: str) -> Area:
    """Return the area ``W,S,E,N`` in degrees; W > E crosses the antimeridian.

    Raises:
        RequestError: not four numbers, out of range, or empty.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(
            f"--area: `{text}` is not W,S,E,N", "Give four numbers in degrees, or a vector file."
        ) from None
    if (
        not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90)
        or west == east
    ):
        raise RequestError(
            f"--area: {text} is no area on Earth",
            "Write W,S,E,N, longitude first: W and E within ±180, S < N within ±90.",
        )
    if east < west and east + 360 - west > 180:
        raise RequestError(
            f"--area: {text} goes around the Earth: its west lies east of its east",
            f"Write W,S,E,N: {east:g},{south:g},{west:g},{north:g}.",
        )
    return Area(box(west, south, east + 360 if east < west else east, north), f"bounds {text}")


def from_file(where: str | Path) -> Area:
    """Return the union of the polygons in a layer of a vector file, ``FILE[:LAYER]``, in WGS 84.

    Raises:
        RequestError: unreadable, several layers and none named, without a CRS or a polygon, or
            with latitudes where longitudes belong.
    """
    layer = Layer.parse(str(where))
    frame = in_crs(read_vector(layer), WGS84, layer)
    _check_degrees(frame.total_bounds, f"--area: {layer}")
    shapes = frame.geometry[~(frame.geometry.isna() | frame.geometry.is_empty)]
    pieces = [_over_the_dateline(part) for part in shapes.explode(index_parts=False)]
    union = ops.unary_union([make_valid(piece) for piece in pieces]) if pieces else Point()
    polygons = [
        part
        for part in getattr(union, "geoms", [union])
        if part.geom_type in ("Polygon", "MultiPolygon")
    ]
    if not polygons or not sum(part.area for part in polygons) > 0:
        raise RequestError(
            f"--area: {layer} holds no polygon", "Give a file with at least one polygon."
        )
    return Area(unwrapped(ops.unary_union(polygons)), f"file {layer.file.name}")


def _check_degrees(bounds: NDArray[Any], where: str) -> None:
    """Refuse what lies on no Earth, the two numbers of every point swapped above all."""
    west, south, east, north = bounds
    if not np.isfinite(bounds).any():
        return  # nothing in it: said elsewhere
    if max(abs(south), abs(north)) > _MOST_LONGITUDE:
        raise RequestError(
            f"{where}: {north:,.0f} is no latitude, nor a longitude: the numbers seem to be metres",
            "Assign its true system, e.g. `ogr2ogr -a_srs EPSG:32654 out.gpkg in`; GeoJSON holds "
            "longitudes and latitudes: `ogr2ogr -s_srs EPSG:32654 -t_srs EPSG:4326 out.gpkg in`.",
        )
    for number in (south, north):
        if not abs(number) <= 90:
            raise RequestError(
                f"{where}: {number:g} is no latitude",
                "The two numbers of every point seem to be swapped: longitude stands first.",
            )
    for number in (west, east):
        if not abs(number) <= _MOST_LONGITUDE:
            raise RequestError(
                f"{where}: {number:g} is no longitude", "Write degrees, -180 to 180."
            )


def _over_the_dateline(part: BaseGeometry) -> BaseGeometry:
    """Return a polygon whose ring runs from 179.9 to -179.9 as the small one it is meant to be, its
    western points moved by +360 degrees: the other way round it would circle the Earth.
    """
    west, _, east, _ = part.bounds
    if east - west <= 180 or (west, east) == (-180.0, 180.0):
        return part

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        beyond = points.copy()
        beyond[beyond[:, 0] < 0, 0] += 360
        return beyond

    return transform(part, moved)


def unwrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry cut at the antimeridian as one piece: its western parts moved by +360
    degrees.
    """
    west, _, east, _ = geometry.bounds
    if east - west <= 180:
        return geometry
    parts = getattr(geometry, "geoms", [geometry])
    return ops.unary_union(
        [affinity.translate(part, 360) if part.bounds[2] < 0 else part for part in parts]
    )
