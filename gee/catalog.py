"""Events from the USGS catalogue: a detail GeoJSON, from a file or by its id.

Format: https://earthquake.usgs.gov/earthquakes/feed/v1.0/geojson_detail.php (times in milliseconds
since 1970, UTC).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.area import wrap
from configs.errors import RequestError
from configs.event import USGS_ID, Event
from configs.stack import EPOCH
from gee.fetch import fetch

logger = logging.getLogger(__name__)

_DETAIL_URL = "https://earthquake.usgs.gov/fdsnws/event/1/query?eventid={id}&format=geojson"
_LARGEST_DETAIL_BYTES = 20 * 2**20
_GRID = "download/grid.xml"


def read_event(path: Path) -> Event:
    """Return the event in a USGS detail GeoJSON file.

    Raises:
        RequestError: unreadable, or not one event's detail.
    """
    try:
        if path.stat().st_size > _LARGEST_DETAIL_BYTES:
            raise RequestError(
                f"--usgs: {path} is larger than any event's detail",
                "Give one event's detail GeoJSON.",
            )
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"--usgs: cannot read {path}: {error.strerror}", "Check the path."
        ) from error
    return parse_event(content, str(path))


def fetch_event(event_id: str, hosts: Collection[str] | None = None) -> Event:
    """Return the event the USGS knows by an id, e.g. ``us2000h8ty``.

    Raises:
        RequestError: no such event.
        SourceError: the catalogue cannot be had.
    """
    if not re.fullmatch(USGS_ID, event_id):
        raise RequestError(
            f"--usgs: `{event_id}` is no event id",
            "Give an id such as us2000h8ty, or a GeoJSON file.",
        )
    url = _DETAIL_URL.format(id=event_id)
    return parse_event(
        fetch(url, limit_bytes=_LARGEST_DETAIL_BYTES, hosts=hosts), f"event {event_id}"
    )


def parse_event(content: bytes, where: str) -> Event:
    """Return the event in a detail GeoJSON.

    Raises:
        RequestError: not JSON, a list of events, without place or time, or withdrawn.
    """
    try:
        feature = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"--usgs: {where} is no GeoJSON: {error}", "Give one event's detail GeoJSON."
        ) from error
    if isinstance(feature, dict) and feature.get("type") == "FeatureCollection":
        listed = feature.get("features")
        count = len(listed) if isinstance(listed, list) else 0
        raise RequestError(
            f"--usgs: {where} is a list of {count} events, not one event's detail",
            "Give the GeoJSON behind one feature's `detail` link, or its id.",
        )
    try:
        properties, place = feature["properties"], feature["geometry"]["coordinates"]
        if str(properties.get("status") or "").lower() == "deleted":
            raise _withdrawn(where)
        identity = str(
            feature.get("id") or f"{properties.get('net', '')}{properties.get('code', '')}"
        )
        return Event(
            name=identity,
            title=plain_text(properties.get("title") or properties.get("place") or ""),
            time=EPOCH + timedelta(milliseconds=float(properties["time"])),
            longitude=_within(float(place[0])),
            latitude=float(place[1]),
            depth_km=float(place[2]) if len(place) > 2 and place[2] is not None else None,
            magnitude=properties.get("mag"),
            usgs_id=identity,
            shakemap_url=preferred_shakemap(properties.get("products") or {}),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        what = error.errors()[0]["loc"][0] if isinstance(error, ValidationError) else error
        raise RequestError(
            f"--usgs: {where} is not one event's detail ({what} missing or wrong)",
            "Give one event's detail GeoJSON.",
        ) from error


def plain_text(value: object) -> str:
    """Return a word of a catalogue as text that any file can hold: half of a character that JSON
    may carry (a lone surrogate) becomes a question mark.
    """
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _withdrawn(where: str) -> RequestError:
    return RequestError(
        f"--usgs: the USGS has withdrawn {where}: no earthquake is listed there any more",
        "Look for the event that took its place, or give --epicentre and --date.",
    )


def _within(longitude: float) -> float:
    """Return a longitude in [-180, 180]; catalogues write 181 beyond the antimeridian now and
    then.
    """
    return longitude if -180 <= longitude <= 180 else wrap(longitude)


def preferred_shakemap(products: Mapping[str, Any]) -> str | None:
    """Return the address of the preferred ShakeMap's ``grid.xml``: highest weight, then newest;
    None without one, which is said where there are ShakeMaps of which none can be used.

    Deleted versions, and addresses that are not https, do not count.
    """
    versions = [one for one in products.get("shakemap") or [] if isinstance(one, Mapping)]
    there = [one for one in versions if one.get("status") != "DELETE"]
    found = [
        (_number(one.get("preferredWeight")), _number(one.get("updateTime")), address)
        for one in there
        if (address := _grid_address(one)).startswith("https://")
    ]
    if there and not found:
        logger.warning(
            "the event has a ShakeMap, but none with a %s that can be fetched: the area follows "
            "from the magnitude instead",
            _GRID,
        )
    return max(found)[2] if found else None


def _number(value: object) -> float:
    """Return a number of a catalogue, 0 where it is none."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _grid_address(version: Mapping[str, Any]) -> str:
    contents = version.get("contents")
    grid = contents.get(_GRID) if isinstance(contents, Mapping) else None
    return str(grid.get("url") or "") if isinstance(grid, Mapping) else ""
