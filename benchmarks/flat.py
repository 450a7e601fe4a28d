"""What it saves not to compute flat ground far from every slope (`model.skip_flat_deg`), and what
the map loses.

    python -m benchmarks.flat            # prints; needs the real data beside the repository
    python -m benchmarks.flat --write    # and writes docs/results

Real terrain on a grid of 10 m under tiles of 256 px, as the shipped checkpoints lie on it: the
Iburi scene with its traced landslides, Big Tujunga, Jiuzhaigou and Leh. Then the Iburi scene is
mapped with and without the rule, pixels and landslides compared with the tracing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.warp import calculate_default_transform, reproject

from benchmarks.results import fill
from configs.checkpoint import CardTiles
from configs.files import read_yaml
from flows.evaluate import evaluate
from flows.flat import REACH_M
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond
from tiles.grid import TileGrid
from tiles.views import Near

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "real"
PIXEL_M: Final = 10.0
DEGREES: Final = (5.0, 10.0, 15.0)
DEMS: Final = {
    "Iburi": REAL / "iburi-2018" / "dem.tif",
    "Big Tujunga": REAL / "terrain" / "bigtujunga_dem.tif",
    "Jiuzhaigou": REAL / "terrain" / "jiuzhaigou_dem.tif",
    "Leh": REAL / "terrain" / "leh_dem.tif",
}
TRUTH: Final = REAL / "iburi-2018" / "truth.gpkg"


class Ground(NamedTuple):
    """Slopes in degrees `(y, x)` at 10 m, NaN where the elevation is not known, and where they
    lie.
    """

    slope: NDArray[np.float32]
    transform: Any
    crs: Any


def ground(path: Path) -> Ground:
    """Return the slopes of an elevation model, found at its own spacing and resampled."""
    with rasterio.open(path) as dem:
        crs = dem.crs
        if crs.is_geographic:
            middle = (dem.bounds.left + dem.bounds.right) / 2
            crs = rasterio.CRS.from_epsg(32601 + int((middle + 180) // 6))
        spacing = 30.0
        transform, width, height = calculate_default_transform(
            dem.crs, crs, dem.width, dem.height, *dem.bounds, resolution=spacing
        )
        known = dem.read(1).astype(np.float32)
        known[(known == dem.nodata) | (known <= 0)] = np.nan  # a void is stored as 0 m too
        heights = np.full((height, width), np.nan, np.float32)
        reproject(
            known, heights, src_transform=dem.transform, src_crs=dem.crs,
            src_nodata=np.nan, dst_transform=transform, dst_crs=crs, dst_nodata=np.nan,
            resampling=Resampling.bilinear,
        )  # fmt: skip
    down, across = np.gradient(heights, spacing)
    slope = np.degrees(np.arctan(np.hypot(down, across))).astype(np.float32)
    times = int(spacing / PIXEL_M)
    fine = np.repeat(np.repeat(slope, times, 0), times, 1)
    return Ground(fine, transform * transform.scale(1 / times), crs)


def row(name: str, found: Ground, degrees: float) -> str:
    """Return one line: ground beyond reach, tiles saved, tracing lost."""
    near = Near(found.slope[None], degrees, round(REACH_M / PIXEL_M))
    asked = near[slice(0, near.shape[0]), slice(0, near.shape[1])]
    known = np.isfinite(found.slope)
    tiles = CardTiles(size=256, mode="blend", halo=64)
    height, width = near.shape
    grid = TileGrid.for_card((height, width), tiles, 16)
    saved = [not asked[tile.core].any() for tile in grid if known[tile.core].any()]
    lost = "–"
    if name == "Iburi":
        traced = gpd.read_file(TRUTH, layer="source_areas").to_crs(found.crs)
        burnt = rasterize(traced.geometry, near.shape, transform=found.transform).astype(bool)
        lost = f"{np.count_nonzero(burnt & ~asked) / max(int(np.count_nonzero(burnt)), 1):.2%}"
    flat = np.count_nonzero(~asked & known) / np.count_nonzero(known)
    under = np.count_nonzero(found.slope[known] < degrees) / np.count_nonzero(known)
    return (
        f"| {name} | {degrees:g}° | {under:.0%} | {flat:.1%} | {sum(saved)} of {len(saved)} "
        f"| {lost} |"
    )


def terrain() -> str:
    """Return the table of what the rule leaves out, by terrain and slope."""
    lines = ["| terrain | slope | ground below it | beyond 500 m of it | tiles saved | traced "
             "landslides lost |", "|---|---|---|---|---|---|"]  # fmt: skip
    for name, path in DEMS.items():
        found = ground(path)
        lines += [row(name, found, degrees) for degrees in DEGREES]
    return "\n".join(lines)


def mapped() -> str:
    """Return the table of the Iburi scene mapped with and without the rule."""
    preset = read_yaml(ROOT / "configs" / "presets" / "iburi-2018.yaml", "run")
    preset["source"] = parse_source(f"archive:{ROOT / 'configs/archives/iburi-2018.yaml'}")
    lines = ["| `model.skip_flat_deg` | pixel F1 | landslide recall | precision | landslides |",
             "|---|---|---|---|---|"]  # fmt: skip
    for degrees in (None, 10.0):
        with tempfile.TemporaryDirectory() as out:
            model = {"checkpoint": "iburi-post", "skip_flat_deg": degrees}
            run = resolve(make_request(), preset | {"out": out, "model": model})
            answer = respond(run)
            folder = str(Path(next(iter(answer["products"].values()))).parent)
            one = evaluate([folder], f"{TRUTH}:source_areas")["evaluations"][0]
        lines.append(
            f"| {degrees or 'null'} | {one['pixels_observed']['f1']:.4f} | "
            f"{one['landslides']['recall']:.4f} | {one['landslides']['precision']:.4f} | "
            f"{answer['landslide_count']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with --write, put them into docs/results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/results")
    write = parser.parse_args().write
    tables = {"terrain": terrain(), "mapped": mapped()}
    print(*tables.values(), sep="\n\n")
    if write:
        fill("flat", **tables)


if __name__ == "__main__":
    main()
