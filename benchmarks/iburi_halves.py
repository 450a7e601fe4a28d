"""Ground that a checkpoint has not seen and is no neighbour of: one half of the real Iburi scene
trains, the other one tests.

    python -m benchmarks.iburi_halves [--write] [CHECKPOINT ...]   # resumable: runs/verify/iburi

Of the five bands of `benchmarks.iburi` the western two train and the eastern two test, and the
reverse; the middle band lies between them: nothing trains there, thresholds and calibrations are
chosen on it. Where checkpoints are named, the other rows stay as they were measured before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import boosted_trees
from benchmarks.iburi import CARDS, ROOT, WORK, counts_of, pooled, samples_of
from benchmarks.product import scored
from benchmarks.results import RESULTS, fill
from configs.checkpoint import read_card
from configs.clean import CleanConfig
from configs.records import IGNORED
from configs.training import Splits, TrainingConfig, read_training
from flows.learning.confidence import judged, kept, promised, together
from flows.learning.train import probability_of, train_card
from inventory.outline.split import split
from models.architectures import INDEX
from models.metrics import Confusion
from models.registry import Checkpoint, installed
from models.selection.home import away_from_home
from tiles.samples import SampleSet

WEST, GUARD, EAST = ("band-0", "band-1"), ("band-2",), ("band-3", "band-4")
HALVES = {
    "west → east": Splits(training=WEST, validation=GUARD, test=EAST),
    "east → west": Splits(training=EAST, validation=GUARD, test=WEST),
}
SEED = 0
ROWS = {
    "iburi-post": "`iburi-post`",
    "iburi-prepost": "`iburi-prepost`",
    "trees": "boosted trees",
    "index": "index",
}
"""What is measured, by name: how its row begins."""
BUDGET: dict[str, Any] = {"precision": "float32", "save_every": 15}
"""The recipe's own steps; computed in float32 whatever the processor, saved often to go on from."""


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


def by_network(card: str) -> list[str]:
    """Return a checkpoint's row; after that of `iburi-post` what `auto` takes: it, wherever the
    other half is at home for it, and it is the nearest elsewhere too.
    """
    found = [trained(card, half) for half in HALVES]
    minutes = sum(float(one.card.training["seconds"]) for one in found) / 60
    steps = " and ".join(str(one.card.training["steps"]) for one in found)
    counts = [counts_of(one.card) for one in found]
    rows = [row(f"`{card}`", counts, f"{steps} steps, {minutes:.0f} min of training")]
    if card == "iburi-post":
        home = sum(
            away_from_home(one.card, one.reference(), other.reference()) == ()
            for one, other in zip(found, reversed(found), strict=True)
        )
        note = f"takes `{card}`; the other half is at home for {home} of its 2 checkpoints"
        rows.append(row("`auto`", counts, note))
    return rows


def by_colour_or_trees(name: str) -> list[str]:
    """Return the row of what learns without a network."""
    if name == "index":
        note = "learns nothing here, its threshold is its own"
        return [row("index (colour alone)", [by_index(half) for half in HALVES], note)]
    return [row("boosted trees, pixels and 5×5 means", [by_trees(half) for half in HALVES])]


def before() -> list[str]:
    """Return the rows that were measured before, as they stand in the results."""
    parts = json.loads((RESULTS / "iburi-halves.json").read_text(encoding="utf-8"))["parts"]
    return [
        f"| {' | '.join(cells)} |" for part in parts if "columns" in part and "pooled F1" in
        part["columns"] for cells in part["rows"]
    ]  # fmt: skip


def table(names: Sequence[str]) -> str:
    """Return the document's table, training whatever is missing of what is named."""
    head = ["what", "pooled F1", "precision", "recall", *(f"F1 {half}" for half in HALVES), "note"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    earlier = before() if set(names) != set(ROWS) else []
    for name, title in ROWS.items():
        if name in names:
            lines += by_network(name) if name in CARDS else by_colour_or_trees(name)
        else:
            lines += [one for one in earlier if one.startswith(f"| {title}")]
        print(lines[-1], flush=True)
    return "\n".join(lines)


def test_objects(card: str) -> NDArray[np.int64]:
    """Return the landslides that a checkpoint draws on both test halves, each by the one that has
    not seen it, numbered, `(y, x)`.
    """
    samples = samples_of(card)
    numbers = np.zeros(tuple(int(n) for n in samples.geobox.shape), np.int64)
    for half in HALVES:
        found, where = trained(card, half), labels(samples, half)["test"] != IGNORED
        probability = probability_of(found.load("cpu"), samples, where)
        called = where & (probability >= found.card.threshold)
        numbers = np.maximum(numbers, split(called, probability, CleanConfig().split_depth))
    return numbers


def objects(names: Sequence[str]) -> str:
    """Return what is found landslide by landslide, and how far confidence keeps its word: classes
    made on the band between alone, judged on the test half.
    """
    lines = [
        "| checkpoint | recall | precision | one-to-one F1 | the reference's own on this grid | "
        "landslides traced / mapped | largest, km² | right of high, west → east | of medium | "
        "right ones that are high | right of high, east → west | of medium | "
        "right ones that are high |",
        f"|{' --- |' * 13}",
    ]
    for card in (name for name in names if name in CARDS):
        samples = samples_of(card)
        truth = np.minimum(*(labels(samples, half)["test"] for half in HALVES))
        found = scored(card, samples, test_objects(card), truth)
        cells = [
            f"{found.recall:.3f}", f"{found.precision:.3f}", f"{found.one_to_one_f1:.3f}",
            f"{found.ceiling_f1:.3f}", f"{found.reference_count} / {found.predicted_count}",
            f"{found.predicted_areas_m2.max() / 1e6:.2f}",
            *(cell for half in HALVES for cell in promise(card, half)),
        ]  # fmt: skip
        lines.append(f"| `{card}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def promise(card: str, half: str) -> tuple[str, str, str]:
    """Return the shares right of high and of medium landslides on the test half, each with how
    many, and the share of the right ones that is high.
    """
    found, sets, splits = trained(card, half), [samples_of(card)], HALVES[half]
    predictor = found.load("cpu")
    between = judged(predictor, sets, splits.validation)
    made = promised({key: part.landslides for key, part in between.items()})
    if made is None:
        return "too few between", "–", "–"
    tested = together(part.landslides for part in judged(predictor, sets, splits.test).values())
    told = kept(made, tested)
    cells = [
        f"{told['right'][each]:.2f} of {count}" if count else "–"
        for each, count in told["counts"].items()
    ]
    high = told["right"].get("high", 0) * told["counts"]["high"]
    return cells[0], cells[1], f"{high / max(1, tested.right.sum()):.0%}"


def main() -> None:
    """Print the table; with --write, keep it as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/iburi-halves.json")
    parser.add_argument("names", nargs="*", default=tuple(ROWS), choices=tuple(ROWS))
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    made, parted = table(given.names), objects(given.names)
    print(made, parted, sep="\n\n")
    if given.write:
        fill("iburi-halves", table=made, objects=parted, seed=str(SEED))


if __name__ == "__main__":
    main()
