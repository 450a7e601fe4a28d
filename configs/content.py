"""What a file holds, told by its bytes: a raster replaced in place is another one, whatever its
name, size and date say.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final, NamedTuple

from configs.files import sha256

_SETTLED_S: Final = 2.0
"""A file younger than this may change again within one tick of its file system's clock (2 s on
FAT), so its checksum is not remembered."""
_BESIDE: Final = frozenset({".prj", ".dbf", ".shx", ".cpg"})
"""Companions by the same stem that belong to a shapefile; world files are added to them."""
_WORLD: Final = frozenset({".tfw", ".tifw", ".wld", ".pgw", ".pngw", ".j2w", ".jp2w", ".tab"})
_remembered: dict[tuple[str, _Stamp], str] = {}


class _Stamp(NamedTuple):
    """What changes whenever a file is written or replaced."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def settled(self) -> bool:
        newest = max(self.mtime_ns, self.ctime_ns) / 1e9
        return newest < time.time() - _SETTLED_S


def content(path: Path) -> str:
    """Return the SHA-256 of a data set on disk, hexadecimal: the file's own where it stands alone,
    else that of all of its files: sidecars (``.aux.xml``, ``.ovr``, ``.msk``, world files, the
    parts of a shapefile), or whatever a folder holds.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
    else:
        files = [path, *_companions(path)]
    if len(files) == 1:
        return checksum(files[0])
    names = path if path.is_dir() else path.parent
    parts = [f"{each.relative_to(names).as_posix()} {checksum(each)}" for each in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _companions(path: Path) -> list[Path]:
    """Return the files beside one that say more of it: where it lies, what its numbers mean."""
    shapefile = path.suffix.lower() == ".shp"
    own = _WORLD | {".prj"} | (_BESIDE if shapefile else frozenset())
    found = []
    for each in path.parent.iterdir():
        sidecar = each.name.startswith(f"{path.name}.") and each.suffix in {".xml", ".ovr", ".msk"}
        twin = each.stem == path.stem and each.suffix.lower() in own
        if each != path and (sidecar or twin) and each.is_file():
            found.append(each)
    return sorted(found)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal, remembered as long as the file is the same."""
    stamp = _Stamp.of(path)
    key = str(path.absolute()), stamp
    if key not in _remembered:
        found = sha256(path)
        if not stamp.settled() or _Stamp.of(path) != stamp:
            return found
        _remembered[key] = found
    return _remembered[key]
