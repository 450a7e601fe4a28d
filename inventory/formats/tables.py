"""``landslides.csv`` for spreadsheets, and ``landslides-shapefile.zip`` for programs that know
neither GeoPackage nor GeoJSON.
"""

from __future__ import annotations

import csv
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely

from configs.files import replacing
from inventory.formats.geojson import properties
from inventory.formats.layers import Layer, column
from inventory.outline.outline import code_of

SHORT = {
    "perimeter_m": "perim_m",
    "length_width_ratio": "len_width",
    "probability_mean": "prob_mean",
    "probability_max": "prob_max",
    "slope_mean_deg": "slope_deg",
    "edge_fraction": "edge_frac",
    "roads_below_m": "road_bel_m",
    "buildings_below": "bldg_below",
    "people_below": "ppl_below",
}
"""Fields of the shapefile whose name differs: dBASE allows ten characters."""
BEWARE = "beware"
_STEM = "landslides"


def write_csv(path: Path, layer: Layer, beware: str = "") -> Path:
    """Return the path of a table (RFC 4180, UTF-8): a row a landslide, the fields of the layer;
    `lon` and `lat` are its centroid (WGS 84). A table has no place for a word about the whole of
    it, so what is to beware of stands in the last column of every row.
    """
    fields = [*(field.name for field in layer.fields), BEWARE]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, fields, lineterminator="\r\n")
        table.writeheader()
        table.writerows({**row, BEWARE: beware} for row in properties(layer))
    return path


def short_name(name: str) -> str:
    """Return the name of a field in the shapefile."""
    return SHORT.get(name, name)


def _write_shapefile(folder: Path, layer: Layer, moment: datetime) -> None:
    columns = [column(layer.frame[field.name], field.kind) for field in layer.fields]
    pyogrio.raw.write(
        folder / f"{_STEM}.shp",
        geometry=shapely.to_wkb(layer.frame.geometry.to_numpy(), flavor="iso"),
        geometry_type="Polygon",
        crs=code_of(layer.frame.crs),
        field_data=[values for values, _ in columns],
        fields=[short_name(field.name) for field in layer.fields],
        field_mask=[null if null.any() else np.zeros(len(null), bool) for _, null in columns],
        driver="ESRI Shapefile",
        encoding="UTF-8",
        promote_to_multi=False,
        layer_options={"DBF_DATE_LAST_UPDATE": moment.strftime("%Y-%m-%d")},
    )


def _explained(layer: Layer, words: Sequence[str]) -> str:
    fields = [f"{short_name(f.name):<11}{f.name:<20}{f.description}" for f in layer.fields]
    head = f"{'field':<11}{'full name':<20}meaning"
    return "\n".join([*words, "", head, *fields, ""])


def write_shapefile(path: Path, layer: Layer, words: Sequence[str], moment: datetime) -> Path:
    """Return the path of a zipped shapefile in the CRS of the layer, with a text that tells what
    its shortened field names mean.

    Args:
        path: where it goes.
        layer: polygons.
        words: headline, warnings and sources; they begin the text.
        moment: written instead of now, so that the same run gives the same bytes.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".shapefile-") as name:
        folder = Path(name)
        _write_shapefile(folder, layer, moment)
        (folder / f"{_STEM}.txt").write_text(_explained(layer, words), encoding="utf-8")
        parts = {each.name: each.read_bytes() for each in sorted(folder.iterdir())}
    return write_zip(path, parts, moment)


def write_zip(path: Path, parts: Mapping[str, Any], moment: datetime) -> Path:
    """Return the path of a zip archive of named contents, all of one moment."""
    with replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name, max(moment, moment.replace(year=1980)).timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return path
