"""A downloaded inventory against what was published of it: whether it is the right file, in the
right place, and of use for a training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyogrio
import pyproj
from pyproj.exceptions import ProjError
from shapely import box

from configs.area import WGS84, utm_crs
from configs.errors import RequestError
from configs.published import PublishedInventory, catalogue, value_of
from configs.vectors import UNREADABLE, Layer, layer_name, read_vector
from tiles.labels import read_layer

if TYPE_CHECKING:
    import geopandas as gpd

MOST_FEATURES = 1_000_000
"""More than any published inventory of one earthquake holds (Wenchuan: 197,481)."""
MOST_BYTES = 4 << 30
"""A vector file of this size would fill the memory of an ordinary machine."""
_EQUAL_AREA = "EPSG:6933"
_INSIDE_SHARE = 0.5
"""Of the landslides; fewer within the event's coverage are another event, or out of place."""
_COUNT_FACTOR = 2.0
"""Counts this far from the published one are told (source areas beside whole landslides)."""


@dataclass(frozen=True)
class Checked:
    """An inventory that can be used, and what is to be known of it."""

    inventory: PublishedInventory
    layer: Layer
    count: int
    area_km2: float
    mended: int
    """Outlines that cross themselves; they are mended when read."""
    inside_share: float
    """Of its landslides, within the event's coverage, 0-1."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north of the landslides within the coverage, degrees."""
    middle: tuple[float, float]
    """Longitude and latitude that half of those landslides lie beyond, either way."""
    notes: tuple[str, ...]

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "inventory": self.inventory.name,
            "file": str(self.layer.file),
            "layer": self.layer.name,
            "count": self.count,
            "area_km2": round(self.area_km2, 3),
            "mended": self.mended,
            "inside_share": round(self.inside_share, 4),
            "bounds": [round(value, 5) for value in self.bounds],
            "notes": list(self.notes),
        }


def check(text: str, inventory: PublishedInventory) -> Checked:
    """Return what a downloaded file, written ``FILE[:LAYER]``, holds of a published inventory.

    Raises:
        RequestError: it cannot be used; what is wrong, and what to do, in words.
    """
    layer = _layer(text, inventory)
    _check_size(layer)
    raw = read_vector(layer)
    if raw.empty or raw.geometry.isna().all():
        raise RequestError(
            f"{layer} is empty: it holds no landslide"
            + (f" where {layer.where}" if layer.where else ""),
            f"Download it again, or name another layer; {_where_from(inventory)}",
        )
    mended = int((~raw.geometry[raw.geometry.notna()].is_valid).sum())
    try:
        slides = read_layer(layer, WGS84)
    except RequestError as error:
        if (found := _crs_that_fits(raw, inventory)) is not None:
            raise _wrong_crs(layer, raw, found) from error
        raise
    within = slides.geometry.representative_point().within(inventory.coverage.polygon)
    share = float(within.mean())
    if share < _INSIDE_SHARE:
        raise _elsewhere(layer, raw, slides, inventory)
    kept = slides[within]
    west, south, east, north = (float(value) for value in kept.total_bounds)
    points = kept.geometry.representative_point()
    made = Checked(
        inventory,
        layer,
        len(raw),
        float(slides.to_crs(_EQUAL_AREA).area.sum()) / 1e6,
        mended,
        share,
        (west, south, east, north),
        (float(points.x.median()), float(points.y.median())),
        (),
    )
    return Checked(**{**vars(made), "notes": tuple(_notes(made, raw))})


def _layer(text: str, inventory: PublishedInventory) -> Layer:
    """Return the layer meant: the one named, the published one where the file has it, or the file's
    only one. The published condition goes with a repository's own layer.
    """
    asked = Layer.parse(text)
    wanted = value_of(inventory.files.layer)
    if asked.name is None and wanted is not None:
        try:
            named = layer_name(Layer(asked.file, wanted))
        except RequestError:
            return Layer(asked.file, layer_name(asked))
        columns = set(pyogrio.read_info(asked.file, layer=named)["fields"])
        where = value_of(inventory.files.where)
        return Layer(asked.file, named, where if where and "event_name" in columns else None)
    return Layer(asked.file, layer_name(asked))


def _check_size(layer: Layer) -> None:
    size = layer.file.stat().st_size
    try:
        count = int(
            pyogrio.read_info(layer.file, layer=layer.name, force_feature_count=True)["features"]
        )
    except UNREADABLE as error:
        raise RequestError(
            f"{layer} is broken: {' '.join(str(error).split())}", "Download it again."
        ) from error
    if count > MOST_FEATURES or size > MOST_BYTES:
        raise RequestError(
            f"{layer} is huge: {count:,} features, {size / 1e9:.1f} GB; no published inventory of "
            "one earthquake is as large",
            "Export this event's landslides alone, e.g. "
            '`ogr2ogr -where "…" event.gpkg FILE LAYER`.',
        )


def _where_from(inventory: PublishedInventory) -> str:
    page = value_of(inventory.publication.landing_page)
    return f"it is published at {page}." if page else "no download of it is known."


def _crs_that_fits(raw: gpd.GeoDataFrame, inventory: PublishedInventory) -> str | None:
    """Return the coordinate system by which a file's numbers lie in the event's coverage, if
    another one does than the file says: the published one, degrees, or the place's UTM zone.
    """
    place = inventory.event
    published = value_of(inventory.files.crs)
    zone = utm_crs(place.longitude.value, place.latitude.value)
    west, south, east, north = (float(value) for value in raw.total_bounds)
    middle = ((west + east) / 2, (south + north) / 2)
    for crs in dict.fromkeys((published, WGS84, zone, "EPSG:3857")):
        if crs is None or raw.crs.equals(crs):
            continue
        try:
            point = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True).transform(*middle)
        except ProjError:
            continue
        if box(*inventory.coverage.bounds.value).contains(box(*point, *point).centroid):
            return crs
    return None


def _wrong_crs(layer: Layer, raw: gpd.GeoDataFrame, crs: str) -> RequestError:
    return RequestError(
        f"{layer} has the wrong coordinate system: it says `{raw.crs.name}`, but its numbers "
        f"lie in place as {crs}",
        f"Assign that one: `ogr2ogr -a_srs {crs} right.gpkg {layer.file}`.",
    )


def _elsewhere(
    layer: Layer, raw: gpd.GeoDataFrame, slides: gpd.GeoDataFrame, inventory: PublishedInventory
) -> RequestError:
    """Return what is wrong with landslides that lie outside the event's coverage."""
    if (crs := _crs_that_fits(raw, inventory)) is not None:
        return _wrong_crs(layer, raw, crs)
    points = slides.geometry.representative_point()
    others = [
        one
        for one in catalogue().values()
        if points.within(one.coverage.polygon).mean() >= _INSIDE_SHARE
    ]
    west, south, east, north = slides.total_bounds
    if others:
        titles = " or ".join(f"{one.title} (`{one.name}`)" for one in others)
        return RequestError(
            f"{layer} is of the wrong event: its landslides lie where those of {titles} do, not of "
            f"{inventory.title}",
            "Check it as that one: "
            f"`coslide inventories check {layer.file} --as {others[0].name}`.",
        )
    return RequestError(
        f"{layer} is of the wrong event: its landslides lie at {west:.2f} to {east:.2f}° east, "
        f"{south:.2f} to {north:.2f}° north, not where those of {inventory.title} do",
        "Check that it is the file of this event, and that its coordinate system is the right one.",
    )


def _notes(made: Checked, raw: gpd.GeoDataFrame) -> list[str]:
    files, notes = made.inventory.files, []
    crs, count = value_of(files.crs), value_of(files.count)
    if crs is not None and not raw.crs.equals(crs):
        notes.append(f"the file is in `{raw.crs.name}`, published in {crs}: it lies in place")
    if count is not None and not 1 / _COUNT_FACTOR <= made.count / count <= _COUNT_FACTOR:
        notes.append(
            f"it holds {made.count:,} landslides, {count:,} were published: make sure that it is "
            "this inventory, and whole"
        )
    if made.inside_share < 1:
        notes.append(f"{1 - made.inside_share:.1%} of them lie outside the event's coverage")
    if made.mended:
        notes.append(f"{made.mended:,} outlines cross themselves; they are mended when read")
    if value_of(files.extent) is None:
        notes.append(
            "no mapped extent is known: ground without a landslide is not known to have none"
        )
    if made.inventory.publication.weights.value != "yes":
        notes.append(
            "weights trained on it: "
            f"{made.inventory.publication.weights.value} (see `coslide inventories show`)"
        )
    return notes


def in_words(inventory: PublishedInventory) -> str:
    """Return all that is known of an inventory, a fact a line with who says so."""
    lines = [f"{inventory.name}: {inventory.title}"]
    for part in ("event", "publication", "files", "coverage", "windows"):
        lines.append(f"  {part}")
        record = getattr(inventory, part)
        for field in type(record).model_fields:
            lines.append(f"    {field:<13} {_told(getattr(record, field))}")
    lines += ["  what to know of it", *(f"    - {_told(fault)}" for fault in inventory.faults)]
    lines += ["  sources", *(f"    [{key}] {words}" for key, words in inventory.sources.items())]
    return "\n".join(lines)


def _told(fact: Any) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if not hasattr(fact, "source"):
        return str(fact)
    value = fact.value
    if isinstance(value, tuple):
        value = ", ".join(f"{number:g}" for number in value)
    return f"{value}  [{fact.source}]"


def default_place(folder: Path, name: str) -> Path | None:
    """Return the file of an inventory in a folder of downloads, ``NAME.gpkg`` and the like; None
    where there is none.
    """
    for suffix in (".gpkg", ".geojson", ".shp", ".fgb", ".kml", ".gml", ".json"):
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    return None
