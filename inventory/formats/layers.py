"""The layers of a GeoPackage: which fields, of which type, described in which words. Empty ones
have every field too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from configs.area import WGS84
from inventory.about import About
from inventory.colours import CHANGE
from inventory.outline.attributes import AFFECTED, DATES, FIELDS, TEXTS
from inventory.outline.outline import Inventory
from inventory.summary import Summary, headline

Kind = Literal["text", "real", "integer", "boolean", "date", "datetime"]
Geometry = Literal["MultiPolygon", "MultiLineString", "Point"]


@dataclass(frozen=True)
class Field:
    """One field of a layer."""

    name: str
    kind: Kind
    description: str


@dataclass(frozen=True)
class Layer:
    """One layer: its frame in the CRS it is written in, and what its fields mean."""

    name: str
    title: str
    description: str
    geometry: Geometry | None
    """None for a plain table."""
    fields: tuple[Field, ...]
    frame: gpd.GeoDataFrame = field(repr=False)
    """With a geometry column and a CRS, unless it is a plain table."""


def _landslide_field(name: str) -> Field:
    kind: Kind = "date" if name in DATES else "text" if name in TEXTS else "real"
    return Field(name, kind, FIELDS[name])


LANDSLIDE_FIELDS = tuple(_landslide_field(name) for name in FIELDS)
REASON = Field(
    "reason", "text", "Why it is not counted as a landslide; the rules and numbers are in run.yaml"
)
CHANGE_FIELDS = (
    Field("id", "text", FIELDS["id"]),
    Field("change", "text", f"{', '.join(CHANGE)}: against the revision before"),
    Field("area_before_m2", "real", "Area in the revision before, 0 where new"),
    Field("area_after_m2", "real", "Area in this revision, 0 where gone"),
    Field("related", "text", "Landslides it was split from or merged with"),
    Field("note", "text", "The change in words"),
)
AREA_FIELDS = (
    Field("origin", "text", "Where the outline of the area comes from"),
    Field("area_km2", "real", "Area in square kilometres, on the grid"),
    Field("observed_fraction", "real", "Observed share of the area without water, 0 to 1"),
    Field("resolution_m", "real", "Spacing of the grid in metres"),
)
_AFFECTED_AREA_FIELDS = (Field("area_m2", "real", "Planimetric area in square metres"),)
_UNSEEN_FIELDS = (
    Field("class", "integer", "Observation class, as in observation.tif"),
    Field("why", "text", "The class in words"),
    Field("area_m2", "real", "Area in square metres, as drawn"),
    Field(
        "drawn_at_m",
        "real",
        "Pixel size the outline was drawn at, in metres; observation.tif has every pixel",
    ),
)
_SCENE_FIELDS = (
    Field("id", "text", "Identifier of the acquisition at its provider"),
    Field("window", "text", "pre or post: before or after the event"),
    Field("acquired", "datetime", "Time of acquisition, UTC"),
    Field("product", "text", "Product level"),
    Field("clear_fraction", "real", "Clear share of the area, where known"),
    Field("cloud_fraction", "real", "Cloudy share as the provider states it, where known"),
    Field(
        "date_assumed",
        "boolean",
        "True where the date was not known and a plausible one was written",
    ),
    Field("used_km2", "real", "Area drawn from acquisitions of that day"),
)
_EVENT_FIELDS = (
    Field("name", "text", "Folder name of the event"),
    Field("title", "text", "The event in words"),
    Field("time", "datetime", "Origin time, UTC"),
    Field("latitude", "real", "Epicentre, degrees north"),
    Field("longitude", "real", "Epicentre, degrees east"),
    Field("magnitude", "real", "Magnitude"),
    Field("depth_km", "real", "Depth in kilometres"),
    Field("usgs_id", "text", "Event id at the USGS"),
    Field("shakemap_url", "text", "ShakeMap of the event"),
    Field("revision", "integer", "Number of this revision"),
    Field("as_of", "datetime", "Imagery up to this moment was considered, UTC"),
    Field("checkpoint", "text", "Card that mapped the event"),
    Field("threshold", "real", "Probability from which a pixel is a landslide"),
    Field(
        "out_of_domain",
        "text",
        "true where no checkpoint is known to work on imagery like this, unknown where "
        "nobody knows",
    ),
    Field("simulated", "boolean", "True where the imagery is simulated"),
    Field("landslide_count", "integer", "Number of landslides"),
    Field("landslide_area_km2", "real", "Area of all landslides in square kilometres"),
    Field("observed_fraction", "real", "Observed share of the area without water, 0 to 1"),
    Field("warnings", "text", "What to beware of"),
)


_AFFECTED_FIELDS = tuple(Field(name, "real", words) for name, words in AFFECTED.items())
"""Fields of ``landslides`` that are there where the user gave layers of what may be affected."""


def inventory_layers(inventory: Inventory) -> list[Layer]:
    """Return the layers ``landslides`` and ``rejected``."""
    crs = inventory.geobox.crs
    more = tuple(each for each in _AFFECTED_FIELDS if each.name in inventory.landslides.columns)
    return [
        Layer(
            "landslides",
            "Landslides",
            "Landslides found by coslide, one polygon each; edit `status` in a GIS",
            "MultiPolygon",
            (*LANDSLIDE_FIELDS, *more),
            inventory.landslides.set_crs(crs, allow_override=True),
        ),
        Layer(
            "rejected",
            "Rejected",
            "What looked like a landslide and was removed by a rule, with the reason",
            "MultiPolygon",
            (*LANDSLIDE_FIELDS, REASON),
            inventory.rejected.set_crs(crs, allow_override=True),
        ),
    ]


def affected_area_layer(inventory: Inventory) -> Layer:
    """Return the layer ``affected_area``: the ground that the landslides cover together, dissolved
    to one polygon for each connected part, largest first.
    """
    crs = str(inventory.geobox.crs)
    union = shapely.union_all(inventory.landslides.geometry.to_numpy())
    parts = [part for part in shapely.get_parts(union) if part.geom_type == "Polygon"]
    parts.sort(key=lambda part: -float(part.area))
    frame = gpd.GeoDataFrame(
        {"area_m2": [round(float(part.area), 2) for part in parts]}, geometry=parts, crs=crs
    )
    words = "Ground covered by landslides, dissolved: where outlines touch they are one polygon"
    return Layer(
        "affected_area", "Affected area", words, "MultiPolygon", _AFFECTED_AREA_FIELDS, frame
    )


def area_layer(about: About, summary: Summary, inventory: Inventory) -> Layer:
    """Return the layer ``area``."""
    row = {
        "origin": about.area.origin,
        "area_km2": summary.area_km2,
        "observed_fraction": summary.observed_fraction,
        "resolution_m": abs(inventory.geobox.affine.a),
    }
    crs = str(inventory.geobox.crs)
    frame = gpd.GeoDataFrame([row], geometry=[about.area.projected(crs)], crs=crs)
    return Layer("area", "Area", "Where coslide looked", "MultiPolygon", AREA_FIELDS, frame)


def unseen_layer(frame: gpd.GeoDataFrame) -> Layer:
    """Return the layer ``not_observed``."""
    words = "What was not seen, and why: nothing is said about landslides here"
    return Layer("not_observed", "Not observed", words, "MultiPolygon", _UNSEEN_FIELDS, frame)


def scenes_layer(about: About, footprints: gpd.GeoDataFrame) -> Layer:
    """Return the layer ``scenes``; `footprints` has a row per scene: `used_km2` and where the
    scene's day was used.
    """
    rows = [
        {
            "id": scene.id,
            "window": str(scene.when),
            "acquired": pd.Timestamp(scene.acquired).tz_convert("UTC").tz_localize(None),
            "product": scene.product,
            "clear_fraction": scene.clear_fraction,
            "cloud_fraction": scene.cloud_fraction,
            "date_assumed": scene.date_assumed,
        }
        for scene in about.scenes
    ]
    names = [each.name for each in _SCENE_FIELDS if each.name != "used_km2"]
    frame = footprints.assign(**{name: [row[name] for row in rows] for name in names})
    words = "Acquisitions, drawn where pixels of their day were used"
    return Layer("scenes", "Scenes", words, "MultiPolygon", _SCENE_FIELDS, frame)


def event_layer(about: About, summary: Summary, inventory: Inventory) -> Layer:
    """Return the layer ``event``: the epicentre, and the headline of the inventory."""
    event, crs = about.event, str(inventory.geobox.crs)
    row: dict[str, Any] = {
        "name": event.name,
        "title": event.title,
        "time": pd.Timestamp(event.time).tz_localize(None),
        "latitude": event.latitude,
        "longitude": event.longitude,
        "magnitude": event.magnitude,
        "depth_km": event.depth_km,
        "usgs_id": event.usgs_id,
        "shakemap_url": event.shakemap_url,
        "revision": about.revision,
        "as_of": pd.Timestamp(about.windows.as_of).tz_localize(None),
        "checkpoint": about.choice.card,
        "threshold": inventory.threshold,
        "out_of_domain": str(about.choice.out_of_domain).lower(),
        "simulated": about.simulated,
        "landslide_count": summary.landslide_count,
        "landslide_area_km2": summary.landslide_area_km2,
        "observed_fraction": summary.observed_fraction,
        "warnings": "; ".join(about.warnings),
    }
    points = gpd.GeoSeries.from_xy([event.longitude], [event.latitude], crs=WGS84).to_crs(crs)
    frame = gpd.GeoDataFrame([row], geometry=points.to_numpy(), crs=crs)
    words = (
        " ".join((*headline(summary)[:1], "The earthquake, and the headline"))
        if about.choice.out_of_domain
        else ""
    )
    return Layer(
        "event",
        "Epicentre",
        words or "The earthquake, and the headline",
        "Point",
        _EVENT_FIELDS,
        frame,
    )


def changes_layer(frame: gpd.GeoDataFrame) -> Layer:
    """Return the layer ``changes``."""
    words = "What differs from the revision before; drawn as it is now, or as it was where gone"
    return Layer("changes", "Changes", words, "MultiPolygon", CHANGE_FIELDS, frame)


def column(
    values: pd.Series[Any], kind: Kind
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return a column as the array OGR is given, and where it is null."""
    null = values.isna().to_numpy(dtype=bool)
    if kind in ("date", "datetime"):
        unit = "datetime64[D]" if kind == "date" else "datetime64[ms]"
        return values.to_numpy(dtype="datetime64[ns]").astype(unit), null
    if kind == "text":
        return np.array(
            [None if gone else str(v) for v, gone in zip(values, null, strict=True)], dtype=object
        ), null
    empty = values.astype(object).where(~null, 0)
    dtype = {"real": np.float64, "integer": np.int32, "boolean": np.bool_}[kind]
    return empty.to_numpy().astype(dtype), null
