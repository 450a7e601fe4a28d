"""The stack on disk: the noun every wing reads. One Zarr v3 group, one 2-D array a band, scaled
integers.

Arrays are ``(y, x)`` on one grid. Each carries CF attributes (``scale_factor``, ``add_offset``,
``_FillValue``, ``units``), so that `xarray.open_zarr` decodes them too. `gee.stack` writes it,
block by whole block; everyone else reads it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area
from configs.bands import When, parse_band
from configs.errors import RequestError
from configs.files import check_format, format_of
from configs.places import zarr_at
from configs.reading import many_chunks

FORMAT = format_of("stack")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What days and milliseconds are counted from, in stacks as in the services' answers."""
EPOCH_DAY: Final = EPOCH.date()
CHUNK_PX = 256
"""Side of a Zarr chunk. Blocks that are pulled or mapped are whole multiples of it: one writer per
chunk.
"""


class Rows(Protocol):
    """Anything `(band, y, x)` that can be sliced: a numpy array, a Zarr array, or bands of a
    stack.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def encode(values: NDArray[np.floating[Any]], name: str) -> NDArray[Any]:
    """Return physical values of a band as its stored integers; NaN becomes nodata, values beyond
    the range its ends.
    """
    band = parse_band(name).band
    info = np.iinfo(band.dtype)
    low, high = (
        (info.min + (band.nodata == info.min), info.max) if band.nodata != 0 else (1, info.max)
    )
    scaled = np.round((np.clip(values, band.low, band.high) - band.offset) / band.scale)
    return np.where(np.isfinite(values), np.clip(scaled, low, high), band.nodata).astype(band.dtype)


def decode(stored: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Return stored integers of a band as physical values, float32, NaN where nodata."""
    band = parse_band(name).band
    values = stored.astype(np.float32) * np.float32(band.scale) + np.float32(band.offset)
    values[stored == band.nodata] = np.nan
    return values


def grid_attributes(geobox: GeoBox) -> dict[str, Any]:
    """Return a grid as JSON attributes: CRS as WKT, affine coefficients, shape."""
    crs = geobox.crs
    return {
        "crs_wkt": "" if crs is None else crs.to_wkt(),
        "transform": list(geobox.affine)[:6],
        "shape": [int(n) for n in geobox.shape],
    }


def grid_from(attributes: dict[str, Any]) -> GeoBox:
    """Return the grid that `grid_attributes` described."""
    return GeoBox(
        tuple(attributes["shape"]), Affine(*attributes["transform"]), attributes["crs_wkt"] or None
    )


def origin_of(geobox: GeoBox) -> tuple[int, int]:
    """Return the number of a grid's first pixel, `(y, x)`, counted southwards and eastwards from
    the origin of its CRS: the lattice that all grids of one zone and pixel size share.
    """
    affine = geobox.affine
    return round(affine.f / affine.e), round(affine.c / affine.a)


class Part(NamedTuple):
    """A part of a raster, pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Return its rows in the whole."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Return its columns in the whole."""
        return slice(self.left, self.left + self.width)

    def key(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """Return in the whole what `rows` and `columns` name within the part."""
        (y0, y1, dy), (x0, x1, dx) = rows.indices(self.height), columns.indices(self.width)
        return (
            slice(self.top + y0, self.top + max(y0, y1), dy),
            slice(self.left + x0, self.left + max(x0, x1), dx),
        )


@dataclass(frozen=True)
class PartOf:
    """A part of a raster `(y, x)` as a raster of its own, read slice by slice. Implements
    `Rows`.
    """

    raster: Rows
    part: Part

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (y, x)."""
        return self.part.height, self.part.width

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return np.asarray(self.raster[self.part.key(rows, columns)])


DAMAGE = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError)
"""What Zarr and its codecs raise of arrays whose bytes are not those that were written."""


def damaged(path: Path) -> RequestError:
    """Return the error of arrays on disk that cannot be decoded."""
    return RequestError(
        f"{path} is damaged: its arrays cannot be decoded",
        "Restore it from a copy, or make it anew with the command that made it.",
    )


def window(array: zarr.Array[Any], key: tuple[slice, ...], path: Path) -> NDArray[Any]:
    """Return a window of an array in the store at `path`.

    Raises:
        RequestError: a chunk of it is damaged.
    """
    try:
        return np.asarray(array[key])
    except DAMAGE as error:
        raise damaged(path) from error


@dataclass(frozen=True)
class Stack:
    """An opened stack. Reading only; cheap to open and to send by its path."""

    path: Path
    part: Part | None = None
    """The part that is seen; the whole where None."""

    def __reduce__(self) -> tuple[type[Stack], tuple[Path, Part | None]]:
        return Stack, (self.path, self.part)  # what has been opened stays here

    def of_area(self, area: Area) -> Stack:
        """Return the part of the whole stack that is the area's own grid, without the context that
        tiles read around it; what is read, and where, then counts from the part's corner.
        """
        whole = grid_from(self.attributes["grid"])
        geobox = area.geobox(abs(float(whole.resolution.x)))
        left, top = ~whole.affine @ (geobox.affine.c, geobox.affine.f)
        return Stack(self.path, Part(round(top), round(left), *map(int, geobox.shape)))

    @cached_property
    def group(self) -> zarr.Group:
        """Return the Zarr group, checked."""
        try:
            group = zarr.open_group(zarr_at(self.path), mode="r", use_consolidated=False)
        except FileNotFoundError as error:
            raise RequestError(
                f"no stack at {self.path}", "Run `coslide respond` to make one."
            ) from error
        except DAMAGE as error:
            raise damaged(self.path) from error
        check_format(group.attrs.get("format"), "stack", str(self.path))
        return group

    @cached_property
    def _opened(self) -> dict[str, zarr.Array[Any]]:
        return {}

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> zarr.Array[Any]:
        try:
            with many_chunks(self.path):
                array = self.group[name]
        except DAMAGE as error:
            raise damaged(self.path) from error
        if not isinstance(array, zarr.Array):
            raise RequestError(
                f"`{name}` in {self.path} is not an array", "Run `coslide respond` again."
            )
        return array

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the stack's attributes: source, level, scenes, hillshade azimuth, ..."""
        return dict(self.group.attrs)

    @cached_property
    def geobox(self) -> GeoBox:
        """Return the grid, rows north to south."""
        whole = grid_from(self.attributes["grid"])
        return whole[self.part.rows, self.part.columns] if self.part else whole

    @property
    def shape(self) -> tuple[int, int]:
        """Return (y, x)."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    @property
    def origin(self) -> tuple[int, int]:
        """Return the number of the first pixel on the lattice, `(y, x)` (`origin_of`)."""
        return origin_of(self.geobox)

    @cached_property
    def band_names(self) -> tuple[str, ...]:
        """Return the names of the physical bands in the stack."""
        return tuple(self.attributes["bands"])

    def window(self, name: str, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window of one array as it is stored, `(y, x)`."""
        if self.part is not None:
            rows, columns = self.part.key(rows, columns)
        return window(self._array(name), (rows, columns), self.path)

    def cut(self, raster: Rows) -> Rows:
        """Return what of a raster over the whole stack lies on this part of it."""
        return raster if self.part is None else PartOf(raster, self.part)

    def stored(self, name: str) -> zarr.Array[Any]:
        """Return one array of the whole group as it is stored: scaled integers, observation classes
        or days.
        """
        return self._array(name)

    def read(
        self, name: str, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return a window of one band, `(y, x)`, float32 in the band's unit, NaN where not
        known.
        """
        return decode(self.window(name, rows, columns), name)

    def observation(
        self, when: When, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.uint8]:
        """Return a window's observation classes, `(y, x)` uint8 (`records.ObservationClass`)."""
        return self.window(f"{when}_observation", rows, columns).astype(np.uint8, copy=False)

    def date(
        self, when: When, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.int32]:
        """Return acquisition days since 1970-01-01, `(y, x)` int32, 0 where not imaged."""
        return self.window(f"{when}_date", rows, columns).astype(np.int32, copy=False)

    def view(self, names: Sequence[str]) -> StackView:
        """Return bands as one lazy `(band, y, x)`; slicing reads only what is asked for."""
        missing = [name for name in names if name not in self.band_names]
        if missing:
            raise RequestError(
                f"the stack {self.path} has no band {', '.join(missing)}",
                f"It holds {', '.join(self.band_names)}.",
            )
        return StackView(self, tuple(names))


@dataclass(frozen=True)
class StackView:
    """Some bands of a stack as `(band, y, x)` float32, read slice by slice. Implements `Rows`."""

    stack: Stack
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (band, y, x)."""
        return (len(self.names), *self.stack.shape)

    @property
    def stored(self) -> StoredView:
        """Return the same bands as the integers they are stored as."""
        return StoredView(self.stack, self.names)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        bands, rows, columns = key
        names = self.names[bands]
        if not names:
            return np.empty((0, 0, 0), np.float32)
        return np.stack([self.stack.read(name, rows, columns) for name in names])  # (band, y, x)


class Coding(NamedTuple):
    """What the 16 stored bits of some bands mean, each field `(band, 1, 1)`: the integer is
    `stored & bits`, the value `integer * scale + offset`, and `nodata` is not known.
    """

    bits: NDArray[np.int32]
    """65535 for bands without a sign, -1 (all bits) for those with one."""
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    nodata: NDArray[np.int32]

    @classmethod
    def of(cls, names: Sequence[str]) -> Coding:
        """Return the coding of a stack's bands."""
        bands = [parse_band(name).band for name in names]
        if any(np.dtype(band.dtype).itemsize != 2 for band in bands):
            raise RequestError(
                "only bands of 16 bits are read as they are stored", "Read their values instead."
            )
        unsigned = [np.dtype(band.dtype).kind == "u" for band in bands]
        return cls(
            np.array([0xFFFF if plus else -1 for plus in unsigned], np.int32)[:, None, None],
            np.array([band.scale for band in bands], np.float32)[:, None, None],
            np.array([band.offset for band in bands], np.float32)[:, None, None],
            np.array([band.nodata for band in bands], np.int32)[:, None, None],
        )


@dataclass(frozen=True)
class StoredView:
    """Some bands of a stack as the 16 bits they are stored as, `(band, y, x)` int16, read slice by
    slice; `coding` says what they mean. Half of what values take, and made without arithmetic.
    Implements `Rows`.
    """

    stack: Stack
    names: tuple[str, ...]
    dtype = np.dtype(np.int16)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (band, y, x)."""
        return (len(self.names), *self.stack.shape)

    @cached_property
    def coding(self) -> Coding:
        """Return what the bits mean."""
        return Coding.of(self.names)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.int16]:
        bands, rows, columns = key
        (top, bottom, _), (left, right, _) = (
            rows.indices(self.shape[1]),
            columns.indices(self.shape[2]),
        )
        names = self.names[bands]
        into = np.empty((len(names), bottom - top, right - left), np.int16)
        self.read_into(key, into)
        return into

    def read_into(self, key: tuple[slice, slice, slice], into: NDArray[np.int16]) -> None:
        """Write a window into `into`, `(band, y, x)`."""
        bands, rows, columns = key
        for band, name in zip(into, self.names[bands], strict=True):
            band[:] = self.stack.window(name, rows, columns).view(np.int16)
