"""What the kill tests and the Dask benchmark run on: an archive of noise and smooth hills, a
shipped checkpoint, one request.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from affine import Affine
from pyproj import Transformer

CRS, WEST, NORTH = "EPSG:32654", 590_000, 4_730_000
HEIGHT, WIDTH = 2300, 200
"""Pixels of 10 m: five strips in two shards, five blocks."""
CARD = "iburi-post"
PRODUCTS = (
    "landslides.gpkg",
    "landslides.tif",
    "probability.tif",
    "observation.tif",
    "report.html",
    "selection.csv",
)
"""Products that tell neither time nor machine."""


def make_archive(folder: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Return the folder of the archive: B2 B3 B4 after the event, the same before it, and a 30 m
    elevation.
    """
    if (folder / "archive.yaml").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: height // 3 + 30, : width // 3 + 30] * 30.0
    _write(
        folder / "dem.tif",
        (300 + 120 * np.sin(x / 240) + 90 * np.cos(y / 180)).astype(np.float32),
        30.0,
        -9999,
    )
    bands = {}
    for band, level in {"B2": 900, "B3": 800, "B4": 700}.items():
        values = level + rng.normal(0, 300, (height, width))
        _write(folder / f"{band}.tif", np.clip(values, 1, 10_000).astype(np.uint16), 10.0, 0)
        bands[band] = {"file": f"{band}.tif", "scale": 0.0001, "offset": 0, "nodata": 0}
    content = {
        "format": "coslide/archive/1",
        "sensor": "sentinel-2",
        "level": "L1C",
        "resolution_m": 10,
        "scenes": [
            {"id": f"scene-{when}", "acquired": day, "product": "noise", "bands": bands}
            for when, day in (("pre", "2018-08-20"), ("post", "2018-09-20"))
        ],
        "static": {"dem": {"file": "dem.tif", "nodata": -9999}},
    }
    (folder / "archive.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def _write(path: Path, values: Any, pixel_m: float, nodata: float) -> None:
    height, width = values.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": values.dtype,
        "crs": CRS,
    }
    affine = Affine(pixel_m, 0, WEST, 0, -pixel_m, NORTH)
    with rasterio.open(path, "w", transform=affine, nodata=nodata, **profile) as file:
        file.write(values, 1)


def preset(folder: Path, height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    """Return the run file's parts: the archive, and no rule that noise would have to satisfy."""
    rules = ("min_area_m2", "min_slope_deg", "max_edge_fraction", "max_water_fraction")
    return {
        "format": "coslide/run/1",
        "source": {
            "kind": "archive",
            "archive": str(make_archive(folder / "archive", height, width)),
        },
        "model": {"checkpoint": CARD, "device": "cpu", "fill_with_post_only": False},
        "clean": dict.fromkeys(rules) | {"threshold": 0.5},
    }


def request(height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    """Return the request that every run of the kill tests makes."""
    to_wgs84 = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    corners = (WEST + 50, NORTH - 10 * height + 50, WEST + 10 * width - 50, NORTH - 50)
    bounds = ",".join(f"{side:.6f}" for side in to_wgs84.transform_bounds(*corners))
    return {
        "latitude": 42.6,
        "longitude": 142.11,
        "date": "2018-09-05",
        "bounds": bounds,
        "as_of": "2018-12-01",
        "name": "quake",
        "checkpoint": CARD,
    }


def command(folder: Path, out: Path, *more: str) -> list[str]:
    """Return the same request as arguments of `coslide`."""
    path = folder / "preset.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(preset(folder), sort_keys=False))
    asked = request()
    return [
        *(
            "respond",
            "--epicentre",
            f"{asked['latitude']},{asked['longitude']}",
            "--date",
            asked["date"],
        ),
        *("--area", asked["bounds"], "--as-of", asked["as_of"], "--name", asked["name"]),
        *("--config", str(path), "--out", str(out), "--json", *more),
    ]


def checksums(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each product of the first revision."""
    folder = out / "quake" / "r001"
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in PRODUCTS}
