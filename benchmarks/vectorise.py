"""Landslides from a probability raster: time and peak memory, beside rasterio.features.shapes +
geopandas on the same pixels.

    python -m benchmarks.vectorise                    a quarter of the side: 2 745 x 2 745 pixels, 1
    250 landslides python -m benchmarks.vectorise --tiles 4 --write  a whole Sentinel-2 tile: 10 980
    x 10 980 pixels, 20 000 landslides; docs/results.md

Each measurement runs in a process of its own. Both sides make the same, and the benchmark holds
them against each other: valid polygons in a GeoDataFrame, or polygons with the same attributes.
(coslide's further fields come on top.)
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize, shapes
from scipy import ndimage

from configs.clean import CleanConfig
from configs.stack import CHUNK_PX, FORMAT, Stack, encode, grid_attributes
from inventory.outline.outline import outline
from inventory.outline.polygons import Tracer

ROOT = Path(__file__).resolve().parent.parent
SIDE_PX = 2745
SLIDES = 1250
EVERYTHING = CleanConfig(
    min_area_m2=None, min_slope_deg=None, max_water_fraction=None, max_edge_fraction=None
)


def tile() -> NDArray[np.float32]:
    """Return the probability of one tile: ragged ellipses, Malamud-like sizes, none of them
    touching.
    """
    rng = np.random.default_rng(0)
    probability = np.full((SIDE_PX, SIDE_PX), 0.05, np.float32)
    side = int(np.sqrt(SLIDES)) + 1
    cell = SIDE_PX // side
    rows, columns = np.mgrid[:cell, :cell] - cell // 2
    for number in range(SLIDES):
        y, x = np.array(divmod(number, side)) * cell
        length = min(cell / 2 - 3, 2.5 * rng.pareto(1.6) + 3)
        angle, ratio = rng.random() * np.pi, 1.5 + 3 * rng.random()
        along = columns * np.cos(angle) + rows * np.sin(angle)
        across = -columns * np.sin(angle) + rows * np.cos(angle)
        distance = np.hypot(along / length, across / (length / ratio)) + ndimage.gaussian_filter(
            rng.normal(0, 0.7, rows.shape), 1.5
        )
        one = ndimage.label(distance < 1, np.ones((3, 3)))[0]
        one = (
            one == one[cell // 2, cell // 2]
            if one[cell // 2, cell // 2]
            else np.hypot(rows, columns) < 2
        )
        one[[0, -1]], one[:, [0, -1]] = False, False
        probability[y : y + cell, x : x + cell][one] = 0.55 + 0.4 * rng.random()
    return probability


def prepare(folder: Path, tiles: int) -> None:
    """Write the rasters: probability, observation and a stack of slope and elevation."""
    one, side = tile(), SIDE_PX * tiles
    grid = GeoBox((side, side), Affine(10, 0, 500000, 0, -10, 4800000), "EPSG:32654")
    group = zarr.open_group(folder / "stack.zarr", mode="w")
    group.attrs.update({"format": FORMAT, "grid": grid_attributes(grid), "bands": ["slope", "dem"]})
    options: dict[str, Any] = {"shape": (side, side), "chunks": (CHUNK_PX, CHUNK_PX)}
    probability = zarr.create_array(folder / "probability.zarr", dtype="float32", **options)
    seen = zarr.create_array(folder / "observation.zarr", dtype="uint8", fill_value=1, **options)
    bands = {name: group.create_array(name, dtype="int16", **options) for name in ("slope", "dem")}
    columns = np.arange(side, dtype=np.float32)
    for first in range(0, side, CHUNK_PX):
        rows = slice(first, min(first + CHUNK_PX, side))
        at = np.arange(rows.start, rows.stop)
        probability[rows] = np.tile(one[at % SIDE_PX], (1, tiles))
        wave = np.sin(columns / 90)[None] * np.cos(at / 70)[:, None]
        bands["slope"][rows] = encode(20 + 15 * wave, "slope")
        bands["dem"][rows] = encode(800 + 300 * wave, "dem")
    assert seen.shape == probability.shape


def _open(folder: Path) -> tuple[zarr.Array, zarr.Array, Stack]:  # type: ignore[type-arg]
    probability, seen = (
        zarr.open_array(folder / f"{name}.zarr", mode="r")
        for name in ("probability", "observation")
    )
    return probability, seen, Stack(folder / "stack.zarr")


def ours_polygons(folder: Path) -> gpd.GeoDataFrame:
    """Return the polygons coslide traces."""
    probability, _, stack = _open(folder)
    tracer = Tracer(probability.shape[1])
    for first in range(0, probability.shape[0], 512):
        tracer.add(np.asarray(probability[first : first + 512]) >= 0.5)
    return gpd.GeoDataFrame(
        geometry=tracer.finish(stack.geobox.affine).geometry, crs=str(stack.geobox.crs)
    )


def theirs_polygons(folder: Path) -> gpd.GeoDataFrame:
    """Return the polygons rasterio finds, made valid."""
    probability, _, stack = _open(folder)
    return _theirs(np.asarray(probability[:]) >= 0.5, stack)


def _theirs(mask: NDArray[np.bool_], stack: Stack) -> gpd.GeoDataFrame:
    found = shapes(mask.astype(np.uint8), mask=mask, connectivity=8, transform=stack.geobox.affine)
    features = [
        {"type": "Feature", "properties": {}, "geometry": geometry} for geometry, _ in found
    ]
    frame = gpd.GeoDataFrame.from_features(features, crs=str(stack.geobox.crs))
    return frame.set_geometry(frame.geometry.make_valid())


def ours_attributes(folder: Path) -> gpd.GeoDataFrame:
    """Return the landslides coslide outlines, with all their fields."""
    probability, seen, stack = _open(folder)
    return outline(probability, seen, 0.5, stack, EVERYTHING).landslides


def theirs_attributes(folder: Path) -> gpd.GeoDataFrame:
    """Return the landslides with the same fields by the usual means: burnt ids and statistics by
    label.
    """
    probability, seen, stack = _open(folder)
    values = np.asarray(probability[:])
    mask = (values >= 0.5) & (np.asarray(seen[:]) == 1)
    frame = _theirs(mask, stack)
    boxes = shapely.get_coordinates(shapely.oriented_envelope(frame.geometry.to_numpy())).reshape(
        -1, 5, 2
    )
    sides = np.linalg.norm(np.diff(boxes[:, :3], axis=1), axis=2)
    frame["area_m2"], frame["perimeter_m"] = frame.area, frame.length
    frame["length_m"], frame["width_m"] = sides.max(axis=1), sides.min(axis=1)
    frame["length_width_ratio"] = frame["length_m"] / frame["width_m"]
    centres = frame.geometry.centroid.to_crs(4326)
    frame["lon"], frame["lat"] = centres.x, centres.y
    pairs = zip(frame.geometry, range(1, len(frame) + 1), strict=True)
    labels = rasterize(pairs, out_shape=mask.shape, transform=stack.geobox.affine, dtype="int32")
    index = np.arange(1, len(frame) + 1)
    slope, dem = stack.read("slope"), stack.read("dem")
    frame["probability_mean"] = ndimage.mean(values, labels, index)
    frame["probability_max"] = ndimage.maximum(values, labels, index)
    frame["slope_mean_deg"] = ndimage.mean(slope, labels, index)
    frame["relief_m"] = ndimage.maximum(dem, labels, index) - ndimage.minimum(dem, labels, index)
    return frame.sort_values("area_m2", ascending=False, kind="stable").reset_index(drop=True)


COMPARED = {
    "area_m2": 0.01,
    "perimeter_m": 0.01,
    "length_m": 0.01,
    "width_m": 0.01,
    "length_width_ratio": 0.001,
    "lon": 1e-6,
    "lat": 1e-6,
    "probability_mean": 1e-3,
    "probability_max": 1e-3,
    "slope_mean_deg": 0.02,
    "relief_m": 0.2,
}
"""Fields that both sides make, and how far their sums may differ, per landslide."""


def digest(frame: gpd.GeoDataFrame) -> dict[str, float]:
    """Return what the other side must agree with: count, area, and the mean of every field both
    make.
    """
    scored = {
        "count": float(len(frame)),
        "total_m2": float(frame.area.sum()),
        "valid": float(frame.is_valid.all()),
    }
    return scored | {name: float(frame[name].mean()) for name in COMPARED if name in frame.columns}


def check(one: dict[str, float], other: dict[str, float]) -> None:
    """Refuse to compare what is not the same."""
    for name, value in one.items():
        allowed = COMPARED.get(name, 0.0) or 1e-6 * abs(value)
        if abs(value - other[name]) > allowed:
            raise SystemExit(f"the two sides differ in {name}: {value} and {other[name]}")


SIDES: dict[str, Callable[[Path], gpd.GeoDataFrame]] = {
    "polygons, coslide": ours_polygons,
    "polygons, rasterio + geopandas": theirs_polygons,
    "with attributes, coslide": ours_attributes,
    "with attributes, rasterio + geopandas": theirs_attributes,
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return the digest, seconds on the clock and of CPU, and peak memory (MiB, the process as a
    whole) of one side.
    """
    begun, cpu = time.perf_counter(), time.process_time()
    frame = SIDES[name](folder)
    spent = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**spent, "MiB": memory, "digest": digest(frame)}


def table(tiles: int) -> str:
    """Return the table of all sides, each measured in a process of its own and held against its
    partner.
    """
    lines = ["| what | landslides | seconds | CPU seconds | peak MiB |", "|---|---|---|---|---|"]
    digests: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch), tiles)
        for name in SIDES:
            command = [sys.executable, "-m", "benchmarks.vectorise", "--only", name, scratch]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
            row = json.loads(done.stdout)
            digests.append(row["digest"])
            count = int(row["digest"]["count"])
            lines.append(
                f"| {name} | {count:,} | {row['seconds']:.1f} | {row['cpu']:.1f} | "
                f"{row['MiB']:,.0f} |"
            )
    for ours, theirs in zip(digests[::2], digests[1::2], strict=True):
        check(theirs, ours)
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --write, put it into docs/results.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tiles", type=int, default=1, help="side of the area in tiles of 2745 pixels"
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only[0], Path(arguments.only[1]))))
        return
    made, side = table(arguments.tiles), SIDE_PX * arguments.tiles
    print(f"{side} x {side} pixels\n{made}")
    if arguments.write:
        from benchmarks.results import fill

        fill("vectorise", table=made, side=f"{side:,}")


if __name__ == "__main__":
    main()
