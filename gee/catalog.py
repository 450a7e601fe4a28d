"""Events from the USGS catalogue: a detail GeoJSON, from a file or by its id.

Format: https://earthquake.usgs.gov/earthquakes/feed/v1.0/geojson_detail.php (times in milliseconds
since 1970, UTC).
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.area import wrap
from configs.complaints import as_request_error
from configs.errors import RequestError
from configs.event import USGS_ID, Event
from configs.stack import EPOCH
from gee.fetch import fetch

logger = logging.getLogger(__name__)

_DETAIL_URL = "https://earthquake.usgs.gov/fdsnws/event/1/query?eventid={id}&format=geojson"
_LARGEST_DETAIL_BYTES = 20 * 2**20
_GRID = "download/grid.xml"
_GONE = ("deleted", "delete", "withdrawn")
"""`status` of what the USGS has taken back."""
_GIVE = "Give one event's detail GeoJSON."
_BY_MAGNITUDE = "the area follows from the magnitude instead"
_NO_GRID = f"the event has a ShakeMap, but none with a {_GRID} that can be fetched: {_BY_MAGNITUDE}"


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
    """Return the event in a detail GeoJSON. A depth or magnitude that is none is left out, and
    said.

    Raises:
        RequestError: not JSON, a list of events, without place or time, or withdrawn.
    """
    feature = _feature(content, where)
    said, place = _section(feature, "properties"), _section(feature, "geometry").get("coordinates")
    if withdrawn(said.get("status")):
        raise _withdrawn(where)
    place = [number(each) for each in place[:2]] if isinstance(place, list) else []
    milliseconds = number(said.get("time"))
    if milliseconds is None or len(place) < 2 or None in place:
        lacking = "no time" if milliseconds is None else "no place"
        raise RequestError(f"--usgs: {where} is not one event's detail: it has {lacking}", _GIVE)
    identity = str(feature.get("id") or f"{said.get('net', '')}{said.get('code', '')}")
    products = _section(said, "products")
    address = preferred_shakemap(products)
    doubt = _NO_GRID if address is None and _has_shakemap(products) else ""
    if said.get("products") and not products:
        doubt = f"what {where} says of its products cannot be read: {_BY_MAGNITUDE}"
    if doubt:
        logger.warning("%s", doubt)
    try:
        return Event(
            name=identity,
            title=plain_text(said.get("title") or said.get("place") or ""),
            time=EPOCH + timedelta(milliseconds=milliseconds),
            longitude=_within(float(place[0] or 0)),
            latitude=float(place[1] or 0),
            depth_km=_depth(feature, where),
            magnitude=_known(said.get("mag"), "magnitude", where),
            usgs_id=identity,
            shakemap_url=address,
            shakemap_doubt=doubt,
        )
    except ValidationError as error:
        raise as_request_error(error, f"--usgs: {where}", _GIVE, Event) from error
    except OverflowError as error:
        raise RequestError(f"--usgs: {where}: its time is none", _GIVE) from error


def _feature(content: bytes, where: str) -> Mapping[str, Any]:
    """Return the object in a detail GeoJSON, refusing a list of events."""
    try:
        feature = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"--usgs: {where} is no GeoJSON: {error}", _GIVE) from error
    if not isinstance(feature, Mapping):
        raise RequestError(f"--usgs: {where} is not one event's detail", _GIVE)
    if feature.get("type") == "FeatureCollection":
        listed = feature.get("features")
        count = len(listed) if isinstance(listed, list) else 0
        raise RequestError(
            f"--usgs: {where} is a list of {count} events, not one event's detail",
            "Give the GeoJSON behind one feature's `detail` link, or its id.",
        )
    return feature


def _section(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = part.get(name)
    return found if isinstance(found, Mapping) else {}


def _depth(feature: Mapping[str, Any], where: str) -> float | None:
    place = _section(feature, "geometry")["coordinates"]
    depth = _known(place[2] if len(place) > 2 else None, "depth", where)
    if depth is not None and not -10 <= depth <= 800:
        logger.warning("%s: a depth of %g km is none; it counts as not known", where, depth)
        return None
    return depth


def _known(value: object, what: str, where: str) -> float | None:
    found = number(value)
    if found is None and value is not None:
        logger.warning("%s: its %s is no number and counts as not known", where, what)
    return found


def withdrawn(status: object) -> bool:
    """Return whether the status of an event or of one of its products says that it was taken
    back; catalogues write the word in several ways.
    """
    return str(status or "").strip().lower() in _GONE


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
    return wrap(longitude) if 180 < abs(longitude) <= 360 else longitude


def preferred_shakemap(products: Mapping[str, Any]) -> str | None:
    """Return the address of the preferred ShakeMap's ``grid.xml``: highest weight, then newest;
    None without one.

    Deleted versions, and addresses that are not https, do not count.
    """
    found = [
        (*weight(one), address)
        for one in versions(products, "shakemap")
        if (address := _grid_address(one)).startswith("https://")
    ]
    return max(found)[2] if found else None


def _has_shakemap(products: Mapping[str, Any]) -> bool:
    """Return whether there is a ShakeMap that was not taken back, usable or not."""
    listed = products.get("shakemap") or []
    return bool(versions(products, "shakemap")) or not isinstance(listed, list)


def versions(products: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """Return the versions of a product that were not taken back and that are entries at all."""
    listed = products.get(kind)
    every = listed if isinstance(listed, list) else []
    return [one for one in every if isinstance(one, Mapping) and not withdrawn(one.get("status"))]


def weight(version: Mapping[str, Any]) -> tuple[float, float]:
    """Return what versions of a product are ordered by: (weight, when updated)."""
    return number(version.get("preferredWeight")) or 0.0, number(version.get("updateTime")) or 0.0


def number(value: object) -> float | None:
    """Return a number of a catalogue, None where it is none."""
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _grid_address(version: Mapping[str, Any]) -> str:
    grid = _section(_section(version, "contents"), _GRID)
    return str(grid.get("url") or "")
