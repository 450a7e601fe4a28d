"""What each scene of an archive is made of: a changed manifest entry or file makes another image of
it (`gee.previous`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from configs.content import content
from configs.files import inside
from gee.archive.manifest import Manifest, SceneEntry


def fingerprints(manifest: Manifest, folder: Path, scenes: Iterable[SceneEntry]) -> dict[str, str]:
    """Return for each of some scenes, and for all static layers (``static``), a hash of its entry
    and of what its files hold; the water layer, which says what counts as seen, is part of all.
    """
    parts: dict[str, Any] = {scene.id: _described(scene) for scene in scenes}
    parts["static"] = {
        name: layer.model_dump(mode="json") for name, layer in manifest.static.items()
    }
    water = parts["static"].get("water", {})
    common = [manifest.resampling, manifest.water_percent, water, _contents(water, folder)]

    def print_of(part: dict[str, Any]) -> str:
        text = json.dumps([common, part, _contents(part, folder)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    return {name: print_of(part) for name, part in parts.items()}


def _described(scene: SceneEntry) -> dict[str, Any]:
    """Return an entry without fields that it does not use and that entries once did not have."""
    content = scene.model_dump(mode="json")
    content = {name: value for name, value in content.items() if value or "sun" not in name}
    if mask := content.get("cloud_mask"):
        content["cloud_mask"] = {k: v for k, v in mask.items() if v or k != "cast_shadow"}
    return content


def _contents(part: Any, folder: Path) -> dict[str, str]:
    """Return the checksum of every file that a part of the manifest names and that is there."""
    paths = {name: inside(folder, name, "archive.yaml") for name in sorted(_files(part))}
    return {name: content(path) for name, path in paths.items() if path.is_file()}


def _files(part: Any) -> set[str]:
    """Return every file that a part of the manifest names."""
    if not isinstance(part, dict):
        return set()
    return (
        {str(part["file"])}
        if "file" in part
        else set[str]().union(*(_files(each) for each in part.values()))
    )
