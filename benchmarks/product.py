"""What the product is worth on real pixels: landslide-level scores of the held-out Iburi bands, and
the cost of a large revision.

    python -m benchmarks.product [--write]     # needs `make verify-iburi` done, and the real data
    beside the repository

The scores come from the predictions that `make verify-iburi` keeps: every band by a checkpoint that
has not seen it. The cost is measured on real pixels too: the Iburi stack repeated to a whole event
of about 700 km². Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from benchmarks.iburi import CARDS, FOLDS, SEEDS, WORK, samples_of
from benchmarks.iburi_fill import CONFIGS, objects
from benchmarks.results import fill
from configs.area import Area
from configs.clean import CleanConfig
from configs.event import Windows
from configs.files import read_yaml
from configs.records import IGNORED, Choice
from configs.run import RunConfig
from configs.sampling import read_sampling
from configs.stack import CHUNK_PX, Stack, grid_attributes
from configs.vectors import Layer
from flows.learning.train import fold_of
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond
from inventory.about import About
from inventory.compare import compare_landslides
from inventory.formats.geopackage import read_inventory
from inventory.outline.outline import named, outline
from inventory.outline.polygons import polygonise
from inventory.publish import write_item, write_products
from inventory.revisions.landslide_matching import LandslideScores
from tiles.labels import read_layer
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
ACROSS, DOWN = 3, 4
"""How often the Iburi stack is repeated: about 700 km²."""


def held_out(card: str, seed: int, parted: bool = True) -> LandslideScores:
    """Return the landslide-level scores of all five bands together, each mapped by a checkpoint
    that has not seen it; what touches as one landslide where not `parted`.
    """
    samples = samples_of(card)
    truth = np.full(tuple(int(n) for n in samples.geobox.shape), IGNORED, np.uint8)
    numbers = np.zeros(truth.shape, np.int64)
    for fold in FOLDS:
        label: NDArray[np.uint8] = samples.label(samples.numbers(fold_of(samples, fold).test))
        known = label != IGNORED
        truth[known] = label[known]
        numbers = np.maximum(numbers, objects(WORK, card, fold, seed))
    return scored(card, samples, numbers if parted else (numbers > 0).astype(np.int64), truth)


def scored(
    card: str, samples: SampleSet, numbers: NDArray[np.int64], truth: NDArray[np.uint8]
) -> LandslideScores:
    """Return the landslide-level scores of a raster of numbered landslides, `(y, x)`, against what
    was traced, where `truth` is known.
    """
    ours = np.where(truth == IGNORED, np.uint8(IGNORED), (numbers > 0).astype(np.uint8))
    drawn = _drawn(numbers, samples)
    return compare_landslides(drawn, traced(card, samples), ours, truth, samples.geobox)


def _drawn(numbers: NDArray[Any], samples: SampleSet) -> gpd.GeoDataFrame:
    """Return the landslides of a raster of numbers, those below the least area of the rules left
    out.
    """
    shapes = polygonise(numbers, samples.geobox.affine)
    frame = gpd.GeoDataFrame(
        {"area_m2": [shape.area for shape in shapes]}, geometry=shapes, crs=str(samples.geobox.crs)
    )
    return named(frame[frame["area_m2"] >= (CleanConfig().min_area_m2 or 0)], "L")


def traced(card: str, samples: SampleSet) -> gpd.GeoDataFrame:
    truth = read_sampling(CONFIGS / f"{card}.yaml").truth
    assert truth is not None
    layers = [
        Layer((CONFIGS / each.file).resolve(), each.layer, each.where) for each in truth.slides
    ]
    frames = [read_layer(layer, samples.geobox.crs) for layer in layers]
    return gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), crs=frames[0].crs)


def trained() -> list[tuple[str, int]]:
    """Return the checkpoints and seeds of which every fold is trained."""
    return [
        (card, seed)
        for card in CARDS
        for seed in SEEDS
        if all((WORK / "cards" / f"{card}-f{fold}-s{seed}").exists() for fold in FOLDS)
    ]


def scores_table() -> str:
    """Return the table of landslide-level scores."""
    lines = [
        "| checkpoint, seed | recall | precision | one-to-one F1 | with what touches as one | the "
        "reference's own on this grid | landslides traced / mapped | largest, km² |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for card, seed in trained():
        one, blobs = held_out(card, seed), held_out(card, seed, parted=False)
        lines.append(
            f"| `{card}`, {seed} | {one.recall:.3f} | {one.precision:.3f} | "
            f"{one.one_to_one_f1:.3f} | {blobs.one_to_one_f1:.3f} | "
            f"{one.ceiling_f1:.3f} | {one.reference_count} / {one.predicted_count} | "
            f"{one.predicted_areas_m2.max() / 1e6:.2f} |"
        )
    return "\n".join(lines)


def sizes_table() -> str:
    """Return the table by size class, of the first checkpoint and seed."""
    by_size = held_out(CARDS[0], SEEDS[0]).by_size
    lines = ["| size | traced | recall | mapped | precision |", "|---|---|---|---|---|"]
    for row in by_size.to_dict("records"):
        shares = [
            "–" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in ("recall", "precision")
        ]
        lines.append(
            f"| {row['size']} | {row['reference']} | {shares[0]} | {row['predicted']} | "
            f"{shares[1]} |"
        )
    return "\n".join(lines)


def iburi_run(out: Path) -> tuple[RunConfig, Path]:
    """Return the run of the real scene and its revision's folder."""
    preset = read_yaml(ROOT / "configs" / "presets" / "iburi-2018.yaml", "run")
    archive = ROOT / "configs" / "archives" / "iburi-2018.yaml"
    preset |= {"source": parse_source(f"archive:{archive}"), "out": str(out)}
    run = resolve(make_request(), preset)
    answer = respond(run)
    return run, Path(next(iter(answer["products"].values()))).parent


def _repeated(source: zarr.Array, target: zarr.Array) -> None:  # type: ignore[type-arg]
    """Fill a large array with copies of a small one, in strips."""
    once = np.tile(source[:], (1, ACROSS))
    for first in range(0, target.shape[0], CHUNK_PX):
        rows = np.arange(first, min(first + CHUNK_PX, target.shape[0]))
        target[rows[0] : rows[-1] + 1] = once[rows % len(once)]


def enlarge(revision: Path, folder: Path) -> tuple[Stack, zarr.Array, zarr.Array]:  # type: ignore[type-arg]
    """Return stack, probability and observation of the revision repeated `ACROSS` by `DOWN`."""
    small = Stack(revision / "stack" / "stack.zarr")
    height, width = small.shape
    grid = GeoBox((height * DOWN, width * ACROSS), small.geobox.affine, small.geobox.crs)
    options: dict[str, Any] = {
        "shape": tuple(int(n) for n in grid.shape),
        "chunks": (CHUNK_PX, CHUNK_PX),
    }
    group = zarr.open_group(folder / "stack.zarr", mode="w")
    group.attrs.update({**small.attributes, "grid": grid_attributes(grid)})
    for name, array in small.group.arrays():
        _repeated(
            array,
            group.create_array(name, dtype=array.dtype, fill_value=array.fill_value, **options),
        )
    rasters = []
    for name in ("probability", "observed"):
        array = zarr.open_array(revision / "stack" / f"{name}.zarr", mode="r")
        target = zarr.create_array(folder / f"{name}.zarr", dtype=array.dtype, **options)
        _repeated(array, target)
        rasters.append(target)
    return Stack(folder / "stack.zarr"), rasters[0], rasters[1]


def about_of(run: RunConfig, stack: Stack) -> About:
    """Return the words of the enlarged run: the same event over a larger area."""
    area = Area(stack.geobox.extent.to_crs("EPSG:4326").geom, "the Iburi scene, repeated")
    windows: Windows = run.windows
    choice = Choice("iburi-post", None, (), False, None, "named for this measurement")
    return About(
        run.event, area, windows, (), choice, str(run.source), False, warnings=("repeated pixels",)
    )


def large_revision() -> dict[str, str]:
    """Return size, count, cost and file sizes of a revision of about 700 km²."""
    with tempfile.TemporaryDirectory() as scratch:
        run, revision = iburi_run(Path(scratch) / "out")
        stack, probability, observed = enlarge(revision, Path(scratch))
        about, target = about_of(run, stack), Path(scratch) / "r001"
        target.mkdir()
        threshold = read_inventory(revision / "landslides.gpkg").threshold
        begun = time.process_time()
        landslides = outline(
            probability, observed, threshold, stack, CleanConfig(), choice=about.choice
        )
        traced = time.process_time()
        done = write_products(target, landslides, probability, observed, stack, about)
        write_item(target, done)
        written = time.process_time()
        small = (revision / "report.html").stat().st_size / 1e6
        sizes = {
            path.name: path.stat().st_size / 1e6
            for path in sorted(target.iterdir())
            if path.is_file()
        }
    shown = [f"| `{name}` | {size:.1f} |" for name, size in sizes.items() if size >= 0.05]
    return {
        "km2": f"{done.summary.area_km2:,.0f}",
        "count": f"{done.summary.landslide_count:,}",
        "outline_s": f"{traced - begun:.1f}",
        "products_s": f"{written - traced:.1f}",
        "peak_mib": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f}",
        "report_mb": f"{sizes['report.html']:.1f}",
        "small_report_mb": f"{small:.1f}",
        "files": "\n".join(["| file | MB |", "|---|---|", *shown]),
    }


def main() -> None:
    """Print tables and costs; with --write, put them into docs/results.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    values = {
        **large_revision(),
        "scores": scores_table(),
        "sizes": sizes_table(),
        "seeds": ", ".join(str(seed) for seed in sorted({seed for _, seed in trained()})),
    }
    for name, value in values.items():
        print(f"{name}: {value}")
    if write:
        fill("product", **values)


if __name__ == "__main__":
    main()
