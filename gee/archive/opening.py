"""Opening an archive: its rasters, and the factor files that its manifest names beside them."""

from __future__ import annotations

from pathlib import Path

from gee.archive.source import ArchiveSource
from gee.source import Source


def open_archive(where: Path) -> Source:
    """Return an archive as a source, with the factor files its manifest names.

    Raises:
        RequestError: no manifest there, or a malformed one.
    """
    archive = ArchiveSource(where)
    if not archive.manifest.factors.named:
        return archive
    from gee.factors.source import FactoredSource  # vector libraries take a second to load

    return FactoredSource(archive, archive.manifest.factors, archive.folder)
