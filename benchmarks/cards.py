"""The shipped cards, trained again from the recipes in the repository: sample sets first, then one training each.

python -m benchmarks.cards [NAME ...] [--out runs/cards]     # resumable; copies nothing into the package
python -m benchmarks.cards --unseen                           # after `coslide study standard`: writes `unseen_advantage`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from configs.checkpoint import read_card
from configs.studying import StudyConfig, read_study
from configs.training import read_training
from flows.commands.train import words
from flows.learning.samples import make_samples
from flows.learning.train import train
from flows.study import whole_seeds
from flows.study_evidence import confusion
from flows.study_pool import Scene, logit_counts, predictor_of, sample_sets, scenes, stored_answers
from models.finish import write_card
from models.registry import SHIPPED as SHELF
from models.registry import Found

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "configs" / "train"
SHIPPED = ("iburi-post", "iburi-prepost", "sim-tephra", "sim-alpine", "sim-tropical", "sim-mixed")


def unseen_advantage(config: StudyConfig, found: Found, every: list[Scene], mean: dict[str, float]) -> float:
    """Return a card's mean F1 beyond `mean` (scene -> F1 of the study's blind cards) on domains it has no chip of."""
    homes = {domain.name.removeprefix("sim-").rpartition("-")[0] for domain in found.card.domains}
    predictor = predictor_of(config, found)
    gains = []
    for scene in every:
        if scene.domain not in homes:
            f1 = confusion(logit_counts(predictor, scene, scene.truth(False)), found.card.threshold).f1
            gains.append(np.nan_to_num(f1) - mean[scene.name])
    return float(np.mean(gains))


def write_unseen() -> None:
    """Measure the shipped simulated cards on the scenes of the standard study and write it into their cards."""
    config, folder = read_study("standard")
    work, sets = ROOT / "runs" / "study" / config.name, sample_sets(config, folder)
    every = scenes(config, sets, folder, work)
    done = whole_seeds(config, stored_answers(config, sets, every, work))
    mean = {}
    for scene in every:
        blind = [one for one in done if scene.domain not in one.job.made.domains and not one.job.made.trial]
        f1 = [confusion(one.counts[scene.name], one.found.card.threshold).f1 for one in blind]
        mean[scene.name] = float(np.mean(np.nan_to_num(f1)))
    for name in SHIPPED:
        card = read_card(SHELF / name)
        if card.simulated and card.unseen_advantage is None:
            gain = unseen_advantage(config, Found(SHELF / name, card), every, mean)
            write_card(SHELF / name, card.model_copy(update={"unseen_advantage": round(gain, 4)}))
            print(f"{name}: {gain:+.3f} (simulated)", flush=True)


def main() -> None:
    """Train the named cards, all where none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=SHIPPED)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "cards")
    parser.add_argument("--unseen", action="store_true", help="measure the shipped simulated cards on unseen domains")
    given = parser.parse_args()
    if given.unseen:
        write_unseen()
        given.names = ()
    for name in given.names:
        recipe = RECIPES / f"{name}.yaml"
        for source in read_training(recipe).samples:
            folder = (recipe.parent / source.path).resolve()
            if not folder.exists():
                make_samples(ROOT / "configs" / "samples" / f"{folder.name}.yaml", folder)
        if not (given.out / name).exists():
            print(words(train(str(recipe), str(given.out))), flush=True)


if __name__ == "__main__":
    main()
