"""Real events left out whole: how well a checkpoint of other events maps one that it never saw.

    python -m benchmarks.real [--write]     # resumable per checkpoint: runs/verify/real

Landslide4Sense scenes S1, S2, S4 and the western part of Iburi 2018 (S2 is the same event: neither
is unseen where the other trained); HR-GLDD's blocks judge and never train. Thresholds come from the
validation blocks of the training events. Needs the real data beside the repository.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import fill, machine
from configs.checkpoint import read_card
from configs.files import write_text
from configs.records import IGNORED
from configs.training import SampleSource, TrainingConfig, read_training
from flows.learning.samples import make_samples
from flows.learning.train import probability_of, train_card
from models.inference.agreement import BEYOND, agreement
from models.metrics import Confusion, Sweep
from models.registry import Checkpoint
from models.selection.evidence import by_target, interval
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "real"
SEEDS = (0, 1, 2)
TRAINED_ON: dict[str, tuple[str, ...]] = {
    "Taiwan + Kodagu": ("l4s-s1", "l4s-s4"),
    "Taiwan + Iburi": ("l4s-s1", "l4s-s2", "iburi-west"),
    "Iburi + Kodagu": ("l4s-s2", "iburi-west", "l4s-s4"),
}
UNSEEN: dict[str, str] = {
    "l4s-s1": "Iburi + Kodagu",
    "l4s-s2": "Taiwan + Kodagu",
    "iburi-west": "Taiwan + Kodagu",
    "l4s-s4": "Taiwan + Iburi",
}
"""Scene -> the training events that are all but its own."""
ONE_EVENT = {"l4s-s2": "iburi", "iburi-west": "iburi"}
"""Scenes of one event, which count as one where means are taken."""
TITLES = {
    "l4s-s1": "S1, Taiwan",
    "l4s-s2": "S2, Iburi",
    "iburi-west": "Iburi west",
    "l4s-s4": "S4, Kodagu",
    "hr-gldd-b1": "HR-GLDD B1",
    "hr-gldd-b2": "HR-GLDD B2",
    "hr-gldd-b5": "HR-GLDD B5",
    "hr-gldd-b8": "HR-GLDD B8",
}
NETWORK, INDEX, BOTH = "network", "index", "mean of both"
EXPECTED, OURS = "network, expected F1", "network, agreement"
INDEX_OURS, BOTH_OURS = "index, agreement", "both, agreement"
WAYS = (NETWORK, INDEX, BOTH, EXPECTED, OURS, INDEX_OURS, BOTH_OURS, "predict all")
"""The last four of the maps set their threshold on the scene, without a label."""
COMPARED = (
    (NETWORK, INDEX), (BOTH, INDEX), (EXPECTED, NETWORK), (OURS, NETWORK), (BOTH_OURS, INDEX),
)  # fmt: skip


def samples_of(name: str) -> SampleSet:
    """Return a sample set, cut where it is missing."""
    folder = ROOT / "runs" / "samples" / name
    if not folder.exists():
        make_samples(ROOT / "configs" / "samples" / f"{name}.yaml", folder)
    return SampleSet.open(folder)


def recipe(kind: str, events: str, seed: int) -> TrainingConfig:
    """Return the shipped recipe of the network or the index, on some events alone."""
    whole = read_training(
        ROOT / "configs" / "train" / f"{'world-rgb' if kind == NETWORK else INDEX}.yaml"
    )
    chosen = [
        SampleSource(path=str(ROOT / "runs" / "samples" / name), count=source.count)
        for name in TRAINED_ON[events]
        for source in whole.samples
        if Path(source.path).name == name
    ]
    words = events.lower().replace(" + ", "-")
    return TrainingConfig.model_validate(
        {
            **whole.model_dump(),
            "name": f"{kind}-{words}-s{seed}",
            "seed": seed,
            "samples": [one.model_dump() for one in chosen],
        }
    )


def checkpoint(kind: str, events: str, seed: int) -> Checkpoint:
    """Return a checkpoint, trained where it is missing."""
    config = recipe(kind, events, seed)
    folder = WORK / "cards" / config.name
    if folder.exists():
        return Checkpoint(folder, read_card(folder))
    sets = [samples_of(Path(source.path).name).path for source in config.samples]
    return train_card(config, sets, "benchmarks.real", WORK / "cards")


def mapped(found: Checkpoint, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return (probability, label) of every labelled pixel of a scene, kept between runs."""
    samples = samples_of(name)
    label = samples.label(samples.numbers(samples.card.split_names.values()))
    known = label != IGNORED
    path = WORK / "maps" / f"{found.card.name}-{name}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        probability = probability_of(found.load(), samples, known)[known]
        np.save(path, np.nan_to_num(probability).astype(np.float16), allow_pickle=False)
    return np.load(path, allow_pickle=False).astype(np.float32), label[known]


def threshold_of(found: Checkpoint, other: Checkpoint) -> float:
    """Return the threshold of two checkpoints' mean, from their training events' validation
    blocks.
    """
    sweep = Sweep.empty()
    for domain in found.card.domains:
        name = domain.name
        samples = samples_of(name)
        every = samples.label(samples.numbers(samples.card.split_names.values()))
        held = samples.label(samples.numbers(["validation"]))[every != IGNORED] != IGNORED
        first, label = mapped(found, name)
        second, _ = mapped(other, name)
        sweep = sweep + Sweep.of((first[held] + second[held]) / 2, label[held])
    return float(sweep.best()[0])


def agreeing(name: str, probability: NDArray[Any], beyond: float = BEYOND) -> float:
    """Return the threshold that a scene itself gives, `model.threshold: agreement`."""
    samples = samples_of(name)
    known = samples.label(samples.numbers(samples.card.split_names.values())) != IGNORED
    red, green = (samples.read(band)[known] for band in ("post_B4", "post_B3"))
    found = agreement(lambda: [(probability, red, green)], beyond)
    return found.threshold if found else 0.5


def expecting(probability: NDArray[Any]) -> float:
    """Return the threshold of the highest F1 that calibrated probabilities let one expect."""
    sweep = Sweep.of(probability, np.zeros(len(probability), np.uint8))
    pixels, p = sweep.negatives[::-1], sweep.thresholds[::-1]
    hits, called = np.cumsum(pixels * p), np.cumsum(pixels)
    return float(p[int(np.argmax(2 * hits / (called + hits[-1] + 1e-9)))])


def scores(name: str, seed: int) -> dict[str, dict[str, float]]:
    """Return F1, precision, recall and best F1 by kind of map, of one scene and seed."""
    found: dict[str, list[dict[str, float]]] = {}
    for events in [UNSEEN[name]] if name in UNSEEN else list(TRAINED_ON):
        pair = [checkpoint(kind, events, seed) for kind in (NETWORK, INDEX)]
        maps = [mapped(one, name) for one in pair]
        (network, label), (index, _) = maps
        both = (network + index) / 2
        ways: dict[str, tuple[NDArray[Any], float]] = {
            NETWORK: (network, pair[0].card.threshold),
            INDEX: (index, pair[1].card.threshold),
            BOTH: (both, threshold_of(*pair)),
            EXPECTED: (network, expecting(network)),
            OURS: (network, agreeing(name, network)),
            INDEX_OURS: (index, agreeing(name, index)),
            BOTH_OURS: (both, agreeing(name, both)),
        }
        for way, (probability, threshold) in ways.items():
            counts = Confusion.from_masks(probability >= threshold, label == 1, label != IGNORED)
            best = Sweep.of(probability, label, 10_000).best(low=0.001)[1].f1
            row = {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
            found.setdefault(way, []).append(row | {"best": best})
        everything = Confusion.from_masks(
            np.ones_like(label, bool), label == 1, np.ones_like(label, bool)
        )
        found.setdefault("predict all", []).append({"f1": everything.f1, "best": everything.f1})
    return {
        way: {key: float(np.nanmean([one[key] for one in rows])) for key in rows[0]}
        for way, rows in found.items()
    }


def table(done: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return the table of all scenes, F1 by seed and their best threshold's in brackets."""
    lines = [
        f"| unseen scene | trained on | {' | '.join(WAYS)} |",
        f"|{' --- |' * (2 + len(WAYS))}",
    ]
    for name, seeds in done.items():
        cells = []
        for way in WAYS:
            f1 = [one[way]["f1"] for one in seeds.values()]
            best = float(np.mean([one[way]["best"] for one in seeds.values()]))
            words = ", ".join(f"{value:.3f}" for value in dict.fromkeys(round(v, 3) for v in f1))
            cells.append(words if way == "predict all" else f"{words} ({best:.2f})")
        trained = UNSEEN.get(name, "each pair, mean")
        lines.append(f"| {TITLES[name]} | {trained} | {' | '.join(cells)} |")
    return "\n".join(lines)


def beside(scenes: list[str], f1: dict[str, NDArray[Any]], way: str, other: str) -> str:
    """Return means over events of two ways to map scenes, and their difference with its interval;
    F1 `(scenes,)` by way.
    """
    events = [ONE_EVENT.get(name, name) for name in scenes]
    means = [float(by_target(events, f1[each]).mean()) for each in (way, other)]
    low, high = interval(events, f1[way] - f1[other])
    return (
        f"{way} {means[0]:.3f}, {other} {means[1]:.3f}, difference "
        f"{means[0] - means[1]:+.3f} ({low:+.3f} to {high:+.3f})"
    )


def verdict(done: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return what the table says: means over events, and differences to the index with their
    intervals.
    """
    lines = []
    for words, names in (
        ("Sentinel-2 events", [n for n in done if n in UNSEEN]),
        ("HR-GLDD blocks (3 m)", [n for n in done if n not in UNSEEN]),
        ("all", list(done)),
    ):
        f1 = {
            way: np.array([np.mean([one[way]["f1"] for one in done[n].values()]) for n in names])
            for way in WAYS[:-1]
        }
        lines += [f"- {words}: {beside(names, f1, way, other)}" for way, other in COMPARED]
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, score every scene, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    given = parser.parse_args()
    done: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in TITLES}
    for seed in SEEDS[: given.seeds]:
        for name in TITLES:
            done[name][str(seed)] = scores(name, seed)
        print(table(done) + "\n\n" + verdict(done), flush=True)
    write_text(WORK / "scores.json", json.dumps(done, indent=1))
    if given.write:
        seeds = ", ".join(map(str, SEEDS[: given.seeds]))
        fill("real", table=table(done), verdict=verdict(done), machine=machine(), seeds=seeds)


if __name__ == "__main__":
    main()
