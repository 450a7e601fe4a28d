"""What the scores across real data sets come to: one line a checkpoint and test part, and what they
say in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scored:
    """Every checkpoint's scores."""

    cards: Mapping[str, tuple[str, ...]]
    """Card -> data sets it was trained on."""
    measured: Mapping[str, Any]
    """``CARD/SEED`` -> its scores by test part."""
    distances: Mapping[str, Mapping[str, tuple[float, float]]]
    floor: Mapping[str, float]
    """Test part -> F1 of calling everything a landslide."""
    collection: str
    """The data set that holds ground of `region` somewhere among its patches."""
    region: str

    def kind(self, card: str, test: str) -> str:
        """Return whether the test part is of a data set the checkpoint knows, of ground it may
        know, or unseen.
        """
        trained = self.cards[card]
        if test in trained:
            return "in-domain"
        if any(first.split(" at ")[0] == test.split(" at ")[0] for first in trained):
            return "in-domain, other pixel size"
        return (
            "*overlapping*"
            if {self.collection, self.region} in ({test, one} for one in trained)
            else "unseen"
        )

    def pairs(self) -> Iterator[tuple[str, str, list[dict[str, float]]]]:
        """Yield checkpoint, test part and the scores of the seeds that are on record."""
        for card in self.cards:
            runs = [one for key, one in self.measured.items() if key.rpartition("/")[0] == card]
            for test in self.floor if runs else ():
                yield card, test, [run["scores"][test] for run in runs]


def rows(scored: Scored) -> str:
    """Return the table: means over seeds, F1 of every seed."""
    head = [
        "trained on",
        "scored on",
        "ground",
        "MMD",
        "F1 by seed",
        "precision",
        "recall",
        "best threshold",
    ]
    lines = [[*head, "matched light", "predict all"], ["---"] * 10]
    for card, test, runs in scored.pairs():
        distance, error = scored.distances[card][test]
        by_seed = ", ".join(f"{_number(run['f1']):.3f}" for run in runs)
        means = (f"{_mean(runs, key):.3f}" for key in ("precision", "recall", "best", "matched"))
        near = f"{distance:.2f} ± {error:.2f}"
        lines.append(
            [
                card,
                test,
                scored.kind(card, test),
                near,
                by_seed,
                *means,
                f"{scored.floor[test]:.3f}",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(scored: Scored) -> str:
    """Return what transfers, in words."""
    by: dict[str, list[tuple[float, float, float, float]]] = {}
    for card, test, runs in scored.pairs():
        entry = (_mean(runs, "f1"), _mean(runs, "best"), _mean(runs, "matched"), scored.floor[test])
        by.setdefault(scored.kind(card, test), []).append(entry)
    unseen, own = by.get("unseen", []), by.get("in-domain", [])
    if not unseen or not own:
        return "Nothing is on record yet; the same command goes on."
    f1, best, same_light, floor = (float(np.mean(values)) for values in zip(*unseen, strict=True))
    beyond = sum(one[0] > one[3] for one in unseen)
    words = [
        f"In their own domain checkpoints reach F1 {np.mean([one[0] for one in own]):.3f} in the "
        f"mean; on the {len(unseen)} pairs "
        f"of unseen ground {f1:.3f}, where calling everything a landslide gives "
        f"{floor:.3f}: {beyond} of the {len(unseen)} "
        "do better than that.",
        "With the best threshold of each test part, which nobody could know, it would be "
        f"{best:.3f}; with the test images "
        "moved to the mean and spread of the checkpoint's own training images, which needs no "
        f"label, {same_light:.3f}.",
    ]
    if overlap := by.get("*overlapping*"):
        words.append(
            f"The rows marked *overlapping* ({np.mean([one[0] for one in overlap]):.3f} in "
            "the mean) say nothing about "
            "unseen ground."
        )
    return "\n".join(words)


def _number(value: float) -> float:
    """Return a ratio whose 0/0 counts as nothing found."""
    return 0.0 if np.isnan(value) else value


def _mean(runs: list[dict[str, float]], key: str) -> float:
    return float(np.mean([_number(run[key]) for run in runs]))
