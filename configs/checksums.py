"""The checksums that a folder of ours carries (``checksums.sha256``): written when it is made,
compared when it is read. ``sha256sum -c checksums.sha256`` compares them without us.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from configs.content import checksum
from configs.errors import RequestError
from configs.files import sha256, write_text

CHECKSUMS: Final = "checksums.sha256"


def write_checksums(folder: Path) -> None:
    """Write the checksum of every file in a folder beside them; nothing else may come later."""
    files = sorted(each for each in folder.rglob("*") if each.is_file() and each.name != CHECKSUMS)
    lines = [f"{sha256(each)}  {each.relative_to(folder).as_posix()}\n" for each in files]
    write_text(folder / CHECKSUMS, "".join(lines))


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every file by its name in a folder; none where the folder carries
    none.

    Raises:
        RequestError: the list itself is damaged.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return {}
    found = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            value, _, name = line.partition("  ")
            found[name] = bytes.fromhex(value).hex()
    except ValueError:
        found = {}
    if not found or any(len(value) != 64 or not name for name, value in found.items()):
        raise RequestError(f"{path} is damaged", "Restore it from a copy, or remove it.")
    return found


def faults(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Return which files of a folder, all or some, are lost or were changed since it was made."""
    sums = read_checksums(folder)
    wanted = sums.keys() if names is None else sums.keys() & set(names)
    found = []
    for name in sorted(wanted):
        file = folder / name
        if not file.is_file():
            found.append(f"{name} is lost")
        elif checksum(file) != sums[name]:
            found.append(f"{name} was changed")
    return found


def check(folder: Path, what: str, names: Iterable[str] | None = None) -> None:
    """Refuse a folder whose files, all or some, are not those that were written.

    Raises:
        RequestError: a file is lost or was changed.
    """
    found = faults(folder, names)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise RequestError(
            f"{what} {folder} is damaged: {found[0]}{more}",
            f"Restore it from a copy or make it anew; if it was changed on purpose, remove "
            f"{folder / CHECKSUMS}.",
        )
