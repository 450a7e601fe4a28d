"""Where a run's Zarr stores lie: a folder (local or NFS), or a URL of an object store that several
machines share.

A place is a `Path`, or for a URL a `UPath` that answers to the same few questions: `/`, `exists`,
`iterdir`, `read_text`. Credentials come from the environment of whoever reads (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL` for other S3 services), never from a file of ours. An
object store has no rename: what must be whole is told by markers.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, cast

from configs.errors import RequestError

URL = re.compile(r"^[a-z][a-z0-9+]*://")
_FRESH = {"use_listings_cache": False}
"""Other machines write too: a listing from before is no answer."""


def at_home(where: str | None) -> str | None:
    """Return a path with ``~`` replaced by the home folder, which no shell does inside a file or
    after ``archive:``.
    """
    return str(Path(where).expanduser()) if where and where.startswith("~") else where


def place(where: str) -> Path:
    """Return the place that a path or a URL (`s3://bucket/prefix`) names.

    Raises:
        RequestError: a URL whose protocol is not installed here.
    """
    if not URL.match(where):
        return Path(where)
    try:
        from upath import UPath

        return cast(Path, UPath(where, use_listings_cache=_FRESH["use_listings_cache"]))
    except (ImportError, ValueError) as error:
        raise RequestError(
            f"the store {where} cannot be used: {error}",
            "Install what it needs: `pip install coslide[cluster]`.",
        ) from error


def is_remote(path: Path) -> bool:
    """Return whether a place is an object store's, where nothing can be renamed."""
    return not isinstance(path, Path)


def zarr_at(path: Path) -> Any:
    """Return what `zarr` opens for a place."""
    if not is_remote(path):
        return path
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(str(path), storage_options=_FRESH)


def drop(path: Path) -> None:
    """Remove a place and all that is in it, if it exists."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        remote: Any = path
        remote.fs.rm(str(path), recursive=True)
