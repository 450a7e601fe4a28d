"""From the pool's answers to evidence: one row a checkpoint, scene and seed, with every distance
that could have told its F1.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from configs.files import write_text
from configs.records import IGNORED
from configs.selection import read_selection
from configs.studying import StudyConfig
from flows.run.journal import progress
from flows.study.pool import Answers, Maps, Scene
from models.inference.calibration import LogitCounts
from models.metrics import Confusion
from models.reference import Reference, sample
from models.registry import Checkpoint
from models.selection import signals
from models.selection.choose import MEMBERS
from models.selection.domain_check import Judged
from models.selection.evidence import Row
from models.selection.ranking import thinned
from models.selection.signals import Comparison, Sample, Scaling

_TOGETHER = {
    "the chosen checkpoint": 1,
    f"mean of the first {MEMBERS}": MEMBERS,
    "mean of all": None,
}
"""Ways to map a scene, and how many checkpoints of the ranking each takes."""


@dataclass(frozen=True)
class Mapped:
    """The candidates' maps of the scenes."""

    maps: Maps
    candidates: Sequence[Answers]
    every: Sequence[Scene]

    def together(
        self, order: Mapping[tuple[str, int], Sequence[Row]]
    ) -> dict[str, NDArray[np.float64]]:
        """Return, by way to map, the F1 of each scene and seed, in the order of `order`: its unseen
        checkpoints, the best first.

        Probabilities are averaged, and thresholds, as a run does it.
        """
        cards = {(one.job.made.name, one.job.seed): one for one in self.candidates}
        scenes = {scene.name: scene for scene in self.every}
        found: dict[str, list[float]] = {name: [] for name in _TOGETHER}
        for (name, seed), rows in order.items():
            scene, some = scenes[name], [cards[row.card, seed] for row in rows]
            probabilities = np.stack([self.maps.probability(one.job.name, name) for one in some])
            thresholds = np.array([one.found.card.threshold for one in some])
            labels = scene.truth(False)
            truth = labels[labels != IGNORED] == 1
            for way, many in _TOGETHER.items():
                called = probabilities[:many].mean(axis=0) >= thresholds[:many].mean()
                found[way].append(_f1(called, truth))
        return {way: np.array(values) for way, values in found.items()}


def _f1(called: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(called.sum() + truth.sum())
    return 2 * int((called & truth).sum()) / total if total else 0.0


def confusion(counts: LogitCounts, threshold: float) -> Confusion:
    """Return the counts at a probability threshold."""
    called = counts.logits >= logit(threshold)
    tp, fp = float(counts.positives[called].sum()), float(counts.negatives[called].sum())
    return Confusion(
        round(tp), round(fp), round(counts.positives.sum() - tp), round(counts.negatives.sum() - fp)
    )


def _scene_sample(scene: Scene, bands: Sequence[str], count: int = 3000) -> Reference:
    """Return a scene's pixels as a run would draw them: observed, sloping, spread over blocks."""
    settings = read_selection()
    return sample(
        scene.samples,
        bands,
        lambda rows, columns: (
            scene.samples.label(
                scene.samples.numbers(scene.samples.card.split_names.values()), rows, columns
            )
            != IGNORED
        ),
        domain=scene.name,
        resolution_m=scene.samples.card.origin.resolution_m,
        count=count,
        block_m=settings.block_m,
        slope_min_deg=settings.slope_min_deg if "slope" in bands else 0.0,
        seed=settings.seed,
    )


def rows(
    config: StudyConfig, done: Sequence[Answers], every: Sequence[Scene], work: Path
) -> list[Row]:
    """Return the evidence of all candidates that have answered."""
    candidates = [one for one in done if not one.job.made.trial]
    distances = _distances(candidates, every, work)
    found = []
    for one in candidates:
        seen = one.job.made.domains
        for scene in every:
            counts = confusion(one.counts[scene.name], one.found.card.threshold)
            row = dict(distances[scene.name][one.job.made.name])
            variety, name = row.pop("diversity"), one.job.made.name
            found.append(
                Row(
                    scene=scene.name,
                    target=scene.domain,
                    card=name,
                    seed=one.job.seed,
                    seen=scene.domain in seen,
                    f1=_zero(counts.f1),
                    precision=_zero(counts.precision),
                    recall=_zero(counts.recall),
                    statistics=row,
                    diversity=variety,
                    validation_f1=one.found.card.validation_f1 or 0.0,
                )
            )
    return found


def _zero(value: float) -> float:
    """Return a ratio whose 0/0 counts as nothing found."""
    return 0.0 if math.isnan(value) else value


def _distances(
    candidates: Sequence[Answers], every: Sequence[Scene], work: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """Return scene -> composition -> statistic, computed once for all seeds and kept."""
    first: dict[str, Checkpoint] = {}
    for one in candidates:
        first.setdefault(one.job.made.name, one.found)
    scenes = sorted((s.name, s.samples.card.fingerprint) for s in every)
    identity = [
        scenes,
        sorted((n, f.card.reference_sha256) for n, f in first.items()),
        signals.POINTS,
    ]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    path = work / f"distances-{key}.json"
    if path.exists():
        found: dict[str, dict[str, dict[str, float]]] = json.loads(path.read_text(encoding="utf-8"))
        return found
    references = {name: found.reference() for name, found in first.items()}
    bands = next(iter(references.values())).bands
    cards = {name: thinned(reference, bands) for name, reference in references.items()}
    table: dict[str, dict[str, dict[str, float]]] = {}
    with progress("comparing scenes with checkpoints", "scene") as advance:
        for done, scene in enumerate(every, 1):
            here = thinned(_scene_sample(scene, bands), bands)
            scaling = Scaling.of(here, list(cards.values()))
            shared: dict[str, float] = {}
            table[scene.name] = {
                name: _measured(here, card, scaling, shared) for name, card in cards.items()
            }
            advance(done, len(every))
    write_text(path, json.dumps(table))
    return table


def _measured(
    scene: Sample, card: Sample, scaling: Scaling, shared: dict[str, float]
) -> dict[str, float]:
    compared = Comparison(scene, card, scaling, shared)
    found = {name: compared.statistic(name) for name in signals.STATISTICS}
    shares = np.bincount(card.domain)
    return found | {
        signals.NOVELTY: signals.novelty(scene, card),
        "diversity": signals.diversity(shares.tolist()),
    }


def judged(done: Sequence[Answers], every: Sequence[Scene]) -> list[Judged]:
    """Return every answer by the network's own log-odds, trials too."""
    found = []
    for one in done:
        home = one.found.card.calibration
        for scene in every:
            raw = one.counts[scene.name].mapped(1 / home.scale, -home.shift / home.scale)
            seen = scene.domain in one.job.made.domains
            threshold = one.found.card.threshold
            found.append(
                Judged(
                    one.job.made.name,
                    one.job.seed,
                    scene.name,
                    scene.domain,
                    seen,
                    raw,
                    home,
                    threshold,
                )
            )
    return found
