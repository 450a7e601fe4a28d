"""Layers of vector files that the user names: ``FILE[:LAYER]``, checked before anything is read of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyogrio
import pyogrio.errors

from configs.errors import RequestError

_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".kml", ".gml")
"""Vector files that are opened. Nothing that may point elsewhere, such as OGR's virtual format.
"""


@dataclass(frozen=True)
class Layer:
    """A polygon layer of a vector file, perhaps only some of its features."""

    file: Path
    name: str | None = None
    """Layer; may be left out where the file holds only one."""
    where: str | None = None
    """Which features count, e.g. ``kind = 'interpreted'`` (OGR SQL condition)."""

    @classmethod
    def parse(cls, text: str, where: str | None = None) -> Layer:
        """Return the layer written as ``FILE[:LAYER]``."""
        if not Path(text).exists() and ":" in text[2:]:  # a drive letter's colon is no separator
            file, _, name = text.rpartition(":")
            return cls(Path(file), name, where)
        return cls(Path(text), None, where)

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" if self.name else str(self.file)


def layer_name(layer: Layer) -> str:
    """Return the name of a layer, after making sure that it is there.

    Raises:
        RequestError: no such file or layer, not a vector file, or one that points elsewhere.
    """
    path = layer.file
    if not path.is_file():
        raise RequestError(f"no such file: {path}", "Write FILE or FILE:LAYER, and check the path.")
    if path.suffix.lower() not in _SUFFIXES:
        raise RequestError(
            f"{path} is not a vector file coslide reads", f"Use one of {', '.join(_SUFFIXES)}."
        )
    with path.open("rb") as file:
        if b"<OGRVRT" in file.read(4096):
            raise RequestError(
                f"{path} is a virtual file that points elsewhere", "Convert it with `ogr2ogr`."
            )
    try:
        names = [str(name) for name, _ in pyogrio.list_layers(path)]
    except pyogrio.errors.DataSourceError as error:
        raise RequestError(
            f"cannot read {path}: it is not a vector file, or damaged", "Export it again."
        ) from error
    if layer.name is not None and layer.name not in names:
        raise RequestError(f"{path} has no layer `{layer.name}`", f"It holds {', '.join(names)}.")
    if layer.name is None and len(names) != 1:
        raise RequestError(
            f"{path} holds {len(names)} layers: {', '.join(names)}",
            f"Name one: {path}:{names[0] if names else 'LAYER'}.",
        )
    return layer.name or names[0]
