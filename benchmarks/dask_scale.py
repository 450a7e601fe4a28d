"""`make verify-dask`: pulling and mapping by 1, 2 and 4 Dask workers against one process, and what
large events amount to.

Throughput is measured here, on noise and with a shipped checkpoint; bytes, requests and seconds of
a 100 x 100 km and a 500 x 500 km event are computed from the code's own limits and from what was
measured. `--write` fills docs/results.md.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.dask_workers import Workers
from benchmarks.kill_ground import CARD, preset, request
from benchmarks.results import fill
from configs.area import Area, from_bounds
from configs.bands import inputs_of
from configs.earthengine import EarthEngineConfig
from configs.layout import EventFolder
from configs.records import ObservationClass, silent
from configs.run import RunConfig
from flows import steps
from flows.probability import map_card
from flows.resolve import make_request, resolve
from flows.run import engine
from flows.run.engine import PLAIN, DaskCluster, Report
from flows.run.shards import Begun
from flows.run.workspace import BYTES_PER_PIXEL
from flows.strips import shards_of
from gee.earthengine import EarthEngineSource, planning
from gee.observation import observe
from gee.source import Plan
from models import registry
from tiles.grid import TileGrid

HEIGHT, WIDTH = 8192, 256
"""Pixels of 10 m: sixteen strips in four shards, sixteen blocks."""
WORKERS = (1, 2, 4)
EMPTY_SHARDS = 200
LARGE_KM = (100, 500)


class Measured(NamedTuple):
    """One way to do it."""

    name: str
    pull_s: float
    map_s: float
    load: float
    probability: NDArray[Any]

    @property
    def px_per_s(self) -> float:
        return HEIGHT * WIDTH / (self.pull_s + self.map_s)


@dataclass(frozen=True)
class Ground:
    """What is pulled and mapped, planned once."""

    run: RunConfig
    plan: Plan
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Ground:
        run = resolve(make_request(**request(HEIGHT, WIDTH)), preset(folder, HEIGHT, WIDTH))
        source = steps.open_source(run)
        return cls(run, steps.plan_of(run, source, steps.candidates(run, source)), folder)

    def measure(self, name: str, how: str) -> Measured:
        """Return how long pulling and mapping take by an engine, into a fresh folder."""
        source = steps.open_source(self.run)
        cards = steps.candidates(self.run, source)
        event = EventFolder(Path(tempfile.mkdtemp(dir=self.folder)))
        layout = event.work(self.run.request_id)
        layout.scratch.mkdir(parents=True)
        found = cards.by_name(CARD)
        with engine.opened(how):
            begun = time.perf_counter()
            stack = steps.pull(self.run, event, source, cards, self.plan, layout)
            pulled = time.perf_counter()
            observed = observe(stack, found.card.bands, self.run.place, layout.observed)
            begins = time.perf_counter()
            probability = map_card(
                found,
                self.run.model,
                stack,
                observed,
                ObservationClass.CLEAR,
                layout.probability,
                silent,
            )
            mapped = time.perf_counter()
        values = np.asarray(probability[:])
        shutil.rmtree(event.folder)
        measured = Measured(name, pulled - begun, mapped - begins, os.getloadavg()[0], values)
        print(
            f"{name}: pull {measured.pull_s:.1f} s, map {measured.map_s:.1f} s, load "
            f"{measured.load:.1f}",
            flush=True,
        )
        return measured


def nothing(number: int) -> Report:
    """Do nothing: what a shard costs beside its work."""
    return Begun.now().report(number)


def warm_up(number: int) -> Report:
    """Import and compute what every worker needs first, once a process."""
    import rasterio  # noqa: F401  # what opening the archive imports

    begun = Begun.now()
    found = _found()
    found.load("cpu")(np.zeros((1, len(found.card.bands), 256, 256), np.float32))
    return begun.report(number)


def _found() -> registry.Checkpoint:
    return next(one for one in registry.find() if one.card.name == CARD)


def empty_shard_ms(how: str) -> float:
    """Return milliseconds a shard without work takes, by one worker after another."""
    with DaskCluster(how) as dask:
        list(dask.work(nothing, range(8)))
        begun = time.perf_counter()
        list(dask.work(nothing, range(EMPTY_SHARDS)))
        return (time.perf_counter() - begun) / EMPTY_SHARDS * 1000


def measure_all(folder: Path) -> tuple[list[Measured], float]:
    """Return all measurements, warmed up, and what an empty shard costs."""
    ground = Ground.make(folder)
    here = str(Path(__file__).resolve().parent.parent)
    torch.set_num_threads(1)
    warm_up(0)
    rows = [ground.measure("one process, 1 thread", PLAIN)]
    if (cores := os.cpu_count() or 1) > 1:
        torch.set_num_threads(cores)
        rows.append(ground.measure(f"one process, {cores} threads", PLAIN))
        torch.set_num_threads(1)
    overhead = math.nan
    for count in WORKERS:
        dask = Workers(folder / f"dask{count}", [""] * count, PYTHONPATH=here)
        try:
            with DaskCluster(dask.engine) as cluster:
                list(cluster.work(warm_up, range(4 * count)))
            rows.append(
                ground.measure(
                    f"{count} Dask worker{'s' * (count > 1)}, 1 thread each", dask.engine
                )
            )
            overhead = empty_shard_ms(dask.engine) if count == 2 else overhead
        finally:
            dask.close()
    return rows, overhead


def seam_share(grid: TileGrid) -> float:
    """Return the share of tiles that shards compute in addition to those of one process."""
    twice = sum(len(grid.rows_of(shard.start - 1)[1]) for shard in shards_of(grid)[1:])
    return twice / len(grid.rows)


def throughput(rows: Sequence[Measured]) -> str:
    """Return the measurements as a Markdown table."""
    one, best = rows[0], max(row.px_per_s for row in rows if row.name.startswith("one"))
    lines = [
        "| | pull (s) | map (s) | px/s | against 1 thread | against the best single "
        "process | same pixels | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        same = "yes" if np.array_equal(row.probability, one.probability, equal_nan=True) else "no"
        lines.append(
            f"| {row.name} | {row.pull_s:.1f} | {row.map_s:.1f} | {row.px_per_s:,.0f} | "
            f"{row.px_per_s / one.px_per_s:.2f} "
            f"| {row.px_per_s / best:.2f} | {same} | {row.load:.1f} |"
        )
    return "\n".join(lines)


def _square(latitude: float, longitude: float, side_km: float) -> Area:
    south, north = (latitude + sign * side_km / 2 / 111.2 for sign in (-1, 1))
    half = side_km / 2 / (111.32 * math.cos(math.radians(latitude)))
    return from_bounds(f"{longitude - half},{south},{longitude + half},{north}")


def large(side_km: int, pixels_per_s: float) -> dict[str, str]:
    """Return what a square event of this side amounts to with the checkpoint, live: computed from
    the code's own limits.
    """
    found = _found()
    config, source = EarthEngineConfig(), EarthEngineSource()
    area = _square(42.7, 142.0, side_km)
    run = resolve(
        make_request(
            latitude=42.7, longitude=142.0, date="2018-09-05", magnitude=6.6, checkpoint=CARD
        ),
        {},
    )
    geobox = area.geobox(found.card.resolution_m)
    candidates = registry.Candidates((found,), CARD)
    want = planning.wanted(inputs_of(steps.stack_bands(run, source, candidates)), source.offer())
    side = planning.choose_side(geobox, area, want, config)
    blocks = planning.blocks_of(geobox, area, side)
    requests, megabytes = planning.estimate(blocks, want)
    pixels = sum(int(block.shape[0]) * int(block.shape[1]) for block in blocks)
    grid = TileGrid.for_card((int(geobox.shape[0]), int(geobox.shape[1])), found.card.tiles, 16)
    seconds = pixels / pixels_per_s
    pulled = requests / config.workers * planning.USUAL_WAIT_S + megabytes * 1e6 / (
        planning.USUAL_BYTES_PER_S * config.workers
    )
    shards = shards_of(grid)
    shared = seconds * (1 + seam_share(grid)) / min(20, len(shards))
    return {
        "area": f"{area.km2:,.0f} km²",
        "grid": f"{geobox.shape[1]:,} × {geobox.shape[0]:,} px of {found.card.resolution_m:g} "
        f"m, {pixels / 1e6:,.0f} Mpx in blocks",
        "blocks": f"{len(blocks):,} of {side} px",
        "requests": f"{requests:,}",
        "bytes pulled": f"{megabytes / 1e3:,.1f} GB",
        "pulling, at the pace the planner assumes (not "
        "measured live)": f"{pulled / 60:,.1f} min with {config.workers} requests in flight",
        "free disk asked for before the first pixel": f"{pixels * BYTES_PER_PIXEL / 1e9:,.0f} GB",
        "shards of mapping": f"{len(shards):,}, {seam_share(grid):.0%} of tiles computed twice",
        "mapping, one CPU thread": f"{seconds / 3600:,.1f} h",
        "mapping, twenty workers of one thread": f"{shared / 3600:,.2f} h",
        "Earth Engine's compute (EECU)": "unknown: the service tells it per project, afterwards",
    }


def arithmetic(px_per_s: float, gpu_px_per_s: float | None) -> str:
    """Return the plan for large events as a Markdown table."""
    plans = [large(side, px_per_s) for side in LARGE_KM]
    lines = [
        "| | " + " | ".join(f"{side} × {side} km" for side in LARGE_KM) + " |",
        "|---|---|---|",
    ]
    lines += [f"| {what} | " + " | ".join(plan[what] for plan in plans) + " |" for what in plans[0]]
    gpu = "not measured: no GPU here" if gpu_px_per_s is None else f"at {gpu_px_per_s:,.0f} px/s"
    lines.append(f"| GPU-seconds | {gpu} | {gpu} |")
    return "\n".join(lines)


def gpu_px_per_s() -> float | None:
    """Return what a CUDA GPU maps in a second with the checkpoint, tiles in memory; None where
    there is none.
    """
    if not torch.cuda.is_available():
        return None
    found = _found()
    predictor, tile = found.load("cuda"), found.card.tiles.size
    batch = np.zeros((16, len(found.card.bands), tile, tile), np.float32)
    predictor(batch)
    begun = time.perf_counter()
    for _ in range(10):
        predictor(batch)
    step = tile - found.card.tiles.halo
    return 160 * step * step / (time.perf_counter() - begun)


def main() -> None:
    """Measure, compute, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coslide-dask-") as folder:
        rows, overhead = measure_all(Path(folder))
    best = max(row.px_per_s for row in rows if row.name.startswith("one"))
    two = next(row for row in rows if row.name.startswith("2"))
    mapping = HEIGHT * WIDTH / rows[0].map_s
    found = _found()
    grid = TileGrid.for_card((HEIGHT, WIDTH), found.card.tiles, 16)
    values = {
        "throughput": throughput(rows),
        "overhead": f"{overhead:.1f}",
        "ratio": f"{two.px_per_s / best:.2f}",
        "seam": f"{seam_share(grid):.1%}",
        "shards": str(len(shards_of(grid))),
        "shape": f"{WIDTH} × {HEIGHT}",
        "card": CARD,
        "pace": f"{mapping:,.0f}",
        "plan": arithmetic(mapping, gpu_px_per_s()),
    }
    print("\n\n".join(f"{name}:\n{text}" for name, text in values.items()))
    if options.write:
        fill("scale", **values)


if __name__ == "__main__":
    main()
