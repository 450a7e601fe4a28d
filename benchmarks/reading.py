"""Reading alone: how fast a stack in the page cache comes off its chunks, and whether memory stays
flat.

    python -m benchmarks.reading            # prints
    python -m benchmarks.reading --write    # and writes docs/results

Ways take turns in one process, in changing order, after a round to warm up. Megabytes are those of
the stack's integers, each pixel counted once, whatever had to be decoded twice.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import zarr
from numcodecs import blosc

from benchmarks.results import fill
from benchmarks.tiling import BANDS, STRIDE, TILES, write_stack
from configs.stack import CHUNK_PX, Rows, Stack, StackView
from gee.chunks import COMPRESSION
from tiles.grid import TileGrid
from tiles.reader import batches

SIDE, ROUNDS, BATCH, STRIP = 3072, 5, 16, 512
SIDES = (2048, 8192)
LARGER = (512, 1024)
"""Sides of chunks that are tried beside the stack's own, pixels."""


class Rate(NamedTuple):
    """Megabytes a second of each round: by the clock, and by the processor seconds of all
    threads.
    """

    wall: list[float]
    cpu: list[float]


def measured(folder: Path, side: int = SIDE, rounds: int = ROUNDS) -> dict[str, Rate]:
    """Return what each way of reading a stack of `side`² pixels reaches."""
    ways = _ways(folder, side)
    megabytes = len(BANDS) * side * side * 2 / 1e6
    found = {name: Rate([], []) for name in ways}
    for number in range(rounds + 1):
        for name, read in list(ways.items())[:: 1 if number % 2 else -1]:
            began, worked = time.perf_counter(), time.process_time()
            read()
            wall, cpu = time.perf_counter() - began, time.process_time() - worked
            if number:
                found[name].wall.append(megabytes / wall)
                found[name].cpu.append(megabytes / max(cpu, 1e-6))
    return found


def _ways(folder: Path, side: int) -> dict[str, Callable[[], None]]:
    path = folder / f"{side}.zarr"
    if not path.exists():
        write_stack(path, side, COMPRESSION)
    view = Stack(path).view(BANDS)
    python = zarr.open_group(path, mode="r")
    plain = [cast("zarr.Array[Any]", python[name]) for name in BANDS]
    ways: dict[str, Callable[[], None]] = {
        "zarr-python, whole strips": partial(_strips, plain, side, side),
        "own threads over chunks": partial(_own, path, side),
    }
    for stretch in (1, 4, 8):
        columns = stretch * CHUNK_PX
        ways[f"zarrs, stretches of {columns} px"] = partial(_windows, view.stored, side, columns)
    for chunk in LARGER:
        arrays = _larger(folder / f"{side}-{chunk}.zarr", view, chunk)
        ways[f"zarrs, chunks of {chunk} px"] = partial(_strips, arrays, side, 1024)
    ways["tiles cut, as integers"] = partial(_tiles, view.stored, side)
    ways["tiles cut, as values"] = partial(_tiles, view, side)
    return ways


def _strips(arrays: list[zarr.Array[Any]], side: int, columns: int) -> None:
    for top in range(0, side, STRIP):
        for left in range(0, side, columns):
            for array in arrays:
                array[top : top + STRIP, left : left + columns]


def _windows(rows: Rows, side: int, columns: int) -> None:
    for top in range(0, side, STRIP):
        for left in range(0, side, columns):
            rows[:, top : top + STRIP, left : left + columns]


def _own(path: Path, side: int) -> None:
    count = -(-side // CHUNK_PX)
    into = np.empty((len(BANDS), CHUNK_PX, count * CHUNK_PX), np.int16)

    def one(job: tuple[int, int, int]) -> None:
        band, row, column = job
        content = (path / BANDS[band] / "c" / str(row) / str(column)).read_bytes()
        chunk = np.frombuffer(blosc.decompress(content), np.int16).reshape(CHUNK_PX, CHUNK_PX)
        into[band, :, column * CHUNK_PX : (column + 1) * CHUNK_PX] = chunk

    jobs = [
        (band, row, column)
        for row in range(count)
        for band in range(len(BANDS))
        for column in range(count)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, jobs))


def _larger(path: Path, view: StackView, chunk: int) -> list[zarr.Array[Any]]:
    if not path.exists():
        group = zarr.create_group(path)
        for name in BANDS:
            array = group.create_array(
                name, shape=view.shape[1:], chunks=(chunk, chunk), dtype="int16", fill_value=0,
                compressors=COMPRESSION,
            )  # fmt: skip
            array[:] = view.stack.window(name, slice(None), slice(None)).view(np.int16)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        group = zarr.open_group(path, mode="r")
        return [cast("zarr.Array[Any]", group[name]) for name in BANDS]


def _tiles(rows: Rows, side: int) -> None:
    grid = TileGrid.for_card((side, side), TILES[1], STRIDE)
    for strip in range(grid.strips):
        for _ in batches(rows, None, grid, grid.rows_of(strip), BATCH):
            pass


def peaks(folder: Path) -> dict[int, float]:
    """Return the peak memory of a process that reads all tiles of a stack, megabytes, by its
    side.
    """
    found = {}
    for side in SIDES:
        write_stack(folder / f"{side}.zarr", side, COMPRESSION)
        command = [sys.executable, "-m", "benchmarks.reading", "--peak", str(folder), str(side)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[side] = float(json.loads(done.stdout))
    return found


def table(found: dict[str, Rate]) -> str:
    """Return the rates as a Markdown table."""
    lines = ["| way | MB/s, median (range) | MB per CPU second |", "|---|---|---|"]
    for name, rate in found.items():
        wall, cpu = rate
        lines.append(
            f"| {name} | {statistics.median(wall):.0f} ({min(wall):.0f} to {max(wall):.0f}) "
            f"| {statistics.median(cpu):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/results")
    parser.add_argument("--peak", nargs=2, metavar=("FOLDER", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        folder, side = Path(arguments.peak[0]), int(arguments.peak[1])
        _tiles(Stack(folder / f"{side}.zarr").view(BANDS).stored, side)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as name:
        found = measured(Path(name))
        memory = peaks(Path(name))
    load = f"{os.getloadavg()[0]:.1f}"
    small, large = (f"{side}²: {peak:.0f} MB" for side, peak in memory.items())
    text = table(found)
    print(text, small, large, f"load {load}", sep="\n")
    if arguments.write:
        fill(
            "reading", table=text, side=str(SIDE), rounds=str(ROUNDS), load=load,
            cores=str(os.cpu_count()), small=small, large=large,
        )  # fmt: skip


if __name__ == "__main__":
    main()
