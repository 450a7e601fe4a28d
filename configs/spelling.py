"""What somebody may have meant by a name that there is none of: one sentence for commands,
settings, files, checkpoints, sources, kits and whatever else goes by a name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

_LIKENESS = 0.6
"""difflib's ratio from which a name is offered; its own default."""
_ENDINGS = ({".yaml", ".yml"}, {".tif", ".tiff"}, {".json", ".geojson"}, {".jpg", ".jpeg"})
"""What people write for each other."""


def meant(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean `…`?`` for the nearest known name; empty where none is near."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=_LIKENESS)
    return f"Did you mean `{by_lower[near[0]]}`?" if near else ""


def instead(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the remedy for an unknown name: the nearest known one, then what else there is."""
    return " ".join(part for part in (meant(name, known), otherwise) if part)


def file_meant(path: Path) -> str:
    """Return what was meant by the path of a file that is not there, by its neighbours."""
    alike = next((one for one in _ENDINGS if path.suffix.lower() in one), {path.suffix.lower()})
    try:
        beside = [each.name for each in path.parent.iterdir() if each.suffix.lower() in alike]
    except OSError:
        return ""
    near = meant(path.name, beside)
    return near.replace("`", f"`{path.parent}/", 1) if near and path.parent != Path() else near
