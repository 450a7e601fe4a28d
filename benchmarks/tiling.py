"""Memory and throughput of `map_tiles`: does memory stay flat at any area, and does the machinery
cost anything?

    python -m benchmarks.tiling            # prints
    python -m benchmarks.tiling --write    # and writes docs/results.md

Each measurement is kept in ``runs/verify/tiling.json`` as soon as it is made: a call that was
interrupted goes on, and ``--fresh`` begins anew.

Memory: a stack of 2048 x 2048 and one of 8192 x 8192 pixels are mapped from disk to disk, each in a
fresh process; its peak is the operating system's own count. Throughput: `map_tiles` with a model
from disk to disk, against the model's bare forward passes on the same tiles held in memory, by
turns in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.codecs import BloscCodec

from configs.bands import parse_band
from configs.checkpoint import CardTiles
from configs.files import write_text
from configs.stack import CHUNK_PX, FORMAT, Stack, grid_attributes
from tiles.grid import TileGrid
from tiles.reader import batches
from tiles.stitch import map_tiles

_ROOT = Path(__file__).resolve().parent.parent
DOCUMENT, STATE = _ROOT / "docs" / "tiling.md", _ROOT / "runs" / "verify" / "tiling.json"
BANDS = ("post_B2", "post_B3", "post_B4", "slope", "hillshade")
SEED = 20180906
SIDES = (2048, 8192)
TILES = (CardTiles(size=256, mode="core", halo=56), CardTiles(size=256, mode="blend", halo=64))
STRIDE = 8
MEMORY_WIDTH, SPEED_WIDTH = 4, 32
"""Base width of the network: small where only memory counts; that of the shipped checkpoints where
speed does.
"""
BATCH, ROUNDS, SPEED_SIDE = 4, 6, 1024
_CODEC = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")


def write_stack(path: Path, side: int, codec: BloscCodec = _CODEC) -> None:
    """Write a stack of seeded pixels in the layout of `gee.stack`, block by block."""
    geobox = GeoBox((side, side), Affine(10, 0, 500_000, 0, -10, 4_700_000), "EPSG:32654")
    group = zarr.create_group(
        path, attributes={"format": FORMAT, "bands": list(BANDS), "grid": grid_attributes(geobox)}
    )
    rng = np.random.default_rng(SEED)
    slope = (np.sin(np.arange(side) / 90) * 900 + 1000).astype(np.int64)
    for name in BANDS:
        band = parse_band(name).band
        array = group.create_array(
            name,
            shape=(side, side),
            chunks=(CHUNK_PX,) * 2,
            dtype=band.dtype,
            fill_value=band.nodata,
            compressors=codec,
        )
        for top in range(0, side, CHUNK_PX):
            array[top : top + CHUNK_PX] = (slope + rng.integers(0, 256, (CHUNK_PX, side))).astype(
                band.dtype
            )


def model(width: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a ResU-Net with fresh weights as `(B, C, H, W) -> (B, H, W)` probabilities."""
    import torch

    from models.architectures import build

    torch.manual_seed(SEED)
    network = build("resu_net", len(BANDS), width=width).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in PyTorch's own types

    def fn(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            x = torch.from_numpy(pixels).nan_to_num().contiguous(memory_format=torch.channels_last)
            return cast(NDArray[np.float32], network(x)[:, 0].sigmoid().numpy())

    return fn


def new_map(path: Path, side: int) -> Any:
    """Return an empty probability array on disk."""
    return zarr.create_array(
        path, shape=(side, side), chunks=(CHUNK_PX,) * 2, dtype="float32", fill_value=np.nan
    )


def peak(folder: Path, side: int, mode: Literal["core", "blend"]) -> None:
    """Map a stack and print seconds and the peak memory of this process; runs in a process of its
    own.
    """
    view = Stack(folder / f"{side}.zarr").view(BANDS)
    fn, grid = (
        model(MEMORY_WIDTH),
        TileGrid.for_card((side, side), {t.mode: t for t in TILES}[mode], STRIDE),
    )
    began = time.perf_counter()
    map_tiles(view, grid, fn, out=new_map(folder / f"{side}.{mode}.zarr", side), batch=BATCH)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_mb": kilobytes / 1024}))


def memory(folder: Path, kept: Kept) -> None:
    """Measure peak memory by side and mode, each in a fresh process."""
    for side in SIDES:
        for mode in (tiles.mode for tiles in TILES):
            if kept.has(f"{mode} {side}"):
                continue
            if not (folder / f"{side}.zarr").exists():
                write_stack(folder / f"{side}.zarr", side)
            command = [
                sys.executable,
                "-m",
                "benchmarks.tiling",
                "--peak",
                str(folder),
                str(side),
                mode,
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            kept.keep(f"{mode} {side}", json.loads(done.stdout))


def throughput(folder: Path, kept: Kept) -> None:
    """Measure the seconds of bare forward passes and of `map_tiles`, by turns in changing order,
    after a warm-up.
    """
    if all(kept.has(f"round {number}") for number in range(1, ROUNDS + 1)):
        return
    path = folder / "speed.zarr"
    write_stack(path, SPEED_SIDE)
    view, fn = Stack(path).view(BANDS), model(SPEED_WIDTH)
    grid = TileGrid.for_card((SPEED_SIDE, SPEED_SIDE), TILES[0], STRIDE)
    strips = [batches(view, None, grid, grid.rows_of(strip), BATCH) for strip in range(grid.strips)]
    work = [batch.pixels for strip in strips for batch in strip if batch.tiles]

    def bare() -> None:
        for pixels in work:
            fn(pixels)

    def mapped() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            map_tiles(view, grid, fn, out=new_map(Path(name) / "map.zarr", SPEED_SIDE), batch=BATCH)

    bare()  # to warm up
    mapped()
    for number in range(1, ROUNDS + 1):
        seconds: dict[str, float] = {}
        for name, call in (("bare", bare), ("map_tiles", mapped))[:: 1 if number % 2 else -1]:
            began, worked = time.perf_counter(), time.process_time()
            call()
            seconds |= {
                f"{name}_s": time.perf_counter() - began,
                f"{name}_cpu_s": time.process_time() - worked,
            }
        kept.keep(f"round {number}", seconds)


class Kept:
    """Measurements made so far, on disk."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path = path
        self.rows: dict[str, dict[str, float | str]] = {}
        if path.exists() and not fresh:
            self.rows = json.loads(path.read_text())

    def has(self, name: str) -> bool:
        """Return whether it is measured already."""
        return name in self.rows

    def keep(self, name: str, row: Mapping[str, float | str]) -> None:
        """Keep a measurement, with the machine it was made on."""
        self.rows[name] = {
            **row,
            "load": os.getloadavg()[0],
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "on": machine(),
        }
        print(name, self.rows[name], flush=True)
        write_text(self._path, json.dumps(self.rows, indent=1))

    def load(self, name: str) -> str:
        """Return the load beside a measurement, as text; a dash where it was not noted."""
        return f"{float(self.rows[name]['load']):.1f}" if "load" in self.rows[name] else "–"

    def number(self, name: str, what: str) -> float:
        """Return a measured number."""
        return float(self.rows[name][what])


def machine() -> str:
    """Return what this ran on, in one line."""
    import torch

    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return (
        f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, torch "
        f"{torch.__version__}, "
        f"zarr {zarr.__version__}, Python {platform.python_version()}"
    )


def document(kept: Kept) -> str:
    """Return the page."""
    small, large = SIDES
    made = sorted({f"{row['date']} on {row['on']}" for row in kept.rows.values()})
    lines = [
        "# Tiling: memory and throughput",
        "",
        "Written by `python -m benchmarks.tiling --write`; not edited by hand. How the "
        "tiles lie and why they never pad is",
        "said in `tiles/grid.py`, how they are read and written in `tiles/reader.py` and "
        "`tiles/stitch.py`.",
        "",
        f"Measured {'; '.join(made)}. Seed {SEED}. Pixels are random numbers: nothing here "
        "is about the quality of a map.",
        "`load` is the machine's one-minute load average after each measurement: other "
        "work ran beside it where it",
        "exceeds one process's share; a dash where it was not noted.",
        "",
        "## Peak memory",
        "",
        f"ResU-Net of base width {MEMORY_WIDTH}, {len(BANDS)} bands, batches of {BATCH}, "
        "from Zarr to Zarr, each run in a",
        "fresh process; peak of the whole process (`ru_maxrss`), interpreter and libraries "
        "included. Aim: the large raster",
        f"within 15 % of the small one, at {(large // small) ** 2} times the area.",
        "",
        f"| mode | tile, halo (px) | {small}² peak (MB) | {large}² peak (MB) | difference "
        f"| {large}² time (s) | load |",
        "|---|---|---|---|---|---|---|",
    ]
    for how in TILES:
        a, b = (kept.number(f"{how.mode} {side}", "peak_mb") for side in SIDES)
        last = f"{how.mode} {large}"
        lines.append(
            f"| {how.mode} | {how.size}, {how.halo} | {a:.0f} | {b:.0f} | "
            f"{100 * (b / a - 1):+.1f} % "
            f"| {kept.number(last, 'seconds'):.0f} | {kept.load(last)} |"
        )
    return "\n".join([*lines, *_speed_lines(kept), ""])


def _speed_lines(kept: Kept) -> list[str]:
    names = [f"round {number}" for number in range(1, ROUNDS + 1)]
    wall, cpu = (
        [
            (kept.number(name, f"bare{kind}"), kept.number(name, f"map_tiles{kind}"))
            for name in names
        ]
        for kind in ("_s", "_cpu_s")
    )
    ratios = [[bare / mapped for bare, mapped in times] for times in (wall, cpu)]
    return [
        "",
        "## Throughput",
        "",
        f"ResU-Net of base width {SPEED_WIDTH}, {SPEED_SIDE}² pixels, mode core, the same "
        "tiles for both, by turns in changing",
        "order after a round to warm up; bare: forward passes on tiles held in memory; "
        "`map_tiles`: read from Zarr, map, write",
        "to Zarr. Aim: bare / `map_tiles` at least 0.9. Processor seconds of all threads "
        "tell what the machinery costs even",
        "where other programs took their share of the clock.",
        "",
        "| round | bare (s) | `map_tiles` (s) | ratio | bare (CPU s) | `map_tiles` (CPU s) "
        "| ratio | load |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {i + 1} | {wall[i][0]:.2f} | {wall[i][1]:.2f} | {ratios[0][i]:.3f} "
            f"| {cpu[i][0]:.2f} | {cpu[i][1]:.2f} | {ratios[1][i]:.3f} | {kept.load(name)} |"
            for i, name in enumerate(names)
        ),
        f"| median | | | {np.median(ratios[0]):.3f} | | | {np.median(ratios[1]):.3f} | |",
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    parser.add_argument("--fresh", action="store_true", help="forget earlier measurements")
    parser.add_argument(
        "--peak", nargs=3, metavar=("FOLDER", "SIDE", "MODE"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.peak:
        folder, side, mode = arguments.peak
        peak(Path(folder), int(side), cast(Literal["core", "blend"], mode))
        return
    kept = Kept(STATE, fresh=arguments.fresh)
    with tempfile.TemporaryDirectory() as name:
        memory(Path(name), kept)
        throughput(Path(name), kept)
    text = document(kept)
    print(text)
    if arguments.write:
        write_text(DOCUMENT, text)


if __name__ == "__main__":
    main()
