"""A revision as a STAC item: where, when, which files with which checksums, how they were made.
Catalogs: `catalog`.

STAC 1.1 with the extensions projection 2, raster 1.1, file 2.1 and processing 1.2
(https://stac-extensions.github.io).
"""

from __future__ import annotations

import json
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pystac
import shapely
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension, Statistics
from rasterio import open as open_raster

from configs.bands import When
from configs.files import format_of, sha256, write_text
from configs.layout import EventFolder
from inventory.about import About
from inventory.formats.geojson import outline_wgs84
from inventory.outline.outline import Inventory, code_of
from inventory.outline.words import words_of
from inventory.summary import Summary, headline

_ITEM = "item.json"
_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_LEFT_OUT = ("log.jsonl", _ITEM)
"""Files without a checksum: the log grows until the very end."""

_MULTIHASH_SHA256 = "1220"
_ROLES: dict[str, tuple[str, str, list[str]]] = {
    "landslides.gpkg": ("application/geopackage+sqlite3", "The inventory", ["data"]),
    "landslides.tif": (pystac.MediaType.COG, "Landslide mask", ["data"]),
    "probability.tif": (pystac.MediaType.COG, "Landslide probability", ["data"]),
    "observation.tif": (pystac.MediaType.COG, "What was seen of each pixel", ["data", "data-mask"]),
    "landslides.geojson": (pystac.MediaType.GEOJSON, "The landslides as GeoJSON", ["data"]),
    "landslides.kml": (pystac.MediaType.KML, "The landslides for virtual globes", ["data"]),
    "landslides.csv": ("text/csv", "The landslides as a table", ["data"]),
    "landslides-shapefile.zip": ("application/zip", "The landslides as a shapefile", ["data"]),
    "ems.gpkg": (
        "application/geopackage+sqlite3",
        "The landslides in the shape of a Copernicus EMS package",
        ["data"],
    ),
    "landslides.qgz": ("application/zip", "QGIS project over the files beside it", ["overview"]),
    "map.pdf": ("application/pdf", "Map to hand over, A4", ["overview"]),
    "map-a3.pdf": ("application/pdf", "Map to hand over, A3", ["overview"]),
    "report.html": (pystac.MediaType.HTML, "Report for people", ["overview"]),
    "preview.png": (pystac.MediaType.PNG, "Preview", ["thumbnail"]),
    "selection.csv": ("text/csv", "MMD ranking of the checkpoints", ["metadata"]),
    "run.yaml": ("application/yaml", "Configuration used", ["metadata"]),
    "provenance.json": (pystac.MediaType.JSON, "Scenes, hashes, versions and costs", ["metadata"]),
}


def _item(about: About, summary: Summary, inventory: Inventory) -> pystac.Item:
    geometry, bbox = outline_wgs84(about.area.polygon)
    acquired = [scene.acquired for scene in about.scenes if scene.when is When.POST]
    stamp: datetime = about.windows.as_of
    item = pystac.Item(
        id=f"{about.event.name}-r{about.revision:03d}",
        geometry=shapely.geometry.mapping(geometry),
        bbox=bbox,
        datetime=None,
        properties={
            "start_datetime": pystac.utils.datetime_to_str(about.event.time),
            "end_datetime": pystac.utils.datetime_to_str(max([*acquired, about.event.time])),
            "created": pystac.utils.datetime_to_str(stamp),
            "title": f"Landslides: {about.name}",
            "description": " ".join(headline(summary)),
            "processing:software": {"coslide": version("coslide")},
            "processing:lineage": f"Checkpoint {about.choice.card} on imagery of "
            f"{about.source}: {about.choice.reason}",
            "processing:level": "L4",
            "coslide:format": format_of("item"),
            **{f"coslide:{name}": value for name, value in summary.as_plain().items()},
        },
        stac_extensions=[_PROCESSING],
    )
    for rel, href in (("root", "../../catalog.json"), ("parent", "../catalog.json")):
        item.add_link(pystac.Link(rel, href, pystac.MediaType.JSON))
    grid = inventory.geobox
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    code = code_of(grid.crs)
    projection.apply(
        code=code if code.startswith("EPSG:") else None,
        wkt2=None if code.startswith("EPSG:") else code,
        shape=[int(n) for n in grid.shape],
        transform=list(grid.affine)[:6],
        bbox=list(grid.boundingbox.bbox),
    )
    return item


def _raster_band(path: Path) -> RasterBand:
    with open_raster(path) as file:
        tags = {
            name: float(value)
            for name, value in file.tags(1).items()
            if name.startswith("STATISTICS_")
        }
        statistics = Statistics.create(
            minimum=tags.get("STATISTICS_MINIMUM"),
            maximum=tags.get("STATISTICS_MAXIMUM"),
            mean=tags.get("STATISTICS_MEAN"),
            stddev=tags.get("STATISTICS_STDDEV"),
            valid_percent=tags.get("STATISTICS_VALID_PERCENT"),
        )
        nodata: Any = "nan" if file.nodata != file.nodata else int(file.nodata)
        return RasterBand.create(
            nodata=nodata,
            data_type=DataType(file.dtypes[0]),
            spatial_resolution=abs(file.transform.a),
            statistics=statistics if tags else None,
        )


def _add(item: pystac.Item, path: Path) -> None:
    kind, title, roles = _ROLES.get(
        path.name, ("application/octet-stream", path.name, ["metadata"])
    )
    asset = pystac.Asset(href=f"./{path.name}", title=title, media_type=kind, roles=roles)
    item.add_asset(path.name, asset)
    FileExtension.ext(asset, add_if_missing=True).apply(
        checksum=_MULTIHASH_SHA256 + sha256(path), size=path.stat().st_size
    )
    if path.suffix == ".tif":
        RasterExtension.ext(asset, add_if_missing=True).apply([_raster_band(path)])


def write_stac_item(folder: Path, about: About, inventory: Inventory, summary: Summary) -> Path:
    """Return the path of ``item.json``; every other file directly in the folder is an asset, but
    for the log.
    """
    item = _item(about, summary, inventory)
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.name not in _LEFT_OUT:
            _add(item, path)
    target = folder / _ITEM
    item.set_self_href(None)
    write_text(
        target,
        json.dumps(item.to_dict(include_self_link=False), indent=2, ensure_ascii=False) + "\n",
    )
    return target


_CATALOG = "catalog.json"


def _link(
    rel: str, href: str, title: str = "", kind: str = pystac.MediaType.JSON
) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": kind} | ({"title": title} if title else {})


def _catalog(
    identity: str, title: str, description: str, links: list[dict[str, str]]
) -> dict[str, Any]:
    head = {
        "type": "Catalog",
        "id": identity,
        "stac_version": pystac.get_stac_version(),
        "title": title,
    }
    return {
        **head,
        "description": description,
        "coslide:format": format_of("catalog"),
        "links": links,
    }


def _read(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write(path: Path, content: dict[str, Any]) -> Path:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def write_event_catalog(event: EventFolder) -> Path:
    """Return the path of an event's catalog: its revisions, oldest first. The caller holds the
    event's lock.
    """
    links = [_link("root", f"../{_CATALOG}"), _link("parent", f"../{_CATALOG}")]
    title = event.folder.name
    for number, layout in event.revisions().items():
        item = _read(layout.folder / _ITEM)
        if item is None:
            continue
        properties = item.get("properties", {})
        title = str(properties.get("title", title))
        words = f"Revision {number}: {properties.get('coslide:landslide_count', '?')} landslides"
        if domain := properties.get("coslide:out_of_domain"):
            key = "unknown" if domain == "unknown" else "out_of_domain"
            words = f"{words_of()['events'][key]} {words}"
        links.append(
            _link("item", f"./{layout.folder.name}/{_ITEM}", words, pystac.MediaType.GEOJSON)
        )
    description = "Revisions of one event's landslide inventory; the last one is the latest."
    return _write(event.folder / _CATALOG, _catalog(event.folder.name, title, description, links))


def write_root_catalog(out: Path) -> Path:
    """Return the path of the catalog over the events of an output folder. The caller sees to it
    that nobody else writes it.
    """
    links = [_link("root", f"./{_CATALOG}")]
    for path in sorted(out.glob(f"*/{_CATALOG}")):
        child = _read(path)
        if child is not None and child.get("type") == "Catalog":
            links.append(
                _link(
                    "child",
                    f"./{path.parent.name}/{_CATALOG}",
                    str(child.get("title", path.parent.name)),
                )
            )
    description = "Landslide inventories mapped by coslide, one catalog an event."
    return _write(out / _CATALOG, _catalog("coslide", "Landslide inventories", description, links))


def faults(folder: Path) -> list[str]:
    """Return which files of a revision are lost or were changed since it was published."""
    sums = checksums(folder)
    if sums is None:
        return [f"{_ITEM} is lost or damaged"]
    found = []
    for name, checksum in sorted(sums.items()):
        file = folder / name
        if not file.is_file():
            found.append(f"{name} is lost")
        elif not checksum.endswith(sha256(file)):
            found.append(f"{name} was changed")
    return found


def checksums(folder: Path) -> dict[str, str] | None:
    """Return the checksum (multihash) of every file of a revision; None where they are lost."""
    try:
        assets = json.loads((folder / _ITEM).read_text(encoding="utf-8"))["assets"]
        return {Path(name).name: str(asset["file:checksum"]) for name, asset in assets.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
