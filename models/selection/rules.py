"""Which rule orders the checkpoints of a scene.

The study's rule takes three signals in fixed parts (`in_parts`): with half a dozen domains fitted
weights change with every domain left out, and parts that nobody fitted do as well or better (Dawes
1979, doi:10.1037/0003-066X.34.7.571). Fitted ones stand beside it: found on some domains, credited
on another (leave one domain out), by how they order *all* checkpoints of a scene: the F1 of the one
checkpoint taken hangs on one checkpoint a scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from configs.selection import AGREEMENT
from models.selection.evidence import (
    Choices,
    Row,
    by_target,
    choices,
    groups,
    spearman,
    with_advantage,
)
from models.selection.signals import PLAIN

WEIGHTS = (0.0, 0.5, 1.0)
"""Weights of diversity that are tried, in standard deviations of the statistic per standard
deviation of it.
"""
_SKILLS = (0.0, 0.5, 1.0, 2.0)
"""Weights of the advantage that are tried, in the same units."""
DISTANCE, SKILL = 0.5, 1.0
"""Parts of joint MMD and advantage to one of agreement: those that ordered best on an earlier pool
of the study, 30 checkpoints that take scenes as they are (Spearman 0.63 within a domain; 0, a half
and one were tried of each). They held on the present pool and on shipped checkpoints over other
scenes, and were kept before there were checkpoints of the later image alone to try them on."""
_DISTANCES = (0.0, 0.5, 1.0)
"""Weights of the joint MMD beside agreement that are tried, in the same units."""


@dataclass(frozen=True)
class Rule:
    """How checkpoints are ordered: by a statistic, with so much of the joint MMD beside it, less
    credits for what a checkpoint did elsewhere and for the diversity of what it was trained on."""

    statistic: str
    weight: float = 0.0
    """Of diversity, in units of the statistic a unit of entropy."""
    skill: float = 0.0
    """Of a checkpoint's advantage on other domains it had not seen, in units of the statistic per
    F1.
    """
    distance: float = 0.0
    """Of the joint MMD beside the statistic, in units of the statistic: where checkpoints agree
    alike, the nearer one.
    """

    def __call__(self, row: Row) -> float:
        """Return the score of a checkpoint for a scene, smaller is better."""
        beside = self.distance * row.statistics[PLAIN] if self.distance else 0.0
        return (
            row.statistics[self.statistic]
            + beside
            - self.weight * row.diversity
            - self.skill * row.advantage
        )

    @property
    def words(self) -> str:
        """Return its name in a table."""
        parts = [f"{self.weight:.2g} · diversity"] if self.weight else []
        parts += [f"{self.skill:.2g} · advantage"] if self.skill else []
        first = (
            f"{self.statistic} + {self.distance:.2g} · {PLAIN}" if self.distance else self.statistic
        )
        return " − ".join([first, *parts])


def in_parts(rows: Sequence[Row]) -> Rule:
    """Return the rule of agreement, joint MMD and advantage in fixed parts, each in its standard
    deviations over unseen cards.
    """
    unit, _, skill, far = _deviations(rows, AGREEMENT)
    return Rule(AGREEMENT, skill=_per(SKILL * unit, skill), distance=_per(DISTANCE * unit, far))


def rules(
    rows: Sequence[Row],
    names: Iterable[str],
    weights: Sequence[float] = WEIGHTS,
    skills: Sequence[float] = _SKILLS,
) -> list[Rule]:
    """Return the rules to be tried: every statistic with every weight of diversity and of
    advantage, agreement with the joint MMD beside it too (the others are distances themselves)."""
    found: dict[Rule, None] = {}
    for name in names:
        unit, variety, skill, far = _deviations(rows, name)
        for w, s, d in product(
            weights, skills, _DISTANCES if name == AGREEMENT else _DISTANCES[:1]
        ):
            found[
                Rule(name, _per(w * unit, variety), _per(s * unit, skill), _per(d * unit, far))
            ] = None
    return list(found)


def _deviations(rows: Sequence[Row], name: str) -> tuple[float, float, float, float]:
    """Return the standard deviations over unseen checkpoints of a statistic, diversity, advantage
    and joint MMD.
    """
    unseen = [row for row in rows if not row.seen]
    columns = (
        [row.statistics[name] for row in unseen],
        [row.diversity for row in unseen],
        [row.advantage for row in unseen],
        [row.statistics.get(PLAIN, 0.0) for row in unseen],
    )
    unit, variety, skill, far = (float(np.nanstd(values)) for values in columns)
    return unit or 1.0, variety, skill, far


def _per(weight: float, deviation: float) -> float:
    """Return a weight in units of what it weighs; 0 where that does not vary."""
    return weight / deviation if deviation else 0.0


def best_rule(rows: Sequence[Row], candidates: Sequence[Rule], without: str | None = None) -> Rule:
    """Return the rule that orders the checkpoints best within the scenes of every domain but one:
    by Spearman's correlation, the mean over domains, to a thousandth; among equals the one of least
    regret."""
    every = [some for some in groups(rows).values() if some[0].target != without]
    targets = [some[0].target for some in every]

    def cost(rule: Rule) -> tuple[float, float]:
        correlation = by_target(targets, np.array([spearman(some, rule) for some in every]))
        regret = [
            max(r.f1 for r in some) - min(some, key=lambda r: (rule(r), r.card)).f1
            for some in every
        ]
        known = correlation[~np.isnan(correlation)]
        return -round(float(known.mean()), 3) if len(known) else math.inf, float(np.mean(regret))

    return min(candidates, key=cost)


def left_out(rows: Sequence[Row], candidates: Sequence[Rule]) -> tuple[Choices, dict[str, Rule]]:
    """Return what choosing gives where each domain's rule was found on the others, and those
    rules.
    """
    found = {
        target: best_rule(with_advantage(rows, target), candidates, target)
        for target in sorted({row.target for row in rows})
    }
    return choices(rows, lambda target: found[target]), found
