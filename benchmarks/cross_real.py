"""Real pixels across data sets: Bijie, Iburi and Landslide4Sense, each checkpoint scored on every
test part, with its distance.

    python -m benchmarks.cross_real [--write]     # resumable per checkpoint:
    runs/verify/cross-real.json

Post-event red, green, blue on one scale and one pixel size; needs the real data beside the
repository. No weights are kept: two of the data sets come without a licence to hand on what was
trained on them. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.budget import probability, train_for
from benchmarks.comparison import BATCH, CROP_PX, IGNORED, Pair, Scale, Split, drawn, splits
from benchmarks.cross_real_table import Scored, rows, verdict
from benchmarks.iburi import samples_of
from benchmarks.results import fill, machine
from configs.files import write_text
from models.architectures import build
from models.metrics import Confusion, Sweep
from models.mmd import Blocked, BlockGram
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / "runs" / "verify" / "cross-real.json"
CPU_SECONDS, SEEDS, WIDTH, POINTS = 50.0, (0, 1), 16, 3000
PIXEL_M, BIJIE_M = 10.0, 0.8
BLOCK_M = 1280.0
"""Side of the blocks whose pixels count as one draw: a patch of Landslide4Sense."""
SATURATION = 0.3558
"""Top-of-atmosphere reflectance that ESA's true-colour image of a Level-1C product shows as 255
(Sentinel-2 Products Specification Document, TCI): what turns the reflectance of Iburi into the 8
bits that the other two come in."""
FOLD: dict[str, tuple[str, ...]] = {
    "training": ("band-2", "band-3", "band-4"),
    "validation": ("band-1",),
    "test": ("band-0",),
}
"""The split of `configs/train/iburi-post.yaml`."""
BIJIE, FINE, IBURI, L4S = "Bijie", "Bijie at 0.8 m", "Iburi", "Landslide4Sense"
PIXELS_M = {BIJIE: PIXEL_M, IBURI: PIXEL_M, L4S: PIXEL_M, FINE: BIJIE_M}
CARDS: dict[str, tuple[str, ...]] = {
    BIJIE: (BIJIE,),
    IBURI: (IBURI,),
    L4S: (L4S,),
    f"{BIJIE} + {IBURI}": (BIJIE, IBURI),
    FINE: (FINE,),
}
"""What each checkpoint is trained on, half of every batch from each where there are two."""


def shown(reflectance: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return top-of-atmosphere reflectance as the 8 bits of ESA's true-colour image: 0 to 0.3558 on
    1 to 255, 0 unknown.
    """
    levels = 1 + np.clip(np.nan_to_num(reflectance) / SATURATION, 0, 1) * 254
    return np.where(np.isfinite(reflectance), np.rint(levels), 0).astype(np.uint8)


def coarser(pair: Pair, pixel_m: float = BIJIE_M, wanted_m: float = PIXEL_M) -> Pair:
    """Return an image averaged to larger pixels; a pixel is a landslide where half of it is."""
    height, width = (max(1, round(side * pixel_m / wanted_m)) for side in pair[1].shape)

    def reduced(layer: NDArray[Any]) -> NDArray[np.float32]:
        image = Image.fromarray(layer.astype(np.float32))
        return np.asarray(image.resize((width, height), Image.Resampling.BOX))

    pixels = np.stack([np.rint(reduced(layer)) for layer in pair[0]]).astype(np.uint8)
    return pixels, (reduced(pair[1]) >= 0.5).astype(np.uint8)


def iburi(samples: SampleSet) -> Split:
    """Return the post-event image cut at the bands of each part, so that no part shows a pixel of
    another.
    """
    pixels = np.stack([shown(samples.read(name)) for name in ("post_B4", "post_B3", "post_B2")])

    def part(names: tuple[str, ...]) -> list[Pair]:
        label = samples.label(samples.numbers(names))
        known = np.flatnonzero((label != IGNORED).any(axis=0))
        inside = slice(int(known[0]), int(known[-1]) + 1)
        return [
            (np.ascontiguousarray(pixels[:, :, inside]), np.ascontiguousarray(label[:, inside]))
        ]

    return Split(part(FOLD["training"]), part(FOLD["validation"]), part(FOLD["test"]))


def data_sets() -> dict[str, Split]:
    """Return the fixed parts of every data set: the patches' as in the comparison of networks,
    Iburi's by bands.
    """
    patches = splits()
    fine = patches["Bijie"]
    coarse = Split(
        *([coarser(pair) for pair in part] for part in (fine.training, fine.validation, fine.test))
    )
    return {
        BIJIE: coarse,
        IBURI: iburi(samples_of("iburi-post")),
        L4S: patches["Landslide4Sense"],
        FINE: fine,
    }


def predicted(network: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability `(H, W)` of one normalised image, filled up to a training crop as
    small ones were there.
    """
    height, width = x.shape[1:]
    wanted = [(0, 0), *((0, max(0, CROP_PX - side)) for side in (height, width))]
    return probability(network, np.pad(x, wanted)[None])[0, :height, :width]


def sweep(network: nn.Module, part: Iterable[Pair], scale: Scale) -> Sweep:
    """Return the counts of a part at every threshold."""
    found = Sweep.empty()
    for x, y in part:
        found = found + Sweep.of(predicted(network, scale(x)), y)
    return found


@dataclass(frozen=True)
class Drawn:
    """Labelled pixels of a part, evenly drawn, each with the image (or 1-km block of one) it lies
    in.
    """

    values: NDArray[np.float64]
    block: NDArray[np.int64]

    @classmethod
    def of(cls, part: Iterable[Pair], pixel_m: float = PIXEL_M, count: int = POINTS) -> Drawn:
        """Return `count` pixels of a part, or all; a block is an image, or 1280 m of one."""
        values, blocks, first, side = [], [], 0, round(BLOCK_M / pixel_m)
        for x, y in part:
            rows, columns = np.nonzero(y != IGNORED)
            across = -(-y.shape[1] // side)
            values.append(x[:, rows, columns].T.astype(np.float64))
            blocks.append(first + rows // side * across + columns // side)
            first += across * -(-y.shape[0] // side)
        every, block = np.concatenate(values), np.concatenate(blocks)
        picked = np.random.default_rng(0).permutation(len(every))[:count]
        return cls(every[picked], block[picked])


def distances(sets: dict[str, Split]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return checkpoint -> test part -> joint MMD and its standard error, one scaling for all: the
    spread of all sets, alike.
    """
    references = {
        card: [
            Drawn.of(sets[name].training, PIXELS_M[name], POINTS // len(names)) for name in names
        ]
        for card, names in CARDS.items()
    }
    tests = {name: Drawn.of(part.test, PIXELS_M[name]) for name, part in sets.items()}
    spread = np.concatenate(
        [Drawn.of(part.training, count=1000).values for part in sets.values()]
    ).std(axis=0)

    def blocked(parts: list[Drawn]) -> Blocked:
        starts = np.cumsum([0, *(int(one.block.max()) + 1 for one in parts)])
        numbers = [one.block + start for one, start in zip(parts, starts, strict=False)]
        return Blocked.of(
            np.concatenate([one.values for one in parts]) / spread, np.concatenate(numbers)
        )

    found: dict[str, dict[str, tuple[float, float]]] = {}
    for card, parts in references.items():
        for name, test in tests.items():
            gram = BlockGram.of(blocked([test]), blocked(parts), 2.0 * len(spread))
            value = (float(np.sqrt(max(0.0, gram.mmd2()))), gram.standard_error(root=True))
            found.setdefault(card, {})[name] = value
    return found


def matched(scale: Scale, training: list[Pair], test: list[Pair]) -> Scale:
    """Return the checkpoint's scale moved so that the test images have, band by band, the mean and
    spread of the training ones: no label is looked at."""
    here, there = Drawn.of(test).values, Drawn.of(training).values
    gain = there.std(axis=0) / np.maximum(here.std(axis=0), 1e-6)
    shift = there.mean(axis=0) - gain * here.mean(axis=0)
    gain, shift = (v.astype(np.float32)[:, None, None] for v in (gain, shift))
    return Scale((scale.mean - shift) / gain, scale.std / gain)


def measure(card: str, seed: int, sets: dict[str, Split]) -> dict[str, Any]:
    """Return one checkpoint's scores on every test part; the threshold is of its own validation
    parts.
    """
    parts = [sets[name] for name in CARDS[card]]
    training = [pair for part in parts for pair in part.training]
    scale = Scale.of(training)
    torch.manual_seed(seed)
    network = build("resu_senet", 3, width=WIDTH)

    def draw(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        picked = [
            p.training[int(rng.integers(len(p.training)))]
            for p in parts
            for _ in range(BATCH // len(parts))
        ]
        made = [drawn(pair, scale, rng) for pair in picked]
        return np.stack([x for x, _ in made]), np.stack([y for _, y in made])

    spent = train_for(network, draw, CPU_SECONDS, seed)
    threshold, _ = sum((sweep(network, p.validation, scale) for p in parts), Sweep.empty()).best()
    scores = {}
    for name, part in sets.items():
        plain, own = (
            sweep(network, part.test, one) for one in (scale, matched(scale, training, part.test))
        )
        matched_f1 = own.at(threshold).f1
        scores[name] = {
            **plain.at(threshold).as_dict(),
            "best": plain.best()[1].f1,
            "matched": matched_f1,
        }
    return {"steps": spent.steps, "threshold": threshold, "scores": scores, "machine": machine()}


def predict_all(sets: dict[str, Split]) -> dict[str, float]:
    """Return the F1 of calling every pixel of a test part a landslide."""
    counts = {
        name: sum(
            (Confusion.from_masks(np.ones_like(y), y == 1, y != IGNORED) for _, y in part.test),
            Confusion(),
        )
        for name, part in sets.items()
    }
    return {name: one.f1 for name, one in counts.items()}


def on_record() -> dict[str, Any]:
    """Return what was measured so far, ``CARD/SEED`` by name."""
    found: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    return found


def missing(known: dict[str, Any]) -> str:
    """Return which checkpoints are not on record, in words."""
    absent = [
        f"{card} (seed {seed})" for seed in SEEDS for card in CARDS if f"{card}/{seed}" not in known
    ]
    return (
        f"Not measured yet: {', '.join(absent)}; the same command goes on."
        if absent
        else "All checkpoints are there."
    )


def main() -> None:
    """Train and score whatever is not on record; with --write, put the table into
    docs/results.md.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-training", action="store_true", help="Only what is on record.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sets, known = data_sets(), on_record()
    for seed, card in ((seed, card) for seed in SEEDS for card in CARDS):
        if f"{card}/{seed}" not in known and not given.no_training:
            known[f"{card}/{seed}"] = measure(card, seed, sets)
            STATE.parent.mkdir(parents=True, exist_ok=True)
            write_text(STATE, json.dumps(known, indent=1))
            print(
                card,
                seed,
                {n: round(s["f1"], 3) for n, s in known[f"{card}/{seed}"]["scores"].items()},
                flush=True,
            )
    scored = Scored(CARDS, known, distances(sets), predict_all(sets), L4S, IBURI)
    table, words = rows(scored), verdict(scored)
    print(table, words, sep="\n\n")
    if given.write:
        sizes = "; ".join(
            f"{name}: {sum(y.size for _, y in s.training):,} / "
            f"{sum(y.size for _, y in s.validation):,} / {sum(y.size for _, y in s.test):,}"
            for name, s in sets.items()
        )
        steps = [one["steps"] for one in known.values()]
        fill(
            "cross-real",
            table=table,
            verdict=words,
            sizes=sizes,
            seconds=f"{CPU_SECONDS:g}",
            steps=f"{min(steps, default=0)} to {max(steps, default=0)}",
            seeds=", ".join(sorted({name.rpartition("/")[2] for name in known})),
            missing=missing(known),
            points=str(POINTS),
            width=str(WIDTH),
        )


if __name__ == "__main__":
    main()
