"""What the study's table says: how well an order of the checkpoints is that of their F1, and what
choosing by it costs.

Intervals come from drawing target domains with replacement, scenes and seeds with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Score = Callable[["Row"], float]


@dataclass(frozen=True)
class Row:
    """One checkpoint's answer to one scene of a domain it has (not) seen."""

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
    """What the checkpoint reached beyond the other blind checkpoints on unseen domains but the
    scene's own, in the mean (`with_advantage`); 0 where nothing is known."""


def elsewhere(row: Row) -> float:
    """Return a score that puts the checkpoint first that did best on other unseen domains."""
    return -row.advantage


def by_statistic(name: str) -> Score:
    """Return the score that a distance gives."""
    return lambda row: row.statistics[name]


def groups(rows: Iterable[Row]) -> dict[tuple[str, int], list[Row]]:
    """Return the unseen checkpoints of every scene and seed."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if not row.seen:
            found.setdefault((row.scene, row.seed), []).append(row)
    return found


def spearman(rows: Sequence[Row], score: Score) -> float:
    """Return the rank correlation of -score and F1 within one scene; NaN where either does not
    vary.
    """
    return _ranked([row.f1 for row in rows], [score(row) for row in rows])


def _ranked(f1: Sequence[float], distance: Sequence[float]) -> float:
    if len(set(f1)) < 2 or len(set(distance)) < 2:
        return math.nan
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (f1, distance))
    return float(-(a @ b) / np.sqrt((a @ a) * (b @ b)))


def within_domains(rows: Iterable[Row], score: Score) -> dict[str, float]:
    """Return each unseen domain's rank correlation of -score and F1 over checkpoints, both the
    means over the domain's scenes (a table of Yang et al. 2024: one F1 and one distance a
    checkpoint and target); the mean over seeds, NaN where no order was told."""
    cards: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        if not row.seen:
            cards.setdefault((row.target, row.seed), {}).setdefault(row.card, []).append(row)
    found: dict[str, list[float]] = {}
    for (target, _), some in sorted(cards.items()):
        f1, distance = (
            [float(np.mean([of(row) for row in one])) for one in some.values()]
            for of in (_f1, score)
        )
        found.setdefault(target, []).append(_ranked(f1, distance))
    return {target: _mean(np.array(values)) for target, values in found.items()}


def _f1(row: Row) -> float:
    return row.f1


@dataclass(frozen=True)
class Choices:
    """What came of choosing, one entry a scene and seed."""

    targets: tuple[str, ...]
    chosen: NDArray[np.float64]
    best: NDArray[np.float64]
    average: NDArray[np.float64]
    """Mean F1 of the candidates: what a checkpoint taken at random reaches."""
    correlation: NDArray[np.float64]
    names: tuple[str, ...]
    """Which checkpoint was chosen."""
    by_domain: Mapping[str, float]
    """Correlation within each domain (`within_domains`)."""

    @property
    def regret(self) -> float:
        """Return the mean F1 lost against the best checkpoint of each scene."""
        return float(np.mean(self.best - self.chosen))

    @property
    def spearman(self) -> float:
        """Return the correlation within a scene, the mean over domains of their mean."""
        return _mean(by_target(self.targets, self.correlation))

    @property
    def domain_spearman(self) -> tuple[float, float, float]:
        """Return the correlation within a domain, the mean over domains, and its 95 % interval."""
        values = np.array(list(self.by_domain.values()))
        return (_mean(values), *interval(list(self.by_domain), values))


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
    """Return the 95 % interval of the mean over domains, domains drawn with replacement; NaN where
    no value is known.
    """
    means = by_target(targets, values)
    means = means[~np.isnan(means)]
    if not len(means):
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).integers(0, len(means), (draws, len(means)))
    low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def choices(rows: Sequence[Row], score: Score) -> Choices:
    """Return what choosing the unseen checkpoint of the least score gives."""
    every = groups(rows)
    targets, chosen, best, average, correlation, names = [], [], [], [], [], []
    for (_, _), some in sorted(every.items()):
        taken = min(some, key=lambda row: (score(row), row.card))
        targets.append(some[0].target)
        chosen.append(taken.f1)
        best.append(max(row.f1 for row in some))
        average.append(float(np.mean([row.f1 for row in some])))
        correlation.append(spearman(some, score))
        names.append(taken.card)
    return Choices(
        tuple(targets),
        np.array(chosen),
        np.array(best),
        np.array(average),
        np.array(correlation),
        tuple(names),
        within_domains(rows, score),
    )


def with_advantage(rows: Sequence[Row], without: str | None = None) -> list[Row]:
    """Return the rows with each checkpoint's advantage, found on unseen scenes of neither the row's
    own domain nor `without`.

    A checkpoint that has seen all other domains is credited with what its like did: checkpoints of
    as various a training.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for some in groups(rows).values():
        mean = float(np.mean([row.f1 for row in some]))
        for row in some:
            table.setdefault(row.card, {}).setdefault(row.target, []).append(row.f1 - mean)
    like: dict[float, set[str]] = {}
    for row in rows:
        like.setdefault(_variety(row), set()).add(row.card)

    def gained(cards: Iterable[str], target: str) -> list[float]:
        return [
            value
            for card in sorted(cards)
            for domain, values in table.get(card, {}).items()
            if domain not in (target, without)
            for value in values
        ]

    def advantage(row: Row) -> float:
        known = gained([row.card], row.target) or gained(like[_variety(row)], row.target)
        return float(np.mean(known)) if known else 0.0

    found = {(row.card, row.target): advantage(row) for row in rows}
    return [replace(row, advantage=found[row.card, row.target]) for row in rows]


def _variety(row: Row) -> float:
    """Return what makes checkpoints alike: the variety of their training to a tenth."""
    return round(row.diversity, 1)


def seed_deviation(rows: Sequence[Row]) -> float:
    """Return the standard deviation of a checkpoint's F1 on a scene between seeds, pooled."""
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        pairs.setdefault((row.scene, row.card), []).append(row.f1)
    variances = [np.var(values, ddof=1) for values in pairs.values() if len(values) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else math.nan


def falling(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Return points of the best function of y on x that never rises (pool adjacent violators),
    ascending in x.
    """
    order = np.argsort(np.asarray(x, float), kind="stable")
    blocks: list[tuple[float, float, int]] = []  # mean x, mean y, how many
    for i in order:
        blocks.append((float(x[i]), float(y[i]), 1))
        while len(blocks) > 1 and blocks[-1][1] > blocks[-2][1]:
            (ax, ay, an), (bx, by, bn) = blocks[-2:]
            n = an + bn
            blocks[-2:] = [((ax * an + bx * bn) / n, (ay * an + by * bn) / n, n)]
    return [(a, b) for a, b, _ in blocks]
