"""The shipped checkpoints, trained again from the recipes in the repository: sample sets first,
then one training each.

    python -m benchmarks.cards [NAME ...] [--out runs/cards]   # resumable; copies nothing into the
                                                               # package
    python -m benchmarks.cards --unseen       # after `coslide study standard`: advantage and
                                              # calibration on unseen domains
    python -m benchmarks.cards --confidence   # what the real checkpoints' confidence promises
    python -m benchmarks.cards --accuracy     # what areas mapped by them are adjusted by
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.special import logit

from benchmarks.results import fill
from configs.checkpoint import CheckpointCard, read_card
from configs.records import Level
from configs.studying import StudyConfig, read_study
from configs.training import read_training
from flows.commands.train import words
from flows.learning.accuracy import Counts, accuracy_of
from flows.learning.confidence import HeldOut, Judgements, judged, kept, promised
from flows.learning.samples import make_samples
from flows.learning.train import train
from flows.study.evidence import confusion
from flows.study.pool import Scene, logit_counts, predictor_of, sample_sets, scenes, stored_answers
from flows.study.study import whole_seeds
from inventory.total_area import adjusted
from models.inference.calibration import LogitCounts, apply, fit
from models.registry import SHIPPED as SHELF
from models.registry import Checkpoint
from models.selection.domain_check import Judged, held_out, pooled, pooled_error
from models.training.write_card import write_card
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "configs" / "train"
SHIPPED = (
    "iburi-post", "iburi-prepost", "world-rgb", "taiwan-rgb", "kodagu-rgb", "iburi-rgb", "index",
    "sim-tephra", "sim-alpine", "sim-tropical", "sim-mixed",
)  # fmt: skip


MOST_POINTS = 32
"""Of the isotonic map that a checkpoint carries."""


def on_unseen(
    config: StudyConfig, found: Checkpoint, every: list[Scene]
) -> dict[str, tuple[str, LogitCounts]]:
    """Return scene -> (domain, pixels by the checkpoint's calibrated log-odds) of the domains that
    it has no chip of.
    """
    homes = {domain.name.removeprefix("sim-").rpartition("-")[0] for domain in found.card.domains}
    predictor = predictor_of(config, found)
    return {
        scene.name: (scene.domain, logit_counts(predictor, scene, scene.truth(False)))
        for scene in every
        if scene.domain not in homes
    }


def unseen_advantage(
    found: Checkpoint, answers: dict[str, tuple[str, LogitCounts]], mean: dict[str, float]
) -> float:
    """Return a checkpoint's mean F1 beyond `mean` (scene -> F1 of the study's blind checkpoints) on
    domains it has no chip of.
    """
    f1 = {name: confusion(counts, found.card.threshold).f1 for name, (_, counts) in answers.items()}
    return float(np.mean([np.nan_to_num(value) - mean[name] for name, value in f1.items()]))


def on_held_out_domains(
    found: Checkpoint, answers: dict[str, tuple[str, LogitCounts]]
) -> tuple[CheckpointCard, str]:
    """Return the checkpoint with a calibration fitted on domains it has not seen, and what that is
    worth on each left out.

    What it calls a landslide stays what it was: the threshold moves with the probabilities.
    """
    home = found.card.calibration
    judged = [
        Judged(
            found.card.name,
            0,
            name,
            d,
            False,
            c.mapped(1 / home.scale, -home.shift / home.scale),
            home,
            0.5,
        )
        for name, (d, c) in answers.items()
    ]
    domains = sorted({one.target for one in judged})
    known = held_out(judged, "isotonic")
    before, after = (
        pooled_error(judged, way)[0]
        for way in (lambda one: one.home, lambda one: known[one.target])
    )
    words = f"simulated scenes of {len(domains)} domains it has not seen: {', '.join(domains)}"
    fitted = fit(pooled(one.raw for one in judged), "isotonic", words)
    if len(fitted.points) > MOST_POINTS:
        kept = np.unique(np.linspace(0, len(fitted.points) - 1, MOST_POINTS).round().astype(int))
        fitted = fitted.model_copy(update={"points": tuple(fitted.points[i] for i in kept)})
    at = (logit(found.card.threshold) - home.shift) / home.scale
    threshold = float(np.clip(apply(np.array([at]), fitted)[0], 0.001, 0.999))
    scored = f"calibration error on unseen domains left out {before:.4f} -> {after:.4f}"
    return found.card.model_copy(
        update={"calibration": fitted, "threshold": round(threshold, 4)}
    ), scored


def write_unseen() -> None:
    """Measure the shipped simulated checkpoints on the scenes of the standard study, and write into
    their checkpoints what they did beyond others, and probabilities that hold on domains they have
    not seen."""
    config, folder = read_study("standard")
    work, sets = ROOT / "runs" / "study" / config.name, sample_sets(config, folder)
    every = scenes(config, sets, folder, work)
    done = whole_seeds(config, stored_answers(config, sets, every, work))
    mean = {}
    for scene in every:
        blind = [
            one
            for one in done
            if scene.domain not in one.job.made.domains and not one.job.made.trial
        ]
        f1 = [confusion(one.counts[scene.name], one.found.card.threshold).f1 for one in blind]
        mean[scene.name] = float(np.mean(np.nan_to_num(f1)))
    for name in SHIPPED:
        card = read_card(SHELF / name)
        if not card.simulated or card.calibration.method == "isotonic":
            continue
        found = Checkpoint(SHELF / name, card)
        answers = on_unseen(config, found, every)
        made, scored = on_held_out_domains(found, answers)
        gain = unseen_advantage(found, answers, mean)
        write_card(SHELF / name, made.model_copy(update={"unseen_advantage": round(gain, 4)}))
        print(
            f"{name}: {gain:+.3f} against the study's checkpoints, {scored} (simulated)", flush=True
        )


def write_confidence() -> None:
    """Measure what high, medium and low promise of the shipped real checkpoints and write it into
    them; and check the promise on each held-out part, made by the other parts alone.
    """
    rows = []
    for name in SHIPPED:
        card = read_card(SHELF / name)
        if card.simulated:
            continue
        held = on_held_out_ground(name, card)
        parts = {key: part.landslides for key, part in held.items()}
        made = promised(parts)
        made = made and made.model_copy(update={"measured_on": events_of(card)})
        write_card(SHELF / name, card.model_copy(update={"confidence": made}))
        rows += [checked(name, part, parts) for part in parts]
        print("\n".join(rows[-len(parts) :]), flush=True)
    head = "| checkpoint | held-out part, classes made without it | high | medium | low |"
    fill("confidence", table="\n".join([head, f"|{' --- |' * 5}", *rows]))


def events_of(card: CheckpointCard) -> str:
    """Return what people call the events that a checkpoint was trained on, each once."""
    return ", ".join(dict.fromkeys(domain.called for domain in card.domains))


def on_held_out_ground(name: str, card: CheckpointCard) -> dict[tuple[str, str], HeldOut]:
    """Return (sample set, split) -> what a shipped checkpoint draws where its recipe did not train
    it.
    """
    recipe = read_training(RECIPES / f"{name}.yaml")
    sets = [SampleSet.open((RECIPES / source.path).resolve()) for source in recipe.samples]
    predictor = Checkpoint(SHELF / name, card).load("cpu")
    return judged(predictor, sets, (*recipe.splits.validation, *recipe.splits.test))


def write_accuracy() -> None:
    """Measure what the areas mapped by the shipped checkpoints that have a home are adjusted by,
    and write it into them; and check on each held-out part what the other parts say of its area.
    """
    rows = []
    for name in SHIPPED:
        card = read_card(SHELF / name)
        if card.simulated or card.level is Level.DISPLAY:
            continue
        held = on_held_out_ground(name, card)
        parts = {key: part.blocks for key, part in held.items()}
        made = accuracy_of(parts)
        made = made and made.model_copy(update={"measured_on": events_of(card)})
        write_card(SHELF / name, card.model_copy(update={"accuracy": made}))
        rows += [area_row(name, part, parts) for part in parts]
        print("\n".join(rows[-len(parts) :]), flush=True)
    head = (
        "| checkpoint | held-out part, errors of the others | mapped, km² | adjusted, km² | "
        "95 % interval | traced, km² |"
    )
    fill("area", table="\n".join([head, f"|{' --- |' * 6}", *rows]))


def area_row(name: str, part: tuple[str, str], parts: dict[tuple[str, str], Counts]) -> str:
    """Return a row: the landslide area of one part by the errors on the other parts, beside what
    was traced there.
    """
    of = parts[part].sum(axis=0) * 1e-4  # pixels of 10 m
    mapped, seen, traced = float(of[1].sum()), float(of.sum()), float(of[:, 1].sum())
    total = adjusted(
        mapped, seen, accuracy_of({key: one for key, one in parts.items() if key != part})
    )
    cells = (
        f"{total.km2:.2f} | {total.low_km2:.2f} to {total.high_km2:.2f}" if total else "none | –"
    )
    return f"| `{name}` | {', '.join(part)} | {mapped:.2f} | {cells} | {traced:.2f} |"


def checked(name: str, part: tuple[str, str], parts: dict[tuple[str, str], Judgements]) -> str:
    """Return a row: the share right in each class of one part's landslides, by the classes that the
    other parts give.
    """
    made = promised({key: one for key, one in parts.items() if key != part})
    if made is None:
        return f"| `{name}` | {', '.join(part)} | too few elsewhere | – | – |"
    found = kept(made, parts[part])
    cells = [
        f"{found['right'][each]:.2f} of {count}" if count else "–"
        for each, count in found["counts"].items()
    ]
    return f"| `{name}` | {', '.join(part)} | {' | '.join(cells)} |"


def main() -> None:
    """Train the named checkpoints, all where none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=SHIPPED)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "cards")
    parser.add_argument(
        "--unseen",
        action="store_true",
        help="measure and calibrate the shipped simulated checkpoints on unseen domains",
    )
    parser.add_argument(
        "--confidence",
        action="store_true",
        help="measure what the confidence of the shipped real checkpoints promises",
    )
    parser.add_argument(
        "--accuracy",
        action="store_true",
        help="measure what the areas mapped by the checkpoints that have a home are adjusted by",
    )
    given = parser.parse_args()
    if given.accuracy:
        write_accuracy()
        given.names = ()
    if given.confidence:
        write_confidence()
        given.names = ()
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
