"""Checkpoints × test sets: one table of how good each checkpoint is and what it costs, as CSV and
Markdown.

Pixels, landslides and boundaries, over the labelled pixels of the splits asked for. The stored
weights map the whole set, tiled as a scene would be, with the checkpoint's own threshold; nothing
is chosen here.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from configs.checkpoint import CARD, CheckpointCard, Score, read_card
from configs.clean import CleanConfig
from configs.errors import RequestError
from configs.files import write_text
from configs.records import IGNORED
from configs.stack import Rows
from configs.training import TrainingConfig
from flows.learning.adapting import on
from flows.run.journal import Peak
from inventory.compare import compare_boundaries, compare_landslides
from inventory.outline.polygons import polygonise
from inventory.outline.split import split
from models.architectures import network_of, tiling_of
from models.inference.predict import Predictor
from models.metrics import Confusion, mean_over_patches
from models.registry import Checkpoint, installed
from models.training.write_card import scored
from tiles.grid import TileGrid
from tiles.samples import SampleSet
from tiles.stitch import map_tiles


def sample_rows(samples: SampleSet, bands: tuple[str, ...]) -> Rows:
    """Return a sample set's bands as lazy `(band, y, x)`."""
    return _Bands(samples, bands)


class _Bands:
    """A sample set's bands as `(band, y, x)` rows."""

    def __init__(self, samples: SampleSet, bands: tuple[str, ...]) -> None:
        self._samples, self._bands = samples, bands
        self.shape: tuple[int, ...] = (len(bands), *samples.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, rows, columns = key
        return np.stack([self._samples.read(name, rows, columns) for name in self._bands[bands]])


def probability_of(
    predictor: Predictor, samples: SampleSet, where: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return a checkpoint's probability over a sample set, `(y, x)`, NaN but `where`, tiled as the
    checkpoint says.

    A checkpoint that adapts to scenes takes the whole set as one, unless that has been done.
    """
    predictor = on(predictor, samples)
    card = predictor.card
    grid = TileGrid.for_card(samples.shape, *tiling_of(card))
    out: NDArray[np.float32] = map_tiles(
        sample_rows(samples, card.bands), grid, predictor, batch=4, valid=where
    )
    return out


def scores(predictor: Predictor, config: TrainingConfig, sets: list[SampleSet]) -> list[Score]:
    """Return the scores on each set's test split, measured on the stored weights, tiled as a scene
    would be.
    """
    found = []
    for samples in sets:
        names = tuple(
            name for name in config.splits.test if name in samples.card.split_names.values()
        )
        if not names:
            continue
        truth = samples.label(samples.numbers(names))
        counts = Confusion.from_masks(
            probability_of(predictor, samples, truth != IGNORED) >= predictor.card.threshold,
            truth == 1,
            truth != IGNORED,
        )
        found.append(
            scored(
                f"{samples.name}/{'+'.join(names)}", counts, simulated=samples.card.origin.simulated
            )
        )
    return found


logger = logging.getLogger(__name__)

TEST = "test"
"""The split that counts where none is named."""
TOLERANCES_PX = (1, 2, 3)
_PATCH_METRICS = ("f1", "iou", "mcc")
"""Means over patches stand beside the pooled values: Yang et al. 2024 averages so, Gao et al. 2021
to 004 count globally.
"""
_TRAINED_HERE = "trained here"
SHOWN = (
    "checkpoint",
    "trained on",
    "test set",
    "ground",
    "f1",
    "iou",
    "precision",
    "recall",
    "mcc",
    "kappa",
    "oa",
    "miou",
    "mpa",
    "fwiou",
    "landslide recall",
    "landslide precision",
    "boundary f1 2 px",
    "parameters",
    "MFLOP/px",
    "s/Mpx",
    "peak GB",
)
"""Columns of the Markdown table; the CSV has all."""


def evaluate_cards(
    checkpoints: Sequence[str],
    samples: Sequence[Path],
    out: Path,
    splits: Sequence[str] = (),
    card_dirs: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the table's rows, written to ``scores.csv`` and ``scores.md`` in `out`.

    Args:
        checkpoints: names of checkpoints, or folders with a card.
        samples: folders of sample sets.
        out: made where missing.
        splits: names of the splits that count; ``test`` where none is given.
        card_dirs: further folders of cards.

    Raises:
        RequestError: a checkpoint, a sample set or a split that is not there, or a set without the
            checkpoint's bands.
    """
    cards = [card_named(name, card_dirs) for name in checkpoints]
    sets = [SampleSet.open(folder) for folder in samples]
    for one in sets:
        one.numbers(splits or (TEST,))
        for found in cards:
            _fits(found.card, one)
    rows = [row(found, one, tuple(splits or (TEST,))) for found in cards for one in sets]
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "scores.csv", _as_csv(rows))
    write_text(out / "scores.md", _as_markdown(rows))
    return {
        "status": "ok",
        "rows": rows,
        "csv": str(out / "scores.csv"),
        "markdown": str(out / "scores.md"),
    }


def card_named(name: str, card_dirs: Sequence[str] = ()) -> Checkpoint:
    """Return a checkpoint by its folder or its name.

    Raises:
        RequestError: there is none.
    """
    if (Path(name) / CARD).is_file():
        return Checkpoint(Path(name), read_card(Path(name)))
    return installed(name, card_dirs)


def _fits(card: CheckpointCard, samples: SampleSet) -> None:
    missing = [band for band in card.bands if band not in samples.card.bands]
    if missing:
        raise RequestError(
            f"sample set `{samples.name}` has no {', '.join(missing)}, which `{card.name}` reads",
            "Cut it with these bands: `coslide samples`.",
        )
    if card.sensor != samples.card.origin.sensor or card.level != samples.card.origin.level:
        logger.warning(
            "`%s` was made for %s %s, sample set `%s` is of %s %s",
            *(card.name, card.sensor, card.level, samples.name),
            *(samples.card.origin.sensor, samples.card.origin.level),
        )


def ground(card: CheckpointCard, samples: SampleSet) -> str:
    """Return whether a checkpoint was trained on a sample set: then its scores say nothing of
    ground it has not seen.
    """
    known = {domain.name for domain in card.domains}
    pixels = {str(value) for name, value in card.training.items() if name.startswith("samples_")}
    here = samples.name in known or samples.card.fingerprint[:16] in pixels
    return _TRAINED_HERE if here else "not trained here"


def row(found: Checkpoint, samples: SampleSet, splits: tuple[str, ...]) -> dict[str, Any]:
    """Return one checkpoint's line for one sample set: metrics at three levels, size and cost."""
    predictor = on(found.load(), samples)
    card = predictor.card
    truth = samples.label(samples.numbers(splits))
    if not (truth != IGNORED).any():
        raise RequestError(
            f"`{samples.name}` has no labelled pixel in {', '.join(splits)}",
            "Choose another split.",
        )
    logger.info("%s on %s", card.name, samples.name)
    where = ground(card, samples)
    if where == _TRAINED_HERE:
        logger.warning(
            "`%s` was trained on `%s`: expect less on ground it has not seen",
            *(card.name, samples.name),
        )
    labelled = truth != IGNORED
    probability, peak_gb = _mapped(predictor, samples, labelled)
    called = np.where(labelled, (probability >= card.threshold).astype(np.uint8), np.uint8(IGNORED))
    pooled = Confusion.from_masks(called, truth)
    about = " (simulated)" if samples.card.origin.simulated else ""
    return {
        "checkpoint": card.name,
        "architecture": card.architecture,
        "trained on": ", ".join(
            f"{d.name}{' (simulated)' if d.simulated else ''}" for d in card.domains
        ),
        "test set": f"{samples.name}/{'+'.join(splits)}{about}",
        "ground": where,
        "threshold": card.threshold,
        **pooled.as_dict(),
        **_patch_means(called, truth, samples.card.chip_px),
        **_objects(called, truth, probability, samples),
        "parameters": sum(p.numel() for p in predictor.module.parameters()),
        "MFLOP/px": megaflops_per_pixel(card),
        "s/Mpx": seconds_per_megapixel(predictor),
        "peak GB": peak_gb,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }


def _mapped(
    predictor: Predictor, samples: SampleSet, wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], float]:
    """Return the probability `(y, x)`, NaN where not wanted, and the most memory held meanwhile,
    GB.

    Of the GPU where there is one, else resident memory of the whole process.
    """
    watch, gpu = Peak(), torch.cuda.is_available()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    watch.start()
    try:
        probability = probability_of(predictor, samples, wanted)
    finally:
        resident = watch.stop()
    return probability, (torch.cuda.max_memory_allocated() if gpu else resident) / 1e9


def seconds_per_megapixel(predictor: Predictor) -> float:
    """Return the wall-clock seconds that a million new pixels cost in a large scene, context and
    overlap included.

    The better of two tiles after one that warms up; reading the imagery is not in it.
    """
    tiles = predictor.card.tiles
    window = tiles.size + 2 * tiles.halo if tiles.mode == "core" else tiles.size
    gained = tiles.size if tiles.mode == "core" else tiles.size - tiles.halo
    batch = np.zeros((1, len(predictor.bands), window, window), np.float32)
    predictor(batch)
    seconds = []
    for _ in range(2):
        since = time.perf_counter()
        predictor(batch)
        seconds.append(time.perf_counter() - since)
    return min(seconds) / gained**2 * 1e6


def _patch_means(
    called: NDArray[np.uint8], truth: NDArray[np.uint8], side: int
) -> dict[str, float]:
    """Return means over the squares of `side` px that hold a labelled pixel."""
    windows = [
        (slice(y, y + side), slice(x, x + side))
        for y in range(0, truth.shape[0], side)
        for x in range(0, truth.shape[1], side)
    ]
    means = mean_over_patches(
        Confusion.from_masks(called[at], truth[at])
        for at in windows
        if (truth[at] != IGNORED).any()
    )
    return {f"{name}, mean over patches": means[name] for name in _PATCH_METRICS}


def _objects(
    called: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    probability: NDArray[np.float32],
    samples: SampleSet,
) -> dict[str, float]:
    """Return the scores by landslide and by boundary: the checkpoint's told apart as an inventory
    has them, those of the labels the 8-connected groups of their mask.
    """
    geobox = samples.geobox
    ours = split(called == 1, probability, CleanConfig().split_depth)
    frames = [
        gpd.GeoDataFrame(geometry=polygonise(objects, geobox.affine), crs=str(geobox.crs))
        for objects in (ours, truth == 1)
    ]
    objects = compare_landslides(frames[0], frames[1], called, truth, geobox)
    boundaries = compare_boundaries(called, truth, TOLERANCES_PX)
    return {
        "landslides": objects.reference_count,
        "landslide recall": objects.recall,
        "landslide precision": objects.precision,
        "landslide one-to-one f1": objects.one_to_one_f1,
        **{f"boundary f1 {px} px": score.f1 for px, score in boundaries.items()},
    }


def megaflops_per_pixel(card: CheckpointCard) -> float:
    """Return the network's floating-point operations per input pixel, in millions, on a tile of the
    checkpoint's size.

    Convolutions and matrix products, two operations a multiply-accumulate; no weights are needed to
    count them.
    """
    side = card.tiles.size
    with torch.device("meta"):
        network = network_of(card).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, len(card.bands), side, side, device="meta"))
    return float(counter.get_total_flops() / side**2 / 1e6)


def _as_csv(rows: list[dict[str, Any]]) -> str:
    """Return all columns as CSV; undefined ratios stay empty."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if _undefined(v) else v for k, v in one.items()} for one in rows)
    return text.getvalue()


def _as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the main columns as a Markdown table."""
    lines = [
        SHOWN,
        ("---",) * len(SHOWN),
        *(tuple(_cell(name, one[name]) for name in SHOWN) for one in rows),
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _undefined(value: object) -> bool:
    return isinstance(value, float) and not np.isfinite(value)


def _cell(name: str, value: object) -> str:
    if _undefined(value):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.2f}" if name in ("MFLOP/px", "s/Mpx", "peak GB") else f"{value:.3f}"
    return str(value)


def words(result: dict[str, Any]) -> str:
    """Return the table and where it lies."""
    return _as_markdown(result["rows"]) + f"{result['csv']}\n{result['markdown']}"
