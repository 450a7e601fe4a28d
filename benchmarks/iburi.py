"""The five-band protocol on the real Iburi scene: every band is once the test band, two seeds, two
checkpoints, and baselines.

    python -m benchmarks.iburi [--write]        # resumable: finished trainings are kept in
    runs/verify/iburi

Real Sentinel-2 pixels and hand-traced truth; needs the real data beside the repository. Writes
docs/results.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import best_threshold, boosted_trees
from benchmarks.iburi_fill import filled_counts, with_deposits
from benchmarks.results import fill
from configs.checkpoint import CheckpointCard, read_card
from configs.records import IGNORED
from configs.training import Splits
from flows.learning.samples import make_samples
from flows.learning.train import Overrides, fold_of, train
from models.metrics import Confusion
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "iburi"
FOLDS, SEEDS, CARDS = range(5), (0, 1), ("iburi-post", "iburi-prepost")


def samples_of(card: str) -> SampleSet:
    """Return a checkpoint's sample set, cut where it is not there yet."""
    folder = WORK / "samples" / card
    return (
        SampleSet.open(folder)
        if folder.exists()
        else make_samples(ROOT / "configs" / "samples" / f"{card}.yaml", folder)
    )


def trained(card: str, fold: int, seed: int) -> CheckpointCard:
    """Return the checkpoint of one fold and seed, trained where it is not there yet."""
    name = f"{card}-f{fold}-s{seed}"
    folder = WORK / "cards" / name
    if not folder.exists():
        recipe = ROOT / "configs" / "train" / f"{card}.yaml"
        samples = samples_of(card).path
        train(str(recipe), str(WORK / "cards"), Overrides(name, seed, fold, (str(samples),)))
    return read_card(folder)


def counts_of(card: CheckpointCard) -> Confusion:
    """Return the counts on a checkpoint's one test band."""
    (score,) = card.scores
    return Confusion(*(int(score.values[key]) for key in ("tp", "fp", "fn", "tn")))


def baselines(samples: SampleSet) -> dict[str, list[Confusion]]:
    """Return the counts per fold of predicting everything, the best B4 threshold and boosted trees
    on pixels.

    Thresholds and trees see training and validation bands only, as the networks do.
    """
    rows: dict[str, list[Confusion]] = {
        "predict all": [],
        "best B4 threshold": [],
        "boosted trees, pixels": [],
        "boosted trees, pixels and 5×5 means": [],
    }
    bands = ("post_B2", "post_B3", "post_B4", "slope", "hillshade")
    pixels = np.stack([samples.read(band) for band in bands])  # (band, y, x)
    for fold in FOLDS:
        splits = fold_of(samples, fold)
        part = {
            name: samples.label(samples.numbers(which)) for name, which in _roles(splits).items()
        }
        known = part["test"] != IGNORED
        truth = part["test"] == 1
        rows["predict all"].append(Confusion.from_masks(np.ones_like(truth), truth, known))
        b4 = pixels[bands.index("post_B4")]
        rows["best B4 threshold"].append(
            Confusion.from_masks(b4 >= best_threshold(b4, part["validation"]), truth, known)
        )
        for name, context in (
            ("boosted trees, pixels", False),
            ("boosted trees, pixels and 5×5 means", True),
        ):
            predicted = boosted_trees(
                pixels, part["training"], part["validation"], context=context, seed=fold
            )
            rows[name].append(Confusion.from_masks(predicted, truth, known))
    return rows


def _roles(splits: Splits) -> dict[str, tuple[str, ...]]:
    return {"training": splits.training, "validation": splits.validation, "test": splits.test}


def pooled(counts: list[Confusion]) -> Confusion:
    """Return the counts of all folds together."""
    total = counts[0]
    for one in counts[1:]:
        total = total + one
    return total


def row(name: str, counts: list[Confusion], note: str = "") -> str:
    """Return a line of the table."""
    total = pooled(counts)
    bands = " | ".join(f"{one.f1:.3f}" for one in counts)
    return (
        f"| {name} | {total.f1:.3f} | {total.precision:.3f} | {total.recall:.3f} | "
        f"{total.iou:.3f} | {bands} | {note} |"
    )


def unobserved_as_none(fold: int, counts: Confusion) -> Confusion:
    """Return the counts over all imaged, interpreted pixels of the test band; those the checkpoint
    could not see count as "none".
    """
    everything = samples_of("iburi-post")
    label: NDArray[np.uint8] = everything.label(everything.numbers(fold_of(everything, fold).test))
    missed = int((label == 1).sum()) - (counts.tp + counts.fn)
    none = int((label == 0).sum()) - (counts.fp + counts.tn)
    return Confusion(counts.tp, counts.fp, counts.fn + missed, counts.tn + none)


def rows_of(card: str, seed: int) -> list[str]:
    """Return one checkpoint's lines for one seed, training its folds where they are missing."""
    cards = [trained(card, fold, seed) for fold in FOLDS]
    counts = [counts_of(one) for one in cards]
    minutes = sum(float(one.training["seconds"]) for one in cards) / 60
    deposits = [with_deposits(WORK, card, fold, seed) for fold in FOLDS]
    lines = [
        row(
            f"`{card}`, seed {seed}, observed pixels",
            counts,
            f"{minutes:.0f} min of training for five folds",
        ),
        row(f"`{card}`, seed {seed}, against source areas and deposits", deposits),
    ]
    everywhere = [unobserved_as_none(fold, one) for fold, one in enumerate(counts)]
    share = total(pooled(counts)) / total(pooled(everywhere))
    if share < 0.99:
        filled = [filled_counts(WORK, card, fold, seed) for fold in FOLDS]
        lines.append(
            row(f"`{card}`, seed {seed}, filled by `iburi-post`, all imaged pixels", filled)
        )
    lines.append(
        row(
            f"`{card}`, seed {seed}, unobserved counted as none",
            everywhere,
            f"{share:.1%} of the pixels observed",
        )
    )
    return lines


def total(counts: Confusion) -> int:
    """Return how many pixels were counted."""
    return counts.tp + counts.fp + counts.fn + counts.tn


def table() -> str:
    """Return the document's table, training whatever is missing."""
    names = [
        "what",
        "pooled F1",
        "precision",
        "recall",
        "IoU",
        *(f"F1 band {fold}" for fold in FOLDS),
        "note",
    ]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += [line for card in CARDS for seed in SEEDS for line in rows_of(card, seed)]
    lines += [row(name, counts) for name, counts in baselines(samples_of("iburi-post")).items()]
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --write, put it into docs/results.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    WORK.mkdir(parents=True, exist_ok=True)
    made = table()
    print(made)
    if write:
        fill("iburi", table=made, seeds=", ".join(map(str, SEEDS)))


if __name__ == "__main__":
    main()
