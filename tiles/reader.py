"""Reading for the tiles: each chunk of a strip once, and the next batch while the model works on
this one.

Tiles are walked column by column within a strip, over a slab of the raster that slides from west to
east. Overlapping windows are cut out of the slab, so that small tiles do not read and decode the
same chunk again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from configs.stack import CHUNK_PX, Rows, StoredView
from tiles.grid import Tile, TileGrid

_T = TypeVar("_T")

_STRETCH_PX = 4 * CHUNK_PX
"""Columns read at once: enough chunks that all cores decode, few enough that memory stays small
(chosen by trial: docs/results.md#reading).
"""


class Batch(NamedTuple):
    """Tiles of one shape, ready for the model."""

    tiles: Sequence[Tile]
    pixels: NDArray[Any]
    """`(B, C, H, W)`: float32, or integers as the stack stores them (`pixel_type`)."""
    skipped: int
    """Tiles without a valid pixel that were passed over on the way to this batch."""
    settled: int
    """Raster column left of which no tile of this batch or any later one keeps a pixel."""


class _Slab:
    """Some rows of an array `(..., y, x)`, held only between the columns that are needed now, which
    move east: one buffer, into which each stretch of the raster is read once.
    """

    def __init__(self, source: Rows, rows: slice, dtype: DTypeLike) -> None:
        self._source = source
        self._rows = rows
        self._width = source.shape[-1]
        self._start = self._stop = 0
        self._buffer: NDArray[Any] = np.empty(
            (*source.shape[:-2], rows.stop - rows.start, 0), dtype
        )

    def take(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window, a view that holds until the next call; its columns must not begin west
        of those of the window before.
        """
        if columns.stop > self._stop:
            self._extend(columns)
        top, left = rows.start - self._rows.start, columns.start - self._start
        return self._buffer[
            ..., top : top + rows.stop - rows.start, left : left + columns.stop - columns.start
        ]

    def _extend(self, columns: slice) -> None:
        start = max(self._stop, columns.start // CHUNK_PX * CHUNK_PX)
        end = min(max(start + _STRETCH_PX, -(-columns.stop // CHUNK_PX) * CHUNK_PX), self._width)
        first = min(columns.start, start)
        kept = self._buffer[..., first - self._start : self._stop - self._start]
        width = start - first
        if end - first > self._buffer.shape[-1]:
            room = min(end - first + CHUNK_PX, self._width)  # of the next stretch's kept columns
            self._buffer = np.empty((*self._buffer.shape[:-1], room), self._buffer.dtype)
        self._buffer[..., :width] = kept[..., :width]
        key = (slice(None),) * (len(self._source.shape) - 2) + (self._rows, slice(start, end))
        _read(self._source, key, self._buffer[..., width : end - first])
        self._start, self._stop = first, end


def _read(source: Rows, key: tuple[slice, ...], into: NDArray[Any]) -> None:
    if hasattr(source, "read_into"):
        source.read_into(key, into)
    else:
        into[...] = source[key]


def batches(
    stack: Rows,
    valid: Rows | None,
    grid: TileGrid,
    groups: Sequence[Sequence[int]],
    size: int,
    buffer: Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]] = np.empty,
) -> Iterator[Batch]:
    """Return the tiles of some tile rows in batches of at most `size`; the last one is empty and
    settles everything.

    Batches never mix windows of different shapes or tile rows of different `groups`, and depend on
    nothing else: the same group gives the same batches whoever computes it. Their pixels are cut
    into what `buffer` returns.
    """
    spans = [grid.rows[row] for group in groups for row in group]
    span = slice(min((s.start for s in spans), default=0), max((s.stop for s in spans), default=0))
    dtype = pixel_type(stack)
    pixels, seen = (
        _Slab(stack, span, dtype),
        _Slab(valid, span, np.bool_) if valid is not None else None,
    )
    pending: dict[tuple[int, tuple[int, int]], tuple[list[Tile], NDArray[Any]]] = {}
    skipped = 0

    def settled(*tiles: Tile) -> int:
        waiting = [tile for held, _ in pending.values() for tile in held]
        return min((tile.x.core_start for tile in (*tiles, *waiting)), default=grid.shape[1])

    for column in range(len(grid.columns)):
        for tile, group in (
            (grid.at(row, column), g) for g, rows in enumerate(groups) for row in rows
        ):
            if seen is not None and not seen.take(*tile.core).any():
                skipped += 1
                continue
            key = (group, tile.shape)
            if key not in pending:
                pending[key] = [], buffer((size, stack.shape[0], *tile.shape), dtype)
            held, block = pending[key]
            block[len(held)] = pixels.take(*tile.window)
            held.append(tile)
            if len(held) == size:
                del pending[key]
                yield Batch(held, block, skipped, settled(*held))
                skipped = 0
    for key in list(pending):
        held, block = pending[key]
        first = settled()
        del pending[key]
        yield Batch(held, block[: len(held)], skipped, first)
        skipped = 0
    yield Batch((), np.empty((0, stack.shape[0], 0, 0), dtype), skipped, grid.shape[1])


def pixel_type(stack: Rows) -> np.dtype[Any]:
    """Return what tiles of a stack are made of: its bits, where it hands them out as they are
    stored (`configs.stack.StoredView`), else float32.
    """
    return np.dtype(np.int16 if isinstance(stack, StoredView) else np.float32)


def ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Yield the items of an iterator, each made in a thread while its predecessor is being used."""
    end = object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiles-reader") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # not the sentinel
