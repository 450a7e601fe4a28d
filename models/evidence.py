"""What the study's table says: which statistic orders cards as their F1 does, and what choosing by it costs.

A statistic is only ever credited with scenes of a domain that had no part in choosing it (leave one domain out).
Intervals come from drawing target domains with replacement, scenes and seeds with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from configs.selection import AGREEMENT
from models.transfer import PLAIN

Score = Callable[["Row"], float]
WEIGHTS = (0.0, 0.5, 1.0)
"""Weights of diversity that are tried, in standard deviations of the statistic per unit of entropy."""
SKILLS = (0.0, 1.0, 2.0, 4.0)
"""Weights of the advantage that are tried, in standard deviations of the statistic per standard deviation of it."""


DISTANCES = (0.0, 0.5, 1.0)
"""Weights of the joint MMD beside agreement that are tried, in standard deviations of agreement per standard deviation of it."""


@dataclass(frozen=True)
class Row:
    """One card's answer to one scene of a domain it has (not) seen."""

    scene: str
    target: str
    """Domain of the scene."""
    card: str
    """What it was trained on (without the seed)."""
    seed: int
    seen: bool
    """Whether it was trained on the scene's domain."""
    f1: float
    precision: float
    recall: float
    statistics: Mapping[str, float]
    """Distances by name, larger is farther."""
    diversity: float
    """Logarithm of the effective number of domains trained on."""
    validation_f1: float
    advantage: float = 0.0
    """What the card reached beyond the other blind cards on unseen domains but the scene's own, in the mean; 0 where it
    has no other unseen domain."""


@dataclass(frozen=True)
class Rule:
    """How cards are ordered: by a statistic, less so much for the diversity of what a card was trained on."""

    statistic: str
    weight: float = 0.0
    """Of diversity, in units of the statistic."""
    skill: float = 0.0
    """Of a card's advantage on other domains it had not seen, in units of the statistic per F1."""
    distance: float = 0.0
    """Of the joint MMD beside the statistic, in units of the statistic: where cards agree alike, the nearer one."""

    def __call__(self, row: Row) -> float:
        """Return the score of a card for a scene, smaller is better."""
        beside = self.distance * row.statistics[PLAIN] if self.distance else 0.0
        return row.statistics[self.statistic] + beside - self.weight * row.diversity - self.skill * row.advantage

    @property
    def words(self) -> str:
        """Return its name in a table."""
        parts = [f"{self.weight:.2g} · diversity"] if self.weight else []
        parts += [f"{self.skill:.2g} · advantage"] if self.skill else []
        first = f"{self.statistic} + {self.distance:.2g} · {PLAIN}" if self.distance else self.statistic
        return " − ".join([first, *parts])


def groups(rows: Iterable[Row]) -> dict[tuple[str, int], list[Row]]:
    """Return the unseen cards of every scene and seed."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if not row.seen:
            found.setdefault((row.scene, row.seed), []).append(row)
    return found


def spearman(rows: Sequence[Row], score: Score) -> float:
    """Return the rank correlation of -score and F1 within one scene; NaN where either does not vary."""
    f1, distance = [row.f1 for row in rows], [score(row) for row in rows]
    if len(set(f1)) < 2 or len(set(distance)) < 2:
        return math.nan
    a, b = (rankdata(values) - (len(rows) + 1) / 2 for values in (f1, distance))
    return float(-(a @ b) / np.sqrt((a @ a) * (b @ b)))


@dataclass(frozen=True)
class Choices:
    """What came of choosing, one entry a scene and seed."""

    targets: tuple[str, ...]
    chosen: NDArray[np.float64]
    best: NDArray[np.float64]
    average: NDArray[np.float64]
    """Mean F1 of the candidates: what a card taken at random reaches."""
    single: NDArray[np.float64]
    """F1 of the one card that was best over the other domains: the choice without looking at the scene."""
    correlation: NDArray[np.float64]
    names: tuple[str, ...]
    """Which card was chosen."""

    @property
    def regret(self) -> float:
        """Return the mean F1 lost against the best card of each scene."""
        return float(np.mean(self.best - self.chosen))

    @property
    def spearman(self) -> float:
        """Return the correlation within a scene, the mean over domains of their mean."""
        return _mean(by_target(self.targets, self.correlation))


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of what is a number; 0 where nothing is: no order was told."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def by_target(targets: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each domain's values, domains in order of their names."""
    at = np.array(targets)
    known = [values[(at == name) & ~np.isnan(values)] for name in sorted(set(targets))]
    return np.array([some.mean() if len(some) else math.nan for some in known])


def interval(
    targets: Sequence[str], values: NDArray[np.float64], draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean over domains, domains drawn with replacement; NaN where no value is known."""
    means = by_target(targets, values)
    means = means[~np.isnan(means)]
    if not len(means):
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).integers(0, len(means), (draws, len(means)))
    low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def choices(rows: Sequence[Row], rule: Callable[[str], Score]) -> Choices:
    """Return what choosing among unseen cards gives; `rule` answers a target domain with the score used there."""
    every, elsewhere = groups(rows), dict[str, dict[str, float]]()
    targets, chosen, best, average, single, correlation, names = [], [], [], [], [], [], []
    for (_, _), some in sorted(every.items()):
        target = some[0].target
        score = rule(target)
        taken = min(some, key=lambda row: (score(row), row.card))
        if target not in elsewhere:
            elsewhere[target] = _means(rows, target)
        known = [row for row in some if row.card in elsewhere[target]]
        favourite = max(known, key=lambda row: elsewhere[row.target][row.card]).f1 if known else math.nan
        targets.append(target)
        chosen.append(taken.f1)
        best.append(max(row.f1 for row in some))
        average.append(float(np.mean([row.f1 for row in some])))
        single.append(favourite)
        correlation.append(spearman(some, score))
        names.append(taken.card)
    return Choices(
        tuple(targets),
        np.array(chosen),
        np.array(best),
        np.array(average),
        np.array(single),
        np.array(correlation),
        tuple(names),
    )


def _means(rows: Sequence[Row], target: str) -> dict[str, float]:
    """Return each card's mean F1 on unseen scenes of other domains."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if not row.seen and row.target != target:
            found.setdefault(row.card, []).append(row.f1)
    return {card: float(np.mean(values)) for card, values in found.items()}


def with_advantage(rows: Sequence[Row], without: str | None = None) -> list[Row]:
    """Return the rows with each card's advantage, found on unseen scenes of neither the row's own domain nor `without`."""
    table: dict[str, dict[str, list[float]]] = {}
    for some in groups(rows).values():
        mean = float(np.mean([row.f1 for row in some]))
        for row in some:
            table.setdefault(row.card, {}).setdefault(row.target, []).append(row.f1 - mean)

    def advantage(row: Row) -> float:
        known = [
            v
            for target, values in table.get(row.card, {}).items()
            if target not in (row.target, without)
            for v in values
        ]
        return float(np.mean(known)) if known else 0.0

    found = {(row.card, row.target): advantage(row) for row in rows}
    return [replace(row, advantage=found[row.card, row.target]) for row in rows]


def rules(
    rows: Sequence[Row], names: Iterable[str], weights: Sequence[float] = WEIGHTS, skills: Sequence[float] = SKILLS
) -> list[Rule]:
    """Return the rules to be tried: every statistic with every weight of diversity and of advantage, agreement with the joint
    MMD beside it too (the others are distances themselves)."""
    unseen = [row for row in rows if not row.seen]
    spread, far = (
        float(np.std(v)) for v in ([r.advantage for r in unseen], [r.statistics.get(PLAIN, 0.0) for r in unseen])
    )
    found: dict[Rule, None] = {}
    for name in names:
        unit = float(np.nanstd([row.statistics[name] for row in unseen])) or 1.0
        for w, s, d in product(weights, skills, DISTANCES if name == AGREEMENT and far else DISTANCES[:1]):
            found[Rule(name, w * unit, s * unit / spread if spread else 0.0, d * unit / far if d else 0.0)] = None
    return list(found)


def best_rule(rows: Sequence[Row], candidates: Sequence[Rule], without: str | None = None) -> Rule:
    """Return the rule of the least regret on every domain but one; among equals the one that correlates best."""
    every = [some for some in groups(rows).values() if some[0].target != without]
    targets = [some[0].target for some in every]

    def cost(rule: Rule) -> tuple[float, float]:
        regret = [max(r.f1 for r in some) - min(some, key=lambda r: (rule(r), r.card)).f1 for some in every]
        correlation = by_target(targets, np.array([spearman(some, rule) for some in every]))
        # Regret alone hangs on one card a scene; the correlation looks at all of them. A tenth of it counts as F1.
        return float(np.mean(regret)) - 0.1 * _mean(correlation), rule.weight + rule.skill

    return min(candidates, key=cost)


def left_out(rows: Sequence[Row], candidates: Sequence[Rule]) -> tuple[Choices, dict[str, Rule]]:
    """Return what choosing gives where each domain's rule was found on the others, and those rules."""
    found = {
        target: best_rule(with_advantage(rows, target), candidates, target)
        for target in sorted({row.target for row in rows})
    }
    return choices(rows, lambda target: found[target]), found


def seed_deviation(rows: Sequence[Row]) -> float:
    """Return the standard deviation of a card's F1 on a scene between seeds, pooled."""
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        pairs.setdefault((row.scene, row.card), []).append(row.f1)
    variances = [np.var(values, ddof=1) for values in pairs.values() if len(values) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else math.nan


def falling(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Return points of the best function of y on x that never rises (pool adjacent violators), ascending in x."""
    order = np.argsort(np.asarray(x, float), kind="stable")
    blocks: list[tuple[float, float, int]] = []  # mean x, mean y, how many
    for i in order:
        blocks.append((float(x[i]), float(y[i]), 1))
        while len(blocks) > 1 and blocks[-1][1] > blocks[-2][1]:
            (ax, ay, an), (bx, by, bn) = blocks[-2:]
            n = an + bn
            blocks[-2:] = [((ax * an + bx * bn) / n, (ay * an + by * bn) / n, n)]
    return [(a, b) for a, b, _ in blocks]
