"""What a training waits for: drawing a batch in memory, or from samples that lie on the device; and
on a GPU whole steps with either.

A part of `python -m benchmarks.speed`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.tiling import Kept
from configs.checkpoint import BandStatistics, Normalisation
from configs.training import AugmentationConfig, TrainingConfig
from models.inference.normalise import Normaliser
from models.training.batches import Batches, Order
from models.training.held import Held
from models.training.loop import train
from tiles.augment import Augment

BANDS: Final = ("post_B2", "post_B3", "post_B4")
CHIPS, SIDE, BATCH = 100, 128, 32
DRAWS, STEPS, WARM = 4, 80, 20
"""Batches drawn on a processor; steps trained on a GPU, and those of them that warm up."""
VARIED: Final[dict[str, dict[str, Any]]] = {
    "light alone (`iburi-post`)": {"mirrors": "none", "jitter": 0.05},
    "turned, zoomed, noise (`world-rgb`)": {
        "mirrors": "all", "scale": 0.2, "aspect": 0.15, "rotate": True, "jitter": 0.35,
        "noise": 0.05,
    },
}  # fmt: skip
"""How two shipped recipes vary their chips."""


class Noise:
    """Chips of random numbers, as a training reads them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shape = (CHIPS, len(BANDS), SIDE, SIDE)
        self._pixels = rng.uniform(0.02, 0.3, shape).astype(np.float32)
        self._labels = (rng.random((CHIPS, SIDE, SIDE)) < 0.1).astype(np.uint8)

    def __len__(self) -> int:
        return CHIPS

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return self._pixels[index], self._labels[index]


def augmented(varied: AugmentationConfig) -> Augment | None:
    """Return a recipe's changes of geometry."""
    if varied.mirrors == "none":
        return None
    return Augment(varied.mirrors, scale=varied.scale, aspect=varied.aspect, rotate=varied.rotate)


def draws(kept: Kept) -> None:
    """Measure processor seconds of drawing a batch either way, on this processor."""
    chips = Noise()
    band = BandStatistics(minimum=0.0, maximum=0.3, mean=0.16, std=0.08)
    normalisation = Normalisation(method="zscore", statistics=dict.fromkeys(BANDS, band))
    for name, varied in VARIED.items():
        if kept.has(f"draw {name}"):
            continue
        config = AugmentationConfig(**varied)
        normaliser, order = Normaliser.of(normalisation, BANDS), Order(CHIPS, BATCH, seed=0)
        memory = Batches(chips, BANDS, order, normaliser, config, augment=augmented(config))
        held = Held.of(memory, torch.device("cpu"))
        spent: dict[str, list[float]] = {"memory": [], "device": []}
        for step in range(DRAWS + 1):
            for way, batches in (("memory", memory), ("device", held)):
                begun = time.process_time()
                batches.at(step)
                spent[way].append(time.process_time() - begun)
        row = {way: statistics.median(seconds[1:]) for way, seconds in spent.items()}
        kept.keep(f"draw {name}", row)


def steps(kept: Kept) -> None:
    """Measure whole training steps of the network of `world-rgb` on a GPU, with samples in memory
    and on the device.
    """
    for name, varied in VARIED.items():
        for where in ("memory", "device"):
            if kept.has(f"step {where} {name}"):
                continue
            at: list[float] = []

            def advance(done: int, total: int, at: list[float] = at) -> None:
                at.append(time.perf_counter())

            config = TrainingConfig.model_validate(
                {
                    "name": "noise", "samples": [{"path": "noise"}], "bands": BANDS,
                    "architecture": "resu_senet", "arguments": {"width": 16}, "batch": BATCH,
                    "steps": STEPS, "augmentation": varied, "samples_on": where,
                    "save_every": STEPS,
                }
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                train(
                    config, Noise(), None, BANDS, Path(folder),
                    augment=augmented(config.augmentation), advance=advance,
                )  # fmt: skip
            row = {"thousand": (at[-1] - at[WARM - 1]) / (STEPS - WARM) * 1000}
            kept.keep(f"step {where} {name}", row)


def table(kept: Kept) -> str:
    """Return both as a Markdown table."""
    lines = ["| chips are varied by | a batch in memory, CPU seconds | from held samples, CPU "
             "seconds | ratio | 1 000 steps on a GPU, memory | … held |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name in VARIED:
        memory, device = (kept.number(f"draw {name}", way) for way in ("memory", "device"))
        gpu = [
            f"{kept.number(f'step {where} {name}', 'thousand'):.1f} s"
            if kept.has(f"step {where} {name}")
            else "*not measured: no CUDA device here*"
            for where in ("memory", "device")
        ]
        lines.append(
            f"| {name} | {memory:.3f} | {device:.3f} | {memory / device:.2f} | {' | '.join(gpu)} |"
        )
    return "\n".join(lines)
