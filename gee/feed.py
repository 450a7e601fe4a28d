"""Earthquakes as the USGS announces them: summary feeds and catalogue answers, event details,
ShakeMap versions, alerts.

Formats: https://earthquake.usgs.gov/earthquakes/feed/v1.0/geojson.php and geojson_detail.php; FDSN
event web service, https://earthquake.usgs.gov/fdsnws/event/1/. Feeds come from elsewhere: one bad
feature must not hide the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from configs.errors import RequestError, SourceError
from configs.event import USGS_ID, Event
from configs.stack import EPOCH
from configs.watch import ALERTS, Alert
from gee.catalog import number, parse_event, plain_text, versions, weight, withdrawn

LARGEST_FEED_BYTES = 50 * 2**20


@dataclass(frozen=True)
class Quake:
    """One earthquake of a feed."""

    id: str
    ids: frozenset[str]
    """Every id that any network gave it; the preferred one changes now and then."""
    updated: int
    """Milliseconds since 1970: when anything about it last changed."""
    time: datetime
    latitude: float
    longitude: float
    depth_km: float | None
    magnitude: float | None
    title: str = ""
    kind: str = "earthquake"
    """earthquake, or quarry blast, explosion, ..."""
    gone: bool = False
    """The USGS has withdrawn it."""
    pager: Alert | None = None

    @property
    def age(self) -> timedelta:
        """Return how long before its last update it happened."""
        return EPOCH + timedelta(milliseconds=self.updated) - self.time


@dataclass(frozen=True)
class Feed:
    """A feed's earthquakes, and what in it could not be read."""

    quakes: tuple[Quake, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detail:
    """All that is known of one earthquake."""

    quake: Quake
    event: Event
    landslide_alert: Alert | None
    """Of the preferred ground-failure product."""
    content: bytes = field(repr=False)
    """The answer itself, as the run will read it."""

    @property
    def version(self) -> str:
        """Return a short word that changes with what outlines the area: the ShakeMap's version,
        else magnitude and place.
        """
        if self.event.shakemap_url:
            parts = self.event.shakemap_url.split("/")
            return "-".join(["shakemap", *parts[-4:-2]]) if len(parts) > 4 else "shakemap"
        event = self.event
        return f"m{event.magnitude or 0:.1f}-{event.latitude:.2f}-{event.longitude:.2f}"


def read_feed(content: bytes, where: str) -> Feed:
    """Return the earthquakes in a summary feed or a catalogue's answer.

    Raises:
        SourceError: not GeoJSON; nothing of it can be read.
    """
    try:
        found = json.loads(content)
        features = found["features"]
        if not isinstance(features, list):
            raise TypeError("features is no list")
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise SourceError(
            f"{where} is no GeoJSON feed: {error}", "It is asked again later."
        ) from error
    quakes, skipped = [], []
    for index, feature in enumerate(features):
        try:
            quakes.append(_read_quake(feature))
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            OverflowError,
        ) as error:
            name = feature.get("id") if isinstance(feature, dict) else None
            skipped.append(f"feature {plain_text(name or index)}: {_words(error)}")
    return Feed(tuple(quakes), tuple(skipped))


def _read_quake(feature: Mapping[str, Any]) -> Quake:
    """Return the earthquake in one feature; KeyError, TypeError or ValueError where it is none."""
    properties, place = feature["properties"], feature["geometry"]["coordinates"]
    identity = str(feature["id"])
    ids = frozenset(part for part in str(properties.get("ids") or "").split(",") if part) | {
        identity
    }
    if not all(re.fullmatch(USGS_ID, part) for part in ids):
        raise ValueError(f"`{identity}` is no event id")
    latitude, longitude = float(place[1]), float(place[0])
    if not (abs(latitude) <= 90 and abs(longitude) <= 360):
        raise ValueError(f"{latitude}, {longitude} is no place on Earth")
    time = EPOCH + timedelta(milliseconds=float(properties["time"]))
    magnitude, depth = properties.get("mag"), place[2] if len(place) > 2 else None
    return Quake(
        id=identity,
        ids=ids,
        updated=_updated(properties.get("updated"), time),
        time=time,
        latitude=latitude,
        longitude=longitude
        if abs(longitude) <= 180
        else longitude - 360 * (1 if longitude > 0 else -1),
        depth_km=number(depth),
        magnitude=number(magnitude),
        title=plain_text(properties.get("title") or properties.get("place") or identity),
        kind=plain_text(properties.get("type") or "earthquake"),
        gone=withdrawn(properties.get("status")),
        pager=_alert(properties.get("alert")),
    )


def _words(error: Exception) -> str:
    """Return what is wrong with a feature, in words of a feed and not of this program."""
    if isinstance(error, KeyError):
        return f"it has no `{error.args[0]}`"
    ours = type(error) is ValueError and "could not convert" not in str(error)
    return str(error) if ours else "it is not written as the USGS writes its events"


def _updated(value: Any, time: datetime) -> int:
    """Return a moment of a feed in milliseconds since 1970, that of the earthquake where it is
    none.
    """
    try:
        moment = EPOCH + timedelta(milliseconds=float(value))
    except (TypeError, ValueError, OverflowError):
        moment = time
    return round((moment - EPOCH) / timedelta(milliseconds=1))


def read_detail(content: bytes, where: str) -> Detail:
    """Return one earthquake's detail.

    Raises:
        SourceError: not an event's detail, or damaged.
    """
    try:
        event = parse_event(content, where)
        feature = json.loads(content)
        products = feature["properties"].get("products")
        products = products if isinstance(products, Mapping) else {}
        return Detail(_read_quake(feature), event, _landslide_alert(products), content)
    except (
        RequestError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        OverflowError,
    ) as error:
        words = error.message if isinstance(error, RequestError) else _words(error)
        raise SourceError(f"{where} cannot be read: {words}", "It is asked again later.") from error


def _landslide_alert(products: Mapping[str, Any]) -> Alert | None:
    """Return the landslide alert of the ground-failure product that counts: highest weight, then
    newest.
    """
    found = []
    for version in versions(products, "ground-failure"):
        told = version.get("properties")
        if isinstance(told, Mapping) and (alert := _alert(told.get("landslide-alert"))) is not None:
            found.append((*weight(version), alert))
    return max(found)[2] if found else None


def _alert(word: Any) -> Alert | None:
    return next((colour for colour in ALERTS if colour == str(word or "").lower()), None)
