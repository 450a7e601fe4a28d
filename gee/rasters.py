"""Rasters of any origin in physical values: names inside the folder, windows only, warped without
seams.

A file is opened anew for every read: rasterio's datasets must not be shared by threads, and opening
costs milliseconds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from configs.bands import Band
from configs.errors import RequestError
from configs.files import inside
from gee.ground import pixel_size_m
from gee.raster_files import check_band, check_place, check_whole, driver_of, opened
from gee.resample import Method, cut, footprint, positions, sample
from gee.units import factor

_STRIP_PIXELS: Final = 4_000_000
"""Native pixels read at once when a fine raster is averaged."""
_ALMOST: Final = 0.02
"""Five pixels of 2.001 m on the ground make one of 10 m: UTM stretches by up to 1 in 1000."""
_FILLS: Final = (
    *(-9999.0, -99999.0, -999999.0, -32768.0, -32767.0, 32767.0, 65535.0, 65534.0),
    *(-2147483648.0, 2147483647.0, 4294967295.0),
    *(float(np.finfo(np.float32).max), float(np.finfo(np.float32).min)),
)
"""Numbers that programs write where nothing was measured; taken for that where no nodata is
declared and they cannot be what the band holds."""
_LOWLAND_M: Final = 50.0
"""A coast has land between 0 and this; where none of a file has, its zeros are no sea level."""
_WHOLE_PX: Final = 512
"""Longest side of the look at a whole elevation file."""

Array = NDArray[np.float32]
_Window = tuple[slice, slice]


@dataclass(frozen=True)
class Raster:
    """One band of one file, looked at and found usable."""

    path: Path
    what: str
    """For messages: which scene and band."""
    geobox: GeoBox
    band: int
    driver: str
    scale: float
    offset: float
    nodata: float | None
    masked: bool
    """Whether the file carries a mask of its own."""
    fills: tuple[float, ...] = ()
    """Numbers that nobody declared and that mean "not known" all the same."""
    kind: str = ""
    """What its numbers are stored as, e.g. ``uint8``."""

    def read(self, window: _Window) -> Array:
        """Return a window of the file in physical values, `(y, x)` float32, NaN where not known.

        Raises:
            RequestError: the file cannot be read there, e.g. because it is truncated.
        """
        rows, columns = window
        frame = Window.from_slices(rows, columns)
        with opened(self.path, self.driver, self.what) as file:
            numbers = file.read(self.band, window=frame)
            gaps = file.read_masks(self.band, window=frame) == 0 if self.masked else None
        return self._physical(numbers, gaps)

    def _physical(self, numbers: NDArray[Any], gaps: NDArray[np.bool_] | None = None) -> Array:
        missing = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(numbers.shape, bool)
        if missing.any() and not self.masked and (self.nodata is None or not np.isnan(self.nodata)):
            raise RequestError(
                f"{self.what}: {self.path.name} holds {int(missing.sum()):,} NaN, but NaN "
                f"is not its nodata value ({self.nodata})",
                "Declare it in archive.yaml, `nodata: .nan`, if these pixels were not "
                "seen; else mend the file.",
            )
        if self.nodata is not None:
            missing |= numbers == np.asarray(self.nodata).astype(
                numbers.dtype if numbers.dtype.kind == "f" else "f8"
            )
        if self.fills:
            missing |= self._is_fill(numbers)
        if gaps is not None:
            missing |= gaps
        values = numbers.astype(np.float64) * self.scale + self.offset
        return np.where(missing, np.nan, values).astype(np.float32)

    def _is_fill(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        return np.isin(numbers, np.asarray(self.fills).astype(numbers.dtype))

    def fill_within(self, block: GeoBox) -> int:
        """Return how many of the file's pixels within a block's grid look like fill that nobody
        declared; a strip at a time.
        """
        if not self.fills:
            return 0
        window = footprint(*positions(block, self.geobox), _size(self.geobox), 0)
        if window is None:
            return 0
        rows, columns = window
        step, count = max(1, _STRIP_PIXELS // (columns.stop - columns.start)), 0
        with opened(self.path, self.driver, self.what) as file:
            for top in range(rows.start, rows.stop, step):
                strip = slice(top, min(top + step, rows.stop))
                numbers = file.read(self.band, window=Window.from_slices(strip, columns))
                count += int(np.count_nonzero(self._is_fill(numbers)))
        return count

    def coarsening(self, resolution_m: float) -> tuple[int, int]:
        """Return how many (rows, columns) of the file make one pixel not coarser than a resolution;
        1 where it is coarse.
        """
        tall, wide = pixel_size_m(self.geobox)
        return max(1, int(resolution_m / tall + _ALMOST)), max(
            1, int(resolution_m / wide + _ALMOST)
        )

    def coarse_geobox(self, factors: tuple[int, int]) -> GeoBox:
        """Return the file's grid in groups of pixels, counted from its first one."""
        height, width = (
            -(-int(size) // factor) for size, factor in zip(self.geobox.shape, factors, strict=True)
        )
        return GeoBox(
            (height, width),
            self.geobox.affine @ Affine.scale(factors[1], factors[0]),
            self.geobox.crs,
        )

    def read_coarse(self, window: _Window, factors: tuple[int, int]) -> Array:
        """Return the means of groups of pixels, those known, `(y, x)` float32, a strip at a
        time.
        """
        if factors == (1, 1):
            return self.read(window)
        (rows, columns), (tall, wide) = window, factors
        height, width = self.geobox.shape
        right = min(columns.stop * wide, width)
        span = (columns.stop - columns.start) * wide
        step = max(1, _STRIP_PIXELS // (tall * span))
        strips = []
        for top in range(rows.start, rows.stop, step):
            bottom = min(top + step, rows.stop)
            native = self.read(
                (slice(top * tall, min(bottom * tall, height)), slice(columns.start * wide, right))
            )
            whole = np.full(((bottom - top) * tall, span), np.nan, np.float32)
            whole[: native.shape[0], : native.shape[1]] = native
            strips.append(_means(whole, factors))
        return np.concatenate(strips)

    def warp(self, block: GeoBox, method: Method) -> Array:
        """Return the raster on a block's grid, `(y, x)` float32, NaN where it is not known.

        Bilinear between pixels; a raster finer than the grid is first averaged to about its
        resolution. Nearest takes the pixel that each centre lies in.
        """
        factors = (1, 1) if method == "nearest" else self.coarsening(abs(block.affine.a))
        native = self.coarse_geobox(factors)
        rows, columns = positions(block, native)
        window = footprint(rows, columns, _size(native), 2)
        if window is None:
            return np.full(tuple(block.shape), np.nan, np.float32)
        values = self.read_coarse(window, factors)
        return sample(values, rows - window[0].start, columns - window[1].start, method)

    def glance(self, block: GeoBox) -> Array:
        """Return a quick look on a coarse block's grid: nearest pixels of a thinned read, good for
        counting only.
        """
        rows, columns = positions(block, self.geobox)
        window = footprint(rows, columns, _size(self.geobox), 0)
        if window is None:
            return np.full(tuple(block.shape), np.nan, np.float32)
        height, width = (part.stop - part.start for part in window)
        thin = (min(height, 2 * block.shape[0]), min(width, 2 * block.shape[1]))
        with opened(self.path, self.driver, self.what) as file:
            frame = Window.from_slices(*window)
            numbers = file.read(self.band, window=frame, out_shape=thin)
            gaps = None
            if self.masked:
                gaps = file.read_masks(self.band, window=frame, out_shape=thin) == 0
        row = (rows - window[0].start + 0.5) * (thin[0] / height) - 0.5
        column = (columns - window[1].start + 0.5) * (thin[1] / width) - 0.5
        return sample(self._physical(numbers, gaps), row, column, "nearest")

    def around(self, block: GeoBox, margin_px: int) -> tuple[Array, GeoBox]:
        """Return native values around a block and their grid; one void pixel where the raster
        misses it.

        Native is the file's own spacing, or that of whole groups of pixels where it is finer than
        the block.
        """
        factors = self.coarsening(abs(block.affine.a))
        native = self.coarse_geobox(factors)
        rows, columns = positions(block, native)
        window = footprint(rows, columns, _size(native), margin_px)
        if window is None:
            return np.full((1, 1), np.nan, np.float32), cut(native, (slice(0, 1), slice(0, 1)))
        return self.read_coarse(window, factors), cut(native, window)


def _size(geobox: GeoBox) -> tuple[int, int]:
    return int(geobox.shape[0]), int(geobox.shape[1])


def _means(values: Array, factors: tuple[int, int]) -> Array:
    """Return the means of groups of pixels, ignoring NaN; NaN where all are."""
    groups = values.reshape(
        values.shape[0] // factors[0], factors[0], values.shape[1] // factors[1], factors[1]
    )
    known = np.isfinite(groups)
    count = known.sum(axis=(1, 3))
    total = np.where(known, groups, 0).sum(axis=(1, 3), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Numbers:
    """What the numbers of a file mean, where the user says it; the file's own word where None."""

    scale: float | None = None
    offset: float | None = None
    """Added to the scaled numbers."""
    nodata: float | None = None
    """The number that means "not known"."""
    unit: str | None = None
    """What the numbers are in, where the file does not say it or is wrong."""


def look_at(
    folder: Path,
    name: str,
    band: int,
    what: str,
    numbers: Numbers | None = None,
    holds: Band | None = None,
) -> Raster:
    """Return one band of a file, checked.

    Args:
        folder: where the name must resolve inside.
        name: of the file.
        band: which of its bands, from 1.
        what: for messages: which scene or layer, and band.
        numbers: what they mean, as the user says.
        holds: what the numbers are, so that lengths and angles come in its unit.

    Raises:
        RequestError: the name leads out of the folder, or the file is missing, unreadable, empty,
            truncated, complex, without that band, a CRS or a geotransform.
    """
    numbers, path = numbers or Numbers(), inside(folder, name, what)
    driver = driver_of(path, what)
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        opened(path, driver, what) as file,
    ):
        check_band(file, path, what, band)
        check_place(file, path, what)
        if driver == "GTiff":
            check_whole(file, path, what)
        crs = pyproj.CRS.from_user_input(file.crs.to_wkt())
        metres = _factor(file, band, crs, numbers, holds, f"{what}: {path.name}")
        found = Raster(
            path,
            what,
            GeoBox(file.shape, file.transform, crs.to_2d().to_wkt()),
            band,
            driver,
            metres * (file.scales[band - 1] if numbers.scale is None else numbers.scale),
            metres * (file.offsets[band - 1] if numbers.offset is None else numbers.offset),
            file.nodatavals[band - 1] if numbers.nodata is None else numbers.nodata,
            MaskFlags.per_dataset in file.mask_flag_enums[band - 1],
            kind=file.dtypes[band - 1],
        )
        return replace(found, fills=_fills(found, file, holds)) if holds else found


def _factor(
    file: Any, band: int, crs: pyproj.CRS, numbers: Numbers, holds: Band | None, where: str
) -> float:
    """Return what turns the file's unit into that of the band.

    Raises:
        RequestError: an unknown unit, or one that a `scale` of the user's may already have turned.
    """
    found = factor(holds, file.units[band - 1], crs, numbers.unit, where)
    if numbers.scale not in (None, 1.0) and numbers.unit is None and found != 1.0:
        raise RequestError(
            f"{where} says that it is in `{file.units[band - 1] or 'feet'}`, and "
            f"the manifest has `scale: {numbers.scale:g}`: it may be converted twice",
            "Add `unit: m` where the scaled numbers are metres, else the unit they are in.",
        )
    return found


def _fills(raster: Raster, file: Any, holds: Band) -> tuple[float, ...]:
    """Return the numbers of a file that cannot be what it holds and that programs write where
    nothing was measured; 0 among them where an elevation has no lowland beside it.
    """
    kind = np.dtype(file.dtypes[raster.band - 1])
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    found = []
    for number in _FILLS:
        value = number * raster.scale + raster.offset
        storable = float(limits.min) <= number <= float(limits.max)
        if storable and not holds.low <= value <= holds.high:
            found.append(number)
    if holds.name == "dem" and raster.nodata is None and not raster.masked:
        height, width = file.shape
        thin = max(1, -(-max(height, width) // _WHOLE_PX))
        numbers = file.read(raster.band, out_shape=(-(-height // thin), -(-width // thin)))
        values = raster.scale * numbers.astype(np.float64) + raster.offset
        possible = (values >= holds.low) & (values <= holds.high) & (numbers != 0)
        if (numbers == 0).any() and possible.any() and values[possible].min() > _LOWLAND_M:
            found.append(0.0)
    return tuple(found)
