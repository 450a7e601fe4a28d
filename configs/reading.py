"""Opening Zarr arrays to read: many chunks at once, through the Rust codecs of `zarrs`.

zarr-python fetches and decodes chunk by chunk on one event loop; `zarrs` does whole windows on all
cores, without Python's lock (docs/results.md#reading). What lies on disk, and what is read, is the
same. Stores that only Python reaches (object stores) are read zarr-python's own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import zarr

from configs.places import is_remote, zarr_at

_RUST: Final = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
_OPENING: Final = Lock()  # zarr's settings are the whole process's, and threads open arrays too


@contextmanager
def many_chunks(path: Path) -> Iterator[None]:
    """Let Zarr arrays below a place that are opened meanwhile decode many chunks at once."""
    if is_remote(path):
        yield
        return
    with _OPENING, zarr.config.set(_RUST):
        yield


def open_to_read(path: Path) -> zarr.Array[Any]:
    """Return the Zarr array at a place, for reading.

    Raises:
        FileNotFoundError: there is none.
    """
    with many_chunks(path):
        return zarr.open_array(zarr_at(path), mode="r")
