"""Whether revisions and checkpoints are still what was written: every checksum there is, read
again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from configs.checkpoint import REFERENCE, WEIGHTS, read_card
from configs.errors import RequestError
from configs.files import sha256
from configs.layout import EventFolder
from gee.store import damaged

_ITEM = "item.json"


@dataclass(frozen=True)
class Verified:
    """What was checked, and what is wrong with it."""

    path: Path
    checked: int
    """Files (and blocks of a stack are one more) whose checksum was compared."""
    faults: tuple[str, ...]
    """What is lost or changed, in words."""


def verify(path: Path) -> list[Verified]:
    """Return what became of a revision, of each revision of an event's folder, or of a checkpoint.

    Raises:
        RequestError: there is nothing at `path` that carries checksums.
    """
    if (path / _ITEM).is_file():
        return [_revision(path)]
    if (path / "card.yaml").is_file():
        return [_checkpoint(path)]
    revisions = EventFolder(path).revisions() if path.is_dir() else {}
    if not revisions:
        raise RequestError(
            f"{path} holds no revision and no checkpoint",
            "Name an event's folder, one of its revisions, or a checkpoint's folder.",
        )
    return [_revision(layout.folder) for _, layout in sorted(revisions.items())]


def _revision(folder: Path) -> Verified:
    try:
        assets = json.loads((folder / _ITEM).read_text(encoding="utf-8"))["assets"]
        sums = {name: str(asset["file:checksum"]) for name, asset in assets.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Verified(folder, 0, (f"{_ITEM} is lost or damaged",))
    faults = []
    for name, checksum in sorted(sums.items()):
        file = folder / Path(name).name
        if not file.is_file():
            faults.append(f"{name} is lost")
        elif not checksum.endswith(sha256(file)):
            faults.append(f"{name} was changed")
    stack = folder / "stack" / "stack.zarr"
    if stack.exists():
        faults += _stack(stack)
    return Verified(folder, len(sums) + stack.exists(), tuple(faults))


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
