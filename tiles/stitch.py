"""From a stack to a map, tile by tile, from disk to disk: tiles know no model, models know no tile.

Memory does not grow with the raster (in mode `blend`: only with its width, by one float per column
and overlapping row). Every output chunk is written once, whole, by whoever maps its strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from configs.records import Advance, silent
from configs.stack import CHUNK_PX, Rows
from tiles.canvas import Behind, Canvas, canvas_of
from tiles.grid import Tile, TileGrid
from tiles.reader import Batch, ahead, batches
from tiles.views import Both

_Predict = Callable[[NDArray[Any]], Any]
"""`(B, C, H, W)`, float32 with NaN where not known or a stack's integers -> `(B, H, W)`, on the
model's `canvas`.
"""


class _Writable(Protocol):
    """What a map is written to: a `(y, x)` numpy or Zarr array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __setitem__(self, key: Any, value: Any, /) -> None: ...


def map_tiles(
    stack: Rows,
    grid: TileGrid,
    fn: _Predict,
    *,
    out: Any = None,
    valid: Rows | None = None,
    asked: Rows | None = None,
    batch: int = 8,
    progress: Advance = silent,
    rows: range | None = None,
    nodata: float = np.nan,
    finished: Callable[[int], None] | None = None,
) -> Any:
    """Return `out`, `(y, x)`, with `fn` applied to every tile of a stack `(band, y, x)`.

    Args:
        stack: anything that can be sliced: numpy, Zarr, `configs.stack.StackView`.
        grid: the tiles, over the stack's `(y, x)`.
        fn: the model, `(B, C, H, W)` float32 -> `(B, H, W)`; a batch holds windows of one shape.
            It may bring a `canvas` (`tiles.canvas.Canvas`) that its answers are added up on.
        out: writable `(y, x)`, numpy or Zarr in chunks that divide a strip; a new float32 array
            when None.
        valid: `(y, x)`, true where a value is wanted. Tiles without such a pixel are never read or
            computed; every other pixel gets `nodata`.
        asked: `(y, x)`, true where the model is asked; what else is wanted gets 0. Tiles without a
            pixel that is wanted and asked for are never read or computed.
        batch: tiles per call of `fn`, at most.
        progress: called with (tiles done, tiles of this call).
        rows: the strips to map (`grid.strips`), all when None. Only their pixels are written, and
            they come out the same however strips are shared out among calls (mode `blend` computes
            the tiles across the seam again).
        nodata: what invalid pixels get.
        finished: called with a strip's number once all its pixels are written.

    Raises:
        RequestError: shapes that do not agree, `out` in chunks that two strips would share, strips
            that do not exist.
    """
    wanted = range(grid.strips) if rows is None else rows
    out = np.full(grid.shape, nodata, np.float32) if out is None else out
    _check(stack, grid, out, {"out": out, "valid": valid, "asked": asked}, batch, wanted)
    if valid is not None and np.isnan(nodata) and np.dtype(out.dtype).kind != "f":
        raise RequestError(f"`out` is {out.dtype}, which has no NaN", "Give `nodata` a number.")
    sweeps = _sweeps(grid, wanted)
    total = sum(len(group) for sweep in sweeps for group in sweep.groups) * len(grid.columns)
    target = _Target(out, valid, asked, nodata, _chunk(out)[1], canvas_of(fn))
    seen = (
        Both(valid, asked)
        if valid is not None and asked is not None
        else (valid if asked is None else asked)
    )
    done, panel = 0, None
    with Behind() as behind:
        for sweep, work in ahead(_work(stack, seen, grid, sweeps, batch, target.canvas)):
            if panel is None or panel.sweep is not sweep:
                panel = _Panel(grid, sweep, target, panel.carry if panel else None, behind)
            panel.settle(work.settled)
            if work.tiles:
                panel.add(work.tiles, _apply(fn, work.pixels))
            done += len(work.tiles) + work.skipped
            progress(done, total)
            ended = work.settled == grid.shape[1] and not work.tiles
            if ended and finished and sweep.strip is not None:
                behind.do(finished, sweep.strip)
    return out


class _Sweep(NamedTuple):
    """One walk from west to east over some tile rows; it finishes strip `strip`, or only leads in
    to the next one.
    """

    groups: Sequence[Sequence[int]]
    rows: slice
    """Raster rows its tiles keep."""
    keep_until: int
    """Raster row from which on its sums belong to the next strip."""
    strip: int | None


def _sweeps(grid: TileGrid, wanted: range) -> list[_Sweep]:
    sweeps = []
    crossing = grid.rows_of(wanted.start - 1)[1] if wanted and wanted.start > 0 else []
    if crossing:
        sweeps.append(_sweep(grid, [crossing], wanted.start - 1, lead_in=True))
    return sweeps + [_sweep(grid, grid.rows_of(number), number) for number in wanted]


def _sweep(
    grid: TileGrid, groups: Sequence[Sequence[int]], number: int, *, lead_in: bool = False
) -> _Sweep:
    strip = grid.strip(number)
    last = max((grid.rows[row].core_stop for group in groups for row in group), default=strip.stop)
    return _Sweep(
        groups, slice(strip.start, max(last, strip.stop)), strip.stop, None if lead_in else number
    )


def _work(
    stack: Rows, valid: Rows | None, grid: TileGrid, sweeps: list[_Sweep], size: int, canvas: Canvas
) -> Iterator[tuple[_Sweep, Batch]]:
    return (
        (sweep, work)
        for sweep in sweeps
        for work in batches(stack, valid, grid, sweep.groups, size, canvas.buffer)
    )


def _apply(fn: _Predict, pixels: NDArray[Any]) -> Any:
    values = fn(pixels)
    if tuple(values.shape) != (pixels.shape[0], *pixels.shape[2:]):
        raise RequestError(
            f"the model made {tuple(values.shape)} of tiles {pixels.shape} (B, C, H, W)",
            "It must return (B, H, W).",
        )
    return values


class _Target(NamedTuple):
    """Where the map goes."""

    out: _Writable
    valid: Rows | None
    asked: Rows | None
    nodata: float
    chunk: int
    """Columns of a chunk of `out`."""
    canvas: Canvas

    @property
    def step(self) -> int:
        """Return the columns that are handed back and written at once: whole chunks."""
        return self.chunk * self.canvas.chunks

    def write(self, rows: slice, columns: slice, block: NDArray[Any]) -> None:
        """Write settled pixels `(y, x)`; 0 where nobody asked, `nodata` where not valid."""
        if self.asked is not None:
            block[~np.asarray(self.asked[rows, columns]).astype(bool)] = 0
        if self.valid is not None:
            block[~np.asarray(self.valid[rows, columns]).astype(bool)] = self.nodata
        self.out[rows, columns] = block.astype(self.out.dtype, copy=False)


class _Panel:
    """The pixels of one sweep, over the columns still open; has written behind what is settled, in
    whole chunks.
    """

    def __init__(
        self,
        grid: TileGrid,
        sweep: _Sweep,
        target: _Target,
        carried: NDArray[Any] | None,
        behind: Behind,
    ) -> None:
        self.sweep = sweep
        self.carry: NDArray[Any] | None = None
        """Sums `(y, x)` in memory that belong to the first rows of the next strip; touched by what
        writes alone."""
        self._grid, self._target, self._carried, self._behind = grid, target, carried, behind
        self._start = 0  # raster column where the open columns begin
        self._dtype = np.dtype(np.float32) if grid.mode == "blend" else target.out.dtype
        self._open = target.canvas.zeros((sweep.rows.stop - sweep.rows.start, 0), self._dtype)
        if sweep.rows.stop > sweep.keep_until:
            height = sweep.rows.stop - sweep.keep_until
            self.carry = np.zeros((height, grid.shape[1]), self._dtype)

    def add(self, tiles: Sequence[Tile], values: Any) -> None:
        """Take in the model's answer to a batch."""
        self._widen(max(tile.x.core_stop for tile in tiles))
        top, left = self.sweep.rows.start, self._start
        for tile, value in zip(tiles, values, strict=True):
            ys, xs = tile.core
            place = self._open[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]
            if self._grid.mode == "core":
                place[:] = value[tile.inner]
            else:
                weights = self._grid.row_weights[tile.row], self._grid.column_weights[tile.column]
                place += value[tile.inner] * self._target.canvas.weights(*weights)

    def settle(self, until: int) -> None:
        """Hand over the columns west of `until` that make whole pieces."""
        width, step = self._grid.shape[1], self._target.step
        while self._start < width and (self._start + step <= until or until == width):
            stop = min(self._start + step, width)
            self._widen(stop)
            sums = self._target.canvas.back(self._open[:, : stop - self._start])
            self._behind.do(self._write, slice(self._start, stop), sums)
            self._open, self._start = self._open[:, stop - self._start :], stop

    def _widen(self, stop: int) -> None:
        have = self._open.shape[1]
        if stop - self._start > have:
            shape = (self._open.shape[0], stop - self._start)
            wider = self._target.canvas.zeros(shape, self._dtype)
            wider[:, :have] = self._open
            self._open = wider

    def _write(self, columns: slice, sums: Callable[[], NDArray[Any]]) -> None:
        block = sums()
        rows = slice(self.sweep.rows.start, self.sweep.keep_until)
        height = rows.stop - rows.start
        if self.carry is not None:
            self.carry[:, columns] = block[height:]
        if self.sweep.strip is None:
            return
        block = block[:height]
        if self._carried is not None:
            block[: len(self._carried)] += self._carried[:, columns]
        self._target.write(rows, columns, block)


def _chunk(out: Any) -> tuple[int, int]:
    """Return the `(y, x)` size of what one writer must write at once: Zarr shard or chunk; ours for
    plain memory.
    """
    size = getattr(out, "shards", None) or getattr(out, "chunks", None) or (CHUNK_PX, CHUNK_PX)
    return int(size[0]), int(size[1])


def _check(
    stack: Rows,
    grid: TileGrid,
    out: Any,
    rasters: dict[str, Rows | None],
    batch: int,
    wanted: range,
) -> None:
    if len(stack.shape) != 3 or tuple(stack.shape[1:]) != grid.shape:
        raise RequestError(
            f"the stack is {tuple(stack.shape)}, the grid {grid.shape}",
            "Make the grid for this stack.",
        )
    for name, array in rasters.items():
        if array is not None and tuple(array.shape) != grid.shape:
            raise RequestError(
                f"`{name}` is {tuple(array.shape)}, the grid {grid.shape}",
                "Give it the grid's shape.",
            )
    height = _chunk(out)[0]
    if grid.strip_px % height and height < grid.shape[0]:
        raise RequestError(
            f"`out` has chunks of {height} rows, which two strips of {grid.strip_px} rows "
            "would share",
            f"Make it with chunks of {CHUNK_PX} x {CHUNK_PX}.",
        )
    if batch < 1 or wanted.step != 1 or wanted.start < 0 or wanted.stop > grid.strips:
        raise RequestError(
            f"cannot map strips {wanted.start} to {wanted.stop} in batches of {batch}",
            f"There are {grid.strips} strips; batches hold 1 tile or more.",
        )
