"""Twenty real patches with all bands: what simulated spectra are worth on real ones, beside red,
green and blue alone.

    python -m benchmarks.fourteen_channels [--write]    # resumable: runs/verify/fourteen-channels

Checkpoints of the simulated Earth that read the later image alone (trained here, in seven bands
and in three), the shipped checkpoints of pictures, and the index. Needs the real data beside the
repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.results import fill
from configs.checkpoint import read_card
from configs.files import write_text
from configs.records import IGNORED
from configs.training import TrainingConfig
from flows.learning.samples import make_samples
from flows.learning.train import probability_of, train_card
from models.metrics import Sweep
from models.registry import Checkpoint
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "fourteen-channels"
LANDSCAPES = ("tephra-hills", "alpine-valley", "tropical-range")
RGB = ("post_B4", "post_B3", "post_B2")
SEVEN = ("slope", "post_B2", "post_B3", "post_B4", "post_B8", "post_B11", "post_B12")
SHIPPED = {
    "world-rgb": "Taiwan among three events",
    "taiwan-rgb": "Taiwan",
    "iburi-rgb": "Iburi",
    "kodagu-rgb": "Kodagu",
    "index": "Taiwan among three events",
}
"""Checkpoint of pictures -> the real events that it was trained on; the patches lie in Taiwan."""


def patches() -> SampleSet:
    """Return the labelled patches as a sample set, cut where it is missing."""
    folder = ROOT / "runs" / "samples" / "l4s-14ch"
    if not folder.exists():
        make_samples(ROOT / "configs" / "samples" / "l4s-14ch.yaml", folder)
    return SampleSet.open(folder)


def simulated(landscape: str) -> Path:
    """Return a simulated sample set in the patches' bands, made where it is missing."""
    folder = WORK / "samples" / landscape
    if not folder.exists():
        shipped = ROOT / "configs" / "samples" / f"sim-{landscape}-a.yaml"
        content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
        content |= {"bands": list(SEVEN), "radius_km": 5}
        config = folder.with_suffix(".yaml")
        write_text(config, yaml.safe_dump(content, sort_keys=False))
        make_samples(config, folder)
    return folder


def trained(name: str, bands: tuple[str, ...]) -> Checkpoint:
    """Return the simulated checkpoint of these bands by the recipe of `world-rgb`, trained where it
    is missing.
    """
    folder = WORK / "cards" / name
    if not folder.exists():
        recipe = ROOT / "configs" / "train" / "world-rgb.yaml"
        content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        sets = [simulated(landscape) for landscape in LANDSCAPES]
        samples = [{"path": str(path), "count": 300} for path in sets]
        changes = {"name": name, "title": name, "bands": list(bands), "samples": samples}
        config = TrainingConfig.model_validate({**content, **changes})
        train_card(config, sets, "benchmarks.fourteen_channels", folder.parent)
    return Checkpoint(folder, read_card(folder))


def kept(name: str) -> Checkpoint:
    """Return a shipped checkpoint."""
    folder = ROOT / "configs" / "cards" / name
    return Checkpoint(folder, read_card(folder))


def candidates() -> dict[str, tuple[Checkpoint, str]]:
    """Return (checkpoint, what it was trained on) by what it is called."""
    return {
        "simulated, seven bands": (trained("sim-seven", SEVEN), "simulated Earth"),
        "simulated, red green blue": (trained("sim-rgb", RGB), "simulated Earth"),
        **{f"`{name}`": (kept(name), words) for name, words in SHIPPED.items()},
    }


def scored(found: Checkpoint, samples: SampleSet) -> dict[str, Any]:
    """Return what a checkpoint does on the patches: counts by patch at its own threshold, and F1 at
    the best threshold of all (which nobody could know).
    """
    label = samples.label(samples.numbers(samples.card.split_names.values()))
    known = label != IGNORED
    probability = np.nan_to_num(probability_of(found.load(), samples, known))
    side = 128
    rows = []
    for top in range(0, label.shape[0], side):
        for left in range(0, label.shape[1], side):
            part = np.s_[top : top + side, left : left + side]
            if known[part].any():
                rows.append(_counts(probability[part] >= found.card.threshold, label[part]))
    best = Sweep.of(probability[known].astype(np.float32), label[known]).best()[1].f1
    return {"patches": np.array(rows), "best": float(best)}


def _counts(mapped: NDArray[np.bool_], label: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return (true, false, missed) landslide pixels."""
    truth, none = label == 1, label == 0
    return int((mapped & truth).sum()), int((mapped & none).sum()), int((truth & ~mapped).sum())


def f1(counts: NDArray[np.int64]) -> float:
    """Return F1 of counts `(patch, 3)` summed."""
    true, false, missed = counts.sum(axis=0)
    return float(2 * true / max(1, 2 * true + false + missed))


def bounds(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of F1 by drawing patches with replacement."""
    draw = np.random.default_rng(0)
    drawn = [f1(counts[draw.integers(0, len(counts), len(counts))]) for _ in range(2000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def table(done: dict[str, tuple[dict[str, Any], str]]) -> str:
    """Return the table of all checkpoints."""
    lines = [
        "| checkpoint | trained on | F1 | 95 % interval | best threshold | median of a patch |",
        f"|{' --- |' * 6}",
    ]
    for name, (found, trained_on) in done.items():
        counts = found["patches"]
        low, high = bounds(counts)
        single = [f1(one[None]) for one in counts if one[0] + one[2]]
        lines.append(
            f"| {name} | {trained_on} | {f1(counts):.3f} | {low:.3f} to {high:.3f} | "
            f"{found['best']:.2f} | {np.median(single):.2f} ({min(single):.2f} to "
            f"{max(single):.2f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, map the patches, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    samples = patches()
    done = {name: (scored(found, samples), words) for name, (found, words) in candidates().items()}
    print(table(done), flush=True)
    if given.write:
        counts = next(iter(done.values()))[0]["patches"]
        slid = int(((counts[:, 0] + counts[:, 2]) > 0).sum())
        fill("fourteen-channels", table=table(done), n=str(len(counts)), slid=str(slid))


if __name__ == "__main__":
    main()
