"""Every network on the same real images with the same budget: five minutes of one CPU thread each.

    python -m benchmarks.comparison [--only NETWORK] [--write]     # resumable per row:
    runs/verify/comparison.json

Landslide4Sense (RGB) and Bijie patches; needs the real data beside the repository. Writes
docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.budget import probability, train_for
from benchmarks.results import fill, machine
from configs.files import write_text
from models.architectures import ARCHITECTURES, build
from models.metrics import Confusion, Sweep

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT.parent / "shared" / "real" / "patches"
STATE = ROOT / "runs" / "verify" / "comparison.json"
CPU_SECONDS, SEED, BATCH, CROP_PX = 300.0, 0, 8, 96
IGNORED = 255
FIRST = (
    "resu_senet",
    "unet",
    "resu_net",
    "fc_densenet",
    "scdnn",
    "dfpenet",
    "multi_input_unet",
    "deeplabv3plus_resnet50",
)
"""The papers' own networks and their nearest rivals come first: a run cut short has these."""
ORDER = (*FIRST, *(name for name in ARCHITECTURES if name not in FIRST))

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""An image `(3, H, W)` and its label `(H, W)`."""


@dataclass(frozen=True)
class Split:
    """One data set's fixed parts."""

    training: list[Pair]
    validation: list[Pair]
    """Chooses the threshold of this data set, nothing else."""
    test: list[Pair]


def read_pair(image: Path, mask: Path) -> Pair:
    """Return an RGB image `(3, H, W)` and its label `(H, W)`, 1 landslide."""
    pixels = np.asarray(Image.open(image).convert("RGB")).transpose(2, 0, 1)
    return np.ascontiguousarray(pixels), (np.asarray(Image.open(mask).convert("L")) > 127).astype(
        np.uint8
    )


def splits() -> dict[str, Split]:
    """Return both data sets' fixed splits, by position in the order of the file names.

    Landslide4Sense: the publisher's training part trains; of its validation part every sixth image
    (from the first) validates and every third (from the second) tests. Bijie: of every ten images
    one validates, three test, six train.
    """
    l4s, bijie = PATCHES / "landslide4sense-rgb", PATCHES / "bijie"
    part = {
        name: [
            read_pair(image, l4s / name / "masks" / image.name.replace("image", "mask"))
            for image in sorted((l4s / name / "images").iterdir())
        ]
        for name in ("train", "validation")
    }
    tens = [
        read_pair(image, bijie / "masks" / image.name)
        for image in sorted((bijie / "images").iterdir())
    ]
    return {
        "Landslide4Sense": Split(part["train"], part["validation"][::6], part["validation"][1::3]),
        "Bijie": Split(
            [pair for i, pair in enumerate(tens) if i % 10 > 3],
            tens[::10],
            [pair for i, pair in enumerate(tens) if 1 <= i % 10 <= 3],
        ),
    }


@dataclass(frozen=True)
class Scale:
    """z-score by the training pixels of both data sets, each image counting alike."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @classmethod
    def of(cls, training: list[Pair]) -> Scale:
        """Return the scale of images, `(3, 1, 1)` each."""
        moments = [
            (x.mean(axis=(1, 2)), np.square(x, dtype=np.float32).mean(axis=(1, 2)))
            for x, _ in training
        ]
        mean, square = (np.mean(part, axis=0) for part in zip(*moments, strict=True))
        return cls(
            *(v.astype(np.float32)[:, None, None] for v in (mean, np.sqrt(square - mean**2)))
        )

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return network inputs `(3, H, W)`."""
        return (pixels.astype(np.float32) - self.mean) / self.std


def drawn(
    pair: Pair, scale: Scale, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a random crop, mirrored and turned at random; smaller images are filled up with
    unlabelled pixels.
    """
    x, y = scale(pair[0]), pair[1]
    missing = [(0, max(0, CROP_PX - side)) for side in y.shape]
    x, y = np.pad(x, [(0, 0), *missing]), np.pad(y, missing, constant_values=IGNORED)
    top, left = (int(rng.integers(0, side - CROP_PX + 1)) for side in y.shape)
    x, y = (
        x[:, top : top + CROP_PX, left : left + CROP_PX],
        y[top : top + CROP_PX, left : left + CROP_PX],
    )
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    x, y = np.rot90(x, turns, (1, 2)), np.rot90(y, turns)
    return (x[:, :, ::-1], y[:, ::-1]) if mirror else (x, y)


def batch(
    parts: dict[str, Split], scale: Scale, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a batch, half of it from each data set."""
    each = BATCH // len(parts)
    pairs = [
        drawn(part.training[int(rng.integers(len(part.training)))], scale, rng)
        for part in parts.values()
        for _ in range(each)
    ]
    return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])


def score(network: nn.Module, part: Split, scale: Scale) -> dict[str, float]:
    """Return the pooled metrics on a data set's test images, each predicted whole, and the seconds
    of CPU per megapixel.
    """
    sweep = Sweep.empty()
    for x, y in part.validation:
        sweep = sweep + Sweep.of(probability(network, scale(x)[None])[0], y)
    threshold, _ = sweep.best()
    counts, since = Confusion(), time.process_time()
    for x, y in part.test:
        counts = counts + Confusion.from_masks(
            probability(network, scale(x)[None])[0] >= threshold, y
        )
    pixels = sum(y.size for _, y in part.test)
    return {
        **counts.as_dict(),
        "threshold": threshold,
        "s_per_mpx": (time.process_time() - since) / pixels * 1e6,
    }


def measure(name: str, parts: dict[str, Split]) -> dict[str, Any]:
    """Return one network's row: trained on both data sets for the budget, scored on each."""
    torch.manual_seed(SEED)
    arguments = {"groups": [[0, 1, 2]]} if ARCHITECTURES[name].multi_input else {}
    network = build(name, 3, **arguments)
    scale = Scale.of([pair for part in parts.values() for pair in part.training])
    spent = train_for(network, lambda rng: batch(parts, scale, rng), CPU_SECONDS, SEED)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "steps": spent.steps,
        "cpu_seconds": spent.cpu_seconds,
        "loss": spent.loss,
        "scores": {data: score(network, part, scale) for data, part in parts.items()},
        "machine": machine(),
    }


def predict_all(part: Split) -> dict[str, float]:
    """Return the metrics of calling every pixel a landslide: what a network must beat."""
    return sum(
        (Confusion.from_masks(np.ones_like(y), y) for _, y in part.test), Confusion()
    ).as_dict()


def table(rows: dict[str, dict[str, Any]], parts: dict[str, Split]) -> str:
    """Return the document's table, one line a network that is on record."""
    head = ["network", "trained on", "parameters", "steps", "CPU s", "s / Mpx"]
    head += [
        f"{data} {metric}"
        for data in parts
        for metric in ("F1", "IoU", "precision", "recall", "MCC")
    ]
    lines = [head, ["---"] * len(head)]
    trained = " + ".join(f"{data} ({len(part.training)})" for data, part in parts.items())
    for name in ORDER:
        if name not in rows:
            continue
        row = rows[name]
        speed = np.mean([scores["s_per_mpx"] for scores in row["scores"].values()])
        cells = [ARCHITECTURES[name].title, trained, f"{row['parameters']:,}", str(row["steps"])]
        lines.append(
            [*cells, f"{row['cpu_seconds']:.0f}", f"{speed:.1f}", *_cells(row["scores"], parts)]
        )
    every = {data: predict_all(part) for data, part in parts.items()}
    lines.append(["*predict all*", "nothing", *[""] * 4, *_cells(every, parts)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(scores: dict[str, dict[str, float]], parts: dict[str, Split]) -> list[str]:
    return [
        f"{scores[data][metric]:.3f}"
        for data in parts
        for metric in ("f1", "iou", "precision", "recall", "mcc")
    ]


def missing(rows: dict[str, dict[str, Any]]) -> str:
    """Return which networks are not on record, in words."""
    absent = [ARCHITECTURES[name].title for name in ORDER if name not in rows]
    return (
        f"Not measured yet: {', '.join(absent)}; the same command goes on."
        if absent
        else "All networks are there."
    )


def on_record() -> dict[str, dict[str, Any]]:
    """Return the rows measured so far."""
    rows: dict[str, dict[str, Any]] = (
        json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    )
    return rows


def main() -> None:
    """Train and score whatever is not yet on record; with --write, put the table into
    docs/results.md.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=list(ARCHITECTURES),
        help="This network; may be repeated.",
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-training", action="store_true", help="Only what is on record.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows, parts = on_record(), splits()
    for name in () if given.no_training else given.only or ORDER:
        if name not in rows:
            row = measure(name, parts)
            rows = {
                **on_record(),
                name: row,
            }  # another process may have measured another network meanwhile
            STATE.parent.mkdir(parents=True, exist_ok=True)
            write_text(STATE, json.dumps(rows, indent=1))
            print(
                name,
                rows[name]["steps"],
                {d: round(s["f1"], 3) for d, s in rows[name]["scores"].items()},
                flush=True,
            )
    made = table(rows, parts)
    print(made, missing(rows), sep="\n")
    if given.write:
        sizes = "; ".join(
            f"{d}: {len(p.training)} / {len(p.validation)} / {len(p.test)}"
            for d, p in parts.items()
        )
        fill(
            "comparison",
            table=made,
            missing=missing(rows),
            sizes=sizes,
            minutes=f"{CPU_SECONDS / 60:g}",
            crop=str(CROP_PX),
            batch=str(BATCH),
            seed=str(SEED),
        )


if __name__ == "__main__":
    main()
