"""Lazy images: each band paints itself, values and mask, on any grid; assets are rasters with their
own grid and type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import box, transform
from shapely.geometry.base import BaseGeometry

from earthengine.loopback import Refused

Painted = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(values, mask in 0-1), `(y, x)` each; a value means nothing where the mask is 0."""


@dataclass(frozen=True)
class Grid:
    """A pixel grid, or with no size the endless lattice of one."""

    crs: str
    affine: Affine
    height: int = 0
    width: int = 0

    def padded(self, pixels: int) -> Grid:
        moved = self.affine @ Affine.translation(-pixels, -pixels)
        return Grid(self.crs, moved, self.height + 2 * pixels, self.width + 2 * pixels)

    def outline(self, crs: str = "EPSG:4326") -> BaseGeometry:
        corners = box(0, 0, self.width, self.height).segmentize(max(1, self.width / 16))
        to = pyproj.Transformer.from_crs(self.crs, crs, always_xy=True)
        return transform(
            corners, lambda x, y: to.transform(*(self.affine @ (x, y))), interleaved=False
        )


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=32)
def pixel_positions(
    grid: Grid, crs: str, affine: Affine
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (rows, columns) of a grid's pixel centres on another lattice; pixel centres are whole
    numbers + 0.5.
    """
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.affine @ (columns, rows)
    if crs != grid.crs:
        x, y = _transformer(grid.crs, crs).transform(x, y)
    columns, rows = ~affine @ (x, y)
    return np.asarray(rows), np.asarray(columns)


@dataclass(frozen=True)
class Raster:
    """Pixels of an asset's band."""

    values: NDArray[Any]
    crs: str
    affine: Affine
    mask: NDArray[np.float64] | None = None
    """0-1, may be fractional; None: everything is known."""

    @property
    def grid(self) -> Grid:
        return Grid(self.crs, self.affine, self.values.shape[0], self.values.shape[1])

    def paint(self, grid: Grid) -> Painted:
        """Return the nearest pixels."""
        rows, columns = pixel_positions(grid, self.crs, self.affine)
        row, column = np.floor(rows).astype(int), np.floor(columns).astype(int)
        return self._take(row, column)

    def _take(self, row: NDArray[Any], column: NDArray[Any]) -> Painted:
        inside = (
            (row >= 0)
            & (row < self.values.shape[0])
            & (column >= 0)
            & (column < self.values.shape[1])
        )
        at = np.where(inside, row, 0), np.where(inside, column, 0)
        known = 1.0 if self.mask is None else self.mask[at]
        return self.values[at].astype(np.float64), np.where(inside, known, 0.0)


def bilinear(paint: Callable[[Grid], Painted], native: Grid, grid: Grid) -> Painted:
    """Return an image interpolated from its native lattice, the mask too: it becomes fractional at
    edges.
    """
    rows, columns = pixel_positions(grid, native.crs, native.affine)
    top, left = int(np.floor(rows.min())) - 2, int(np.floor(columns.min())) - 2
    height, width = int(np.ceil(rows.max())) + 2 - top, int(np.ceil(columns.max())) + 2 - left
    part = Grid(native.crs, native.affine @ Affine.translation(left, top), height, width)
    values, mask = paint(part)
    row, column = rows - top - 0.5, columns - left - 0.5
    r, c = np.floor(row).astype(int), np.floor(column).astype(int)
    fr, fc = row - r, column - c
    total, weight = np.zeros(rows.shape), np.zeros(rows.shape)
    for dr, dc, share in (
        (0, 0, (1 - fr) * (1 - fc)),
        (0, 1, (1 - fr) * fc),
        (1, 0, fr * (1 - fc)),
        (1, 1, fr * fc),
    ):
        m = mask[r + dr, c + dc] * share
        total += values[r + dr, c + dc] * m
        weight += m
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0.0), weight


@dataclass(frozen=True)
class Band:
    """One band: name, type, native lattice, and how it paints itself."""

    name: str
    dtype: str
    paint: Callable[[Grid], Painted]
    native: Grid


EVERYWHERE = Grid("EPSG:4326", Affine(1, 0, 0, 0, 1, 0))


@dataclass(frozen=True)
class Image:
    """Some bands with properties."""

    bands: tuple[Band, ...]
    properties: dict[str, Any] = field(default_factory=dict)
    footprint: BaseGeometry | None = None
    """WGS 84; None: unbounded."""
    id: str | None = None

    @property
    def names(self) -> list[str]:
        return [band.name for band in self.bands]

    def with_bands(self, bands: Sequence[Band]) -> Image:
        return replace(self, bands=tuple(bands))


class Memory:
    """What one request holds in memory: every layer painted on the way, as doubles."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def hold(self, painted: Painted) -> None:
        """Count a layer.

        Raises:
            Refused: in the service's own words.
        """
        self.held_bytes += 8 * int(np.size(painted[0]))
        if self._limit_bytes is not None and self.held_bytes > self._limit_bytes:
            raise Refused(400, "User memory limit exceeded.")


HELD: ContextVar[Memory | None] = ContextVar("held", default=None)
"""Of the request that is evaluated."""


def remembered(paint: Callable[[Grid], Painted]) -> Callable[[Grid], Painted]:
    """Return a painter that paints each grid once: a node of the graph may be used many times."""
    memory: dict[Grid, Painted] = {}

    def once(grid: Grid) -> Painted:
        if grid not in memory:
            memory[grid] = paint(grid)
            if held := HELD.get():
                held.hold(memory[grid])
        return memory[grid]

    return once


def asset(
    asset_id: str, rasters: dict[str, Raster], properties: dict[str, Any] | None = None
) -> Image:
    """Return an image of rasters, as the catalogue holds it."""
    first = next(iter(rasters.values()))
    bands = [
        Band(name, r.values.dtype.name, r.paint, Grid(r.crs, r.affine))
        for name, r in rasters.items()
    ]
    known = {"system:index": asset_id.rsplit("/", 1)[-1], **(properties or {})}
    return Image(tuple(bands), known, first.grid.outline(), asset_id)


def inside(grid: Grid, geometry: BaseGeometry) -> NDArray[np.bool_]:
    """Return which pixel centres lie in a WGS 84 geometry."""
    to = _transformer("EPSG:4326", grid.crs)
    there = transform(geometry.segmentize(0.02), to.transform, interleaved=False)
    return rasterize(
        [there], (grid.height, grid.width), transform=grid.affine, dtype="uint8"
    ).astype(bool)
