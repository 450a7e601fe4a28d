"""Opening a raster file with care: explicit drivers, GDAL's complaints as ours, and everything that
may be wrong with a file before a pixel of it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from pyproj.exceptions import ProjError
from rasterio.errors import RasterioError, RasterioIOError

from configs.area import WGS84
from configs.errors import RequestError, from_os_error
from gee.resample import transformer

_MAGIC: Final = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0c": "JP2OpenJPEG",
    b"\xffO\xffQ": "JP2OpenJPEG",
    b"\x89PNG": "PNG",
}
"""First bytes -> GDAL driver: formats that hold pixels and point to no other file (VRT would).
"""
_MOST_BLOCKS: Final = 20_000
"""Blocks of a TIFF whose place in the file is checked; of larger ones every so many-th."""


def driver_of(path: Path, what: str) -> str:
    """Return the GDAL driver for a file by its first bytes."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise RequestError(
            f"{what}: there is no file {path}", "Correct `file:` in the manifest."
        ) from None
    except OSError as error:
        raise from_os_error(error) from error
    if not magic:
        raise RequestError(f"{what}: {path} is empty", "Copy or download it again.")
    if magic not in _MAGIC:
        raise RequestError(
            f"{what}: {path} is no raster that can be read", "Use GeoTIFF, JPEG 2000 or PNG."
        )
    return _MAGIC[magic]


@contextmanager
def opened(path: Path, driver: str, what: str) -> Iterator[Any]:
    """Yield an opened file; whatever GDAL says against it becomes our error."""
    try:
        with rasterio.open(path, driver=driver) as file:
            yield file
    except (RasterioIOError, RasterioError) as error:
        detail = " ".join(str(error.__cause__ or error).split())
        raise RequestError(
            f"{what}: cannot read {path}: {detail}", "It may be damaged: copy or download it again."
        ) from error


def check_band(file: Any, path: Path, what: str, band: int) -> None:
    """Refuse a band that the file does not have, or that holds no plain numbers.

    Raises:
        RequestError: so it is.
    """
    if not 1 <= band <= file.count:
        raise RequestError(
            f"{what}: {path.name} has no band {band}, only {file.count}", "Correct `band:`."
        )
    if np.dtype(file.dtypes[band - 1]).kind not in "uif":
        raise RequestError(
            f"{what}: {path.name} holds {file.dtypes[band - 1]}", "Store plain numbers."
        )


def check_place(file: Any, path: Path, what: str) -> None:
    """Refuse a file that does not say where its pixels lie.

    Raises:
        RequestError: no CRS, one of no place on Earth, no geotransform, or control points only.
    """
    if file.gcps[0] and file.transform.is_identity:
        raise RequestError(
            f"{what}: {path.name} is georeferenced by {len(file.gcps[0])} control points only",
            f"Warp it to a north-up grid, e.g. `gdalwarp {path.name} warped.tif`.",
        )
    if file.crs is None:
        raise RequestError(
            f"{what}: {path.name} has no coordinate reference system",
            f"Give it one, e.g. `rio edit-info --crs EPSG:32654 {path.name}`.",
        )
    if not _tied_to_the_earth(file.crs):
        raise RequestError(
            f"{what}: {path.name} is in a local system that nothing can be put in place by",
            f"Assign its true one, e.g. `rio edit-info --crs EPSG:32654 {path.name}`.",
        )
    if file.transform.is_identity or not file.transform.determinant:
        raise RequestError(
            f"{what}: {path.name} has no geotransform: nothing says where its pixels lie",
            f"Give it one, e.g. `gdal_edit.py -a_ullr WEST NORTH EAST SOUTH {path.name}`.",
        )


def _tied_to_the_earth(crs: Any) -> bool:
    """Return whether a CRS leads to a place on Earth, as one that is a bare name does not."""
    try:
        transformer(crs.to_wkt(), WGS84)
    except ProjError:
        return False
    return True


def check_whole(file: Any, path: Path, what: str) -> None:
    """Refuse a TIFF whose blocks reach beyond its end: it was cut short in copying.

    Raises:
        RequestError: it is truncated.
    """
    size = path.stat().st_size
    tall, wide = file.block_shapes[0]
    down, across = -(-file.height // tall), -(-file.width // wide)
    every = 1 + down * across // _MOST_BLOCKS
    for number in [*range(0, down * across, every), down * across - 1]:
        block = f"{number % across}_{number // across}"
        offset, length = (
            file.get_tag_item(f"BLOCK_{key}_{block}", "TIFF", bidx=1) for key in ("OFFSET", "SIZE")
        )
        if offset and length and int(offset) + int(length) > size:
            raise RequestError(
                f"{what}: {path} is truncated: {size} bytes, but its pixels go on beyond",
                "Copy or download it again.",
            )
