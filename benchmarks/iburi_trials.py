"""What might improve the Iburi checkpoint: each recipe change trained on every fold and judged on
its validation band alone.

    python -m benchmarks.iburi_trials [--only TRIAL] [--write]   # resumable per trial and fold:
    runs/verify/iburi/trials.json

The choice never sees a test band: test scores are made for the plain recipe and for the chosen one,
afterwards. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.iburi import FOLDS, ROOT, WORK, pooled, samples_of, trained
from benchmarks.results import fill
from configs.checkpoint import read_card
from configs.files import write_text
from configs.records import IGNORED
from configs.training import TrainingConfig, read_training
from flows.learning.train import fold_of, probability_of, train_card
from models.metrics import Confusion, Sweep
from models.registry import Checkpoint

CARD, SEED = "iburi-post", 0
STATE = WORK / "trials.json"


@dataclass(frozen=True)
class Trial:
    """One change of the recipe of `configs/train/iburi-post.yaml`, or of how its checkpoints
    map.
    """

    words: str
    changes: dict[str, Any] = field(default_factory=dict)
    flips: bool = False


PLAIN = "plain"
TRIALS = {
    PLAIN: Trial("the recipe as it is"),
    "flips": Trial("mapped four times, flipped, and averaged", flips=True),
    "light": Trial(
        "three times the variation of light", {"augmentation": {"mirrors": "none", "jitter": 0.15}}
    ),
    "scene": Trial(
        "imagery adapted to the reference by its own mean and spread", {"adapt": "scene"}
    ),
    "unaveraged": Trial("no averaging of weights", {"average": 0.0}),
    "longer": Trial("twice the steps", {"steps": 300, "validate_every": 300, "average": 0.99}),
}


def recipe_of(trial: Trial, name: str, fold: int) -> TrainingConfig:
    """Return the recipe of a trial on one fold."""
    recipe = read_training(ROOT / "configs" / "train" / f"{CARD}.yaml")
    content = recipe.model_dump(mode="json", exclude_unset=True) | trial.changes
    own = {
        "name": f"{CARD}-{name}-f{fold}-s{SEED}",
        "seed": SEED,
        "splits": fold_of(samples_of(CARD), fold).model_dump(),
    }
    return TrainingConfig.model_validate(content | own)


def card_of(name: str, fold: int) -> Checkpoint:
    """Return a trial's checkpoint of a fold, trained where it is not there yet; changes of mapping
    alone train nothing.
    """
    trial = TRIALS[name]
    if not trial.changes:
        card = trained(CARD, fold, SEED)
        folder = WORK / "cards" / card.name
        tiles = card.tiles.model_copy(update={"flips": trial.flips})
        return Checkpoint(folder, card.model_copy(update={"tiles": tiles}))
    config = recipe_of(trial, name, fold)
    folder = WORK / "cards" / config.name
    if folder.exists():
        return Checkpoint(folder, read_card(folder))
    return train_card(config, [samples_of(CARD).path], f"{CARD} {name}", WORK / "cards")


def validated(name: str, fold: int) -> dict[str, float]:
    """Return the counts on a fold's validation band at the best threshold there, and that
    threshold.
    """
    samples = samples_of(CARD)
    truth = samples.label(samples.numbers(fold_of(samples, fold).validation))
    probability = probability_of(
        card_of(name, fold).load("cpu", "bfloat16"), samples, truth != IGNORED
    )
    threshold, counts = Sweep.of(np.nan_to_num(probability), truth).best()
    return {
        "threshold": threshold,
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "tn": counts.tn,
    }


def tested(name: str, fold: int, threshold: float) -> Confusion:
    """Return the counts on a fold's test band at the threshold of its validation band."""
    samples = samples_of(CARD)
    truth = samples.label(samples.numbers(fold_of(samples, fold).test))
    probability = probability_of(
        card_of(name, fold).load("cpu", "bfloat16"), samples, truth != IGNORED
    )
    return Confusion.from_masks(
        np.nan_to_num(probability) >= threshold, truth == 1, truth != IGNORED
    )


Record = dict[str, dict[str, dict[str, float]]]
"""Trial -> fold -> counts and threshold on the validation band."""


def on_record() -> Record:
    """Return what was measured so far."""
    found: Record = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    return found


def whole(record: Record) -> dict[str, float]:
    """Return the pooled validation F1 of every trial that is there on all folds."""
    return {
        name: pooled([_counts(record[name][str(fold)]) for fold in FOLDS]).f1
        for name in TRIALS
        if all(str(fold) in record.get(name, {}) for fold in FOLDS)
    }


def _counts(one: dict[str, float]) -> Confusion:
    return Confusion(*(int(one[key]) for key in ("tp", "fp", "fn", "tn")))


def run(only: list[str] | None = None) -> Record:
    """Train and validate whatever is not on record."""
    torch.set_num_threads(1)
    record = on_record()
    for name in only or TRIALS:
        for fold in FOLDS:
            if str(fold) not in record.get(name, {}):
                counts = validated(name, fold)
                record = on_record()  # another process may have measured another trial meanwhile
                record.setdefault(name, {})[str(fold)] = counts
                Path(STATE).parent.mkdir(parents=True, exist_ok=True)
                write_text(STATE, json.dumps(record, indent=1))
                print(name, fold, round(_counts(record[name][str(fold)]).f1, 3), flush=True)
    return record


def document(record: Record) -> tuple[str, str]:
    """Return the table of validation F1, and what came of it on the test bands in words."""
    found = whole(record)
    lines = ["| tried | pooled F1 on validation bands | band by band |", "| --- | --- | --- |"]
    for name in found:
        bands = ", ".join(f"{_counts(record[name][str(fold)]).f1:.3f}" for fold in FOLDS)
        lines.append(f"| {TRIALS[name].words} | {found[name]:.3f} | {bands} |")
    absent = [trial.words for name, trial in TRIALS.items() if name not in found]
    words = (
        f"Not measured yet: {'; '.join(absent)}; the same command goes on."
        if absent
        else "All are measured."
    )
    if PLAIN not in found or len(found) < 2:
        return "\n".join(lines), words
    best = max(found, key=lambda name: found[name])
    if best == PLAIN:
        return "\n".join(
            lines
        ), f"None is better there than the recipe as it is, which stays. {words}"
    test, plain = (
        pooled([tested(name, fold, record[name][str(fold)]["threshold"]) for fold in FOLDS])
        for name in (best, PLAIN)
    )
    chosen = (
        f"Chosen there, before any test band was looked at: {TRIALS[best].words} "
        f"({found[best]:.3f} against {found[PLAIN]:.3f}). "
        f"On the five test bands it reaches pooled F1 {test.f1:.3f} (precision "
        f"{test.precision:.3f}, recall {test.recall:.3f}), "
        f"the recipe as it is {plain.f1:.3f}, one seed each."
    )
    return "\n".join(lines), f"{chosen} {words}"


def main() -> None:
    """Train and validate whatever is not on record; with --write, put it into
    docs/results.md.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", choices=list(TRIALS), help="This trial; may be repeated."
    )
    parser.add_argument("--no-training", action="store_true", help="Only what is on record.")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    table, words = document(on_record() if given.no_training else run(given.only))
    print(table, words, sep="\n\n")
    if given.write:
        fill("iburi-trials", table=table, verdict=words, seed=str(SEED))


if __name__ == "__main__":
    main()
