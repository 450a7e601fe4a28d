"""Whether probabilities, thresholds and distances still mean under shift what they meant at home.

Everything is fitted on other domains than the one it is judged on. `Judged` keeps a checkpoint's
answer to a scene as counts by log-odds, so that any calibration and any threshold can be tried
after the fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import nct, norm

from configs.checkpoint import Calibration
from models.inference.calibration import LogitCounts, Reliability, apply, fit
from models.selection.signals import NOVELTY, POINTS

Method = Literal["none", "temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = ("temperature", "platt", "isotonic")


@dataclass(frozen=True)
class Judged:
    """A checkpoint's answer to a scene of a domain it has (not) seen."""

    card: str
    seed: int
    scene: str
    target: str
    seen: bool
    raw: LogitCounts
    """Pixels by the network's own log-odds."""
    home: Calibration
    """The checkpoint's own, fitted on validation chips of its training domains."""
    threshold: float
    """The checkpoint's own, on its calibrated probability."""

    def f1(self, called: NDArray[np.bool_]) -> float:
        """Return the F1 of calling the pixels of some log-odds bins landslide; 0 where none is
        found.
        """
        hits = float(self.raw.positives[called].sum())
        wrong = float(self.raw.negatives[called].sum()) + float(self.raw.positives.sum()) - hits
        return 2 * hits / (2 * hits + wrong) if hits else 0.0

    def own_f1(self) -> float:
        """Return the F1 by the checkpoint's own calibration and threshold."""
        return self.f1(apply(self.raw.logits, self.home) >= self.threshold)


def pooled(parts: Iterable[LogitCounts]) -> LogitCounts:
    """Return the counts of several scenes, each with the same weight: no scene outvotes another by
    its size.
    """
    parts = list(parts)
    positives = sum(
        (p.positives / (p.positives.sum() + p.negatives.sum()) for p in parts), np.zeros(1)
    )
    negatives = sum(
        (p.negatives / (p.positives.sum() + p.negatives.sum()) for p in parts), np.zeros(1)
    )
    share = 1e6 / max(1, len(parts))
    return LogitCounts(np.asarray(positives) * share, np.asarray(negatives) * share)


def held_out(judged: Sequence[Judged], method: Method) -> dict[str, Calibration]:
    """Return, for each target domain, the calibration fitted on unseen scenes of all other
    domains.
    """
    found = {}
    for target in sorted({one.target for one in judged}):
        others = [one.raw for one in judged if not one.seen and one.target != target]
        found[target] = (
            fit(pooled(others), method, "unseen scenes of other domains")
            if others
            else Calibration()
        )
    return found


Choose = Callable[[Judged], Calibration]


def errors(judged: Sequence[Judged], calibration: Choose) -> NDArray[np.float64]:
    """Return the expected calibration error of each answer."""
    return np.array([one.raw.calibration_error(calibration(one)) for one in judged])


def pooled_error(
    judged: Sequence[Judged], calibration: Choose
) -> tuple[float, tuple[Reliability, ...]]:
    """Return the expected calibration error of all answers together, each scene with one weight,
    and the diagram.
    """
    sums = [np.zeros(3) for _ in range(15)]
    for one in judged:
        total = one.raw.positives.sum() + one.raw.negatives.sum()
        for number, part in enumerate(one.raw.diagram(calibration(one))):
            if part.pixels:
                share = part.pixels / total
                sums[number] += (share, share * part.confidence, share * part.frequency)
    whole = sum(s[0] for s in sums)
    diagram = tuple(
        Reliability(i / 15, (i + 1) / 15, round(1e6 * s[0] / whole), s[1] / s[0], s[2] / s[0])
        for i, s in enumerate(sums)
        if s[0]
    )
    return float(sum(abs(s[1] - s[2]) for s in sums) / whole), diagram


def _by_expectation(one: Judged, calibration: Calibration) -> NDArray[np.bool_]:
    """Return which bins to call landslide for the highest F1 that the probabilities lead one to
    expect (no labels).

    Source: the F1-optimal threshold is half of the optimal F1 (Lipton et al. 2014,
    arXiv:1402.1892).
    """
    probability, pixels = apply(one.raw.logits, calibration), one.raw.positives + one.raw.negatives
    hits = np.cumsum((probability * pixels)[::-1])[::-1]
    called = np.cumsum(pixels[::-1])[::-1]
    expected = 2 * hits / (called + float(probability @ pixels) + 1e-9)
    return np.arange(len(probability)) >= int(np.argmax(expected))


def _prior_shifted(
    one: Judged, calibration: Calibration, home: float, steps: int = 50
) -> Calibration:
    """Return the calibration moved to the scene's own share of landslides, found without labels (EM
    of Saerens et al. 2002, doi:10.1162/089976602753284446), from the share `home` that it was
    fitted at."""
    probability, pixels = apply(one.raw.logits, calibration), one.raw.positives + one.raw.negatives
    here = home
    for _ in range(steps):
        odds = probability / (1 - probability + 1e-12) * (here / (1 - here)) / (home / (1 - home))
        here = float(np.clip((odds / (1 + odds)) @ pixels / pixels.sum(), 1e-5, 0.5))
    if calibration.method == "isotonic":
        return calibration
    return _moved(calibration, float(logit(here) - logit(home)))


def _moved(calibration: Calibration, by: float) -> Calibration:
    """Return a calibration whose log-odds are all moved by so much."""
    return calibration.model_copy(update={"method": "platt", "shift": calibration.shift + by})


def thresholds(
    judged: Sequence[Judged], fitted: Mapping[str, Calibration]
) -> dict[str, NDArray[np.float64]]:
    """Return the F1 of each answer under several ways to set the threshold; `fitted` is by target
    domain.
    """
    homes, fixed = {}, {}
    for target in fitted:
        others = [one for one in judged if not one.seen and one.target != target]
        pool = pooled(one.raw for one in others)
        homes[target] = float(pool.positives.sum() / (pool.positives.sum() + pool.negatives.sum()))
        fixed[target] = _best_fixed(others, fitted[target])
    ways: dict[str, list[float]] = {
        "the checkpoint's": [],
        "one for all": [],
        "expected F1": [],
        "expected F1, own share": [],
    }
    for one in judged:
        calibration = fitted[one.target]
        moved = _prior_shifted(one, calibration, homes[one.target])
        ways["the checkpoint's"].append(one.own_f1())
        ways["one for all"].append(one.f1(apply(one.raw.logits, calibration) >= fixed[one.target]))
        ways["expected F1"].append(one.f1(_by_expectation(one, calibration)))
        ways["expected F1, own share"].append(one.f1(_by_expectation(one, moved)))
    return {name: np.array(values) for name, values in ways.items()}


def _best_fixed(others: Sequence[Judged], calibration: Calibration) -> float:
    tried = np.linspace(0.05, 0.6, 23)
    means = [
        np.mean([one.f1(apply(one.raw.logits, calibration) >= t) for one in others]) for t in tried
    ]
    return float(tried[int(np.argmax(means))])


def limits(
    signals: Sequence[Mapping[str, float]], share: float = 0.05, confidence: float = 0.95
) -> dict[str, float]:
    """Return for each signal the value beyond which a scene is called unlike all that is known to
    work.

    One-sided tolerance limits (Hahn and Meeker 1991, ch. 4): with this confidence at most `share`
    of scenes of held-out domains set off any alarm, each signal having its part of the share. Two
    dozen scenes tell less of the tail than their largest value pretends. Novelty is a share of
    pixels, mostly near 0: its log-odds are what is taken for normal, not itself. A scene that
    several seeds have answered counts once; of a single scene, its own values.
    """
    if not signals:
        return {}
    names = sorted(signals[0])
    table = np.unique(np.array([[one[name] for name in names] for one in signals]), axis=0)
    scenes = len(table)
    if scenes == 1:
        return dict(zip(names, map(float, table[0]), strict=True))
    beyond = norm.ppf(1 - share / len(names)) * np.sqrt(scenes)
    factor = nct.ppf(confidence, scenes - 1, beyond) / np.sqrt(scenes)
    found = {}
    for name, values in zip(names, table.T, strict=True):
        # Half a pixel stands for none.
        scale = (
            logit(np.clip(values, 0.5 / POINTS, 1 - 0.5 / POINTS)) if name == NOVELTY else values
        )
        limit = scale.mean() + factor * scale.std(ddof=1)
        found[name] = float(expit(limit) if name == NOVELTY else limit)
    return found
