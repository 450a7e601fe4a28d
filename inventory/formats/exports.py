"""Further formats of a revision, each on or off in the run's configuration; an empty inventory has
them all too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.product import Export
from inventory.about import About
from inventory.formats import ems
from inventory.formats.geojson import write_geojson
from inventory.formats.kml import write_kml
from inventory.formats.layers import Layer
from inventory.formats.tables import write_csv, write_shapefile
from inventory.outline.outline import Inventory
from inventory.summary import Summary, first_line, headline

FILES: dict[Export, str] = {
    "geojson": "landslides.geojson",
    "kml": "landslides.kml",
    "csv": "landslides.csv",
    "shapefile": "landslides-shapefile.zip",
    "ems": ems.FILE,
}
"""File of each format."""


@dataclass(frozen=True)
class Exported:
    """What the formats are made from."""

    about: About
    inventory: Inventory
    summary: Summary
    landslides: Layer
    area: Layer
    scenes: Layer
    unseen: Layer


def write_exports(folder: Path, exports: Sequence[Export], exported: Exported) -> dict[str, Path]:
    """Return the files of the formats asked for, by name; each written whole or not at all."""
    about = exported.about
    words = [*headline(exported.summary), *about.warnings, *about.attribution]
    for export in exports:
        path = folder / FILES[export]
        if export == "geojson":
            metadata = {
                "words": headline(exported.summary),
                **exported.summary.as_plain(),
                "as_of": about.stamp,
                "attribution": list(about.attribution),
            }
            write_geojson(path, exported.landslides, metadata)
        elif export == "kml":
            write_kml(path, about, exported.landslides, exported.area, exported.unseen, words)
        elif export == "csv":
            write_csv(path, exported.landslides, "".join(first_line(exported.summary)))
        elif export == "shapefile":
            write_shapefile(path, exported.landslides, words, about.windows.as_of)
        else:
            ems.write_ems(
                path,
                about,
                exported.inventory,
                exported.summary,
                exported.area,
                exported.scenes,
                exported.unseen,
            )
    return {FILES[export]: folder / FILES[export] for export in exports}
