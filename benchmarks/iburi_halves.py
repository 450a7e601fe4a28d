"""Ground that a checkpoint has not seen and is no neighbour of: one half of the real Iburi scene
trains, the other one tests.

    python -m benchmarks.iburi_halves [--write]   # resumable: runs/verify/iburi

Of the five bands of `benchmarks.iburi` the western two train and the eastern two test, and the
reverse; the middle band lies between them: nothing trains there, thresholds and calibrations are
chosen on it.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import boosted_trees
from benchmarks.iburi import CARDS, ROOT, WORK, counts_of, pooled, samples_of
from benchmarks.results import fill
from configs.checkpoint import CheckpointCard, read_card
from configs.records import IGNORED
from configs.training import Splits, TrainingConfig, read_training
from flows.learning.train import probability_of, train_card
from models.architectures import INDEX
from models.metrics import Confusion
from models.registry import Checkpoint, installed
from tiles.samples import SampleSet

WEST, GUARD, EAST = ("band-0", "band-1"), ("band-2",), ("band-3", "band-4")
HALVES = {
    "west → east": Splits(training=WEST, validation=GUARD, test=EAST),
    "east → west": Splits(training=EAST, validation=GUARD, test=WEST),
}
SEED = 0
BUDGET: dict[str, Any] = {
    "steps": 75, "validate_every": 75, "average": 0.96, "precision": "float32", "save_every": 15,
}  # fmt: skip
"""Half of the recipe's steps, weights averaged over half as many: what a loaded machine allows."""


def recipe_of(card: str, half: str) -> TrainingConfig:
    """Return the recipe of a checkpoint, trained on one half."""
    recipe = read_training(ROOT / "configs" / "train" / f"{card}.yaml")
    name = f"{card}-{half.partition(' ')[0]}-s{SEED}"
    own = {"name": name, "seed": SEED, "splits": HALVES[half].model_dump(), **BUDGET}
    return TrainingConfig.model_validate(recipe.model_dump(mode="json", exclude_unset=True) | own)


def trained(card: str, half: str) -> Checkpoint:
    """Return a checkpoint of one half, trained where it is not there yet."""
    config = recipe_of(card, half)
    folder = WORK / "cards" / config.name
    if folder.exists():
        return Checkpoint(folder, read_card(folder))
    return train_card(config, [samples_of(card).path], f"{card}, half", WORK / "cards")


def labels(samples: SampleSet, half: str) -> dict[str, NDArray[np.uint8]]:
    """Return the labels of training, validation and test ground, `(y, x)`."""
    splits = HALVES[half]
    return {
        name: samples.label(samples.numbers(getattr(splits, name)))
        for name in ("training", "validation", "test")
    }


def by_index(half: str) -> Confusion:
    """Return the counts of colour alone; it learns nothing of either half."""
    samples, found = samples_of("iburi-post"), installed(INDEX)
    truth = labels(samples, half)["test"]
    probability = probability_of(found.load("cpu"), samples, truth != IGNORED)
    called = np.nan_to_num(probability) >= found.card.threshold
    return Confusion.from_masks(called, truth == 1, truth != IGNORED)


def by_trees(half: str) -> Confusion:
    """Return the counts of boosted trees on pixels and their 5×5 means."""
    samples = samples_of("iburi-post")
    part = labels(samples, half)
    bands = ("post_B2", "post_B3", "post_B4", "slope", "hillshade")
    pixels = np.stack([samples.read(band) for band in bands])  # (band, y, x)
    called = boosted_trees(pixels, part["training"], part["validation"], context=True, seed=SEED)
    return Confusion.from_masks(called, part["test"] == 1, part["test"] != IGNORED)


def row(name: str, counts: list[Confusion], note: str = "") -> str:
    """Return a line of the table."""
    total = pooled(counts)
    halves = " | ".join(f"{one.f1:.3f}" for one in counts)
    ratios = f"{total.f1:.3f} | {total.precision:.3f} | {total.recall:.3f}"
    return f"| {name} | {ratios} | {halves} | {note} |"


def table() -> str:
    """Return the document's table, training whatever is missing."""
    head = ["what", "pooled F1", "precision", "recall", *(f"F1 {half}" for half in HALVES), "note"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for card in CARDS:
        found: list[CheckpointCard] = [trained(card, half).card for half in HALVES]
        minutes = sum(float(one.training["seconds"]) for one in found) / 60
        counts = [counts_of(one) for one in found]
        lines.append(row(f"`{card}`", counts, f"{minutes:.1f} min of training for both halves"))
        print(lines[-1], flush=True)
    lines.append(row("boosted trees, pixels and 5×5 means", [by_trees(half) for half in HALVES]))
    note = "learns nothing here, its threshold is its own"
    lines.append(row("index (colour alone)", [by_index(half) for half in HALVES], note))
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --write, keep it as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/iburi-halves.json")
    write = parser.parse_args().write
    WORK.mkdir(parents=True, exist_ok=True)
    made = table()
    print(made)
    if write:
        fill("iburi-halves", table=made, seed=str(SEED))


if __name__ == "__main__":
    main()
