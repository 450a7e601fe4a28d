"""Chunks of a stack's array written straight to their files, by many threads at once.

zarr-python funnels every write of a process through one event loop, about a millisecond a chunk:
forty connections deliver faster than that. What lies on disk is the same (Zarr v3, key encoding
``c/row/column``, codecs `bytes` and `blosc`), and any Zarr reader reads it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from configs.stack import CHUNK_PX

_LEVEL: Final = 5
COMPRESSION: Final = BloscCodec(cname="lz4", clevel=_LEVEL, shuffle="bitshuffle")
"""lz4 after a bit shuffle: on imagery 3 % larger than zstd at level 3, and written four times as
fast.
"""
HANDS: Final = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Held while a thread computes: many may wait for the network, as many as there are cores work on
what came.
"""


def write_window(
    folder: Path, rows: slice, columns: slice, values: NDArray[Any], fill: int
) -> None:
    """Write a window of whole chunks of one array; chunks that hold nothing but `fill` have no
    file, as Zarr does it.

    Args:
        folder: the array's folder.
        rows: first row a multiple of `CHUNK_PX`, the last one too unless it is the array's end.
        columns: likewise.
        values: `(y, x)` in the array's type.
        fill: the array's fill value.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    native = values.astype(values.dtype.newbyteorder("<"), copy=False)
    for top in range(rows.start, rows.stop, CHUNK_PX):
        line = folder / "c" / str(top // CHUNK_PX)
        for left in range(columns.start, columns.stop, CHUNK_PX):
            part = native[
                top - rows.start : top - rows.start + CHUNK_PX,
                left - columns.start : left - columns.start + CHUNK_PX,
            ]
            file = line / str(left // CHUNK_PX)
            if (part == fill).all():
                file.unlink(missing_ok=True)
            else:
                _write(file, blosc.compress(_whole(part, fill), b"lz4", _LEVEL, blosc.BITSHUFFLE))


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except FileNotFoundError:  # the first chunk of its line
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _whole(part: NDArray[Any], fill: int) -> NDArray[Any]:
    """Return a chunk of full size: what lies beyond the array's edge is stored as `fill`."""
    if part.shape == (CHUNK_PX, CHUNK_PX):
        return np.ascontiguousarray(part)
    whole = np.full((CHUNK_PX, CHUNK_PX), fill, part.dtype)
    whole[: part.shape[0], : part.shape[1]] = part
    return whole
