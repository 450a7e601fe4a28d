"""Everything that reads what others have written, each with a good input to be spoilt."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks.fault_inputs import Syntax
from configs import area as areas
from configs.bands import BANDS

EVENT = {"latitude": 42.7, "longitude": 142.11, "magnitude": 6.6, "time": "2018-09-05T18:08:00Z"}
_SIDE = 120
_CORNER = (590_000, 4_730_000)


@dataclass(frozen=True)
class Reader:
    """One reader, and the file it reads."""

    name: str
    file: Callable[[Path], Path]
    """Ground → the good file that is spoilt in a copy of the ground."""
    syntax: Syntax
    read: Callable[[Path], object]
    """Reads all of a ground's file as a run would."""
    compared: bool = False
    """A checksum tells of every change."""
    whole: bool = False
    """A missing end can be told from its form."""


def make_ground(folder: Path) -> None:
    """Make one good file of everything."""
    from configs.run import read_run
    from flows.resolve import make_request, resolve

    folder.mkdir(parents=True)
    x = np.mgrid[:_SIDE, :_SIDE][1] * 10.0
    _raster(folder / "archive/dem.tif", (400 + 90 * np.sin(x / 240)).astype(np.float32))
    for band in ("B2", "B3", "B4"):
        values = np.random.default_rng(0).normal(900, 50, (_SIDE, _SIDE)).astype(np.uint16)
        _raster(folder / f"archive/post_{band}.tif", values)
    (folder / "archive/archive.yaml").write_text(yaml.safe_dump(_manifest(), sort_keys=False))
    _vectors(folder)
    (folder / "detail.geojson").write_text(json.dumps(_feature()))
    (folder / "feed.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [_feature(), _feature("us2")]})
    )
    (folder / "grid.xml").write_text(_shakemap())
    (folder / "grid.xml.gz").write_bytes(gzip.compress(_shakemap().encode()))
    asked = make_request(latitude=42.7, longitude=142.11, date="2018-09-05", radius_km=1.0)
    source = {"kind": "archive", "archive": str(folder / "archive")}
    run = resolve(asked, {"source": source}, now=datetime(2018, 12, 1, tzinfo=UTC))
    run.write(folder / "run.yaml")
    assert read_run(folder / "run.yaml").request_id == run.request_id
    service = {"format": "coslide/service/1", "allow": {"hosts": ["localhost"]}}
    rules = [{"name": "all", "min_magnitude": 5.0, "region": [128, 30, 147, 46]}]
    service |= {"watch": {"feed": "https://localhost/f", "rules": rules}}
    (folder / "service.yaml").write_text(yaml.safe_dump(service))
    (folder / "event").mkdir()
    state = {"format": "coslide/event/1", "state": "open", "every_hours": 24.0}
    (folder / "event/event.yaml").write_text(yaml.safe_dump(state))
    _card(folder / "cards/index")
    _samples(folder)


def _raster(path: Path, values: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    frame: dict[str, Any] = {"driver": "GTiff", "count": 1, "dtype": values.dtype}
    frame |= {"height": _SIDE, "width": _SIDE, "crs": "EPSG:32654", "compress": "deflate"}
    frame |= {"transform": Affine(10, 0, _CORNER[0], 0, -10, _CORNER[1]), "nodata": 0}
    with rasterio.open(path, "w", tiled=True, blockxsize=64, blockysize=64, **frame) as file:
        file.write(values, 1)


def _manifest() -> dict[str, Any]:
    bands = {
        band: {"file": f"post_{band}.tif", "scale": 0.0001, "offset": 0.0}
        for band in ("B2", "B3", "B4")
    }
    scene = {"id": "post", "acquired": "2018-09-20", "bands": bands}
    content = {"format": "coslide/archive/1", "sensor": "sentinel-2", "level": "L1C"}
    return content | {"scenes": [scene], "static": {"dem": {"file": "dem.tif", "unit": "m"}}}


def _vectors(folder: Path) -> None:
    import geopandas as gpd
    from shapely.geometry import box

    west, north = _CORNER
    shapes = [box(west + 20 * i, north - 90, west + 20 * i + 10, north - 50) for i in range(5)]
    frame = gpd.GeoDataFrame({"kind": list("abcde")}, geometry=shapes, crs="EPSG:32654")
    frame.to_file(folder / "area.gpkg", engine="pyogrio", layer="one")
    frame.to_crs(4326).to_file(folder / "area.geojson", engine="pyogrio")
    frame.to_file(folder / "area.shp", engine="pyogrio")
    _review(folder / "review.gpkg", shapes)


def _review(path: Path, shapes: list[Any]) -> None:
    import geopandas as gpd
    import pandas as pd

    from inventory.formats.geopackage import write_geopackage
    from inventory.formats.layers import LANDSLIDE_FIELDS, Layer
    from inventory.outline.attributes import shape_fields

    geometry = np.array(shapes, dtype=object)
    columns: dict[str, Any] = {field.name: None for field in LANDSLIDE_FIELDS}
    columns |= shape_fields(geometry, "EPSG:32654")
    columns |= {"id": [f"L{i:05d}" for i in range(1, len(shapes) + 1)], "status": "unreviewed"}
    plain = pd.DataFrame(columns, index=range(len(shapes)))
    frame = gpd.GeoDataFrame(plain, geometry=geometry, crs="EPSG:32654")
    layer = Layer("landslides", "Landslides", "", "MultiPolygon", LANDSLIDE_FIELDS, frame)
    write_geopackage(path, [layer], {"revision": 1}, "2018-12-01T00:00:00.000Z")


def _feature(name: str = "us1") -> dict[str, Any]:
    known = {"mag": 6.6, "place": "x", "time": 1536170879150, "updated": 1536170979150}
    known |= {"title": "M 6.6", "status": "reviewed", "ids": f",{name},", "type": "earthquake"}
    contents = {"download/grid.xml": {"url": "https://localhost/a/us/1/download/grid.xml"}}
    shaken = {"status": "UPDATE", "preferredWeight": 1, "updateTime": 1, "contents": contents}
    alert = {"status": "UPDATE", "preferredWeight": 1, "updateTime": 1}
    alert |= {"properties": {"landslide-alert": "red"}}
    products = {"shakemap": [shaken], "ground-failure": [alert]}
    place = {"type": "Point", "coordinates": [142.11, 42.7, 10.0]}
    return {
        "type": "Feature",
        "id": name,
        "geometry": place,
        "properties": known | {"products": products},
    }


def _shakemap() -> str:
    lon, lat = np.linspace(141.8, 142.4, 13), np.linspace(43.0, 42.4, 13)
    rows = "\n".join(
        f"{a:.4f} {b:.4f} {8.5 - 5 * (abs(a - 142.1) + abs(b - 42.7)):.2f} 600"
        for b in lat
        for a in lon
    )
    names = enumerate((("LON", "dd"), ("LAT", "dd"), ("MMI", "intensity"), ("SVEL", "ms")), 1)
    fields = "".join(f'<grid_field index="{i}" name="{n}" units="{u}"/>' for i, (n, u) in names)
    return (
        '<?xml version="1.0"?><shakemap_grid event_id="us1"><grid_specification nlon="13" '
        f'nlat="13"/>{fields}<grid_data>{rows}</grid_data></shakemap_grid>'
    )


def _card(folder: Path) -> None:
    import shutil

    from models.registry import SHIPPED

    shutil.copytree(SHIPPED / "index", folder)


def _samples(folder: Path) -> None:
    from configs.records import Level
    from tiles.cut import Chipping, Labelled, cut
    from tiles.samples import Origin
    from tiles.split import Splits
    from tiles.split import bands as split_bands

    shape = (96, 96)
    draw = np.random.default_rng(0)
    origin = Origin(
        name="valley",
        title="valley",
        sensor="sentinel-2",
        level=Level.TOA,
        resolution_m=10,
        simulated=False,
        licence="CC0-1.0",
    )
    splits = Splits(split_bands(shape, "northing", 3, 4), {0: "train", 1: "validation", 2: "test"})
    raster = Labelled(
        draw.normal(0.1, 0.01, (1, *shape)).astype(np.float32),
        GeoBox(shape, Affine(10, 0, _CORNER[0], 0, -10, _CORNER[1]), "EPSG:32654"),
        (draw.random(shape) > 0.9).astype(np.uint8),
        splits,
        ("post_B4",),
    )
    cut(raster, folder / "valley", origin=origin, chipping=Chipping(32, 32, None, 0))
    import shutil

    shutil.copytree(folder / "valley", folder / "unlisted")
    (folder / "unlisted/checksums.sha256").unlink()


def _read_archive(folder: Path) -> object:
    from configs.event import Event, default_windows
    from gee.archive.source import ArchiveSource

    event = Event.model_validate({"name": "q", **EVENT})
    windows = default_windows(event, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    east, north = _CORNER
    geobox = GeoBox((64, 64), Affine(10, 0, east + 200, 0, -10, north - 200), "EPSG:32654")
    place = areas.around(42.715, 142.105, 0.3)
    source = ArchiveSource(folder / "archive")
    plan = source.plan(place, geobox, event, windows, ("post_B2", "post_B3", "post_B4", "dem"))
    pulled = source.pull(plan, geobox)
    source.elevation(plan, geobox, 4)
    return pulled


def _read_review(folder: Path) -> object:
    from inventory.revisions.review import read_review

    return read_review(folder / "review.gpkg").edits


def _read_vector(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from configs.vectors import Layer, in_crs, read_vector

        layer = Layer.parse(str(folder / name))
        in_crs(read_vector(layer), "EPSG:32654", layer)
        return areas.from_file(folder / name).geobox(10.0).shape

    return read


def _read_feed(folder: Path) -> object:
    from flows.watch.ledger import Book
    from gee.feed import read_feed

    found = read_feed((folder / "feed.geojson").read_bytes(), "the feed")
    with Book.open(folder / "book.sqlite", pretend=True) as book:
        for quake in found.quakes:
            name = book.identify(quake.id, quake.ids)
            book.note(name, quake.ids, quake.title, quake.updated, "seen", None)
        return json.dumps(book.verdicts())


def _read_detail(folder: Path) -> object:
    from gee.catalog import read_event
    from gee.feed import read_detail

    path = folder / "detail.geojson"
    read_event(path).model_dump_json()
    detail = read_detail(path.read_bytes(), "the detail")
    return detail.event.model_dump_json(), detail.version


def _read_shakemap(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from gee import shakemap

        return shakemap.area(str(folder / name), "MMI", 6.0).as_plain()

    return read


def _read_card(folder: Path) -> object:
    from models.registry import installed

    found = installed("index", [folder / "cards"])
    found.load("cpu")
    return len(found.reference())


def _read_run(folder: Path) -> object:
    from configs.run import read_run

    run = read_run(folder / "run.yaml")
    return run.place.geobox(10.0).shape, run.request_id


def _read_service(folder: Path) -> object:
    from configs.service import read_service

    return read_service(folder / "service.yaml").model_dump_json()


def _read_event(folder: Path) -> object:
    from configs.layout import EventFolder
    from flows.events.state import read_state

    return read_state(EventFolder(folder / "event")).model_dump_json()


def _read_samples(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from tiles.samples import SampleSet

        samples = SampleSet.open(folder / name)
        samples.statistics(["train"])
        samples.label(samples.numbers(["train"]))
        return samples.chips.rows.size, float(np.nanmean(samples.read("post_B4")))

    return read


def _at(name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / name


_CHUNK = "pixels.zarr/post_B4/c/0/0"
READERS = (
    Reader("raster: image", _at("archive/post_B4.tif"), "bytes", _read_archive, whole=True),
    Reader("raster: elevation", _at("archive/dem.tif"), "bytes", _read_archive, whole=True),
    Reader("vector: GeoPackage", _at("area.gpkg"), "bytes", _read_vector("area.gpkg")),
    Reader("vector: GeoJSON", _at("area.geojson"), "json", _read_vector("area.geojson")),
    Reader("vector: shapefile", _at("area.shp"), "bytes", _read_vector("area.shp")),
    Reader("run.yaml", _at("run.yaml"), "yaml", _read_run),
    Reader("archive.yaml", _at("archive/archive.yaml"), "yaml", _read_archive),
    Reader("service.yaml", _at("service.yaml"), "yaml", _read_service),
    Reader("event.yaml", _at("event/event.yaml"), "yaml", _read_event),
    Reader("card.yaml", _at("cards/index/card.yaml"), "yaml", _read_card),
    Reader(
        "card: reference",
        _at("cards/index/reference.safetensors"),
        "bytes",
        _read_card,
        compared=True,
    ),
    Reader("quake detail", _at("detail.geojson"), "json", _read_detail, whole=True),
    Reader("feed", _at("feed.geojson"), "json", _read_feed, whole=True),
    Reader("ShakeMap", _at("grid.xml"), "text", _read_shakemap("grid.xml"), whole=True),
    Reader("ShakeMap, packed", _at("grid.xml.gz"), "bytes", _read_shakemap("grid.xml.gz")),
    Reader("review", _at("review.gpkg"), "bytes", _read_review),
    Reader("samples.yaml", _at("unlisted/samples.yaml"), "yaml", _read_samples("unlisted")),
    Reader("samples: chunk", _at(f"unlisted/{_CHUNK}"), "bytes", _read_samples("unlisted")),
    Reader(
        "samples: compared",
        _at(f"valley/{_CHUNK}"),
        "bytes",
        _read_samples("valley"),
        compared=True,
    ),
)
"""Every reader of a file."""
assert BANDS["dem"].static
