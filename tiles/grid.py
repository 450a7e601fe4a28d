"""Where the tiles lie. A raster of any size becomes tiles that a network can run, and every pixel
has its tile.

The one idea: *a tile never pads*. Its window is clamped to the raster, so at the raster's border a
tile ends exactly where the whole image ends, and the network pads it there exactly as it would pad
the whole image; a raster smaller than a tile is one window of its own size. In mode `core` window
origins are multiples of the network's stride, so that every strided layer samples the same pixels
as in the whole image. Hence a tiled prediction equals the whole-image one wherever the halo covers
the network's reach, borders included.

Rows are grouped into *strips* of whole Zarr chunks: the unit that is written, resumed and shared
out to workers. In mode `core` the tiles start anew at each strip and are independent of all others;
in mode `blend` they overlap its end.

A grid with an `origin` lies on the *lattice*: its tiles are fixed multiples of their step in the
zone's pixels, whatever raster is asked for. `covering` widens a grid so that no tile that shows
some of it is cut; then two rasters that share ground have the same tiles there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, lcm
from typing import Literal, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.checkpoint import CardTiles
from configs.errors import RequestError
from configs.stack import CHUNK_PX, origin_of

_STRIP_PX = 512
"""Least height of a strip: enough rows that the chunks a halo reads twice stay a small share, few
enough to stay small in memory (chosen by trial on 8192 px wide rasters)."""


class Span(NamedTuple):
    """A tile along one axis, pixels: what is read of the raster and, within it, what is kept (its
    core).
    """

    start: int
    stop: int
    core_start: int
    core_stop: int


class Tile(NamedTuple):
    """A tile of the grid: `row` and `column` number it, `y` and `x` say where it lies."""

    row: int
    column: int
    y: Span
    x: Span

    @property
    def window(self) -> tuple[slice, slice]:
        """Return what is read, `(y, x)` in the raster."""
        return slice(self.y.start, self.y.stop), slice(self.x.start, self.x.stop)

    @property
    def core(self) -> tuple[slice, slice]:
        """Return what is kept, `(y, x)` in the raster."""
        return slice(self.y.core_start, self.y.core_stop), slice(
            self.x.core_start, self.x.core_stop
        )

    @property
    def inner(self) -> tuple[slice, slice]:
        """Return what is kept, `(y, x)` in the window."""
        return (
            slice(self.y.core_start - self.y.start, self.y.core_stop - self.y.start),
            slice(self.x.core_start - self.x.start, self.x.core_stop - self.x.start),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Return the window's `(y, x)` size, pixels."""
        return self.y.stop - self.y.start, self.x.stop - self.x.start


@dataclass(frozen=True)
class TileGrid:
    """Tiles over a raster of `shape` `(y, x)`.

    mode `core`: `tile` is the side of the core (rounded down to the stride), `halo` the context
    read on each side and trimmed afterwards (rounded up to the stride). Cores partition the raster;
    each pixel is written once. Windows have one size, and at the far borders up to a stride more.
    mode `blend`: `tile` is the side of the window, which the network sees whole; neighbours overlap
    by at least `halo` and are averaged with strictly positive weights that sum to one. All windows
    have the same size.

    Raises:
        RequestError: an empty raster, a tile smaller than the stride, or a blended overlap beyond
            half a tile.
    """

    shape: tuple[int, int]
    tile: int
    halo: int
    mode: Literal["core", "blend"] = "core"
    stride: int = 1
    """Multiple that window origins keep: the network's output stride, pixels."""
    origin: tuple[int, int] | None = None
    """Where the raster's first pixel `(y, x)` lies on the lattice (`origin_of`); None where the
    raster is all there is, and tiles begin at its corner.
    """

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise RequestError(
                f"a raster of {self.shape} (y, x) pixels has nothing to tile",
                "Choose a larger area.",
            )
        if self.stride < 1 or self.tile < self.stride or self.halo < 0:
            raise RequestError(
                f"tiles of {self.tile} px with a halo of {self.halo} px do not suit a "
                f"network of stride {self.stride}",
                "Set `tiles.size` to at least the stride and `tiles.halo` to 0 or more.",
            )
        if self.mode == "blend" and 2 * self.halo > self.tile:
            raise RequestError(
                f"tiles of {self.tile} px cannot be blended over {self.halo} px",
                f"Set `tiles.halo` to at most half the tile: {self.tile // 2}.",
            )

    @classmethod
    def for_card(
        cls,
        shape: tuple[int, int],
        tiles: CardTiles,
        stride: int,
        origin: tuple[int, int] | None = None,
    ) -> TileGrid:
        """Return the grid that a card asks for, over a raster of `shape` `(y, x)`."""
        return cls(shape, tiles.size, tiles.halo, tiles.mode, stride, origin)

    @property
    def strip_px(self) -> int:
        """Return the height of a strip: whole chunks, a multiple of the stride, at least one
        tile.
        """
        unit = lcm(CHUNK_PX, self.stride)
        return unit * ceil(max(self.tile, _STRIP_PX) / unit)

    @property
    def strips(self) -> int:
        """Return how many strips there are."""
        return ceil(self.shape[0] / self.strip_px)

    def strip(self, number: int) -> slice:
        """Return the raster rows of a strip."""
        return slice(number * self.strip_px, min((number + 1) * self.strip_px, self.shape[0]))

    @cached_property
    def rows(self) -> tuple[Span, ...]:
        """Return the tile rows, north to south."""
        if self.origin is not None:
            return self._on_lattice(self.shape[0], self.origin[0])
        if self.mode == "blend":
            return self._overlapping(self.shape[0])
        strips = [self.strip(number) for number in range(self.strips)]
        return tuple(span for s in strips for span in self._cores(s.start, s.stop, self.shape[0]))

    @cached_property
    def columns(self) -> tuple[Span, ...]:
        """Return the tile columns, west to east."""
        if self.origin is not None:
            return self._on_lattice(self.shape[1], self.origin[1])
        if self.mode == "blend":
            return self._overlapping(self.shape[1])
        return tuple(self._cores(0, self.shape[1], self.shape[1]))

    @cached_property
    def row_weights(self) -> tuple[NDArray[np.float32], ...]:
        """Return each tile row's blending weights; at every pixel those of all rows that cover it
        sum to one.
        """
        return _weights(self.rows, self.shape[0])

    @cached_property
    def column_weights(self) -> tuple[NDArray[np.float32], ...]:
        """Return each tile column's blending weights; at every pixel those of all columns that
        cover it sum to one.
        """
        return _weights(self.columns, self.shape[1])

    def rows_of(self, number: int) -> tuple[list[int], list[int]]:
        """Return the tile rows that begin in a strip: those that end in it, and those that reach
        into the next one.
        """
        strip = self.strip(number)
        begin = [
            i for i, span in enumerate(self.rows) if strip.start <= span.core_start < strip.stop
        ]
        return (
            [i for i in begin if self.rows[i].core_stop <= strip.stop],
            [i for i in begin if self.rows[i].core_stop > strip.stop],
        )

    def weights(self, tile: Tile) -> NDArray[np.float32]:
        """Return a tile's blending weights `(y, x)`, all positive; over a pixel's tiles they sum to
        one.
        """
        return self.row_weights[tile.row][:, None] * self.column_weights[tile.column]

    def at(self, row: int, column: int) -> Tile:
        """Return one tile."""
        return Tile(row, column, self.rows[row], self.columns[column])

    def __iter__(self) -> Iterator[Tile]:
        return (
            self.at(row, column)
            for row in range(len(self.rows))
            for column in range(len(self.columns))
        )

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def _on_lattice(self, length: int, origin: int) -> tuple[Span, ...]:
        """Return the tiles along an axis whose first pixel is number `origin` of the lattice.

        Those that the raster cuts are moved inwards and keep no pixel that a whole one keeps: where
        the raster was widened (`covering`) they have nothing to do, elsewhere they map its rim.
        """
        step, halo, size = _measures(self.tile, self.halo, self.mode, self.stride)
        if length < size:
            return (Span(0, length, 0, length),)
        first = -(-(origin + halo) // step) * step - origin - halo  # of the first whole window
        whole = range(first, length - size + 1, step)
        spans = [Span(at, at + size, at + halo, at + size - halo) for at in whole]
        west = spans[0].core_start if spans else size
        east = spans[-1].core_stop if spans else size
        rim = [Span(0, size, 0, west)] if west else []
        rest = [Span(length - size, length, east, length)] if east < length else []
        return (*rim, *spans, *rest)

    def _cores(self, start: int, stop: int, length: int) -> Iterator[Span]:
        side = self.tile // self.stride * self.stride
        halo = ceil(self.halo / self.stride) * self.stride
        size = side + 2 * halo
        last = max((length - size) // self.stride * self.stride, 0)
        for core in range(start, stop, side):
            # Beside the border the window moves inwards instead of shrinking: all have one size, so
            # batches are full and memory is reused. Only those that end with the raster take its
            # remainder beyond the stride as well.
            first = min(max(core - halo, 0), last)
            yield Span(
                first, length if first == last else first + size, core, min(core + side, stop)
            )

    def _overlapping(self, length: int) -> tuple[Span, ...]:
        if length <= self.tile:
            return (Span(0, length, 0, length),)
        count = ceil((length - self.halo) / (self.tile - self.halo))
        origins = [round(i * (length - self.tile) / (count - 1)) for i in range(count)]
        return tuple(
            Span(origin, origin + self.tile, origin, origin + self.tile) for origin in origins
        )


def _measures(tile: int, halo: int, mode: str, stride: int) -> tuple[int, int, int]:
    """Return a lattice's step, the margin that a window has beyond what it keeps, and the window's
    side, pixels.
    """
    if mode == "blend":
        return tile - halo, 0, tile
    side, margin = tile // stride * stride, ceil(halo / stride) * stride
    return side, margin, side + 2 * margin


def covering(geobox: GeoBox, tilings: Iterable[tuple[CardTiles, int]]) -> GeoBox:
    """Return a grid widened so that every tile on the lattice that keeps one of its pixels lies
    within.

    Args:
        geobox: what is to be mapped, pixel edges on whole multiples of the resolution.
        tilings: tiles and stride of every checkpoint that may map it.
    """
    starts = origin_of(geobox)
    ends = [start + int(length) for start, length in zip(starts, geobox.shape, strict=True)]
    low, high = list(starts), list(ends)
    for tiles, stride in tilings:
        step, halo, size = _measures(tiles.size, tiles.halo, tiles.mode, stride)
        kept = size - 2 * halo
        for axis in (0, 1):
            first = (starts[axis] - kept) // step + 1
            last = (ends[axis] - 1) // step
            low[axis] = min(low[axis], first * step - halo)
            high[axis] = max(high[axis], last * step + kept + halo)
    affine = geobox.affine @ Affine.translation(low[1] - starts[1], low[0] - starts[0])
    return GeoBox((high[0] - low[0], high[1] - low[1]), affine, geobox.crs)


def _ramp(pixels: int) -> NDArray[np.float64]:
    # Squared sine: smooth at both ends, never zero, and it and its mirror image sum to one.
    return np.sin(np.pi / 2 * (np.arange(pixels) + 0.5) / pixels) ** 2


def _weights(spans: tuple[Span, ...], length: int) -> tuple[NDArray[np.float32], ...]:
    raw = [np.ones(span.core_stop - span.core_start) for span in spans]
    for (left, right), (a, b) in zip(pairwise(spans), pairwise(raw), strict=True):
        if overlap := left.core_stop - right.core_start:
            a[-overlap:] *= _ramp(overlap)[::-1]
            b[:overlap] *= _ramp(overlap)
    total = np.zeros(length)
    for span, weight in zip(spans, raw, strict=True):
        total[span.core_start : span.core_stop] += weight
    return tuple(
        (w / total[s.core_start : s.core_stop]).astype(np.float32)
        for s, w in zip(spans, raw, strict=True)
    )
