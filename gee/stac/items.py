"""What an item says of itself: which tile and when, which file is which band, and what its numbers
mean.

Catalogues name the same things differently, and older items differ from newer ones: this is the one
place that knows.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import pystac
from shapely import box
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import When
from configs.records import Scene, Sun
from gee.ranking import Found, nearest_turn
from gee.stac.catalogue import moment

SCL: Final = "SCL"
ASSETS: Final[Mapping[str, tuple[str, ...]]] = {
    "B1": ("B01", "coastal"),
    "B2": ("B02", "blue"),
    "B3": ("B03", "green"),
    "B4": ("B04", "red"),
    "B5": ("B05", "rededge1"),
    "B6": ("B06", "rededge2"),
    "B7": ("B07", "rededge3"),
    "B8": ("B08", "nir"),
    "B8A": ("B8A", "nir08"),
    "B9": ("B09", "nir09"),
    "B11": ("B11", "swir16"),
    "B12": ("B12", "swir22"),
    SCL: ("SCL", "scl"),
}
"""Band -> keys of its asset: Planetary Computer's, then Earth Search's (the common names of the
extension `eo`)."""
BANDS: Final = tuple(name for name in ASSETS if name != SCL)
_HEIGHTS: Final = ("data", "elevation", "dem", "DEM")
_SAME_PASS: Final = timedelta(minutes=10)
_SAME_GROUND: Final = 0.95
"""Two items of one pass and tile are two processings of one image where the smaller outline lies so
far within the other; else they are two parts of it."""


def sighting(item: pystac.Item, when: When, area: Area, product: str) -> Found:
    """Return an item as a scene, its outline on the area's turn of the globe."""
    outline = shape(item.geometry) if item.geometry else box(*(item.bbox or (-180, -90, 180, 90)))
    cloud = item.properties.get("eo:cloud_cover")
    scene = Scene(
        item.id,
        when,
        moment(item),
        product,
        cloud_fraction=float(cloud) / 100 if isinstance(cloud, int | float) else None,
        sun=_sun(item.properties),
    )
    return Found(scene, nearest_turn(outline, area), tile_of(item, outline), {"item": item})


def _sun(said: Mapping[str, Any]) -> Sun | None:
    """Return where the sun stood, as Earth Search (elevation) and the Planetary Computer (zenith
    angle) tell it; None where an angle is missing or cannot be.
    """
    azimuth = _number(said, "view:sun_azimuth", "s2:mean_solar_azimuth")
    elevation, zenith = _number(said, "view:sun_elevation"), _number(said, "s2:mean_solar_zenith")
    if elevation is None and zenith is not None:
        elevation = 90 - zenith
    if azimuth is None or elevation is None or not 0 < elevation <= 90:
        return None
    return Sun(round(azimuth % 360, 2), round(elevation, 2))


def _number(said: Mapping[str, Any], *names: str) -> float | None:
    values = (said.get(name) for name in names)
    numbers = (float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    return next((number for number in numbers if math.isfinite(number)), None)


def tile_of(item: pystac.Item, outline: BaseGeometry) -> str:
    """Return the name of the MGRS tile that an item shows; its outline where it names none."""
    said = item.properties
    name = said.get("s2:mgrs_tile") or said.get("grid:code") or said.get("s2:tile_id")
    if not name and "mgrs:grid_square" in said:
        name = "".join(
            str(said.get(key, ""))
            for key in ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square")
        )
    found = re.search(r"\d{1,2}[C-X][A-Z]{2}", str(name or ""))
    if found:
        return found.group().zfill(5)
    west, south, east, north = outline.bounds
    return f"{west:.1f},{south:.1f},{east:.1f},{north:.1f}"


def baseline(item: pystac.Item) -> float | None:
    """Return the processing baseline, e.g. 5.09; None where the item does not say."""
    for key in ("s2:processing_baseline", "processing:version"):
        text = str(item.properties.get(key, "")).lstrip("Nn")
        if re.fullmatch(r"\d{1,2}\.\d{1,2}", text):
            return float(text)
    return None


def newest_processing(found: Iterable[Found]) -> tuple[list[Found], list[str]]:
    """Return scenes, of each pass over a tile the latest processing only, and the ids left out.

    Two items of one pass that show different parts of a tile both stay.
    """
    kept: list[Found] = []
    older = []
    for one in sorted(found, key=_age, reverse=True):
        if any(_same_image(one, other) for other in kept):
            older.append(one.scene.id)
        else:
            kept.append(one)
    return kept, sorted(older)


def _age(one: Found) -> tuple[float, str, str]:
    item: pystac.Item = one.facts["item"]
    made = item.properties.get("s2:generation_time") or item.properties.get("updated") or ""
    return baseline(item) or 0.0, str(made), item.id


def _same_image(one: Found, other: Found) -> bool:
    apart = abs(one.scene.acquired - other.scene.acquired)
    if (one.tile, one.scene.when) != (other.tile, other.scene.when) or apart > _SAME_PASS:
        return False
    if one.outline.area <= 0 or other.outline.area <= 0:
        return True
    shared = one.outline.intersection(other.outline).area
    return bool(shared >= _SAME_GROUND * min(one.outline.area, other.outline.area))


def asset_of(item: pystac.Item, band: str) -> pystac.Asset | None:
    """Return the GeoTIFF of a band (or `SCL`), None where the item has none."""
    names = {band, *ASSETS[band]}
    for key in ASSETS[band]:
        if key in item.assets and _is_tiff(item.assets[key]):
            return item.assets[key]
    for key, asset in item.assets.items():
        listed = asset.extra_fields.get("eo:bands") or asset.extra_fields.get("bands") or ()
        said = {str(one.get(field)) for one in listed for field in ("name", "eo:common_name")}
        if len(listed) == 1 and said & names and _is_tiff(asset) and "preview" not in key:
            return asset
    return None


def heights_of(item: pystac.Item) -> pystac.Asset | None:
    """Return the GeoTIFF of an elevation item."""
    named = (item.assets[key] for key in _HEIGHTS if key in item.assets)
    tiffs = (asset for asset in item.assets.values() if "data" in (asset.roles or ()))
    return next((asset for asset in (*named, *tiffs) if _is_tiff(asset)), None)


def _is_tiff(asset: pystac.Asset) -> bool:
    kind = asset.media_type or ""
    path = urlsplit(asset.href).path.lower()
    return kind.startswith("image/tiff") or (not kind and path.endswith((".tif", ".tiff")))


def told(asset: pystac.Asset) -> dict[str, float]:
    """Return the scale, offset and nodata that an asset tells of its numbers, those that it
    tells.
    """
    said = asset.extra_fields
    bands: Any = said.get("raster:bands") or said.get("bands") or ({},)
    found = {}
    for name in ("scale", "offset", "nodata"):
        value = next(
            (
                part[key]
                for part in (bands[0], said)
                for key in (f"raster:{name}", name)
                if isinstance(part.get(key), int | float)
            ),
            None,
        )
        if value is not None:
            found[name] = float(value)
    return found


def fingerprint(item: pystac.Item) -> str:
    """Return a hash of what an item says of its files: another one means other pixels. Signatures
    are no part of it.
    """
    said = item.properties
    content = {
        "id": item.id,
        "moment": moment(item).isoformat(),
        "baseline": baseline(item),
        "made": said.get("s2:generation_time") or said.get("updated"),
        "files": {
            key: [bare(asset.href), asset.extra_fields.get("file:checksum")]
            for key, asset in sorted(item.assets.items())
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def bare(href: str) -> str:
    """Return an address without its query, where signatures stand."""
    parts = urlsplit(href)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def facts_of(one: Found) -> dict[str, Any]:
    """Return what provenance keeps of a scene's item, JSON types."""
    item: pystac.Item = one.facts["item"]
    said = baseline(item)
    return {
        "bounds": [round(value, 4) for value in one.bounds],
        "tile": one.tile,
        "item": bare(item.get_self_href() or ""),
        "baseline": said,
        **({"sun": asdict(one.scene.sun)} if one.scene.sun else {}),
    }
