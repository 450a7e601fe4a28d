"""Which of the scenes that a service has are used, and which of them first: the same for every
service with more scenes than one run can read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely import affinity, box
from shapely.geometry.base import BaseGeometry

from configs.area import WGS84, Area
from configs.bands import When
from configs.event import Event, Windows
from configs.records import Scene

YEAR_DAYS: Final = 365.25
_USELESS_CLEAR: Final = 0.005
"""Clear share of the area below which a scene is only taken where nothing better is left."""
_USELESS_CLOUD: Final = 0.995
"""The same by the cloud share of the whole tile, where no clear share is known."""


class Preference(Protocol):
    """How a source's settings order scenes."""

    @property
    def age_weight(self) -> float:
        """Return what a day of age counts against a day of seasonal difference."""
        ...

    @property
    def post_policy(self) -> Literal["earliest", "latest"]:
        """Return which clear pixel after the event is taken."""
        ...


@dataclass(frozen=True)
class Found:
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


def nearest_turn(outline: BaseGeometry, area: Area) -> BaseGeometry:
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


def best_first(found: Iterable[Found], event: Event, preference: Preference) -> list[Found]:
    """Return scenes of one window in the order in which they are looked at for a clear pixel.

    After the event: the earliest (or latest: `post_policy`). Before: the nearest in the calendar,
    age counting less, because an image of another season shows changes that are none.
    """

    def key(one: Found) -> tuple[float, str]:
        after_s = (one.scene.acquired - event.time).total_seconds()
        if one.scene.when is When.POST:
            return after_s if preference.post_policy == "earliest" else -after_s, one.scene.id
        age_days = -after_s / 86400
        return _season_distance_days(
            one.scene.acquired, event.time
        ) + preference.age_weight * age_days, one.scene.id

    return sorted(found, key=key)


def is_useless(one: Found) -> bool:
    """Return whether next to nothing of the area is clear in a scene, as far as is known."""
    clear, cloud = one.scene.clear_fraction, one.scene.cloud_fraction
    if clear is not None:
        return clear < _USELESS_CLEAR
    return cloud is not None and cloud > _USELESS_CLOUD


def few_per_tile(ordered: Sequence[Found], most: int) -> list[Found]:
    """Return the first `most` scenes of each tile, those without a clear pixel only where nothing
    else is left.
    """
    by_tile: dict[str, list[Found]] = defaultdict(list)
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


def usable(found: Iterable[Found], area: Area, event: Event, windows: Windows) -> list[Found]:
    """Return the scenes that touch the area and lie in their window, on their side of the shaking,
    not after `as_of`.
    """
    return [
        one
        for one in found
        if windows.holds(one.scene.when, one.scene.acquired, event)
        and one.outline.intersects(area.polygon)
    ]


def reaches(bounds: Sequence[float], block: GeoBox) -> bool:
    """Return whether a box (west, south, east, north, degrees) touches a block, on whichever
    turn of the globe.
    """
    to_wgs84 = Transformer.from_crs(str(block.crs), WGS84, always_xy=True)
    west, south, east, north = to_wgs84.transform_bounds(*block.boundingbox.bbox)
    east = east + 360 if east < west else east
    outline = box(west, south, east, north).buffer(0.01)
    return any(
        outline.intersects(box(bounds[0] + turn, bounds[1], bounds[2] + turn, bounds[3]))
        for turn in (-360, 0, 360)
    )
