"""What a chosen checkpoint must beat in every domain of the study: an NDVI-change threshold and
pixel-wise boosted trees.

    python -m benchmarks.study_baselines [--write]     # after `coslide study standard`

The baselines are fitted in the domain itself, which favours them, and for trees also on the other
domains, as the checkpoints are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.baselines import best_threshold
from benchmarks.results import fill
from configs.records import IGNORED
from configs.studying import read_study
from flows.study.pool import Scene, sample_sets, scenes
from models.metrics import Confusion, Sweep
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "study"
PIXELS = 60_000
"""Training pixels of a forest, in all."""

Pixels = tuple[NDArray[np.float32], NDArray[np.uint8]]


def pixels_of(samples: SampleSet, split: str | None, step: int = 1) -> Pixels:
    """Return the labelled pixels `(n, bands)` and labels of a split (all where None), every
    `step`-th along both axes.
    """
    names = [split] if split else list(samples.card.split_names.values())
    label = samples.label(samples.numbers(names))[::step, ::step]
    bands = np.stack([samples.read(name)[::step, ::step] for name in samples.card.bands], axis=-1)
    known = (label != IGNORED) & np.isfinite(bands).all(axis=-1)
    return bands[known], label[known]


def joined(parts: list[Pixels], count: int, seed: int = 0) -> Pixels:
    """Return `count` of the pixels of several sets, evenly from each."""
    rng, each = np.random.default_rng(seed), count // len(parts)
    picked = [
        (x[i], y[i])
        for x, y in parts
        for i in [rng.choice(len(y), min(each, len(y)), replace=False)]
    ]
    return np.concatenate([x for x, _ in picked]), np.concatenate([y for _, y in picked])


class Trees:
    """Boosted trees with the threshold of the best F1 on validation pixels."""

    def __init__(self, training: list[Pixels], validation: list[Pixels]) -> None:
        self.trees = HistGradientBoostingClassifier(random_state=0).fit(*joined(training, PIXELS))
        x, y = joined(validation, PIXELS)
        self.threshold, _ = Sweep.of(self.trees.predict_proba(x)[:, 1], y).best()

    def f1(self, x: NDArray[np.float32], y: NDArray[np.uint8]) -> float:
        """Return the F1 on a scene's pixels."""
        return score(self.trees.predict_proba(x)[:, 1] >= self.threshold, y)


def score(called: NDArray[np.bool_], y: NDArray[np.uint8]) -> float:
    """Return the F1; 0 where nothing is found."""
    f1 = Confusion.from_masks(called, y == 1).f1
    return 0.0 if np.isnan(f1) else f1


def ndvi_drop(bands: tuple[str, ...], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much NDVI fell."""
    return np.asarray(x[:, bands.index("pre_NDVI")] - x[:, bands.index("post_NDVI")])


def measure(name: str) -> dict[str, list[float]]:
    """Return, by domain, mean F1 of the NDVI threshold, trees in domain, trees of the other
    domains.
    """
    config, folder = read_study(name)
    sets = sample_sets(config, folder)
    every = scenes(config, sets, folder, WORK / config.name)
    train, check = (
        {d.name: [pixels_of(sets[p], split, 2) for p in d.sets] for d in config.domains}
        for split in ("train", "validation")
    )
    bands = next(iter(sets.values())).card.bands
    found = {}
    for domain in config.domains:
        others = [d.name for d in config.domains if d.name != domain.name]
        x, y = joined([*train[domain.name], *check[domain.name]], 4 * PIXELS)
        drop = best_threshold(ndvi_drop(bands, x), y)
        forests = [
            Trees(train[domain.name], check[domain.name]),
            Trees([p for o in others for p in train[o]], [p for o in others for p in check[o]]),
        ]
        rows = [_row(scene, bands, drop, forests) for scene in every if scene.domain == domain.name]
        found[domain.name] = np.mean(rows, axis=0).tolist()
    return found


def _row(scene: Scene, bands: tuple[str, ...], drop: float, forests: list[Trees]) -> list[float]:
    x, y = pixels_of(scene.samples, None, 2)
    return [score(ndvi_drop(bands, x) >= drop, y), *(forest.f1(x, y) for forest in forests)]


def main() -> None:
    """Print the table; with --write, put it into docs/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="standard")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    reference = json.loads((WORK / given.study / "findings.json").read_text(encoding="utf-8"))[
        "reference"
    ]
    found = measure(given.study)
    lines = [
        "domain (simulated) | chosen checkpoint, unseen | NDVI change, in domain | trees, in "
        "domain | trees, unseen",
        "--- | --- | --- | --- | ---",
    ]
    lines += [
        " | ".join([name, f"{reference[name][0]:.3f}", *(f"{v:.3f}" for v in values)])
        for name, values in found.items()
    ]
    made = "\n".join(f"| {line} |" for line in lines)
    beaten = [[reference[name][0] > value for value in values] for name, values in found.items()]
    wins = np.sum(beaten, axis=0)
    verdict = (
        f"The chosen checkpoint is better than the NDVI change in {wins[0]}, than trees fitted "
        f"in the domain in {wins[1]}, and than "
        f"trees fitted as it was in {wins[2]} of {len(found)} domains."
    )
    print(made, verdict, sep="\n\n")
    if given.write:
        fill("study-baselines", table=made, verdict=verdict)


if __name__ == "__main__":
    main()
