"""What each scene of an archive is made of: a changed manifest entry or file makes another image of
it (`gee.previous`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gee.archive.manifest import Manifest


def fingerprints(manifest: Manifest, folder: Path) -> dict[str, str]:
    """Return for each scene, and for all static layers (``static``), a hash of its entry and its
    files' sizes.
    """
    parts: dict[str, Any] = {scene.id: scene.model_dump(mode="json") for scene in manifest.scenes}
    parts["static"] = {
        name: layer.model_dump(mode="json") for name, layer in manifest.static.items()
    }
    common = [manifest.resampling, manifest.water_percent]

    def print_of(part: dict[str, Any]) -> str:
        paths = {name: folder / name for name in sorted(_files(part))}
        sizes = {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
        return hashlib.sha256(
            json.dumps([common, part, sizes], sort_keys=True).encode()
        ).hexdigest()[:16]

    return {name: print_of(part) for name, part in parts.items()}


def _files(part: Any) -> set[str]:
    """Return every file that a part of the manifest names."""
    if not isinstance(part, dict):
        return set()
    return (
        {str(part["file"])}
        if "file" in part
        else set[str]().union(*(_files(each) for each in part.values()))
    )
