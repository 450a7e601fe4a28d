"""A small archive of a valley with planted scars, and two small checkpoints that can read it.

The networks are tiny and untrained: tests of the story need products that agree with each other,
not good maps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from affine import Affine
from cards import make_card, save_card
from numpy.typing import NDArray

from configs.checkpoint import BandStatistics, CardTiles, Normalisation, TrainingDomain
from models.reference import Reference

SIDE = 300
WEST, NORTH, CRS = 590_000, 4_730_000, "EPSG:32654"
EPICENTRE = "42.70,142.11"
POST = ("post_B2", "post_B3", "post_B4", "slope", "hillshade")
BOTH = ("pre_B2", "pre_B3", "pre_B4", *POST)
RUN = ("--epicentre", EPICENTRE, "--date", "2018-09-05", "--as-of", "2018-12-01")
AREA = ("--radius-km", "1.2")


def write(
    path: Path,
    values: NDArray[Any],
    pixel_m: float = 10.0,
    crs: str | None = CRS,
    nodata: float | None = 0,
    corner: tuple[float, float] = (WEST, NORTH),
) -> None:
    """Write one band on the archive's ground; `corner` is its (west, north)."""
    height, width = values.shape
    affine = Affine(pixel_m, 0, corner[0], 0, -pixel_m, corner[1])
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": values.dtype,
        "crs": crs,
    }
    with rasterio.open(path, "w", transform=affine, nodata=nodata, **profile) as file:
        file.write(values, 1)


def scars() -> NDArray[np.bool_]:
    """Return the planted landslides, `(y, x)`."""
    mask = np.zeros((SIDE, SIDE), bool)
    for top, left, height, width in (
        (60, 60, 30, 12),
        (140, 150, 24, 40),
        (200, 80, 8, 20),
        (180, 220, 40, 16),
    ):
        mask[top : top + height, left : left + width] = True
    return mask


def make_archive(folder: Path, *, gap: bool = False, **changes: Any) -> Path:
    """Return the folder of an archive: B2 B3 B4 before and after, and a 30 m elevation of rolling
    hills.

    `gap` removes the north of the pre image; `changes` replace top-level keys of the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    ground = {"B2": 900, "B3": 800, "B4": 700}
    y, x = np.mgrid[:130, :130] * 30.0
    write(
        folder / "dem.tif",
        (300 + 120 * np.sin(x / 240) + 90 * np.cos(y / 180)).astype(np.float32),
        30.0,
        nodata=-9999,
    )
    for when in ("pre", "post"):
        for band, level in ground.items():
            values = level + rng.normal(0, 40, (SIDE, SIDE))
            if when == "post":
                values[scars()] += 900
            if when == "pre" and gap:
                values[: SIDE // 2] = 0
            write(folder / f"{when}_{band}.tif", np.clip(values, 0, 10_000).astype(np.uint16))
    scenes = [
        {
            "id": f"scene-{when}",
            "acquired": day,
            "product": "made for a test",
            "bands": {
                band: {"file": f"{when}_{band}.tif", "scale": 0.0001, "offset": 0, "nodata": 0}
                for band in ground
            },
        }
        for when, day in (("pre", "2018-08-20"), ("post", "2018-09-20"))
    ]
    content = {
        "format": "coslide/archive/1",
        "sensor": "sentinel-2",
        "level": "L1C",
        "resolution_m": 10,
        "scenes": scenes,
        "static": {"dem": {"file": "dem.tif", "nodata": -9999}},
    } | changes
    (folder / "archive.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def make_cards(folder: Path) -> Path:
    """Return a folder with two checkpoints, `both` and `post`, with untrained networks."""
    statistics = {
        band: BandStatistics(minimum=0.0, maximum=0.3, mean=0.12, std=0.04)
        for band in BOTH
        if "_B" in band
    } | {
        "slope": BandStatistics(minimum=0.0, maximum=60.0, mean=15.0, std=8.0),
        "hillshade": BandStatistics(minimum=0.0, maximum=255.0, mean=180.0, std=40.0),
    }
    rng = np.random.default_rng(1)
    for name, bands in (("both", BOTH), ("post", POST)):
        values = np.stack(
            [rng.normal(statistics[b].mean, statistics[b].std, 400) for b in bands], axis=1
        )
        block = np.repeat(np.arange(4, dtype=np.int32), 100)
        reference = Reference(
            bands, values.astype(np.float32), block, np.zeros(400, np.int32), ("here",), 5.0
        )
        card = make_card(
            bands,
            name=name,
            tiles=CardTiles(size=64, mode="core", halo=56),
            normalisation=Normalisation(
                method="zscore", statistics={b: statistics[b] for b in bands}
            ),
            domains=(TrainingDomain(name="here", simulated=False, samples=10),),
            validation_f1=0.6 if name == "both" else 0.5,
            threshold=0.5,
        )
        save_card(card, folder / name, reference=reference)
    return folder


def make_preset(path: Path, cards: Path, checkpoint: str = "auto", **parts: Any) -> Path:
    """Return a run file with the checkpoints' folder; rules that a random network need not satisfy
    are off, and so are the map sheets, which cost as much as all else.
    """
    clean = {
        "min_area_m2": None,
        "min_slope_deg": None,
        "max_edge_fraction": None,
        "max_water_fraction": None,
    }
    content = {
        "format": "coslide/run/1",
        "model": {"card_dirs": [str(cards)], "checkpoint": checkpoint},
        "clean": clean,
        "product": {"map": {"sheets": []}},
    } | parts
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
