"""Do two requests that share ground get the same map of it?

    python -m benchmarks.frames [--write]   # resumable: runs/verify/frames (delete to map anew)

Ten overlapping frames over the real Iburi scene and over a simulated one, each a request of its
own: its own area, stack and, for checkpoints that adapt to scenes, its own statistics. For every
pair of frames: the share of pixels observed in both whose mask is the same, the F1 between the
masks, and how many of the landslides that lie wholly in the common ground have the same outline.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr
import yaml

from benchmarks.results import fill
from configs.run import RunConfig
from flows.open_run import open_run
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "frames"
FRAMES, SEED = 10, 0
UNSEEN = 255
"""Of `landslides.tif`: not observed."""


class Ground(NamedTuple):
    """A scene to put frames over."""

    name: str
    preset: dict[str, Any]
    bounds: tuple[float, float, float, float]
    """West, south, east, north of all frames, WGS 84."""
    checkpoints: tuple[str, ...]


def grounds() -> Iterator[Ground]:
    """Yield the real scene and a simulated one."""
    preset = yaml.safe_load((ROOT / "configs/presets/iburi-2018.yaml").read_text())
    west, south, east, north = map(float, preset.pop("area").split(","))
    preset["source"] = parse_source(f"archive:{ROOT / 'configs/archives/iburi-2018.yaml'}")
    yield Ground("Iburi 2018", preset, (west, south, east, north), ("iburi-post", "iburi-prepost"))
    yield Ground(
        "simulated tephra hills",
        {
            "event": {
                "name": "simulated", "time": "2018-09-05T18:07:59Z", "latitude": 42.69,
                "longitude": 141.93, "magnitude": 6.6,
            },
            "windows": {"as_of": "2018-12-01"},
            "source": parse_source("simulated:tephra-hills"),
        },
        (141.88, 42.65, 141.98, 42.73),
        ("sim-tephra",),
    )  # fmt: skip


def frames(ground: Ground) -> list[str]:
    """Return the bounds of the frames: three fifths to four fifths of the ground in each
    direction, anywhere in it.
    """
    rng = np.random.default_rng(SEED)
    west, south, east, north = ground.bounds
    found = []
    for _ in range(FRAMES):
        share = rng.uniform(0.6, 0.8, 2)
        at = rng.uniform(0, 1 - share)
        left, low = west + at[0] * (east - west), south + at[1] * (north - south)
        right, top = left + share[0] * (east - west), low + share[1] * (north - south)
        found.append(f"{left:.6f},{low:.6f},{right:.6f},{top:.6f}")
    return found


def request(ground: Ground, bounds: str, checkpoint: str, out: Path) -> RunConfig:
    """Return the request to map one frame."""
    fields = make_request(bounds=bounds, checkpoint=checkpoint)
    product = {"exports": [], "map": {"sheets": []}}  # nobody reads them here
    return resolve(fields, {**ground.preset, "out": str(out), "product": product})


class Mapped(NamedTuple):
    """What one frame gave."""

    mask: xr.DataArray
    landslides: gpd.GeoDataFrame
    area: shapely.Polygon
    """In the grid's CRS."""


def mapped(ground: Ground, checkpoint: str) -> list[Mapped]:
    """Return the map of every frame, mapped where it is not on record."""
    found = []
    for number, bounds in enumerate(frames(ground)):
        out = WORK / checkpoint / str(number)
        path = next(out.glob("*/r001/landslides.gpkg"), None)
        if path is None:
            answer = respond(request(ground, bounds, checkpoint, out))
            path = Path(answer["products"]["landslides.gpkg"])
            print(f"{ground.name}, {checkpoint}, frame {number}", flush=True)
        run = open_run(path)
        landslides = run.landslides
        area = gpd.read_file(path, layer="area").to_crs(landslides.crs)
        found.append(Mapped(run.data["mask"].load(), landslides, area.union_all()))
    return found


class Agreement(NamedTuple):
    """How two frames agree over their common ground."""

    pixels: int
    same: int
    both: int
    """Pixels that are landslide in both."""
    either: int
    """Pixels that are landslide in one, and in the other, summed."""
    outlines: int
    same_outlines: int


def agreement(a: Mapped, b: Mapped) -> Agreement:
    """Return how two frames agree."""
    one, other = xr.align(a.mask, b.mask, join="inner")
    known = ((one != UNSEEN) & (other != UNSEEN)).to_numpy()
    first, second = (mask.to_numpy()[known] == 1 for mask in (one, other))
    common = a.area.intersection(b.area)
    inner = common.buffer(-abs(float(a.mask.rio.resolution()[0])) * 2)
    shapes = [
        {
            shapely.normalize(shape).wkb
            for shape in each.landslides.geometry
            if inner.contains(shape)
        }
        for each in (a, b)
    ]
    return Agreement(
        len(first), int((first == second).sum()), int((first & second).sum()),
        int(first.sum() + second.sum()), len(shapes[0] | shapes[1]), len(shapes[0] & shapes[1]),
    )  # fmt: skip


def table() -> str:
    """Return a line a scene and checkpoint."""
    lines = [
        "| scene | checkpoint | pairs of frames | equal pixels | least of a pair | F1 between | "
        "same outlines |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for ground in grounds():
        for checkpoint in ground.checkpoints:
            pairs = [agreement(*two) for two in itertools.combinations(
                mapped(ground, checkpoint), 2)]  # fmt: skip
            total = Agreement(*(sum(column) for column in zip(*pairs, strict=True)))
            least = min(one.same / one.pixels for one in pairs)
            lines.append(
                f"| {ground.name} | {checkpoint} | {len(pairs)} | "
                f"{100 * total.same / total.pixels:.3f} % | {100 * least:.3f} % | "
                f"{2 * total.both / max(total.either, 1):.4f} | "
                f"{total.same_outlines} of {total.outlines} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --write, keep it as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/frames.json")
    options = parser.parse_args()
    made = table()
    if options.write:
        fill("frames", table=made, frames=str(FRAMES), seed=str(SEED))


if __name__ == "__main__":
    main()
