"""Items and files as the public catalogues have them, made of arrays: Sentinel-2 L2A in either
encoding, and tiles of elevation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile
from shapely import box
from shapely.geometry import mapping
from shapely.ops import transform

from configs.records import Sun
from gee.stac.items import ASSETS, SCL
from stac.loopback import Loopback

OPTICS, HEIGHTS = "sentinel-2-l2a", "cop-dem-glo-30"
RESOLUTION_M = {"B1": 60, "B9": 60, "B5": 20, "B6": 20, "B7": 20, "B8A": 20, "B11": 20, "B12": 20}


def cog(
    values: NDArray[Any], affine: Affine, crs: str, nodata: float | None, block_px: int = 128
) -> bytes:
    """Return a cloud-optimised GeoTIFF of one band."""
    height, width = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="COG",
            height=height,
            width=width,
            count=1,
            dtype=str(values.dtype),
            crs=crs,
            transform=affine,
            nodata=nodata,
            blocksize=block_px,
            compress="DEFLATE",
            overview_resampling="NEAREST",
        ) as file:
            file.write(values, 1)
        return bytes(memory.read())


@dataclass(frozen=True)
class Pass:
    """One acquisition of a tile."""

    id: str
    acquired: datetime
    grid: GeoBox
    """10 m pixels, whole 60 m pixels a side."""
    bands: Mapping[str, NDArray[np.floating[Any]]]
    """Sentinel-2 band -> reflectance on `grid`, NaN where nothing was imaged."""
    classes: NDArray[np.integer[Any]]
    """Scene classification (SCL) on `grid`."""
    cloud: float = 0.0
    """Percent of the whole tile."""
    tile: str = "54TXN"
    baseline: str = "05.09"
    added: int = 1000
    """What the numbers hold too much."""
    flag: bool | None = None
    """`earthsearch:boa_offset_applied`."""
    like: int = 1
    """Whose keys the assets have: 0 Planetary Computer's, 1 Earth Search's."""
    classes_m: int = 20
    """Pixel of the classification file."""
    block_px: int = 128
    """Side of the files' tiles."""
    generation: str = "2024-01-01T00:00:00Z"
    sun: Sun | None = None


def publish(server: Loopback, one: Pass) -> dict[str, Any]:
    """Put an acquisition's files and its item on a server; return the item."""
    crs = str(one.grid.crs)
    assets: dict[str, Any] = {}
    for name, values in one.bands.items():
        step = RESOLUTION_M.get(name, 10) // 10
        part = values[::step, ::step]
        counts = np.where(np.isnan(part), 0, np.round(np.nan_to_num(part) / 1e-4) + one.added)
        assets |= _asset(
            server,
            one,
            name,
            cog(
                counts.astype(np.uint16), one.grid.affine @ Affine.scale(step), crs, 0, one.block_px
            ),
        )
    step = one.classes_m // 10
    scl = one.classes[::step, ::step].astype(np.uint8)
    assets |= _asset(
        server, one, SCL, cog(scl, one.grid.affine @ Affine.scale(step), crs, 0, one.block_px)
    )
    properties: dict[str, Any] = {
        "datetime": one.acquired.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eo:cloud_cover": one.cloud,
        "s2:processing_baseline": one.baseline,
        "s2:generation_time": one.generation,
        "grid:code": f"MGRS-{one.tile}",
        "proj:epsg": pyproj.CRS.from_user_input(crs).to_epsg(),
    }
    if one.flag is not None:
        properties["earthsearch:boa_offset_applied"] = one.flag
    if one.sun is not None:
        properties |= angles(one.sun, one.like)
    return _put(server, OPTICS, one.id, one.grid, properties, assets)


def angles(sun: Sun, like: int) -> dict[str, float]:
    """Return what an item says of the sun: the Planetary Computer's way (0), Earth Search's (1)."""
    if like == 1:
        return {"view:sun_azimuth": sun.azimuth_deg, "view:sun_elevation": sun.elevation_deg}
    return {
        "s2:mean_solar_azimuth": sun.azimuth_deg,
        "s2:mean_solar_zenith": 90 - sun.elevation_deg,
    }


def _asset(server: Loopback, one: Pass, name: str, content: bytes) -> dict[str, Any]:
    key = ASSETS[name][one.like]
    path = f"/files/{one.id}/{key}.tif"
    server.files[path] = content
    asset: dict[str, Any] = {
        "href": path,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
    }
    if one.like == 1 and name != SCL:
        asset["raster:bands"] = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]
    return {key: asset}


def publish_heights(server: Loopback, name: str, values: NDArray[Any], grid: GeoBox) -> None:
    """Put a tile of elevation on a server."""
    path = f"/files/{name}.tif"
    content = cog(values.astype(np.float32), grid.affine, str(grid.crs), None)
    server.files[path] = content
    assets = {"data": {"href": path, "type": "image/tiff; application=geotiff", "roles": ["data"]}}
    _put(server, HEIGHTS, name, grid, {"datetime": "2021-04-22T00:00:00.000Z"}, assets)


def _put(
    server: Loopback,
    collection: str,
    name: str,
    grid: GeoBox,
    properties: dict[str, Any],
    assets: dict[str, Any],
) -> dict[str, Any]:
    to_degrees = pyproj.Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    outline = transform(to_degrees.transform, box(*grid.boundingbox.bbox))
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "bbox": list(outline.bounds),
        "geometry": mapping(outline),
        "properties": properties,
        "assets": assets,
        "links": [],
    }
    held = server.items.setdefault(collection, [])
    held[:] = [one for one in held if one["id"] != name] + [item]
    return item
