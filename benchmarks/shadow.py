"""Cast shadow on real terrain against rays followed in another way, and what its limits miss.

    python -m benchmarks.shadow            # prints the table
    python -m benchmarks.shadow --write    # docs/results/shadow.json

The other way goes 10 m at a time along geodesics (PROJ) and reads heights between four neighbours,
from every eighth row and column of the model's middle part; "without limits" it goes to the
model's edge.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import map_coordinates

from benchmarks.results import fill
from configs.records import Sun
from gee.resample import crs_of, transformer
from gee.shadow import FAR_M, RELIEF_M, overtopping
from gee.source import Elevation

TERRAIN: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "real" / "terrain"
MODELS: Final = ("bigtujunga", "jiuzhaigou", "leh")
SUNS: Final = (Sun(150.0, 20.0), Sun(145.0, 35.0), Sun(225.0, 50.0))
STEP_M: Final = 10.0
LEAST_EQUAL: Final = 0.99
THIN: Final = 8
"""Every so many rows and columns are followed the other way."""


class Row(NamedTuple):
    """One model under one sun."""

    model: str
    sun: Sun
    shaded: float
    equal: float
    missed: float
    """Share of the pixels that only rays without limits find in shadow."""
    seconds: float


def read(name: str) -> Elevation:
    """Return a model, its fill as unknown."""
    with rasterio.open(TERRAIN / f"{name}_dem.tif") as file:
        values = file.read(1).astype(np.float32)
        values[(values == file.nodata) | (values <= 0)] = np.nan
        return Elevation(values, GeoBox(values.shape, file.transform, file.crs.to_wkt()))


def middle(elevation: Elevation) -> tuple[slice, slice]:
    """Return the middle part of a model, around which there is something to cast a shadow."""
    height, width = elevation.values.shape
    return slice(height // 4, 3 * height // 4), slice(width // 4, 3 * width // 4)


def followed(
    elevation: Elevation, part: tuple[slice, slice], sun: Sun, farthest_m: float
) -> NDArray[np.bool_]:
    """Return where geodesics towards the sun meet higher ground than the ray."""
    z = elevation.values.astype(np.float64)
    rows, columns = (axis[::THIN, ::THIN] for axis in np.mgrid[part])
    there = transformer(crs_of(elevation.geobox).to_wkt(), "EPSG:4326")
    lon, lat = there.transform(*(elevation.geobox.affine @ (columns + 0.5, rows + 0.5)))
    geod, slope = pyproj.Geod(ellps="WGS84"), np.tan(np.radians(sun.elevation_deg))
    here, hidden = z[rows, columns], np.zeros(rows.shape, bool)
    azimuth = np.full(lon.size, sun.azimuth_deg)
    farthest_m = min(farthest_m, (np.nanmax(z) - np.nanmin(here)) / slope)
    for metres in np.arange(STEP_M, farthest_m, STEP_M):
        x, y, _ = geod.fwd(lon.ravel(), lat.ravel(), azimuth, np.full(lon.size, metres))
        column, row = ~elevation.geobox.affine @ there.transform(x, y, direction="INVERSE")
        at = np.stack([np.asarray(row) - 0.5, np.asarray(column) - 0.5])
        ahead = map_coordinates(z, at, order=1, mode="constant", cval=np.nan)
        hidden |= ahead.reshape(here.shape) > here + metres * slope
    return hidden


def measure(name: str, sun: Sun) -> Row:
    """Return how one model's shadow compares."""
    elevation = read(name)
    part = middle(elevation)
    known = np.isfinite(elevation.values[part])[::THIN, ::THIN]
    begun = time.monotonic()
    over = overtopping(elevation, sun, part)
    seconds = time.monotonic() - begun
    found = over[::THIN, ::THIN][known] > 0
    reach = min(FAR_M, RELIEF_M / float(np.tan(np.radians(sun.elevation_deg))))
    expected, unlimited = (followed(elevation, part, sun, far)[known] for far in (reach, np.inf))
    return Row(
        name,
        sun,
        float(found.mean()),
        float((found == expected).mean()),
        float((unlimited & ~expected).mean()),
        seconds,
    )


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| terrain | sun: azimuth, elevation | in shadow | equal | missed beyond the limits | s |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.model} | {row.sun.azimuth_deg:g}°, {row.sun.elevation_deg:g}° | "
        f"{row.shaded:.1%} | {row.equal:.2%} | {row.missed:.2%} | {row.seconds:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if not TERRAIN.is_dir():
        raise SystemExit(f"skipped: the real terrain is not at {TERRAIN}")
    rows = [measure(name, sun) for name in MODELS for sun in SUNS]
    print(table(rows))
    if asked.write:
        fill("shadow", table=table(rows))
    if (least := min(row.equal for row in rows)) < LEAST_EQUAL:
        raise SystemExit(f"only {least:.2%} of the pixels are equal")


if __name__ == "__main__":
    main()
