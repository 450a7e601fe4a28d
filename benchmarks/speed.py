"""How fast a map is made: `map_tiles` from disk to disk beside a bare forward pass and MONAI's
sliding window over the same raster, on the processor and, where there is one, on a GPU.

    python -m benchmarks.speed            # prints
    python -m benchmarks.speed --write    # and writes docs/results
    python -m benchmarks.speed --gpu      # the GPU's part alone, within four minutes

Ways take turns in one process, in changing order, after a round to warm up; seconds by the clock
and of all threads' processors. Each round is kept in ``runs/verify/speed.json``: a call that was
interrupted goes on, ``--fresh`` begins anew. Without CUDA the GPU's lines say *not measured*.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import training_speed
from benchmarks.results import fill
from benchmarks.tiling import BANDS, STRIDE, Kept, new_map, write_stack
from configs.checkpoint import CardTiles
from configs.stack import Stack, StackView
from gee.chunks import COMPRESSION
from models import registry
from models.architectures import build
from models.inference.mapping import for_tiles
from models.inference.predict import Device, Predictor, repeatable
from models.inference.runtime import Runtime, installed
from tiles.grid import TileGrid
from tiles.reader import batches
from tiles.stitch import map_tiles

STATE = Path(__file__).resolve().parent.parent / "runs" / "verify" / "speed.json"
CARD, TILES = "iburi-post", CardTiles(size=256, mode="blend", halo=64)
SIDE, BATCH, ROUNDS = 832, 4, 3
"""Sixteen tiles: 256 + 3 × 192 px a side."""
GPU_SIDE, GPU_ROUNDS, GPU_CASES = 4096, 3, ((16, 16), (16, 32), (64, 16), (64, 32))
"""Widths and batches on a GPU: with two networks and three ways well within four minutes (two
minutes on an NVIDIA H200 by the figures of the slower state before)."""
BARE, MONAI = "bare forward pass", "MONAI sliding window"
NOT_MEASURED = "*not measured: no CUDA device here*"
Way = Callable[[], Any]


class Work(NamedTuple):
    """One raster, tiled, and where maps of it go."""

    view: StackView
    folder: Path
    batch: int

    @property
    def grid(self) -> TileGrid:
        """Return its tiles."""
        return TileGrid.for_card(self.view.stack.shape, TILES, STRIDE)


def work(folder: Path, side: int, batch: int) -> Work:
    """Return a seeded raster of `side`² pixels on disk, in the page cache."""
    path = folder / f"{side}.zarr"
    if not path.exists():
        write_stack(path, side, COMPRESSION)
    return Work(Stack(path).view(BANDS), folder, batch)


def predictor(
    device: str = "cpu", width: int | None = None, runtime: Runtime = "torch"
) -> Predictor:
    """Return the shipped checkpoint at work, or its network at another width with fresh weights."""
    found = next(one for one in registry.find() if one.card.name == CARD)
    if width is None:
        return found.load("cuda" if device == "cuda" else "cpu", runtime=runtime)
    torch.manual_seed(0)
    network = build(found.card.architecture, len(BANDS), width=width)
    return Predictor(found.card, network, "cuda" if device == "cuda" else "cpu", runtime=runtime)


def mapped(job: Work, by: Predictor) -> None:
    """Map the raster from disk to disk."""
    stored = job.view.stored
    with tempfile.TemporaryDirectory(dir=job.folder) as name:
        out = new_map(Path(name) / "map.zarr", job.view.shape[1])
        fn = for_tiles(by.of_stored(stored.coding))
        map_tiles(stored, job.grid, fn, out=out, batch=job.batch)


def bare(job: Work, by: Predictor) -> Way:
    """Return forward passes alone, on all tiles as the network's inputs, on the device already."""
    parts = [
        torch.from_numpy(by.inputs(part.pixels)).to(by.torch_device)
        for strip in range(job.grid.strips)
        for part in batches(job.view, None, job.grid, job.grid.rows_of(strip), job.batch)
        if part.tiles
    ]

    def passes() -> None:
        with torch.inference_mode(), repeatable():
            for part in parts:
                by.run(by.network, part).sigmoid()
        _wait(by)

    return passes


def monai(job: Work, by: Predictor) -> Way:
    """Return MONAI's sliding window over the raster's inputs in memory, to memory: the same tiles'
    size and overlap, Gaussian weights, on the device.
    """
    from monai.inferers import sliding_window_inference

    whole = by.inputs(job.view[:, 0 : job.view.shape[1], 0 : job.view.shape[2]][None])

    def slid() -> None:
        with torch.inference_mode(), repeatable():
            answer = sliding_window_inference(
                torch.from_numpy(whole).to(by.torch_device), (TILES.size, TILES.size), job.batch,
                partial(by.run, by.network), overlap=TILES.halo / TILES.size, mode="gaussian",
            )  # fmt: skip
            torch.as_tensor(answer).sigmoid().cpu().numpy()
        _wait(by)

    return slid


def _wait(by: Predictor) -> None:
    if by.torch_device.type == "cuda":
        torch.cuda.synchronize()


def on_cpu(job: Work) -> dict[str, Way]:
    """Return what is measured on the processor."""
    plain = predictor()
    ways: dict[str, Way] = {
        BARE: bare(job, plain),
        "coslide, torch": partial(mapped, job, plain),
        "coslide, fused": partial(mapped, job, predictor(runtime="fused")),
    }
    if installed():
        ways["coslide, openvino"] = partial(mapped, job, predictor(runtime="openvino"))
    if importlib.util.find_spec("monai"):
        ways[MONAI] = monai(job, plain)
    return ways


def on_gpu(job: Work, width: int) -> dict[str, Way]:
    """Return what is measured on a GPU."""
    there = predictor("cuda", width)
    ways: dict[str, Way] = {BARE: bare(job, there), "coslide": partial(mapped, job, there)}
    if importlib.util.find_spec("monai"):
        ways[MONAI] = monai(job, there)
    return ways


def rounds(kept: Kept, prefix: str, ways: dict[str, Way], count: int) -> None:
    """Measure every way by turns, `count` times, what is measured already left out."""
    missing = [number for number in range(1, count + 1) if not kept.has(f"{prefix} {number}")]
    if not missing:
        return
    for way in ways.values():
        way()
    for number in missing:
        row: dict[str, float | str] = {}
        for name, way in list(ways.items())[:: 1 if number % 2 else -1]:
            began, worked = time.perf_counter(), time.process_time()
            way()
            row[f"{name} wall"] = time.perf_counter() - began
            row[f"{name} cpu"] = time.process_time() - worked
        kept.keep(f"{prefix} {number}", row)


def equality(kept: Kept, cards: list[str] | None = None, device: Device = "cpu") -> None:
    """Measure by how much each runtime's probability of each shipped checkpoint differs from plain
    PyTorch's on the processor, at most, and which share of the mask is the same, on four tiles of
    inputs as its normalisation makes them; on a GPU, plain PyTorch's there.
    """
    runtimes: list[Runtime] = ["fused", *(["openvino"] if installed() else [])]  # type: ignore[list-item]  # widened
    if device == "cuda":
        runtimes = ["torch"]
    for found in registry.find():
        if cards is not None and found.card.name not in cards:
            continue
        x = torch.rand(
            4, len(found.card.bands), 256, 256, generator=torch.Generator().manual_seed(0)
        )
        one = found.load("cpu")
        with torch.inference_mode(), repeatable():
            plain = one.run(one.network, x).sigmoid()
            for runtime in runtimes:
                name = f"equal {found.card.name} {runtime if device == 'cpu' else device}"
                if kept.has(name):
                    continue
                other = found.load(device, runtime=runtime)
                reached = other.run(other.network, x).sigmoid().cpu()
                limit = found.card.threshold
                same = ((reached >= limit) == (plain >= limit)).float().mean()
                apart = float((reached - plain).abs().max())
                kept.keep(name, {"apart": apart, "same": float(same)})


def table(kept: Kept, prefix: str, side: int) -> str:
    """Return the rounds of one case as a Markdown table, ratios to the bare pass of the same
    round.
    """
    rows = [row for name, row in kept.rows.items() if name.startswith(f"{prefix} ")]
    if not rows:
        return NOT_MEASURED
    names = [key.removesuffix(" wall") for key in rows[0] if key.endswith(" wall")]
    lines = ["| way | seconds | CPU seconds | bare / way, CPU | bare / way, clock | Mpx/s |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name in names:
        wall, cpu = ([float(row[f"{name} {kind}"]) for row in rows] for kind in ("wall", "cpu"))
        ratios = [
            [float(row[f"{BARE} {kind}"]) / float(row[f"{name} {kind}"]) for row in rows]
            for kind in ("cpu", "wall")
        ]
        lines.append(
            f"| {name} | {_range(wall)} | {_range(cpu)} | {_range(ratios[0])} "
            f"| {_range(ratios[1])} | {side * side / 1e6 / statistics.median(wall):.2f} |"
        )
    return "\n".join(lines)


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _equal(kept: Kept) -> str:
    rows = [(name.split(), row) for name, row in kept.rows.items() if name.startswith("equal ")]
    if not rows:
        return "Not measured."
    lines = ["| checkpoint | runtime | largest difference of probability | same mask |",
             "|---|---|---|---|"]  # fmt: skip
    for name, row in rows:
        same = f"{float(row['same']):.4%}" if "same" in row else "–"
        lines.append(f"| `{name[1]}` | {name[2]} | {float(row['apart']):.1e} | {same} |")
    if not any(name[2] == "cuda" for name, _ in rows):
        lines.append(f"| all | cuda, within 1e-3 and 99.99 % of the mask | {NOT_MEASURED} | |")
    return "\n".join(lines)


def gpu(kept: Kept, folder: Path) -> None:
    """Measure the GPU's part, where there is one."""
    if not torch.cuda.is_available():
        print(NOT_MEASURED)
        return
    equality(kept, device="cuda")
    for width, batch in GPU_CASES:
        job = work(folder, GPU_SIDE, batch)
        rounds(kept, f"gpu {width} {batch}", on_gpu(job, width), GPU_ROUNDS)
    training_speed.steps(kept)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/results")
    parser.add_argument("--gpu", action="store_true", help="the GPU's part alone")
    parser.add_argument("--fresh", action="store_true", help="forget earlier measurements")
    arguments = parser.parse_args()
    kept = Kept(STATE, fresh=arguments.fresh)
    with tempfile.TemporaryDirectory() as name:
        if not arguments.gpu:
            rounds(kept, "cpu", on_cpu(work(Path(name), SIDE, BATCH)), ROUNDS)
            equality(kept)
            training_speed.draws(kept)
        gpu(kept, Path(name))
    cpu = table(kept, "cpu", SIDE)
    gpus = "\n\n".join(
        f"Width {width}, batch {batch}:\n\n{table(kept, f'gpu {width} {batch}', GPU_SIDE)}"
        for width, batch in GPU_CASES
    )
    print(cpu, gpus, _equal(kept), sep="\n\n")
    if arguments.write:
        loads = [float(row["load"]) for name, row in kept.rows.items() if name.startswith("cpu ")]
        fill(
            "speed", training=training_speed.table(kept),
            cpu=cpu, gpu=gpus, equal=_equal(kept), side=str(SIDE), rounds=str(ROUNDS),
            load=_range(loads) if loads else "–", cores=str(os.cpu_count()),
            tiles=str(len(TileGrid((SIDE, SIDE), TILES.size, TILES.halo, "blend", STRIDE))),
        )  # fmt: skip


if __name__ == "__main__":
    main()
