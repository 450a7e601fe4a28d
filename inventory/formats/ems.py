"""``ems.gpkg``: the inventory in the shape of a Copernicus EMS rapid-mapping vector package
(delineation product).

Layers and fields as the service's online manual names them: source, area of interest, image
footprint (https://emergency.copernicus.eu/mapping/book/export/html/138257), observed event
(…/138262), values of `event_type` and `obj_desc` (…/138130); a GeoPackage in WGS 84, as the service
has delivered since 2023. The manual leaves the summary table's columns to the product; those here
are our own. It is no product of the service, and says so: `emsr_id` is empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from configs.area import WGS84
from configs.bands import When
from configs.files import format_of
from configs.records import Scene
from inventory.about import About
from inventory.formats.geojson import in_lonlat
from inventory.formats.geopackage import write_geopackage
from inventory.formats.layers import Field, Layer
from inventory.formats.styles import Drawn, Style
from inventory.outline.outline import Inventory, code_of
from inventory.summary import Summary, headline

FILE = "ems.gpkg"
FORMAT = format_of("ems")
EVENT_TYPE, OBJECT = "6-Mass Movement", "Landslide"

_SOURCE_FIELDS = (
    Field("source_nam", "text", "Source name"),
    Field("src_date", "text", "Source date, dd/mm/yyyy"),
    Field("source_tm", "text", "Source time (UTC), Thh:mm:ssZ"),
    Field("sensor_gsd", "text", "Sensor resolution"),
    Field("eventphase", "text", "Pre-event or Post-event"),
    Field("src_id", "integer", "Source identifier, the key of the other layers"),
)
AREA_FIELDS = (
    Field("emsr_id", "text", "Activation code; empty: this is no activation of the service"),
    Field("glide_no", "text", "GLIDE number, not known here"),
    Field("area_id", "text", "Identifier of the area of interest"),
    Field("locality", "text", "The place"),
    Field("map_type", "text", "Product type"),
)
_FOOTPRINT_FIELDS = (
    Field("obj_type", "text", "Image Footprint, or Not Analysed where nothing could be seen"),
    Field("or_src_id", "integer", "The image, src_id of the source table"),
    Field("notation", "text", "Comment"),
)
_OBSERVED_FIELDS = (
    Field("event_type", "text", "Event type"),
    Field("obj_desc", "text", "Object description"),
    Field("det_method", "text", "Determination method"),
    Field("notation", "text", "Comment: our id, confidence and status"),
    Field("dmg_src_id", "integer", "The image it was seen in, src_id of the source table"),
    Field("area", "real", "Area affected by the event, hectares"),
)
_SUMMARY_FIELDS = (
    Field("category", "text", "What was counted"),
    Field("unit", "text", "In what"),
    Field("affected", "real", "How much of it"),
    Field("total_in_aoi", "real", "Of how much in the area of interest, where known"),
)
STYLES = (
    Style("observedEventA", None, (Drawn("", "Landslide", "#a80000", 130, "#a80000", 0.3),)),
    Style("areaOfInterestA", None, (Drawn("", "Area of interest", "#ffffff", 0, "#e69800", 0.8),)),
    Style(
        "imageFootprintA",
        "obj_type",
        (
            Drawn("Image Footprint", "Image footprint", "#ffffff", 0, "#730073", 0.3, "dash"),
            Drawn("Not Analysed", "Not analysed", "#9c9c9c", 120, "#9c9c9c", 0.2),
        ),
    ),
)


def _lonlat(frame: gpd.GeoDataFrame, fields: dict[str, Any]) -> gpd.GeoDataFrame:
    shapes = in_lonlat(frame.geometry.to_numpy(), code_of(frame.crs))
    return gpd.GeoDataFrame(
        pd.DataFrame(fields, index=range(len(frame))), geometry=shapes, crs=WGS84
    )


def _sources(about: About, resolution_m: float) -> Layer:
    rows = [
        {
            "source_nam": scene.id,
            "src_date": f"{scene.acquired:%d/%m/%Y}",
            "source_tm": f"T{scene.acquired:%H:%M:%S}Z",
            "sensor_gsd": f"{resolution_m:g} m",
            "eventphase": "Pre-event" if scene.when is When.PRE else "Post-event",
            "src_id": number,
        }
        for number, scene in enumerate(about.scenes, 1)
    ]
    frame = pd.DataFrame(rows, columns=[field.name for field in _SOURCE_FIELDS])
    return Layer("source", "Source", "Imagery used", None, _SOURCE_FIELDS, frame)


def _area(about: About, area: Layer) -> Layer:
    fields = {
        "emsr_id": "",
        "glide_no": "",
        "area_id": "01",
        "locality": about.name,
        "map_type": "Delineation",
    }
    frame = _lonlat(area.frame, fields)
    return Layer(
        "areaOfInterestA",
        "Area of interest",
        "Where coslide looked",
        "MultiPolygon",
        AREA_FIELDS,
        frame,
    )


def _footprints(scenes: Layer, unseen: Layer) -> Layer:
    seen = scenes.frame.reset_index(drop=True)
    used = seen[~seen.geometry.is_empty]
    images = _lonlat(
        used,
        {
            "obj_type": "Image Footprint",
            "or_src_id": used.index.to_numpy() + 1,
            "notation": used["id"].to_numpy(),
        },
    )
    why = unseen.frame["why"].to_numpy()
    blind = _lonlat(unseen.frame, {"obj_type": "Not Analysed", "or_src_id": None, "notation": why})
    frame = gpd.GeoDataFrame(
        pd.concat([each for each in (images, blind) if len(each)] or [images]), crs=WGS84
    )
    words = (
        "Where pixels of an image were used, and where nothing could be seen; outlines for "
        "orientation"
    )
    return Layer(
        "imageFootprintA", "Image footprint", words, "MultiPolygon", _FOOTPRINT_FIELDS, frame
    )


def image_of(seen_on: pd.Series[Any], scenes: tuple[Scene, ...]) -> list[int | None]:
    """Return for each landslide the `src_id` of the post-event image of its day; of the latest one
    where none fits.
    """
    posts = {
        scene.acquired.date(): number
        for number, scene in enumerate(scenes, 1)
        if scene.when is When.POST
    }
    latest = posts[max(posts)] if posts else None
    return [posts.get(day.date(), latest) if pd.notna(day) else latest for day in seen_on]


def _observed(inventory: Inventory, about: About) -> Layer:
    landslides = inventory.landslides.set_crs(inventory.geobox.crs, allow_override=True)
    parts = zip(landslides["id"], landslides["confidence"], landslides["status"], strict=True)
    label = "simulated; " if about.simulated else ""
    fields = {
        "event_type": EVENT_TYPE,
        "obj_desc": OBJECT,
        "det_method": "Automatic extraction",
        "notation": [f"{label}{name}; {sure} confidence; {status}" for name, sure, status in parts],
        "dmg_src_id": pd.Series(image_of(landslides["post_date"], about.scenes), dtype=object),
        "area": np.round(landslides["area_m2"].to_numpy(dtype=float) / 1e4, 4),
    }
    frame = _lonlat(landslides, fields)
    return Layer(
        "observedEventA",
        "Observed event",
        "The landslides",
        "MultiPolygon",
        _OBSERVED_FIELDS,
        frame,
    )


def _summary(summary: Summary) -> Layer:
    total_ha = 100 * summary.area_km2
    rows: list[tuple[str, str, float, float | None]] = [
        ("Observed event: landslides", "ha", round(100 * summary.landslide_area_km2, 2), total_ha),
        ("Observed event: landslides", "number", summary.landslide_count, None),
        ("Area seen, water left out", "share", summary.observed_fraction, 1.0),
        *(
            (f"{what} (indicative)", unit, count, None)
            for what, unit, count in summary.affected_rows()
        ),
    ]
    frame = pd.DataFrame(rows, columns=[field.name for field in _SUMMARY_FIELDS])
    return Layer(
        "summaryTable",
        "Summary table",
        "The inventory in a few numbers",
        None,
        _SUMMARY_FIELDS,
        frame,
    )


def write_ems(
    path: Path,
    about: About,
    inventory: Inventory,
    summary: Summary,
    area: Layer,
    scenes: Layer,
    unseen: Layer,
) -> Path:
    """Return the path of the package, written whole or not at all; `area`, `scenes` and `unseen`
    are the inventory's own.
    """
    layers = [
        _observed(inventory, about),
        _footprints(scenes, unseen),
        _area(about, area),
        _sources(about, abs(inventory.geobox.affine.a)),
        _summary(summary),
    ]
    metadata = {
        "format": FORMAT,
        "words": headline(summary),
        "simulated": about.simulated,
        "as_of": about.stamp,
    }
    return write_geopackage(path, layers, metadata, about.stamp, STYLES)
