"""What simulated training is worth on real pixels: a card of simulated chips alone on the real Iburi scene.

    python -m benchmarks.sim_to_real [--write]     # resumable; needs the real data beside the repository

Scored on every labelled pixel of Iburi: no real chip was seen, so there is nothing to keep apart.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.document import fill
from benchmarks.iburi import samples_of
from configs.checkpoint import read_card
from configs.studying import Composition, StudyConfig, read_study
from flows.learning.train import probability_of, train_card
from flows.study_pool import sample_sets
from gee.simulated import fingerprint
from models.metrics import Confusion, Sweep
from models.registry import Found
from tiles.labels import IGNORED

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "sim-to-real"
SETS = {"iburi-prepost": "both dates", "iburi-post": "post-event alone"}
"""Real sample sets and what of their bands the card reads."""


def card_of(config: StudyConfig, folder: Path, real: str, bands: tuple[str, ...]) -> Found:
    """Return the card of six simulated landscapes in the real scene's bands, trained where it is not there yet."""
    made = Composition(
        name=f"sim-for-{real}", shares={d.name: 1.0 for d in config.domains}, changes={"bands": list(bands)}
    )
    training, sets = config.training(made, 0), sample_sets(config, folder)
    place = WORK / training.name
    if not place.exists():
        return train_card(training, [sets[s.path].path for s in training.samples], "sim-to-real", WORK)
    return Found(place, read_card(place))


def measure(config: StudyConfig, folder: Path, real: str) -> dict[str, float]:
    """Return F1 of the card as it is, at the best threshold of all (which nobody could know), and of calling everything."""
    samples = samples_of(real)
    # Bands the simulated sets hold: the same, but for what only the real set has.
    held = next(iter(sample_sets(config, folder).values())).card.bands
    bands = tuple(band for band in samples.card.bands if band in held)
    found = card_of(config, folder, real, bands)
    truth = samples.label(samples.numbers(samples.card.split_names.values()))
    known = truth != IGNORED
    chance = probability_of(found.load("cpu", "bfloat16"), samples, known)
    valid = known & np.isfinite(chance)
    as_it_is = Confusion.from_masks(chance >= found.card.threshold, truth == 1, valid)
    _, best = Sweep.of(np.nan_to_num(chance), np.where(valid, truth, IGNORED).astype(np.uint8)).best()
    everything = Confusion.from_masks(np.ones_like(known), truth == 1, valid)
    return {
        "validation_f1": found.card.validation_f1 or 0.0,
        "f1": float(np.nan_to_num(as_it_is.f1)),
        "precision": float(np.nan_to_num(as_it_is.precision)),
        "recall": as_it_is.recall,
        "best": best.f1,
        "everything": everything.f1,
    }


def main() -> None:
    """Print the table; with --write, put it into docs/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    config, folder = read_study("standard")
    found = {real: measure(config, folder, real) for real in SETS}
    (WORK / "found.json").write_text(json.dumps(found), encoding="utf-8")
    head = "bands | F1 on simulated validation chips | F1 on real Iburi | precision | recall | best threshold | calling every pixel a landslide"
    lines = [head, " | ".join(["---"] * 7)]
    for real, one in found.items():
        values = (one[key] for key in ("validation_f1", "f1", "precision", "recall", "best", "everything"))
        lines.append(" | ".join([SETS[real], *(f"{value:.3f}" for value in values)]))
    made = "\n".join(f"| {line} |" for line in lines)
    best = max(one["f1"] for one in found.values())
    floor = max(one["everything"] for one in found.values())
    verdict = (
        f"As it is, the better card reaches F1 {best:.3f}; calling everything a landslide gives {floor:.3f}; "
        "cards trained on other real bands of the scene stand in [iburi.md](iburi.md)."
    )
    print(made, verdict, sep="\n\n")
    if given.write:
        fill("sim-to-real", table=made, verdict=verdict, chips=str(config.total), simulator=fingerprint()[:16])


if __name__ == "__main__":
    main()
