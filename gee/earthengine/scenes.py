"""Which scenes there are, as the service tells (`survey` asks), and which of them a run uses,
decided here.

The choice is made on our side, in plain functions: the pixel requests then name every scene they
read, so that a scene that appears tomorrow never mixes into today's composite.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import ee
from shapely import affinity, box, unary_union
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from configs.area import WGS84, Area
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange, Event, Windows
from configs.records import Scene

YEAR_DAYS: Final = 365.25
_USELESS_CLEAR: Final = 0.005
"""Clear share of the area below which a scene is only taken where nothing better is left."""
_USELESS_CLOUD: Final = 0.995
"""The same by the cloud share of the whole tile, where no clear share is known."""


@dataclass(frozen=True)
class Checkpoint:
    """A scene that the service has."""

    scene: Scene
    outline: BaseGeometry
    """WGS 84, unwrapped to the area's turn of the globe."""
    tile: str
    """Scenes of the same tile show the same ground: MGRS tile, path/row, or relative orbit."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def index(self) -> str:
        """Return the last part of the id, by which collections join."""
        return self.scene.id.rsplit("/", 1)[-1]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return (west, south, east, north), degrees."""
        west, south, east, north = self.outline.bounds
        return west, south, east, north


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
        )
        outline = _nearest_turn(shape(feature["geometry"]).convex_hull, area)
        found.append(Checkpoint(scene, outline, tile.format(**facts), facts))
    return found


def _nearest_turn(outline: BaseGeometry, area: Area) -> BaseGeometry:
    """Return an outline on the turn of the globe where the area's coordinates are; whole where it
    spans the antimeridian.
    """
    west, _, east, _ = outline.bounds
    if (
        east - west > 180
        # cut at the antimeridian by the service: too wide on either turn is harmless, too narrow is
        # not
    ):
        return box(-540, outline.bounds[1], 540, outline.bounds[3])
    middle = (area.polygon.bounds[0] + area.polygon.bounds[2]) / 2
    return affinity.translate(outline, 360 * round((middle - (west + east) / 2) / 360))


def _season_distance_days(first: datetime, second: datetime) -> float:
    """Return how far apart two moments are in the calendar, years left aside, days (0-183)."""
    days = abs((first - second).total_seconds()) / 86400 % YEAR_DAYS
    return min(days, YEAR_DAYS - days)


def best_first(
    found: Iterable[Checkpoint], event: Event, config: EarthEngineConfig
) -> list[Checkpoint]:
    """Return scenes of one window in the order in which they are looked at for a clear pixel.

    After the event: the earliest (or latest: `post_policy`). Before: the nearest in the calendar,
    age counting less, because an image of another season shows changes that are none.
    """

    def key(one: Checkpoint) -> tuple[float, str]:
        after_s = (one.scene.acquired - event.time).total_seconds()
        if one.scene.when is When.POST:
            return after_s if config.post_policy == "earliest" else -after_s, one.scene.id
        age_days = -after_s / 86400
        return _season_distance_days(
            one.scene.acquired, event.time
        ) + config.age_weight * age_days, one.scene.id

    return sorted(found, key=key)


def is_useless(one: Checkpoint) -> bool:
    """Return whether next to nothing of the area is clear in a scene, as far as is known."""
    clear, cloud = one.scene.clear_fraction, one.scene.cloud_fraction
    if clear is not None:
        return clear < _USELESS_CLEAR
    return cloud is not None and cloud > _USELESS_CLOUD


def few_per_tile(ordered: Sequence[Checkpoint], most: int) -> list[Checkpoint]:
    """Return the first `most` scenes of each tile, those without a clear pixel only where nothing
    else is left.
    """
    by_tile: dict[str, list[Checkpoint]] = defaultdict(list)
    for one in ordered:
        by_tile[one.tile].append(one)
    kept: set[str] = set()
    for scenes in by_tile.values():
        useless = [is_useless(one) for one in scenes]
        ranked = [
            one for _, one in sorted(zip(useless, scenes, strict=True), key=lambda pair: pair[0])
        ]
        kept.update(one.scene.id for one in ranked[:most])
    return [one for one in ordered if one.scene.id in kept]


def usable(
    found: Iterable[Checkpoint], area: Area, event: Event, windows: Windows
) -> list[Checkpoint]:
    """Return the scenes that touch the area and lie in their window, on their side of the shaking,
    not after `as_of`.
    """
    return [
        one
        for one in found
        if windows.holds(one.scene.when, one.scene.acquired, event)
        and one.outline.intersects(area.polygon)
    ]


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
