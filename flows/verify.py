"""Whether revisions, checkpoints, archives and sample sets are still what was written: every
checksum there is, read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs import checksums
from configs.checkpoint import REFERENCE, WEIGHTS, read_card
from configs.errors import RequestError
from configs.files import sha256
from configs.layout import EventFolder
from configs.spelling import file_meant
from gee.store import damaged
from inventory.formats import stac

_ITEM = "item.json"
_CARRYING = ("archive.yaml", "samples.yaml")
"""What says that a folder is an archive or a sample set."""


@dataclass(frozen=True)
class Verified:
    """What was checked, and what is wrong with it."""

    path: Path
    checked: int
    """Files (and blocks of a stack are one more) whose checksum was compared."""
    faults: tuple[str, ...]
    """What is lost or changed, in words."""


def verify(path: Path) -> list[Verified]:
    """Return what became of a revision, of each revision of an event's folder, of a checkpoint, an
    archive or a sample set, or of all of these that a folder holds.

    Raises:
        RequestError: there is nothing at `path` that carries checksums, or they are damaged.
    """
    if not path.exists():
        raise RequestError(f"there is no {path}", file_meant(path) or "Check the path.")
    found = _one(path)
    if found is None and path.is_dir():
        inner = [one for one in sorted(path.iterdir()) if one.is_dir() and one.name[0] != "."]
        found = [each for one in inner for each in _one(one) or ()]
    if not found:
        raise RequestError(
            f"{path} holds nothing that carries checksums",
            "Name an event's folder, one of its revisions, the folder of a checkpoint, an archive "
            "or a sample set, or a folder of these.",
        )
    return found


def _one(path: Path) -> list[Verified] | None:
    """Return what became of the one thing, or the one event, at a path; None where it is none."""
    if (path / _ITEM).is_file():
        return [_revision(path)]
    if (path / "card.yaml").is_file():
        return [_checkpoint(path)]
    if any((path / name).is_file() for name in (checksums.CHECKSUMS, *_CARRYING)):
        return [_folder(path)]
    revisions = EventFolder(path).revisions()
    return [_revision(layout.folder) for _, layout in sorted(revisions.items())] or None


def _revision(folder: Path) -> Verified:
    faults = stac.faults(folder)
    stack = folder / "stack" / "stack.zarr"
    if stack.exists():
        faults += _stack(stack)
    return Verified(folder, len(stac.checksums(folder) or ()) + stack.exists(), tuple(faults))


def _folder(folder: Path) -> Verified:
    sums = checksums.read_checksums(folder)
    if not sums:
        raise RequestError(
            f"{folder} carries no checksums: nobody can tell whether it is as it was made",
            "Archives that `coslide freeze` makes and sample sets carry them.",
        )
    return Verified(folder, len(sums), tuple(checksums.faults(folder)))


def _stack(path: Path) -> list[str]:
    try:
        blocks = damaged(path)
    except (OSError, ValueError, LookupError, TypeError):
        return ["the stack is damaged"]
    return [f"{len(blocks)} blocks of the stack are damaged"] if blocks else []


def _checkpoint(folder: Path) -> Verified:
    card = read_card(folder)
    faults = []
    for name, expected in ((WEIGHTS, card.weights_sha256), (REFERENCE, card.reference_sha256)):
        file = folder / name
        if not file.is_file():
            faults.append(f"{name} is lost")
        elif sha256(file) != expected:
            faults.append(f"{name} was changed")
    return Verified(folder, 2, tuple(faults))
