"""Does coslide know what it does not know? Real imagery without earthquakes, home ground, and
scenes made wrong.

    python -m benchmarks.trust [--write]        # resumable: runs/verify/trust.json

(a) Every ordered pair of the clear dates of real/boadella-s2 and the tiles of real/s2-nir, over the
rugged relief of real/terrain/bigtujunga_dem.tif: nothing happened there, so whatever is mapped is
wrong, and the first line must say that nothing is known or that the scene is out of domain. With
the default settings, and by every shipped real checkpoint.
(b) Blocks of the real Iburi scene, each left out of the checkpoint's reference sample: at home.
(c) Parts of the Iburi scene made wrong in eight ways: flagged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from benchmarks.results import fill
from configs.layout import EventFolder, RunLayout
from configs.run import RunConfig
from configs.stack import Stack
from flows import steps
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond
from inventory.about import About
from inventory.outline.outline import Inventory
from inventory.summary import count_seen, headline, summarise
from models.architectures import INDEX
from models.reference import Reference
from models.registry import AUTO, Checkpoint, installed
from models.selection import home

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "real"
RECORD = ROOT / "runs" / "verify" / "trust.json"
QUIET = ROOT / "runs" / "verify" / "quiet"
"""What was mapped where nothing happened, rasters a pair and checkpoint."""
CHECKPOINTS = (
    (AUTO,),
    ("iburi-post", "iburi-prepost", INDEX),
    ("world-rgb", "taiwan-rgb", "kodagu-rgb", "iburi-rgb"),
)
"""The default first: nothing is named, and the nearest one maps. Those in a row share a stack."""
WITH_HOME = ("iburi-post", "iburi-prepost")
"""Those of pictures read relative brightness, which has no home: they are unknown everywhere."""
PARTS = 12
"""Of the Iburi ground, each made wrong by itself."""
BOADELLA = ("2020-01-13", "2020-06-21", "2020-09-14", "2021-07-16", "2022-06-01")
"""The clear dates; 2020-01-23 has cloud or snow."""
NAMES = ("B2", "B3", "B4")

Bands = dict[str, NDArray[np.uint16]]


def boadella(date: str) -> tuple[Bands, Affine]:
    """Return blue, green and red of a date, reflectance x 10 000, and their grid in WGS 84."""
    with rasterio.open(REAL / "boadella-s2" / f"boadella_{date}.tif") as file:
        values = np.clip(file.read((2, 3, 4)), 1, 10_000).astype(np.uint16)
        return dict(zip(NAMES, values, strict=True)), file.transform


def tile(path: Path) -> tuple[Bands, Affine]:
    """Return blue, green and red of a tile of Bangladesh."""
    with rasterio.open(path) as file:
        red, green, blue = np.clip(np.nan_to_num(file.read((1, 2, 3))), 0, 10_000).astype(np.uint16)
        return {"B2": blue, "B3": green, "B4": red}, file.transform


def archive(folder: Path, images: dict[str, Bands], transform: Affine) -> Path:
    """Return an archive of images by date, the first before and the last after 2021-01-01."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = []
    for day, bands in images.items():
        files = {}
        for name, values in bands.items():
            _write(folder / f"{day}_{name}.tif", values, transform, 0)
            files[name] = {"file": f"{day}_{name}.tif", "scale": 1e-4, "offset": 0, "nodata": 0}
        scenes.append({"id": day, "acquired": day, "product": "real, no event", "bands": files})
    height, width = next(iter(next(iter(images.values())).values())).shape
    with rasterio.open(REAL / "terrain" / "bigtujunga_dem.tif") as file:
        relief = file.read(1)[: height // 3 + 20, : width // 3 + 20]
    coarse = transform * Affine.translation(-10, -10) * Affine.scale(3)
    _write(folder / "dem.tif", relief.astype(np.float32), coarse, -9999)
    content = {
        "format": "coslide/archive/1", "sensor": "sentinel-2", "level": "L1C", "resolution_m": 10,
        "scenes": scenes, "static": {"dem": {"file": "dem.tif", "nodata": -9999}},
    }  # fmt: skip
    (folder / "archive.yaml").write_text(yaml.safe_dump(content))
    return folder


def _write(path: Path, values: NDArray[Any], transform: Affine, nodata: float) -> None:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=values.dtype,
        crs="EPSG:4326", transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)


def run_of(folder: Path, transform: Affine, shape: tuple[int, int], checkpoint: str) -> RunConfig:
    """Return the request to map an archive's whole ground after an earthquake that was none."""
    west, north = transform * (2, 2)
    east, south = transform * (shape[1] - 2, shape[0] - 2)
    request = make_request(
        latitude=(north + south) / 2, longitude=(west + east) / 2, date="2021-01-01",
        bounds=f"{west:.5f},{south:.5f},{east:.5f},{north:.5f}", as_of="2023-01-01",
        pre="2019-01-01/2020-12-31", post="2021-01-01/2023-01-01", checkpoint=checkpoint,
        name="none",
    )  # fmt: skip
    preset = {
        "source": parse_source(f"archive:{folder}"),
        "out": str(folder / "out"),
        # A threshold found on the scene is measured by `benchmarks.scene_threshold`.
        "model": {"threshold": "card"},
        "product": {"exports": [], "map": {"sheets": []}},  # nobody reads them here
    }
    return resolve(request, preset)


def pairs(once: bool) -> Iterator[tuple[str, dict[str, Bands], Affine]]:
    """Yield (name, images, grid) of every pair in which nothing happened; each later image once,
    after the date before it, where asked.
    """
    earlier = (BOADELLA[-1], *BOADELLA[:-1])
    ordered = zip(earlier, BOADELLA, strict=True) if once else itertools.permutations(BOADELLA, 2)
    for before, after in ordered:
        (first, grid), (second, _) = boadella(before), boadella(after)
        yield f"boadella {before} → {after}", {"2020-06-01": first, "2021-06-01": second}, grid
    for path in sorted((REAL / "s2-nir").glob("tile_*.tif")):
        bands, grid = tile(path)
        yield f"bangladesh {path.stem}", {"2020-06-01": bands, "2021-06-01": bands}, grid


def quiet_pairs(known: dict[str, Any]) -> None:
    """Map what is not on record: every pair by whole runs with the default settings, then every
    later image by every shipped real checkpoint on one stack.
    """
    for checkpoints in CHECKPOINTS:
        for name, images, grid in pairs(once=checkpoints != (AUTO,)):
            wanted = [each for each in checkpoints if f"{name} | {each}" not in known]
            if not wanted:
                continue
            with tempfile.TemporaryDirectory() as folder:
                place = archive(Path(folder) / "archive", images, grid)
                shape = next(iter(next(iter(images.values())).values())).shape
                runs = [run_of(place, grid, (shape[0], shape[1]), each) for each in wanted]
                answers = (
                    [answer_of(respond(runs[0]))]
                    if wanted == [AUTO]
                    else on_one_stack(runs, Path(folder) / "work", name)
                )
                for each, answer in zip(wanted, answers, strict=True):
                    known[f"{name} | {each}"] = answer
                    RECORD.write_text(json.dumps(known, indent=1))
                    print(f"{name} | {each}", answer, flush=True)


def answer_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a run's answer is kept."""
    return {
        "by": answer["checkpoint"],
        "out_of_domain": answer["out_of_domain"],
        "objects": answer["landslide_count"],
        "km2": answer["landslide_area_km2"],
        "said": answer["words"][0].startswith(("NOT KNOWN", "OUT OF DOMAIN")),
    }


def on_one_stack(runs: list[RunConfig], folder: Path, pair: str) -> Iterator[dict[str, Any]]:
    """Yield what each run would answer, the imagery pulled once: the steps of a run up to the
    headline, no files.
    """
    whole = runs[0].model_copy(
        update={"model": runs[0].model.model_copy(update={"checkpoint": AUTO})}
    )
    source = steps.open_source(whole)
    cards = steps.candidates(whole, source)
    layout = RunLayout(folder)
    folder.mkdir(parents=True)
    plan = steps.look(whole, source, cards, layout)
    stack = steps.pull(whole, EventFolder(folder / "event"), source, cards, plan, layout)
    for number, run in enumerate(runs):
        own = RunLayout(folder / str(number))
        own.folder.mkdir(parents=True)
        cards = steps.able(steps.candidates(run, source), plan)
        choice = steps.choose(run, cards, stack, own)
        observed = steps.observe(run, cards, choice, stack, own)
        probability = steps.map_probability(run, cards, choice, stack, observed, own)
        inventory = steps.outline_landslides(run, cards, choice, stack, observed, probability)
        inside = stack.of_area(run.place)
        seen = count_seen(inside.cut(probability), inside.cut(observed.array))
        about = About(
            run.event, run.place, run.windows, plan.scenes, choice, str(run.source), False
        )
        summary = summarise(inventory, seen, about)
        keep(inventory, inside, QUIET / f"{pair}-{run.model.checkpoint}.npz")
        yield answer_of({**summary.as_plain(), "words": headline(summary)})


def keep(inventory: Inventory, stack: Stack, path: Path) -> None:
    """Keep what was mapped and the imagery under it for `benchmarks.lookalikes`."""
    shape = tuple(int(n) for n in inventory.geobox.shape)
    shapes = [(outline, i) for i, outline in enumerate(inventory.landslides.geometry, 1)]
    numbers = np.zeros(shape, np.int32)
    if shapes:
        numbers = rasterize(
            shapes, out_shape=shape, transform=inventory.geobox.affine, dtype="int32"
        )
    rows, columns = (slice(0, n) for n in shape)
    slope, blue, red = (stack.read(name, rows, columns) for name in ("slope", "post_B2", "post_B4"))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, numbers=numbers, slope=slope, post_B2=blue, post_B4=red)


def at_home(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return (blocks that are at home, blocks), each left out of the reference sample."""
    reference = checkpoint.reference()
    numbers = np.unique(reference.block)
    groups = np.array_split(numbers, min(24, len(numbers)))
    near = 0
    for group in groups:
        held, rest = (
            _part(reference, reference.values, part)
            for part in (group, np.setdiff1d(numbers, group))
        )
        near += home.away_from_home(checkpoint.card, rest, held) == ()
    return near, len(groups)


Wrong = Callable[[NDArray[np.float64]], NDArray[np.float64]]
WRONG: dict[str, Wrong] = {
    "digital numbers left in": lambda x: x * 10,
    "offset of 0.1 left in": lambda x: x + 0.1,
    "bands swapped": lambda x: x[::-1],
    "snow": lambda x: 0.7 + 0.1 * x,
    "haze": lambda x: 0.6 * x + np.array([0.14, 0.11, 0.09])[:, None],
    "open sea": lambda x: 0.1 * x + np.array([0.09, 0.06, 0.04])[:, None],
    "city (real, Chattogram)": lambda x: city(x.shape[1]),
    "another sensor (8 bits)": lambda x: x / x.max() * 0.9,
}
"""What was done to blue, green and red, `(3, n)`, reflectance."""


def city(count: int) -> NDArray[np.float64]:
    """Return blue, green and red of built-up ground, `(3, count)`, reflectance: pixels of the tiles
    of Chattogram without vegetation, water left out.
    """
    found = []
    for path in sorted((REAL / "s2-nir").glob("tile_*.tif")):
        with rasterio.open(path) as file:
            red, green, blue, nir = np.nan_to_num(file.read((1, 2, 3, 4))) / 10_000
        ndvi = (nir - red) / np.maximum(nir + red, 1e-6)
        found.append(np.stack([blue, green, red])[:, (red > 0) & (ndvi > 0) & (ndvi < 0.25)])
    pixels = np.concatenate(found, axis=1)
    picked = np.random.default_rng(0).choice(pixels.shape[1], count)
    return np.asarray(pixels[:, picked], np.float64)


def wrong_scenes(
    checkpoint: Checkpoint, kinds: Mapping[str, Wrong] = WRONG
) -> dict[str, tuple[int, int]]:
    """Return kind of wrong scene -> (flagged, all): each part of the checkpoint's own ground, made
    wrong.
    """
    reference = checkpoint.reference()
    columns = [reference.bands.index(f"post_{name}") for name in NAMES]
    limits = home.home_limits(reference, checkpoint.card.bands)  # of the reference alone
    flagged = {}
    for words, change in kinds.items():
        values = reference.values.copy()
        values[:, columns] = change(values[:, columns].T.astype(np.float64)).T
        parts = np.array_split(np.unique(reference.block), PARTS)
        with mock.patch.object(home, "home_limits", return_value=limits):
            found = [
                home.away_from_home(checkpoint.card, reference, _part(reference, values, part))
                for part in parts
            ]
        flagged[words] = (sum(one != () for one in found), len(found))
    return flagged


def _part(
    reference: Reference, values: NDArray[np.float32], blocks: NDArray[np.int32]
) -> Reference:
    """Return some blocks of a sample, with other values."""
    at = np.isin(reference.block, blocks)
    return replace(
        reference, values=values[at], block=reference.block[at], domain=reference.domain[at],
        histograms=(),
    )  # fmt: skip


def table(known: dict[str, Any]) -> str:
    """Return what was mapped where nothing happened."""
    lines = [
        "| place | checkpoint | pairs | said *unknown* or *true* first | objects a pair | "
        "km² a pair |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for place in ("boadella", "bangladesh"):
        for checkpoint in itertools.chain(*CHECKPOINTS):
            rows = [v for k, v in known.items() if k.startswith(place) and k.endswith(checkpoint)]
            if rows:
                said = sum(row["said"] and row["out_of_domain"] is not False for row in rows)
                objects, km2 = (np.mean([row[what] for row in rows]) for what in ("objects", "km2"))
                lines.append(
                    f"| {place} | {checkpoint} | {len(rows)} | {said} of {len(rows)} | "
                    f"{objects:.0f} | {km2:.2f} |"
                )
    return "\n".join(lines)


def home_table(known: dict[str, Any]) -> str:
    """Return what is at home, and what is flagged of the scenes made wrong; kept on record."""
    lines = ["| checkpoint | held-out blocks at home | wrong scenes flagged | missed |"]
    lines.append("| --- | --- | --- | --- |")
    for name in WITH_HOME:
        if (key := f"home | {name}") not in known:
            checkpoint = installed(name)
            known[key] = {"home": at_home(checkpoint), "wrong": wrong_scenes(checkpoint)}
            RECORD.write_text(json.dumps(known, indent=1))
        near, blocks = known[key]["home"]
        wrong = known[key]["wrong"]
        flagged, made = (sum(column) for column in zip(*wrong.values(), strict=True))
        missed = [f"{words} {of - found}" for words, (found, of) in wrong.items() if found < of]
        lines.append(
            f"| {name} | {near} of {blocks} | {flagged} of {made} | {', '.join(missed) or 'none'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with --write, keep them as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/trust.json")
    options = parser.parse_args()
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    quiet_pairs(known)
    ground = home_table(known)
    print(ground, flush=True)
    made = table(known)
    print(made)
    if options.write:
        fill("trust", quiet=made, home=ground)


if __name__ == "__main__":
    main()
