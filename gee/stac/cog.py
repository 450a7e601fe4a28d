"""Cloud-optimised GeoTIFFs, read by parts: only the header and the tiles that a window needs come
over the network.

Where each tile lies is read from the header (tifffile); neighbouring tiles come in one request;
GDAL then decodes a file that has holes where nothing was asked for (`/vsisparse/`).
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import numpy as np
import pyproj
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from configs.errors import SourceError
from gee.ground import pixel_size_m
from gee.rasters import Array, Raster
from gee.resample import Method, crs_of, lattice, transformer
from gee.stac.transport import FileTroubleError, Remote, Transport

_HEAD_BYTES: Final = 1 << 15
"""Unit in which headers are read; that of a 10 m band of Sentinel-2 has 2 to 20 kB."""
_GAP_BYTES: Final = 1 << 16
"""Tiles that lie nearer to each other come in one request: reading so much more takes less time
than another round trip."""
_MOST_BYTES: Final = 64 << 20
"""Largest part asked for at once."""
_MARGIN_PX: Final = 3
_ALMOST_FITS: Final = 1.02
"""An overview of 10980 pixels halved five times is a little coarser than 320 m."""
CACHE_BYTES: Final = 256 << 20
"""Compressed tiles kept, so that blocks which share a tile of a file do not ask for it twice."""


_UNREADABLE: Final = (
    *(tifffile.TiffFileError, RasterioError, RasterioIOError),
    *(ValueError, IndexError, KeyError, TypeError),
)
"""What reading a header that is damaged, or of no GeoTIFF, ends in."""
_NUMBERS: Final = itertools.count()
"""Tell files apart among the tiles kept."""


class Pieces:
    """The compressed tiles that were read last, by file and place; shared by all threads."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most, self._size = most_bytes, 0
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._coming: dict[tuple[int, int], threading.Event] = {}
        self._lock = threading.Lock()

    def claim(self, file: int, start: int) -> bool:
        """Return whether the caller is to ask for a tile: nobody has it or is asking for it."""
        with self._lock:
            if (file, start) in self._kept or (file, start) in self._coming:
                return False
            self._coming[file, start] = threading.Event()
            return True

    def release(self, file: int, starts: Iterable[int]) -> None:
        """Tell those who wait that tiles which were claimed are here, or will not come."""
        with self._lock:
            for start in starts:
                self._coming.pop((file, start)).set()

    def get(self, file: int, start: int) -> bytes | None:
        """Return a tile, once whoever asks for it has it; None where it is not there."""
        with self._lock:
            coming = self._coming.get((file, start))
        if coming is not None:
            coming.wait()
        with self._lock:
            if (file, start) in self._kept:
                self._kept.move_to_end((file, start))
            return self._kept.get((file, start))

    def put(self, file: int, start: int, data: bytes) -> None:
        """Keep a tile, and let the oldest go."""
        with self._lock:
            self._size += len(data) - len(self._kept.pop((file, start), b""))
            self._kept[file, start] = data
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])

    def drop(self, file: int, starts: Iterable[int]) -> None:
        """Forget tiles that turned out to be damaged."""
        with self._lock:
            for start in starts:
                self._size -= len(self._kept.pop((file, start), b""))


@dataclass(frozen=True)
class _Level:
    """The image of a file, or one of its overviews: where its tiles lie."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    starts: Sequence[int]
    sizes: Sequence[int]

    def tiles(self, rows: slice, columns: slice) -> list[tuple[int, int]]:
        """Return (first byte, bytes) of the tiles that a window needs; those that the file leaves
        out have none.
        """
        across = -(-self.width // self.tile_width)
        wanted = [
            row * across + column
            for row in range(rows.start // self.tile_height, -(-rows.stop // self.tile_height))
            for column in range(
                columns.start // self.tile_width, -(-columns.stop // self.tile_width)
            )
        ]
        return [(self.starts[n], self.sizes[n]) for n in wanted if self.sizes[n]]


class _Head(io.RawIOBase):
    """The beginning of a file as tifffile and GDAL want it: parts come as they are asked for."""

    def __init__(self, transport: Transport, remote: Remote) -> None:
        super().__init__()
        self._transport, self._remote = transport, remote
        self._at = 0
        self.parts: dict[int, bytes] = {}
        """First byte -> `_HEAD_BYTES` from there."""
        self._part(0)  # tells how long the file is

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._remote.length or 0}
        self._at = max(0, base[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        first = self._at // _HEAD_BYTES * _HEAD_BYTES
        data = self._part(first)[self._at - first :][: len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _part(self, first: int) -> bytes:
        if first not in self.parts:
            length = self._remote.length
            beyond = length is not None and first >= length
            self.parts[first] = (
                b"" if beyond else self._transport.part(self._remote, first, first + _HEAD_BYTES)
            )
        return self.parts[first]


class Cog:
    """One file, its header read once."""

    def __init__(self, transport: Transport, remote: Remote, pieces: Pieces) -> None:
        """Read the header.

        Raises:
            FileTroubleError: the file cannot be had, or is no GeoTIFF.
        """
        self._transport, self.remote, self._pieces = transport, remote, pieces
        self._number = next(_NUMBERS)
        for attempt in range(transport.attempts):
            try:
                self._read_header()
                return
            except _UNREADABLE as error:
                if attempt + 1 == transport.attempts:
                    raise self._unreadable(str(error.__cause__ or error)) from error
                transport.account.add("tried_again")

    def _read_header(self) -> None:
        head = _Head(self._transport, self.remote)
        with tifffile.TiffFile(io.BufferedReader(head, 1 << 13), name=self.remote.what) as tiff:
            self.levels = [_level(page) for page in tiff.pages if _is_image(page)]
        self._header = dict(head.parts)
        with self._opened(0, ()) as file:
            if file.crs is None or file.transform.is_identity:
                raise self._unreadable("nothing says where its pixels lie")
            crs = pyproj.CRS.from_user_input(file.crs.to_wkt()).to_2d()
            self.geobox = GeoBox(file.shape, file.transform, crs.to_wkt())
            self.nodata: float | None = file.nodata

    def read(self, rows: slice, columns: slice, level: int = 0) -> NDArray[Any]:
        """Return a window of the file's numbers, `(y, x)`; of an overview where `level` > 0.

        Raises:
            FileTroubleError: the file cannot be had or stays damaged.
            SourceError: the host cannot be had.
        """
        tiles = self.levels[level].tiles(rows, columns)
        for attempt in range(self._transport.attempts):
            parts = self._fetched(tiles)
            try:
                with self._opened(level, parts) as file:
                    found: NDArray[Any] = file.read(1, window=Window.from_slices(rows, columns))
                    return found
            except (RasterioError, RasterioIOError) as error:
                self._pieces.drop(self._number, (start for start, _ in tiles))
                if attempt + 1 == self._transport.attempts:
                    raise self._unreadable("a part of it is damaged") from error
                self._transport.account.add("tried_again")
        raise AssertionError("no attempt was made")

    def fetch(self, rows: slice, columns: slice, level: int = 0) -> None:
        """Bring a window's tiles here, so that reading it does not wait."""
        self._fetched(self.levels[level].tiles(rows, columns))

    def in_transit(self, grid: GeoBox) -> tuple[int, int]:
        """Return (requests, bytes) that the part of the file under a grid takes."""
        window = _reach(grid, self.geobox)
        tiles = self.levels[0].tiles(*window) if window else []
        return len(_runs(sorted(tiles))), sum(size for _, size in tiles)

    def _fetched(self, tiles: Sequence[tuple[int, int]]) -> list[tuple[int, bytes]]:
        """Return the tiles' bytes, each with its place in the file."""
        wanted = sorted(set(tiles))
        mine = [one for one in wanted if self._pieces.claim(self._number, one[0])]
        found: dict[int, bytes] = {}
        try:
            for run in _runs(mine):
                found |= self._asked(run)
        finally:
            self._pieces.release(self._number, (start for start, _ in mine))
        for start, size in wanted:
            if start not in found:
                kept = self._pieces.get(self._number, start)
                # Gone again already, or whoever asked for it failed.
                found |= self._asked([(start, size)]) if kept is None else {start: kept}
        return sorted(found.items())

    def _asked(self, run: Sequence[tuple[int, int]]) -> dict[int, bytes]:
        """Return the tiles of one request, by place, and keep them."""
        first, last = run[0][0], run[-1][0] + run[-1][1]
        data = self._transport.part(self.remote, first, last)
        pieces = {start: data[start - first : start - first + size] for start, size in run}
        for start, piece in pieces.items():
            self._pieces.put(self._number, start, piece)
        return pieces

    def _opened(self, level: int, parts: Sequence[tuple[int, bytes]]) -> _Sparse:
        whole = [*self._header.items(), *parts]
        return _Sparse(self.remote.length or 0, whole, level)

    def _unreadable(self, why: str) -> FileTroubleError:
        return FileTroubleError(
            f"{self.remote.what}: the file cannot be read ({' '.join(why.split())})",
            "Leave the scene out (its id into `source.stac.leave_out`), or try again later.",
        )


class _Sparse:
    """A GeoTIFF of which only some parts are here, opened by GDAL; for use in `with`."""

    def __init__(self, length: int, parts: Iterable[tuple[int, bytes]], level: int) -> None:
        places, at = [], 0
        content = bytearray()
        for start, data in parts:
            places.append((start, at, len(data)))
            content += data
            at += len(data)
        self._content, self._places, self._length = bytes(content), places, length
        self._level = level
        self._open: list[Any] = []

    def __enter__(self) -> Any:
        held = MemoryFile(self._content)
        self._open.append(held)
        regions = "".join(
            f"<SubfileRegion><Filename>{escape(held.name)}</Filename>"
            f"<DestinationOffset>{start}</DestinationOffset><SourceOffset>{at}</SourceOffset>"
            f"<RegionLength>{size}</RegionLength></SubfileRegion>"
            for start, at, size in self._places
            if size
        )
        layout = f"<VSISparseFile><Length>{self._length}</Length>{regions}</VSISparseFile>"
        described = MemoryFile(layout.encode())
        self._open.append(described)
        options = {"overview_level": self._level - 1} if self._level else {}
        try:
            file = rasterio.open(f"/vsisparse/{described.name}", driver="GTiff", **options)
        except BaseException:
            self.__exit__()
            raise
        self._open.append(file)
        return file

    def __exit__(self, *_: object) -> None:
        for one in reversed(self._open):
            one.close()
        self._open.clear()


@dataclass(frozen=True)
class CogRaster(Raster):
    """A band of a scene as the warping of `Raster` reads it, from the network."""

    cog: Cog | None = None
    lowest: float | None = None
    """Smallest physical value of a known pixel: what lies below is brought up to it."""

    def read(self, window: tuple[slice, slice]) -> Array:
        """Return a window in physical values, `(y, x)` float32, NaN where not known."""
        return self._values(self._file.read(*window))

    def _values(self, numbers: NDArray[Any]) -> Array:
        values = self._physical(numbers)
        return values if self.lowest is None else np.maximum(values, np.float32(self.lowest))

    def warp(self, block: GeoBox, method: Method) -> Array:
        """Return the band on a block's grid, as `Raster.warp` does; along the same axes, whole rows
        and columns of nearest pixels at once, which are the very same.
        """
        ours, theirs = lattice(block), lattice(self.geobox)
        turned = ours.turn_x or ours.turn_y or theirs.turn_x or theirs.turn_y
        same = crs_of(block) == crs_of(self.geobox) and not crs_of(block).is_geographic
        if method != "nearest" or turned or not same:
            return super().warp(block, method)
        x = ours.x(ours.column + np.arange(block.shape[1]) + 0.5)
        y = ours.y(ours.row + np.arange(block.shape[0]) + 0.5)
        columns, rows = theirs.columns_rows(x, y)
        # Written as `positions` and `sample` compute it, so that every digit is the same.
        row = np.floor((rows - theirs.row) - 0.5 + 0.5).astype(np.int64)
        column = np.floor((columns - theirs.column) - 0.5 + 0.5).astype(np.int64)
        down = (row >= 0) & (row < int(self.geobox.shape[0]))
        across = (column >= 0) & (column < int(self.geobox.shape[1]))
        found = np.full(tuple(block.shape), np.nan, np.float32)
        if down.any() and across.any():
            row, column = row[down], column[across]
            top, left = int(row.min()), int(column.min())
            window = slice(top, int(row.max()) + 1), slice(left, int(column.max()) + 1)
            found[np.ix_(down, across)] = self.read(window)[np.ix_(row - top, column - left)]
        return found

    def without(self, number: float) -> CogRaster:
        """Return the band with one more number that means "not known"."""
        return dataclasses.replace(self, fills=(*self.fills, number))

    def fetch(self, block: GeoBox) -> None:
        """Bring here what `warp` will need for a block."""
        window = _reach(block, self.geobox)
        if window is not None:
            self._file.fetch(*window)

    @property
    def _file(self) -> Cog:
        if self.cog is None:
            raise SourceError(f"{self.what} was never opened", "")
        return self.cog

    def at(self, resolution_m: float) -> CogRaster:
        """Return the band, or the coarsest of its overviews that is not coarser than that."""
        step = max(pixel_size_m(self.geobox))
        wide, level = int(self.geobox.shape[1]), 0
        for number, one in enumerate(self._file.levels):
            if step * wide / one.width <= resolution_m * _ALMOST_FITS:
                level = number
        if not level:
            return self
        size = self._file.levels[level]
        scale = Affine.scale(wide / size.width, int(self.geobox.shape[0]) / size.height)
        grid = GeoBox((size.height, size.width), self.geobox.affine @ scale, self.geobox.crs)
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(CogRaster)}
        return _OverviewRaster(**{**fields, "geobox": grid}, level=level)


@dataclass(frozen=True)
class _OverviewRaster(CogRaster):
    """An overview of a band."""

    level: int = 0

    def read(self, window: tuple[slice, slice]) -> Array:
        """Return a window of the overview in physical values."""
        return self._values(self._file.read(*window, self.level))


def open_band(
    cog: Cog, scale: float, offset: float, nodata: float | None, lowest: float | None = None
) -> CogRaster:
    """Return a file's only band: physical value = number * scale + offset."""
    return CogRaster(
        Path(),
        cog.remote.what,
        cog.geobox,
        1,
        "GTiff",
        scale,
        offset,
        cog.nodata if nodata is None else nodata,
        False,
        cog=cog,
        lowest=lowest,
    )


def _reach(block: GeoBox, native: GeoBox) -> tuple[slice, slice] | None:
    """Return the window of a native grid around a block, some pixels wider than needed; None if it
    misses.
    """
    to_native = transformer(crs_of(block).to_wkt(), crs_of(native).to_wkt())
    left, bottom, right, top = to_native.transform_bounds(*block.boundingbox.bbox)
    if not np.isfinite([left, bottom, right, top]).all() or left > right:
        return None  # reading it brings what is needed
    ends = [~native.affine @ corner for corner in ((left, top), (right, bottom))]
    window = []
    for axis, size in ((1, int(native.shape[0])), (0, int(native.shape[1]))):
        first = max(0, int(min(end[axis] for end in ends)) - _MARGIN_PX)
        last = min(size, int(max(end[axis] for end in ends)) + 1 + _MARGIN_PX)
        if first >= last:
            return None
        window.append(slice(first, last))
    return window[0], window[1]


def _is_image(page: Any) -> bool:
    """Return whether a page is the image or an overview of it, and not a mask."""
    return not int(page.subfiletype) & 4


def _level(page: Any) -> _Level:
    height, width = int(page.imagelength), int(page.imagewidth)
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    starts, sizes = tuple(page.dataoffsets), tuple(page.databytecounts)
    if len(starts) != -(-height // tall) * -(-width // wide):
        raise ValueError("its tiles are laid out in a way that is not supported")
    return _Level(height, width, int(tall), int(wide), starts, sizes)


def _runs(tiles: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Return tiles in file order, those together that one request may bring."""
    if not tiles:
        return []
    runs = [[tiles[0]]]
    for (before, size), one in pairwise(tiles):
        first = runs[-1][0][0]
        if one[0] - (before + size) > _GAP_BYTES or one[0] + one[1] - first > _MOST_BYTES:
            runs.append([])
        runs[-1].append(one)
    return runs
