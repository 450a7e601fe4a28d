"""Does coslide know what it does not know? Real imagery without earthquakes, home ground, and
scenes made wrong.

    python -m benchmarks.trust [--write]        # resumable: runs/verify/trust.json

(a) Every ordered pair of the clear dates of real/boadella-s2 and the tiles of real/s2-nir, over the
rugged relief of real/terrain/bigtujunga_dem.tif: nothing happened there, so whatever is mapped is
wrong, and the first line must say that nothing is known or that the scene is out of domain.
(b) Blocks of the real Iburi scene, each left out of the checkpoint's reference sample: at home.
(c) The Iburi scene made wrong in seven ways: flagged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray

from benchmarks.results import fill
from configs.run import RunConfig
from flows.resolve import make_request, parse_source, resolve
from flows.respond import respond
from models.registry import Checkpoint, installed
from models.selection.home import away_from_home

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "real"
RECORD = ROOT / "runs" / "verify" / "trust.json"
CHECKPOINTS = ("iburi-post", "iburi-prepost")
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
    return resolve(
        request, {"source": parse_source(f"archive:{folder}"), "out": str(folder / "out")}
    )


def pairs() -> Iterator[tuple[str, dict[str, Bands], Affine]]:
    """Yield (name, images, grid) of every pair in which nothing happened."""
    for before, after in itertools.permutations(BOADELLA, 2):
        (first, grid), (second, _) = boadella(before), boadella(after)
        yield f"boadella {before} → {after}", {"2020-06-01": first, "2021-06-01": second}, grid
    for path in sorted((REAL / "s2-nir").glob("tile_*.tif")):
        bands, grid = tile(path)
        yield f"bangladesh {path.stem}", {"2020-06-01": bands, "2021-06-01": bands}, grid


def quiet_pairs(known: dict[str, Any]) -> None:
    """Map every pair by every shipped real checkpoint, those that are not on record."""
    for name, images, grid in pairs():
        for checkpoint in CHECKPOINTS:
            key = f"{name} | {checkpoint}"
            if key in known:
                continue
            with tempfile.TemporaryDirectory() as folder:
                place = archive(Path(folder) / "archive", images, grid)
                shape = next(iter(next(iter(images.values())).values())).shape
                answer = respond(run_of(place, grid, (shape[0], shape[1]), checkpoint))
            first = answer["words"][0]
            known[key] = {
                "out_of_domain": answer["out_of_domain"],
                "objects": answer["landslide_count"],
                "km2": answer["landslide_area_km2"],
                "said": first.startswith(("NOT KNOWN", "OUT OF DOMAIN")),
            }
            RECORD.write_text(json.dumps(known, indent=1))
            print(key, known[key], flush=True)


def at_home(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return (blocks that are at home, blocks), each left out of the reference sample."""
    reference = checkpoint.reference()
    numbers = np.unique(reference.block)
    groups = np.array_split(numbers, min(24, len(numbers)))
    home = 0
    for group in groups:
        held = np.isin(reference.block, group)
        parts = [
            replace(
                reference, values=reference.values[at], block=reference.block[at],
                domain=reference.domain[at], histograms=(),
            )
            for at in (held, ~held)
        ]  # fmt: skip
        home += away_from_home(checkpoint.card, parts[1], parts[0]) == ()
    return home, len(groups)


WRONG: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "digital numbers left in": lambda x: x * 10,
    "offset of 0.1 left in": lambda x: x + 0.1,
    "bands swapped": lambda x: x[::-1],
    "snow": lambda x: 0.7 + 0.1 * x,
    "haze": lambda x: 0.6 * x + np.array([0.14, 0.11, 0.09])[:, None],
    "open sea": lambda x: 0.1 * x + np.array([0.09, 0.06, 0.04])[:, None],
    "another sensor (8 bits)": lambda x: x / x.max() * 0.9,
}
"""What was done to blue, green and red, `(3, n)`, reflectance."""


def wrong_scenes(checkpoint: Checkpoint) -> dict[str, bool]:
    """Return which of the scenes made wrong are flagged; every one is the reference's own
    ground.
    """
    reference = checkpoint.reference()
    columns = [reference.bands.index(f"post_{name}") for name in NAMES]
    flagged = {}
    for words, change in WRONG.items():
        values = reference.values.copy()
        values[:, columns] = change(values[:, columns].T.astype(np.float64)).T
        scene = replace(reference, values=values, histograms=())
        flagged[words] = away_from_home(checkpoint.card, reference, scene) != ()
    return flagged


def table(known: dict[str, Any]) -> str:
    """Return what was mapped where nothing happened."""
    lines = [
        "| place | checkpoint | pairs | said *unknown* or *true* first | objects a pair | "
        "km² a pair |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for place in ("boadella", "bangladesh"):
        for checkpoint in CHECKPOINTS:
            rows = [v for k, v in known.items() if k.startswith(place) and k.endswith(checkpoint)]
            if rows:
                said = sum(row["said"] and row["out_of_domain"] is not False for row in rows)
                objects, km2 = (np.mean([row[what] for row in rows]) for what in ("objects", "km2"))
                lines.append(
                    f"| {place} | {checkpoint} | {len(rows)} | {said} of {len(rows)} | "
                    f"{objects:.0f} | {km2:.2f} |"
                )
    return "\n".join(lines)


def home_table() -> str:
    """Return what is at home, and what is flagged of the scenes made wrong."""
    lines = ["| checkpoint | held-out blocks at home | wrong scenes flagged | missed |"]
    lines.append("| --- | --- | --- | --- |")
    for name in CHECKPOINTS:
        checkpoint = installed(name)
        home, blocks = at_home(checkpoint)
        flagged = wrong_scenes(checkpoint)
        missed = ", ".join(words for words, found in flagged.items() if not found) or "none"
        lines.append(
            f"| {name} | {home} of {blocks} | {sum(flagged.values())} of {len(flagged)} | "
            f"{missed} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with --write, keep them as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/trust.json")
    options = parser.parse_args()
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    home = home_table()
    print(home, flush=True)
    quiet_pairs(known)
    made = table(known)
    print(made)
    if options.write:
        fill("trust", quiet=made, home=home)


if __name__ == "__main__":
    main()
