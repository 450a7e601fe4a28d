"""Anybody's own rasters as a source: a folder and a manifest that says what is in it."""

from gee.archive.manifest import Manifest, read_manifest
from gee.archive.opening import open_archive
from gee.archive.source import ArchiveSource

__all__ = ["ArchiveSource", "Manifest", "open_archive", "read_manifest"]
