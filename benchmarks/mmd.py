"""How long MMD takes and how much memory: exact against size, and five checkpoints against a stored
scene.

    python -m benchmarks.mmd [--write]    # the full size: 10^7 pixels, ten bands, five checkpoints;
    writes docs/results.md python -m benchmarks.mmd --quick      # a hundredth of it

Goals: five ten-band checkpoints against a stored 10^7-pixel scene in <= 20 s including reading, <=
1 GB, on two cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox
from sklearn.metrics.pairwise import rbf_kernel

from benchmarks.results import fill
from configs.bands import When
from configs.checkpoint import (
    BandStatistics,
    CardTiles,
    CheckpointCard,
    Normalisation,
    TrainingDomain,
)
from configs.records import Level
from configs.selection import SelectionConfig
from configs.stack import CHUNK_PX, FORMAT, Stack, encode, grid_attributes
from models.mmd import mmd2
from models.reference import Reference
from models.registry import Checkpoint
from models.selection import choose

LARGEST_OF_LIBRARY = 4000
"""Five kernels over three blocks of all pairs at once: gigabytes from here on."""
BANDS = (
    *(f"{when}_{band}" for band in ("B2", "B3", "B4", "NDVI") for when in When),
    "slope",
    "hillshade",
)


def peak_mb() -> float:
    """Return the largest resident size of this process so far, megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def exact(sizes: tuple[int, ...], dimensions: int = 10) -> str:
    """Return a table of exact MMD² and, where it fits in memory, of scikit-learn's kernels over all
    pairs at once.
    """
    ours: dict[int, tuple[float, float, float]] = {}
    for size in sizes:  # all of ours first: a peak never sinks again
        started = time.process_time()
        value = mmd2(*_pair(size, dimensions))
        ours[size] = (value, time.process_time() - started, peak_mb())
    lines = [
        "| n = m | d | ours, CPU s | peak of the process, MB | scikit-learn, CPU s | peak, "
        "MB | difference |",
        "|" + " --- |" * 7,
    ]
    for size, (value, seconds, memory) in ours.items():
        row = f"| {size} | {dimensions} | {seconds:.2f} | {memory:.0f} |"
        if size > LARGEST_OF_LIBRARY:
            lines.append(row + " too large | | |")
            continue
        theirs, spent = _by_library(*_pair(size, dimensions))
        lines.append(row + f" {spent:.2f} | {peak_mb():.0f} | {abs(theirs - value):.1e} |")
    return "\n".join(lines)


def _by_library(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return MMD² by scikit-learn's kernels, and its CPU seconds."""
    z = np.concatenate([x, y])
    b = 2 * np.sum((z - z.mean(0)) ** 2) / (len(z) - 1)
    started = time.process_time()
    blocks = [
        sum(rbf_kernel(p, q, 1 / (b * 2.0 ** (u - 2))) for u in range(5))
        for p, q in ((x, x), (y, y), (x, y))
    ]
    theirs = float(blocks[0].mean() + blocks[1].mean() - 2 * blocks[2].mean())
    return theirs, time.process_time() - started


def _pair(size: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    return rng.normal(size=(size, dimensions)), rng.normal(0.3, 1, (size, dimensions))


def scene(path: Path, side: int) -> Stack:
    """Return a stored ten-band scene of `side`² pixels, written block row by block row."""
    geobox = GeoBox((side, side), Affine(10, 0, 5e5, 0, -10, 4.7e6), "EPSG:32654")
    group = zarr.create_group(path)
    group.attrs.update({"format": FORMAT, "grid": grid_attributes(geobox), "bands": list(BANDS)})
    rng = np.random.default_rng(0)
    chunks = (CHUNK_PX, CHUNK_PX)
    for name in BANDS:
        array = group.create_array(
            name, shape=(side, side), chunks=chunks, dtype=encode(np.zeros(1), name).dtype
        )
        for top in range(0, side, CHUNK_PX):
            array[top : top + CHUNK_PX] = encode(
                values(name, rng, (min(CHUNK_PX, side - top), side)), name
            )
    for when in When:
        group.create_array(
            f"{when}_observation", data=np.ones((side, side), np.uint8), chunks=chunks
        )
    return Stack(path)


def values(
    name: str, rng: np.random.Generator, shape: tuple[int, ...], shift: float = 0.0
) -> np.ndarray:
    """Return plausible values of a band, a checkpoint's a little brighter by `shift`."""
    if name == "slope":
        return rng.gamma(3, 8, shape).clip(0, 80)
    if name == "hillshade":
        return rng.normal(170, 40, shape).clip(0, 255)
    if name.endswith("NDVI"):
        return rng.normal(0.5 - shift, 0.2, shape).clip(-1, 1)
    return rng.gamma(5, 0.02 * (1 + shift), shape).clip(0.001, 1)


def card(folder: Path, number: int, count: int) -> Checkpoint:
    """Return a checkpoint with a reference sample and no weights: the choice reads none."""
    rng = np.random.default_rng(100 + number)
    folder.mkdir()
    drawn = np.stack([values(name, rng, (count,), 0.1 * number) for name in BANDS], axis=1).astype(
        np.float32
    )
    drawn[:, BANDS.index("slope")] += 5
    block = np.sort(rng.integers(0, 80, count)).astype(np.int32)
    sample = Reference(BANDS, drawn, block, np.zeros(count, np.int32), ("d",), 5.0)
    any_statistics = BandStatistics(minimum=0, maximum=1, mean=0, std=1)
    return Checkpoint(
        folder,
        CheckpointCard(
            name=f"card-{number}",
            title="benchmark",
            architecture="resu_net",
            bands=BANDS,
            sensor="sentinel-2",
            level=Level.TOA,
            resolution_m=10,
            tiles=CardTiles(size=256, mode="core", halo=56),
            normalisation=Normalisation(
                method="zscore", statistics=dict.fromkeys(BANDS, any_statistics)
            ),
            threshold=0.5,
            domains=(TrainingDomain(name="d", simulated=True, samples=1),),
            licence="none",
            weights_sha256="0" * 64,
            reference_sha256=sample.save(folder / "reference.safetensors"),
        ),
    )


def cards_against_a_scene(side: int, count: int = 4000, cards: int = 5) -> str:
    """Return the time and memory of a whole choice, reading included, in words."""
    with tempfile.TemporaryDirectory() as folder:
        stack = scene(Path(folder) / "scene.zarr", side)
        found = [card(Path(folder) / f"card-{i}", i, count) for i in range(cards)]
        before, started, spent = peak_mb(), time.perf_counter(), time.process_time()
        choice = choose.choose(found, stack, settings=SelectionConfig())
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
    return (
        f"{cards} checkpoints of {len(BANDS)} bands, {count} reference pixels each, against "
        f"{side}² = {side * side:.1e} stored "
        f"pixels: {seconds:.1f} s ({spent:.1f} s of CPU), peak {peak_mb():.0f} MB "
        f"({before:.0f} MB before). {choice.reason}."
    )


def main() -> None:
    """Run both at full or reduced size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/results.md")
    given = parser.parse_args()
    chosen = cards_against_a_scene(
        320 if given.quick else 3163
    )  # first: the peak of what follows would hide its own
    table = exact((500, 1000) if given.quick else (1000, 2000, 4000, 10_000))
    print(chosen, table, sep="\n\n")
    if given.write:
        cores = len(os.sched_getaffinity(0))
        fill(
            "mmd",
            chosen=chosen,
            table=table,
            cores=str(cores),
            load=f"{os.getloadavg()[0]:.1f}",
            library=sklearn.__version__,
        )


if __name__ == "__main__":
    main()
