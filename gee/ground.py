"""Metres on the ground from pixel to pixel of any grid: the scale and the turn of its projection.

A map's metre is a metre on the ground only near its true-scale lines (at 62° N one of Web Mercator
is 47 cm), and its columns point north only along the central meridian. So pixel centres go to
longitude and latitude by PROJ, and from there to metres on the ellipsoid, on a thin set of nodes
between which all is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import map_coordinates

from configs.errors import RequestError
from gee.resample import Lattice, crs_of, lattice, transformer

_NODE_PX: Final = 16
"""Pixels between the nodes. Linear between them, the scale of any projection that covers its pixels
is right to 1e-4: it bends over hundreds of kilometres."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroundSteps:
    """Metres on the ground eastward and northward (true north), per column and per row, `(y, x)` or
    what broadcasts to it.
    """

    east_column: _Array
    north_column: _Array
    east_row: _Array
    north_row: _Array

    def gradient(self, per_column: _Array, per_row: _Array) -> tuple[_Array, _Array]:
        """Return (change per metre east, per metre north) of what changes so much from pixel to
        pixel.
        """
        size = self.east_column * self.north_row - self.north_column * self.east_row
        return (
            (self.north_row * per_column - self.north_column * per_row) / size,
            (self.east_column * per_row - self.east_row * per_column) / size,
        )

    def laplacian(self, columns: _Array, rows: _Array, both: _Array) -> _Array:
        """Return the sum of second derivatives per square metre from those per pixel (along
        columns, along rows, mixed).
        """
        along_columns = self.east_column**2 + self.north_column**2
        along_rows = self.east_row**2 + self.north_row**2
        skew = self.east_column * self.east_row + self.north_column * self.north_row
        size = along_columns * along_rows - skew**2
        return (along_rows * columns - 2 * skew * both + along_columns * rows) / size


def ground_steps(geobox: GeoBox) -> GroundSteps:
    """Return the metres on the ground between neighbouring pixels of a grid; the same for a pixel
    whatever window of the grid it is asked in.

    Not finite where the CRS does not reach.

    Raises:
        RequestError: the grid's CRS is tied to no place on Earth.
    """
    grid, crs = lattice(geobox), crs_of(geobox)
    if crs.is_geographic and not (grid.turn_x or grid.turn_y):
        return _of_degrees(grid, crs, int(geobox.shape[0]))
    height, width = (int(side) for side in geobox.shape)
    down, rows = _nodes(grid.row, height)
    across, columns = _nodes(grid.column, width)
    x, y = np.meshgrid(columns, rows)
    at = np.stack(np.meshgrid(down, across, indexing="ij"))  # (2, y, x)
    return GroundSteps(
        *(
            map_coordinates(step, at, order=1, mode="nearest")
            for ends in (((x - 1, y), (x + 1, y)), ((x, y - 1), (x, y + 1)))
            for step in _half_way(grid, crs, *ends)
        )
    )


def pixel_size_m(geobox: GeoBox) -> tuple[float, float]:
    """Return (height, width) of the middle pixel of a grid in metres on the ground."""
    row, column = (int(side) // 2 for side in geobox.shape)
    steps = ground_steps(geobox[row : row + 1, column : column + 1])
    return (
        float(np.hypot(steps.east_row, steps.north_row)[0, 0]),
        float(np.hypot(steps.east_column, steps.north_column)[0, 0]),
    )


def _nodes(first: int, length: int) -> tuple[_Array, _Array]:
    """Return (positions of pixels among the nodes around them, the nodes' lattice places)."""
    start = first // _NODE_PX
    stop = (first + length) // _NODE_PX + 1
    places = np.arange(start, stop + 1, dtype=np.float64) * _NODE_PX + 0.5
    return (first + np.arange(length, dtype=np.float64)) / _NODE_PX - start, places


def _half_way(
    grid: Lattice, crs: pyproj.CRS, before: tuple[_Array, _Array], after: tuple[_Array, _Array]
) -> tuple[_Array, _Array]:
    """Return half the way (metres east, north) between lattice positions two pixels apart."""
    (lon0, lat0), (lon1, lat1) = (_radians(grid, crs, *place) for place in (before, after))
    geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
    ahead = _geocentric(geod, lon1, lat1) - _geocentric(geod, lon0, lat0)  # (3, y, x)
    lat = (lat0 + lat1) / 2
    lon = lon0 + ((lon1 - lon0 + np.pi) % (2 * np.pi) - np.pi) / 2  # the antimeridian
    east = np.stack([-np.sin(lon), np.cos(lon), 0 * lon])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return (ahead * east).sum(axis=0) / 2, (ahead * north).sum(axis=0) / 2


def _radians(
    grid: Lattice, crs: pyproj.CRS, columns: _Array, rows: _Array
) -> tuple[_Array, _Array]:
    """Return (longitude, latitude) of lattice positions on the CRS's own ellipsoid; NaN beyond its
    reach.
    """
    globe = crs.geodetic_crs
    if globe is None:
        raise RequestError(
            f"the coordinate reference system `{crs.name}` is tied to no place on Earth",
            "Give the raster a geographic or projected CRS, e.g. `gdal_edit.py -a_srs EPSG:32654`.",
        )
    there = transformer(crs.to_wkt(), globe.to_wkt())
    unit = float(globe.axis_info[0].unit_conversion_factor)
    lon, lat = (np.asarray(angle) * unit for angle in there.transform(*grid.xy(columns, rows)))
    beyond = ~(np.isfinite(lon) & np.isfinite(lat))
    return np.where(beyond, np.nan, lon), np.where(beyond, np.nan, lat)


def _geocentric(geod: pyproj.Geod, lon: _Array, lat: _Array) -> _Array:
    """Return places on the ellipsoid in metres from its centre, `(3, y, x)`."""
    radius = geod.a / np.sqrt(1 - geod.es * np.sin(lat) ** 2)
    return np.stack(
        [
            radius * np.cos(lat) * np.cos(lon),
            radius * np.cos(lat) * np.sin(lon),
            radius * (1 - geod.es) * np.sin(lat),
        ]
    )


def _of_degrees(grid: Lattice, crs: pyproj.CRS, rows: int) -> GroundSteps:
    """Return the steps of a grid along meridians and parallels, by the ellipsoid's radii of
    curvature at each row, `(y, 1)`.
    """
    unit = float(crs.axis_info[0].unit_conversion_factor)
    latitude = grid.y(grid.row + 0.5 + np.arange(rows, dtype=np.float64))[:, None] * unit
    geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
    squeeze = 1 - geod.es * np.sin(latitude) ** 2
    along_meridian = geod.a * (1 - geod.es) / squeeze**1.5
    along_parallel = geod.a / np.sqrt(squeeze) * np.cos(latitude)
    # Not quite zero at the poles themselves, where no metre eastward exists.
    east = np.maximum(along_parallel, 1.0) * grid.step_x * unit
    none = np.zeros_like(latitude)
    return GroundSteps(east, none, none, along_meridian * grid.step_y * unit)
