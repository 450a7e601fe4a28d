"""Which scenes there are, as the service tells (`survey` asks), and which of them a run uses,
decided here.

The choice is made on our side, in plain functions: the pixel requests then name every scene they
read, so that a scene that appears tomorrow never mixes into today's composite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import ee
from shapely import affinity, box, unary_union
from shapely.geometry import mapping, shape

from configs.area import WGS84, Area
from configs.bands import When
from configs.event import DateRange
from configs.records import Scene, Sun
from gee.ranking import Found, nearest_turn

Checkpoint = Found


def region_of(area: Area) -> Any:
    """Return the convex outline of an area as `ee.Geometry`, cut at the antimeridian where it
    crosses it.
    """
    hull = area.polygon.convex_hull
    turns = [
        affinity.translate(hull, turn).intersection(box(-180, -90, 180, 90))
        for turn in (0, -360, 360)
    ]
    parts = [mapping(part)["coordinates"] for part in turns if part.area > 0]
    if len(parts) == 1:
        return ee.Geometry.Polygon(_lists(parts[0]), proj=WGS84, geodesic=False)
    return ee.Geometry.MultiPolygon([_lists(part) for part in parts], proj=WGS84, geodesic=False)


def _lists(rings: Any) -> list[list[list[float]]]:
    return [[[float(x), float(y)] for x, y in ring] for ring in rings]


def between(asset: str, region: Any, days: DateRange) -> Any:
    """Return the collection's images over a region on these days, both included."""
    after = days.last + timedelta(days=1)
    return (
        ee.ImageCollection(asset)
        .filterBounds(region)
        .filterDate(days.first.isoformat(), after.isoformat())
    )


def features(collection: Any, properties: Sequence[str]) -> Any:
    """Return a collection's outlines with some of its properties, as a feature collection."""

    def describe(image: Any) -> Any:
        image = ee.Image(image)
        facts = {
            name.removeprefix("system:"): image.get(name)
            for name in ("system:time_start", *properties)
        }
        return ee.Feature(image.geometry(100), {**facts, "index": image.get("system:index")})

    return collection.map(describe)


def read_features(
    answer: Mapping[str, Any], asset: str, when: When, tile: str, area: Area
) -> list[Checkpoint]:
    """Return the scenes in a listing.

    Args:
        answer: the feature collection as the service sent it.
        asset: the collection's id.
        when: the window it was asked for.
        tile: pattern of the tile's name, filled from the properties.
        area: where we look; outlines are moved to its turn of the globe.
    """
    found = []
    for feature in answer["features"]:
        facts = feature["properties"]
        acquired = datetime.fromtimestamp(facts["time_start"] / 1000, UTC)
        cloud = facts.get("CLOUDY_PIXEL_PERCENTAGE", facts.get("CLOUD_COVER"))
        scene = Scene(
            f"{asset}/{facts['index']}",
            when,
            acquired,
            asset,
            facts.get("clear"),
            cloud / 100 if cloud is not None else None,
            sun=_sun(facts),
        )
        outline = nearest_turn(shape(feature["geometry"]).convex_hull, area)
        found.append(Checkpoint(scene, outline, tile.format(**facts), facts))
    return found


def _sun(facts: Mapping[str, Any]) -> Sun | None:
    """Return where the sun stood, as Sentinel-2 (zenith angle) and Landsat (elevation) tell it."""
    azimuth, zenith = facts.get("MEAN_SOLAR_AZIMUTH_ANGLE"), facts.get("MEAN_SOLAR_ZENITH_ANGLE")
    elevation = facts.get("SUN_ELEVATION") if zenith is None else 90 - zenith
    azimuth = facts.get("SUN_AZIMUTH") if azimuth is None else azimuth
    if azimuth is None or elevation is None or elevation <= 0:
        return None
    return Sun(round(azimuth % 360, 2), round(elevation, 2))  # Landsat counts from -180 to 180


def covered(found: Iterable[Checkpoint], area: Area) -> float:
    """Return the share of the area that scenes' outlines cover, 0-1."""
    union = unary_union([one.outline for one in found])
    return float(union.intersection(area.polygon).area / area.polygon.area)


def sampling_scale_m(area: Area, across: int = 96) -> float:
    """Return the pixel size at which an area is about `across` pixels wide: shares are estimated on
    that many.
    """
    west, south, east, north = area.projected().bounds
    return max(10.0, math.ceil(max(east - west, north - south) / across))
