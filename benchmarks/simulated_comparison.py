"""What influencing factors and radar add, on the simulated Earth: pairs of networks that differ in
their inputs alone. Simulated throughout.

    python -m benchmarks.simulated_comparison [--write]     # resumable per row:
    runs/verify/simulated_comparison.json

FC-DenseNet without and with factors (Gao et al. 2021); U-Net on twelve optical bands, on all
channels, and the two-branch U-Net, under cloud (Chen et al. 2023). Writes
docs/results.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.budget import probability, train_for
from benchmarks.results import fill
from configs.files import write_text
from flows.learning.samples import make_samples
from gee.simulated import fingerprint
from models.architectures import build
from models.inference import normalise
from models.inference.normalise import Normaliser
from models.metrics import Confusion, Sweep
from tiles.augment import Augment
from tiles.chips import ChipDataset, Share
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify"
STATE = WORK / "simulated_comparison.json"
UNLEARNT = 0.2
"""Best F1 of a pair below which its order says nothing."""
BATCH, SEEDS = 8, (0, 1)
SHARED = tuple(f"post_{band}" for band in ("B1", "B2", "B3", "B4", "B8", "B11", "B12"))
"""The seven bands that Landsat-8 and Sentinel-2 share."""
OPTICAL = tuple(
    f"post_{band}"
    for band in ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"]
)


@dataclass(frozen=True)
class Row:
    """One network on one set of channels."""

    title: str
    paper: str
    samples: str
    network: str
    bands: tuple[str, ...] | None = None
    """All of the sample set's where None."""
    arguments: dict[str, object] = field(default_factory=dict)
    cpu_seconds: float = 60.0


def _bands_and_factors(samples: str, cpu_seconds: float) -> tuple[Row, Row]:
    """Return Gao et al. 2021's pair on a sample set: FC-DenseNet at a quarter of its growth,
    without and with factors.
    """
    rest: tuple[dict[str, object], float] = ({"growth": 8}, cpu_seconds)
    return (
        Row("FC-DenseNet, 7 bands", "001", samples, "fc_densenet", SHARED, *rest),
        Row("FC-DenseNet, 7 bands + factors", "001", samples, "fc_densenet", None, *rest),
    )


FACTORS = _bands_and_factors("sim-factors-tropical-range", 240.0)
LOESS = _bands_and_factors("sim-factors-loess-basin", 60.0)
OPTICAL_ONLY = Row(
    "U-Net, 12 optical bands", "004", "sim-twobranch-cloudy", "unet", OPTICAL, {"width": 16}
)
ALL_CHANNELS = Row(
    "U-Net, radar + optical + terrain", "004", "sim-twobranch-cloudy", "unet", None, {"width": 16}
)
TWO_BRANCHES = Row(
    "Two-branch U-Net, radar + optical | terrain",
    "004",
    "sim-twobranch-cloudy",
    "multi_input_unet",
    None,
    {"width": 16, "groups": [list(range(14)), [14, 15, 16]]},
)
ROWS = (*FACTORS, *LOESS, OPTICAL_ONLY, ALL_CHANNELS, TWO_BRANCHES)
PAIRS = (
    FACTORS,
    LOESS,
    (OPTICAL_ONLY, ALL_CHANNELS),
    (OPTICAL_ONLY, TWO_BRANCHES),
    (ALL_CHANNELS, TWO_BRANCHES),
)
"""The poorer inputs first."""


def samples_of(name: str) -> SampleSet:
    """Return a sample set, cut where it is not there yet."""
    folder = WORK / "simulated_comparison" / name
    recipe = ROOT / "configs" / "samples" / f"{name}.yaml"
    return SampleSet.open(folder) if folder.exists() else make_samples(recipe, folder)


def measure(row: Row, seed: int) -> dict[str, Any]:
    """Return one row's scores on its test split, trained for the budget."""
    samples = samples_of(row.samples)
    bands = row.bands or samples.card.bands
    part = [Share(samples, ("train",), alone=True)]
    side = samples.card.chip_px
    plain = ChipDataset(part, bands, crop_px=side, shuffle=False)
    fitted = normalise.fit((plain[i] for i in range(len(plain))), bands, "zscore")
    normaliser = Normaliser.of(fitted, bands)
    varied = ChipDataset(part, bands, crop_px=side, augment=Augment("all"), seed=seed)

    def draw(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        varied.set_epoch(int(rng.integers(1 << 31)))
        pairs = [varied[i] for i in range(BATCH)]
        return normaliser.array(np.stack([x.numpy() for x, _ in pairs])), np.stack(
            [y.numpy() for _, y in pairs]
        )

    torch.manual_seed(seed)
    network = build(row.network, len(bands), **row.arguments)
    spent = train_for(network, draw, row.cpu_seconds, seed)
    pixels = normaliser.array(np.stack([samples.read(band) for band in bands]))
    mapped = probability(network, pixels[None])[0]
    threshold, _ = Sweep.of(mapped, samples.label(samples.numbers(("validation",)))).best()
    counts = Confusion.from_masks(mapped >= threshold, samples.label(samples.numbers(("test",))))
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "channels": len(bands),
        "chips": len(plain),
        "steps": spent.steps,
        "cpu_seconds": spent.cpu_seconds,
        "loss": spent.loss,
        **counts.as_dict(),
    }


def table(done: dict[str, dict[str, Any]]) -> str:
    """Return the document's table, a line a row and seed that is on record."""
    head = [
        "network",
        "paper",
        "trained on (simulated)",
        "channels",
        "parameters",
        "seed",
        "steps",
        "CPU s",
    ]
    head += ["F1", "IoU", "precision", "recall", "MCC"]
    lines = [head, ["---"] * len(head)]
    for row in ROWS:
        for seed in SEEDS:
            if (found := done.get(key(row, seed))) is None:
                continue
            what = [
                row.title.replace("|", "\\|"),
                row.paper,
                f"{row.samples}, {found['chips']} chips",
                str(found["channels"]),
            ]
            spent = [
                f"{found['parameters']:,}",
                str(seed),
                str(found["steps"]),
                f"{found['cpu_seconds']:.0f}",
            ]
            lines.append(
                [
                    *what,
                    *spent,
                    *(f"{found[name]:.3f}" for name in ("f1", "iou", "precision", "recall", "mcc")),
                ]
            )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def key(row: Row, seed: int) -> str:
    """Return what names a row's result: another simulator or budget is another result."""
    return f"{row.title} seed {seed} {row.cpu_seconds:g} s {fingerprint()[:12]}"


def verdict(done: dict[str, dict[str, Any]]) -> str:
    """Return whether the richer inputs won, in words."""
    words = []
    for poor, rich in PAIRS:
        f1 = [
            [done[key(row, s)]["f1"] for s in SEEDS if key(row, s) in done] for row in (rich, poor)
        ]
        if not all(f1):
            continue
        gain = float(np.mean(f1[0]) - np.mean(f1[1]))
        spread, alone = max(max(part) - min(part) for part in f1), min(map(len, f1)) < 2
        sure = (
            "does not beat"
            if gain <= 0
            else "is ahead of"
            if alone
            else "is ahead of, within the spread of the seeds,"
        )
        sure = "beats" if gain > spread and not alone else sure
        where = f"{rich.samples}, {rich.cpu_seconds:g} s"
        seeds = (
            "one seed so far, so by chance perhaps"
            if alone
            else f"seeds differ by up to {spread:.3f}"
        )
        words.append(f"{rich.title} {sure} {poor.title} ({gain:+.3f} F1 on {where}; {seeds}).")
        if max(map(max, f1)) < UNLEARNT:
            words.append(
                f"Below F1 {UNLEARNT:g} neither has learnt its task: that pair decides nothing."
            )
    return " ".join(words)


def main() -> None:
    """Train whatever is not yet on record; with --write, put the table into
    docs/results.md.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument(
        "--seed", type=int, choices=SEEDS, help="Only this one; all where none is given."
    )
    parser.add_argument("--no-training", action="store_true", help="Only what is on record.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    done: dict[str, dict[str, Any]] = (
        json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    )
    for seed in () if given.no_training else SEEDS if given.seed is None else (given.seed,):
        for row in ROWS:
            if key(row, seed) not in done:
                done[key(row, seed)] = measure(row, seed)
                write_text(STATE, json.dumps(done, indent=1))
                print(
                    row.title,
                    seed,
                    {n: round(done[key(row, seed)][n], 3) for n in ("f1", "steps", "loss")},
                    flush=True,
                )
    made = table(done)
    print(made, verdict(done), sep="\n")
    if given.write:
        fill(
            "simulated-comparison",
            table=made,
            verdict=verdict(done),
            batch=str(BATCH),
            seeds=", ".join(map(str, SEEDS)),
            simulator=fingerprint()[:16],
        )


if __name__ == "__main__":
    main()
