"""What an event costs, step by step: the demonstration, the real Iburi scene, and its pixels
repeated to a thousand square kilometres, each from the event to the published revision.

    python -m benchmarks.large            # prints; needs the real data beside the repository
    python -m benchmarks.large --write    # and writes docs/results
    python -m benchmarks.large demo       # one of them alone: demo, iburi or large
    python -m benchmarks.large large --kept --write    # what is measured so far

Seconds are of all threads' processors, which other programs' work hardly touches. Each event runs
in a process of its own. What is finished is kept in ``runs/verify/large``; a run that was cut off
goes on with the same command, and what its steps had cost is added up. ``--fresh`` begins anew.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray

from benchmarks.results import fill
from benchmarks.tiling import Kept
from configs.files import read_yaml
from configs.run import RunConfig
from flows.commands.demo import PRESET, RADIUS_KM
from flows.resolve import make_request, parse_source, resolve
from flows.respond import look_ahead, respond
from flows.run import workspace

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "large"
ARCHIVE = ROOT / "configs" / "archives" / "iburi-2018.yaml"
ACROSS, DOWN = 6, 3
"""How often the Iburi scene is repeated, every other time mirrored, so that no edge shows."""
EVENTS = ("demo", "iburi", "large")
LARGE_KM2 = 1_044
"""Of the repeated scene."""
LARGEST_KM2 = 30_000
"""The ground that shook strongly in an earthquake of magnitude 7.8."""
STEPS = ("pull", "choose", "observe", "map", "outline", "index", "publish")
P = ParamSpec("P")
R = TypeVar("R")


def mosaic(folder: Path) -> Path:
    """Return an archive of the repeated Iburi scene, made where it is not there yet."""
    content = yaml.safe_load(ARCHIVE.read_text(encoding="utf-8"))
    source = (ARCHIVE.parent / content["folder"]).resolve()
    if not (folder / "archive.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with rasterio.open(source / "s2_post_B4.tif") as scene:
            bounds = scene.bounds
        files = [band["file"] for one in content["scenes"] for band in one["bands"].values()]
        for name in (*files, "dem.tif"):
            _repeat(source / name, folder / name, bounds)
        content["static"] = {"dem": content["static"]["dem"]}
        content["folder"] = "."
        (folder / "archive.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def _repeat(source: Path, target: Path, bounds: Any) -> None:
    """Write the part of a raster within bounds, repeated `ACROSS` by `DOWN`."""
    with rasterio.open(source) as raster:
        window = raster.window(*bounds).round_offsets().round_lengths()
        once, affine = raster.read(1, window=window), raster.window_transform(window)
        profile = raster.profile
    many = _mirrored(_mirrored(once, ACROSS, 1), DOWN, 0)
    profile |= {"height": many.shape[0], "width": many.shape[1], "transform": Affine(*affine[:6])}
    with rasterio.open(target, "w", **profile | {"tiled": True, "compress": "deflate"}) as out:
        out.write(many, 1)


def _mirrored(pixels: NDArray[Any], count: int, axis: int) -> NDArray[Any]:
    parts = [np.flip(pixels, axis) if i % 2 else pixels for i in range(count)]
    return np.concatenate(parts, axis)


def run_of(event: str, out: Path) -> RunConfig:
    """Return the run of an event."""
    if event == "demo":
        preset = read_yaml(PRESET, "run") | {"out": str(out)}
        return resolve(make_request(radius_km=RADIUS_KM), preset)
    preset = read_yaml(ROOT / "configs" / "presets" / "iburi-2018.yaml", "run")
    archive: Path = ARCHIVE
    if event == "large":
        archive = mosaic(WORK / "archive")
        with rasterio.open(archive / "s2_post_B4.tif") as scene:
            west, south, east, north = scene.bounds
        preset["area"] = f"{west:.5f},{south:.5f},{east:.5f},{north:.5f}"
    preset |= {"source": parse_source(f"archive:{archive}"), "out": str(out)}
    return resolve(make_request(), preset)


def measure(event: str) -> None:
    """Run an event and keep what each step cost, as far as it comes: what a process of its own
    does.
    """
    kept, out = Kept(WORK / f"{event}.json", fresh=False), WORK / event
    spent = {name: kept.number(name, "cpu") for name in kept.rows}

    def counted(function: Callable[P, R], *, name: str) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*arguments: P.args, **more: P.kwargs) -> R:
            begun = time.process_time()
            try:
                return function(*arguments, **more)
            finally:
                spent[name] = spent.get(name, 0.0) + time.process_time() - begun
                kept.keep(name, {"cpu": spent[name]})

        return called

    run = run_of(event, out)
    ahead = look_ahead(run)
    whole = time.process_time()
    answer = respond(run, counted)
    whole = time.process_time() - whole
    folder = Path(next(iter(answer["products"].values()))).parent
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    kept.keep("all", {
        "cpu": time.process_time(), "respond": whole, "km2": float(ahead["area_km2"]),
        "pixels": float(np.prod(ahead["grid"]["shape"])),
        "count": float(answer["landslide_count"]), "bytes": float(used),
        "asked_gib": float(ahead["disk_gib"]["needed"]),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "checkpoint": answer["checkpoint"], "runtime": provenance["computed"]["runtime"],
    })  # fmt: skip


def table(rows: dict[str, Kept]) -> str:
    """Return processor seconds by step and event, as a Markdown table; a dash where a step has not
    ended yet.
    """
    names = [*STEPS, "the whole process"]
    columns = ["event", "km²", "landslides", *names, "runtime", "peak MiB", "disk MB"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for event, kept in rows.items():
        cpu = [f"{kept.number(name, 'cpu'):.1f}" if kept.has(name) else "–" for name in STEPS]
        whole = kept.rows.get("all", {})

        def number(what: str, of: float = 1.0, whole: Any = whole) -> str:
            return f"{float(whole[what]) / of:,.0f}" if what in whole else "–"

        lines.append(
            f"| {TITLES[event]} | {number('km2')} | {number('count')} | {' | '.join(cpu)} "
            f"| {number('cpu')} | {whole.get('runtime', '–')} | {number('peak_mib')} "
            f"| {number('bytes', 1e6)} |"
        )
    return "\n".join(lines)


TITLES = {
    "demo": "the demonstration (simulated)",
    "iburi": "the real Iburi scene",
    "large": "its pixels repeated",
}


def extrapolated(kept: Kept) -> str:
    """Return what the largest event amounts to by what a square kilometre of `kept` cost."""
    pixels = LARGEST_KM2 * 1e4
    asked = (pixels * workspace.BYTES_PER_PIXEL) / 2**30
    hours = {
        name: kept.number(name, "cpu") * LARGEST_KM2 / LARGE_KM2 / 3600
        for name in STEPS
        if kept.has(name)
    }
    words = ", ".join(f"{name} {value:.2f}" for name, value in hours.items())
    lacking = [name for name in STEPS if name not in hours]
    after = f"; not measured yet: {', '.join(lacking)}" if lacking else ""
    disk = ""
    if kept.has("all"):
        stays = kept.number("all", "bytes") * LARGEST_KM2 / LARGE_KM2 / 1e9
        disk = f" What stays on disk is {stays:.0f} GB."
    return (
        f"In processor hours: {words}{after}.{disk} A run asks "
        f"for about {asked:.0f} GiB of free disk before it pulls anything."
    )


def main() -> None:
    """Run what is missing, each event in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", nargs="*", choices=[[], *EVENTS], help="all by default")
    parser.add_argument("--write", action="store_true", help="write docs/results")
    parser.add_argument("--fresh", action="store_true", help="forget earlier measurements")
    parser.add_argument("--kept", action="store_true", help="run nothing: what is kept so far")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    events = arguments.events or list(EVENTS)
    if arguments.here:
        return measure(events[0])
    rows = {}
    for event in events:
        if arguments.fresh:
            shutil.rmtree(WORK / event, ignore_errors=True)
            (WORK / f"{event}.json").unlink(missing_ok=True)
        if not arguments.kept and not Kept(WORK / f"{event}.json", fresh=False).has("all"):
            subprocess.run([sys.executable, "-m", "benchmarks.large", "--here", event], check=True)
        rows[event] = Kept(WORK / f"{event}.json", fresh=False)
    print(table(rows))
    if arguments.write:
        words = extrapolated(Kept(WORK / "large.json", fresh=False))
        fill(
            "large", table=table(rows), cores=str(os.cpu_count()), largest=words,
            largest_km2=f"{LARGEST_KM2:,}",
        )  # fmt: skip
    return None


if __name__ == "__main__":
    main()
