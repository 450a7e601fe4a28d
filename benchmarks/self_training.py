"""Self-training on the scene: a checkpoint of other events goes on learning, without a label, where
its map and the red of bare ground agree.

    python -m benchmarks.self_training [--write]     # resumable per map: runs/verify/real

Beside `model.threshold: agreement`, which asks the same witness for a threshold alone. The network
after self-training is kept (*gated*) only where its map agrees better with the index than before.
Needs the real data beside the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.real import (
    NETWORK,
    SEEDS,
    TITLES,
    UNSEEN,
    WORK,
    beside,
    checkpoint,
    mapped,
    recipe,
    samples_of,
)
from benchmarks.results import fill, machine
from configs.records import IGNORED
from configs.training import TrainingConfig
from flows.learning.adapting import on
from flows.learning.evaluate_cards import probability_of
from flows.learning.train import _augment
from models.inference.adaptation import Adaptation
from models.inference.agreement import BEYOND, Agreement, agreement
from models.metrics import Confusion, Sweep
from models.registry import Checkpoint
from models.training import loop
from models.training.finetune import Start
from tiles.chips import ChipDataset, Share
from tiles.samples import SampleSet

STEPS, BATCH, RATE = 120, 12, 3e-4
CERTAIN, PLAIN = 1.6, 0.8
"""Spreads of red above green from which a pixel counts as bare, and up to which as not bare."""
BEFORE, AFTER, GATED = "agreement", "self-trained, agreement", "gated"
HALF = "self-trained, at 0.5"
WAYS = (BEFORE, AFTER, HALF, GATED)


class _Taught(SampleSet):
    """A scene whose labels are what the map and the index agree upon."""

    lesson: NDArray[np.uint8]

    def stored(self, name: str, rows: slice, columns: slice) -> NDArray[Any]:
        return (
            self.lesson[rows, columns] if name == "label" else super().stored(name, rows, columns)
        )


class _InTerms:
    """Chips in the checkpoint's terms, by the statistics of the scene."""

    def __init__(self, chips: ChipDataset, adaptation: Adaptation) -> None:
        self._chips, self._adaptation = chips, adaptation

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        x, y = self._chips[index]
        return self._adaptation(x.numpy(), self._chips.bands), y.numpy()


def colours(name: str) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Return where a scene has a label, and red and green there."""
    samples = samples_of(name)
    known = samples.label(samples.numbers(samples.card.split_names.values())) != IGNORED
    return known, samples.read("post_B4")[known], samples.read("post_B3")[known]


def witness(name: str, probability: NDArray[np.float32]) -> Agreement | None:
    """Return where a map of a scene agrees best with red above green."""
    _, red, green = colours(name)
    return agreement(lambda: [(probability, red, green)], BEYOND)


def lesson(name: str, probability: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Return what map and index agree upon, `(y, x)`: 1 landslide, 0 none, 255 undecided."""
    known, red, green = colours(name)
    above = (red - red.mean()) / red.std() - (green - green.mean()) / green.std()
    above /= above.std()
    told = np.full(known.shape, IGNORED, np.uint8)
    said = np.full(len(above), IGNORED, np.uint8)
    said[(probability < threshold / 2) & (above < PLAIN)] = 0
    said[(probability >= threshold) & (above > CERTAIN)] = 1
    told[known] = said
    return told


def tuned(found: Checkpoint, config: TrainingConfig, name: str, told: NDArray[np.uint8]) -> Any:
    """Return the checkpoint's predictor after learning from a scene's own lesson."""
    samples = _Taught(samples_of(name).path)
    samples.lesson = told
    config = config.model_copy(
        update={
            "steps": STEPS,
            "batch": BATCH,
            "keep": "last",
            "average": 0.0,
            "validate_every": None,
            "optimiser": config.optimiser.model_copy(update={"learning_rate": RATE}),
            "augmentation": config.augmentation.model_copy(update={"jitter": 0.17}),
        }
    )
    predictor = on(found.load(), samples_of(name))
    every = tuple(samples.card.split_names.values())
    chips = ChipDataset(
        [Share(samples, every)], predictor.bands, crop_px=samples.card.chip_px, shuffle=False
    )
    assert predictor.adaptation is not None
    trained = loop.train(
        config,
        _InTerms(chips, predictor.adaptation),
        None,
        predictor.bands,
        WORK / "self" / f"{config.name}-{name}",
        augment=_augment(config, [samples]),
        normalisation=found.card.normalisation,
        start=Start(found.card, found.load("cpu").module.state_dict()),
    )
    return replace(predictor, module=trained.module, _ready=None)


def self_trained(found: Checkpoint, config: TrainingConfig, name: str) -> NDArray[np.float32]:
    """Return the map of a scene, `(labelled pixels,)`, after self-training; kept between runs."""
    path = WORK / "maps" / f"{found.card.name}-{name}-self.npy"
    if not path.exists():
        probability, _ = mapped(found, name)
        known, own = colours(name)[0], witness(name, probability)
        told = lesson(name, probability, own.threshold if own else found.card.threshold)
        predictor = tuned(found, config, name, told)
        made = probability_of(predictor, samples_of(name), known)[known]
        np.save(path, np.nan_to_num(made).astype(np.float16), allow_pickle=False)
    found_map: NDArray[np.float32] = np.load(path, allow_pickle=False).astype(np.float32)
    return found_map


def rows(seed: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield (scene, trained on, F1 by way)."""
    for name, events in UNSEEN.items():
        found = checkpoint(NETWORK, events, seed)
        before, label = mapped(found, name)
        after = self_trained(found, recipe(NETWORK, events, seed), name)
        old, new = witness(name, before), witness(name, after)
        at = [one.threshold if one else 0.5 for one in (old, new)]
        kappa = [one.kappa if one else 0.0 for one in (old, new)]
        f1 = [
            Confusion.from_masks(p >= t, label == 1).f1
            for p, t in ((before, at[0]), (after, at[1]), (after, 0.5))
        ]
        best = [Sweep.of(p, label, 10_000).best(low=0.001)[1].f1 for p in (before, after)]
        ways = dict(zip(WAYS, [*f1, f1[1] if kappa[1] > kappa[0] else f1[0]], strict=True))
        yield name, events, ways | {"best before": best[0], "best after": best[1]}


def table(found: list[tuple[str, str, dict[str, float]]]) -> str:
    """Return F1 of every scene, the highest possible before and after beside them."""
    keys = list(found[0][2])
    lines = [
        f"| unseen scene | trained on | {' | '.join(keys)} |",
        f"|{' --- |' * (2 + len(keys))}",
    ]
    for name, events, f1 in found:
        cells = " | ".join(f"{f1[key]:.3f}" for key in keys)
        lines.append(f"| {TITLES[name]} | {events} | {cells} |")
    return "\n".join(lines)


def verdict(found: list[tuple[str, str, dict[str, float]]]) -> str:
    """Return means over events, and differences to the threshold by agreement alone."""
    scenes = [name for name, _, _ in found]
    values = {way: np.array([f1[way] for _, _, f1 in found]) for way in WAYS}
    return "\n".join(f"- {beside(scenes, values, way, BEFORE)}" for way in WAYS[1:])


def main() -> None:
    """Print the table; with --write, keep it as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    found = list(rows(SEEDS[0]))
    print(table(found) + "\n\n" + verdict(found))
    if given.write:
        fill("self-training", table=table(found), verdict=verdict(found), machine=machine())


if __name__ == "__main__":
    main()
