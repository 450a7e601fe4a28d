"""What terrain is worth to a checkpoint that may do without it, on real pixels.

    python -m benchmarks.optional_bands [--write]    # resumable: runs/verify/optional-bands

The recipe of `world-rgb` twice, on the same sets: red, green and blue alone, and with slope as an
optional band, which only the western part of Iburi 2018 has. Scored on the blocks of Iburi that no
training saw. Needs the real data beside the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.real import samples_of
from benchmarks.results import fill
from configs.checkpoint import read_card
from configs.files import write_text
from configs.records import IGNORED
from configs.training import TrainingConfig
from flows.learning.samples import make_samples
from flows.learning.train import probability_of, train_card
from models.registry import Checkpoint
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "optional-bands"
PICTURES = ("l4s-s1", "l4s-s2", "l4s-s4")
SEEDS = (0, 1)
KINDS = {"rgb": {}, "terrain": {"optional": ["slope"]}}
"""Recipe -> what it has beyond `world-rgb`."""
SIDE_PX = 32
"""Blocks that are drawn for intervals."""


def iburi() -> SampleSet:
    """Return the western part of Iburi with slope, cut where it is missing."""
    folder = WORK / "iburi-west-terrain"
    if not folder.exists():
        shipped = ROOT / "configs" / "samples" / "iburi-west.yaml"
        content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
        content |= {"name": folder.name, "bands": [*content["bands"], "slope"]}
        config = shipped.with_name(f".{folder.name}.yaml")  # its paths are relative
        try:
            write_text(config, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
            make_samples(config, folder)
        finally:
            config.unlink(missing_ok=True)
    return SampleSet.open(folder)


def trained(kind: str, seed: int) -> Checkpoint:
    """Return a checkpoint of one of the recipes, trained where it is missing."""
    name = f"{kind}-s{seed}"
    folder = WORK / "cards" / name
    if not folder.exists():
        recipe = ROOT / "configs" / "train" / "world-rgb.yaml"
        content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        sets = {one: samples_of(one).path for one in PICTURES} | {"iburi-west": iburi().path}
        samples = [{**one, "path": str(sets[Path(one["path"]).name])} for one in content["samples"]]
        drop = {"drop": 0.5} if KINDS[kind] else {}
        augmentation = {"augmentation": content["augmentation"] | drop}
        changes = {"name": name, "title": name, "seed": seed, "samples": samples}
        config = TrainingConfig.model_validate(content | changes | augmentation | KINDS[kind])
        paths = [Path(one["path"]) for one in samples]
        train_card(config, paths, "benchmarks.optional_bands", folder.parent)
    return Checkpoint(folder, read_card(folder))


def counted(found: Checkpoint, without: bool) -> NDArray[np.int64]:
    """Return (true, false, missed) landslide pixels by block `(n, 3)` of held-out ground."""
    samples = iburi()
    label = samples.label(samples.numbers(["validation", "test"]))
    if without:
        rgb = samples.card.model_copy(update={"bands": found.card.required})
        samples.card = rgb
    probability = probability_of(found.load(), samples, label != IGNORED)
    called = np.isfinite(probability) & (probability >= found.card.threshold)
    rows = []
    for top in range(0, label.shape[0], SIDE_PX):
        for left in range(0, label.shape[1], SIDE_PX):
            part = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
            if (label[part] != IGNORED).any():
                mine, truth, none = called[part], label[part] == 1, label[part] == 0
                rows.append([(mine & truth).sum(), (mine & none).sum(), (truth & ~mine).sum()])
    return np.array(rows, np.int64)


def f1(counts: NDArray[np.int64]) -> float:
    """Return F1 of counts summed over blocks."""
    true, false, missed = counts.sum(axis=0)
    return float(2 * true / max(1, 2 * true + false + missed))


def table(done: dict[str, list[NDArray[np.int64]]]) -> str:
    """Return F1 by seed, and the difference to the plain recipe with its interval over blocks."""
    lines = ["| reads | F1 by seed | less red green blue alone |", "| --- | --- | --- |"]
    plain = next(iter(done.values()))
    draw = np.random.default_rng(0)
    for name, counts in done.items():
        drawn = []
        for _ in range(2000):
            at = draw.integers(0, len(counts[0]), len(counts[0]))
            pairs = zip(counts, plain, strict=True)
            drawn.append(np.mean([f1(mine[at]) - f1(other[at]) for mine, other in pairs]))
        low, high = np.percentile(drawn, [2.5, 97.5])
        pairs = zip(counts, plain, strict=True)
        mean = float(np.mean([f1(mine) - f1(other) for mine, other in pairs]))
        words = "" if counts is plain else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
        lines.append(f"| {name} | {', '.join(f'{f1(one):.3f}' for one in counts)} | {words} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, score, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    given = parser.parse_args()
    seeds = SEEDS[: given.seeds]
    done = {
        "red, green, blue": [counted(trained("rgb", seed), False) for seed in seeds],
        "with optional slope": [counted(trained("terrain", seed), False) for seed in seeds],
        "the same, without": [counted(trained("terrain", seed), True) for seed in seeds],
    }
    print(table(done), flush=True)
    if given.write:
        fill("optional-bands", table=table(done), seeds=", ".join(map(str, seeds)))


if __name__ == "__main__":
    main()
