"""What the evidence says: the rule that chooses, what choosing by it costs, when to raise the
alarm, what to expect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from configs.checkpoint import Calibration
from configs.selection import AGREEMENT
from configs.studying import StudyConfig
from flows.study.evidence import Agreements
from models.inference.calibration import Reliability
from models.selection import domain_check
from models.selection.choose import MEMBERS
from models.selection.domain_check import Judged
from models.selection.evidence import (
    Choices,
    Row,
    by_target,
    choices,
    falling,
    groups,
    interval,
    seed_deviation,
    with_advantage,
)
from models.selection.rules import Rule, best_rule, in_parts, left_out, rules
from models.selection.signals import NOVELTY, PLAIN, SIGNALS, STATISTICS


@dataclass(frozen=True)
class _Calibrated:
    """Expected calibration error of one method."""

    method: str
    out: float
    """Pooled over unseen domains."""
    home: float
    """Pooled over domains the checkpoint has seen."""
    scene: float
    """Mean over unseen scenes of the scene's own error."""


def references(
    config: StudyConfig, rows: Sequence[Row], chosen: Choices
) -> dict[str, tuple[float, float]]:
    """Return, by domain, the F1 of the chosen checkpoints and of the checkpoint trained on that
    domain alone.
    """
    alone = {
        made.name: made.domains[0]
        for made in config.compositions
        if len(made.domains) == 1 and not made.trial
    }
    found = {}
    for target, mean in zip(
        sorted(set(chosen.targets)), by_target(chosen.targets, chosen.chosen), strict=True
    ):
        own = [row.f1 for row in rows if alone.get(row.card) == target and row.target == target]
        found[target] = (float(mean), float(np.mean(own)) if own else math.nan)
    return found


def calibrated(
    judged: Sequence[Judged],
) -> tuple[tuple[_Calibrated, ...], dict[str, tuple[Reliability, ...]]]:
    unseen, seen = [one for one in judged if not one.seen], [one for one in judged if one.seen]
    ways: dict[str, domain_check.Choose] = {
        "none": lambda _: Calibration(),
        "validation chips (Platt)": lambda one: one.home,
    }
    for method in domain_check.METHODS:
        fitted = domain_check.held_out(judged, method)
        ways[f"held-out domains, {method}"] = lambda one, fitted=fitted: fitted[one.target]  # type: ignore[misc]
    found, diagrams = [], {}
    for name, way in ways.items():
        out, diagrams[name] = domain_check.pooled_error(unseen, way)
        home = domain_check.pooled_error(seen, way)[0] if seen else math.nan
        found.append(_Calibrated(name, out, home, float(np.mean(domain_check.errors(unseen, way)))))
    return tuple(found), diagrams


def thresholds(judged: Sequence[Judged]) -> dict[str, tuple[float, float, float]]:
    unseen = [one for one in judged if not one.seen]
    f1 = domain_check.thresholds(unseen, domain_check.held_out(judged, "platt"))
    targets, own = tuple(one.target for one in unseen), f1["the checkpoint's"]
    return {
        name: (float(by_target(targets, values).mean()), *interval(targets, values - own))
        for name, values in f1.items()
    }


def trials(config: StudyConfig, judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Return, by trial, what it changes on scenes of domains it has not seen, against the plain
    checkpoint of its mixture.
    """
    plain = {
        (frozenset(made.domains), seed): made.name
        for made in config.compositions
        for seed in config.seeds
        if not made.trial
    }
    f1 = {(one.card, one.seed, one.scene): one.own_f1() for one in judged}
    found: dict[str, dict[str, float]] = {}
    for made in config.compositions:
        if not made.trial:
            continue
        differences: dict[str, list[float]] = {}
        for one in judged:
            beside = (plain.get((frozenset(made.domains), one.seed), ""), one.seed, one.scene)
            if one.card == made.name and not one.seen and beside in f1:
                differences.setdefault(one.target, []).append(
                    f1[one.card, one.seed, one.scene] - f1[beside]
                )
        for target, values in differences.items():
            found.setdefault(made.kind or made.name, {})[target] = float(np.mean(values))
    return found


_CANDIDATES = (AGREEMENT, *STATISTICS)
"""What the rule may go by, few on purpose: dozens of statistics and a handful of domains would find
one that fits by chance.
"""


@dataclass(frozen=True)
class Tried:
    """One way to order the checkpoints, over all unseen scenes."""

    words: str
    domain: tuple[float, float, float]
    """Spearman within a domain, and its 95 % interval."""
    spearman: float
    """Within a scene."""
    regret: float
    chosen: float

    @classmethod
    def of(cls, words: str, made: Choices) -> Tried:
        """Return what a way to order the checkpoints has brought."""
        return cls(
            words, made.domain_spearman, made.spearman, made.regret, float(made.chosen.mean())
        )


@dataclass(frozen=True)
class Findings:
    """All that the study's document and `configs/selection.yaml` say."""

    rule: Rule
    """What `models.selection.choose` goes by: the one in fixed parts where it chose better than
    plain MMD, else plain MMD.
    """
    held_out: Mapping[str, Rule]
    """Fitted without each domain."""
    tried: tuple[Tried, ...]
    """Every statistic alone and at its best weights, the best first."""
    covariates: tuple[Tried, ...]
    """What is known of a checkpoint without looking at the scene."""
    plain: Choices
    chosen: Choices
    """By the rule in fixed parts."""
    bare: Choices
    """By rules fitted without the domain that know of scene and checkpoint alone: a statistic, and
    the joint MMD beside agreement.
    """
    fitted: Choices
    """The same where rules may also credit checkpoints for the variety of their training and for
    what they did elsewhere.
    """
    rows: tuple[Row, ...]
    deviation: float
    """Of a checkpoint's F1 between seeds."""
    usual: tuple[float, ...]
    near: float
    limits: Mapping[str, float]
    expected: tuple[tuple[float, float], ...]
    expected_error: float
    """Mean absolute error of the F1 expected for a held-out domain."""
    reference: Mapping[str, tuple[float, float]]
    """Domain -> F1 of the chosen unseen checkpoints and of the checkpoint trained there."""
    calibrated: tuple[_Calibrated, ...]
    diagrams: Mapping[str, tuple[Reliability, ...]]
    thresholds: Mapping[str, tuple[float, float, float]]
    """Way to set the threshold -> mean F1 on unseen domains, interval of the difference to the
    checkpoint's own.
    """
    together: Mapping[str, tuple[float, float, float]]
    """Way to map with the checkpoints as ordered -> mean F1 on unseen domains, interval of the
    difference to the chosen card.
    """
    together_by_target: Mapping[str, Mapping[str, float]]
    """The same, way -> domain -> mean F1."""
    trials: Mapping[str, Mapping[str, float]]
    """Trial -> domain -> F1 difference to the plain checkpoint of the same mixture and seed."""

    @property
    def proven(self) -> bool:
        """Return whether the rule chose better on unseen domains than plain joint MMD."""
        return self.chosen.regret < self.plain.regret

    def summary(self) -> dict[str, Any]:
        """Return the numbers that matter, for `--json`."""
        made = self.chosen if self.proven else self.plain
        return {
            "rule": self.rule.words,
            "rule_proven": self.proven,
            "fitted_rules_regret": self.fitted.regret,
            "spearman": made.domain_spearman[0],
            "spearman_interval": made.domain_spearman[1:],
            "spearman_within_a_scene": made.spearman,
            "plain_mmd_spearman": self.plain.domain_spearman[0],
            "regret": made.regret,
            "plain_mmd_regret": self.plain.regret,
            "seed_deviation": self.deviation,
            "chosen_f1": float(made.chosen.mean()),
            "average_card_f1": float(made.average.mean()),
            "best_card_f1": float(made.best.mean()),
        }

    def as_plain(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        plain = asdict(self) | {"summary": self.summary()}
        return dict(_plain(plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def find(
    config: StudyConfig, rows: Sequence[Row], judged: Sequence[Judged], agreements: Agreements
) -> Findings:
    """Return the findings of all evidence there is."""
    rows = with_advantage(rows)
    names = [name for name in rows[0].statistics if name in _CANDIDATES]
    parts = in_parts(rows)
    chosen = choices(rows, lambda _: parts)
    fitted, held_out = left_out(rows, rules(rows, names))
    bare, _ = left_out(rows, rules(rows, names, weights=(0.0,), skills=(0.0,)))
    by_mmd = choices(rows, lambda _: Rule(PLAIN))
    rule = parts if chosen.regret < by_mmd.regret else Rule(PLAIN)
    taken = of_chosen(rows, rule)
    plain = [one for one in judged if not _is_trial(config, one.card)]
    calibrations, diagrams = calibrated(plain)
    together, together_by_target = _together(rows, rule, agreements)
    return Findings(
        rule=rule,
        held_out=held_out,
        tried=_tried(rows, rules(rows, [name for name in rows[0].statistics if name != NOVELTY])),
        covariates=_covariates(rows),
        plain=by_mmd,
        chosen=chosen,
        bare=bare,
        fitted=fitted,
        rows=tuple(rows),
        deviation=seed_deviation([row for row in rows if not row.seen]),
        usual=tuple(sorted(rule(row) for row in taken)),
        near=_near(rows, rule),
        limits=domain_check.limits(
            [{n: row.statistics[n] for n in SIGNALS} for row in of_chosen(rows, Rule(PLAIN))]
        ),
        expected=tuple(expected(taken, rule)),
        expected_error=_expected_error(rows, rule),
        reference=references(config, rows, by_mmd if rule == Rule(PLAIN) else chosen),
        calibrated=calibrations,
        diagrams=diagrams,
        thresholds=thresholds(plain),
        together=together,
        together_by_target=together_by_target,
        trials=trials(config, judged),
    )


def _is_trial(config: StudyConfig, name: str) -> bool:
    return next(made.trial for made in config.compositions if made.name == name)


def of_chosen(rows: Sequence[Row], rule: Rule) -> list[Row]:
    """Return the row of the checkpoint chosen for every scene among those that have not seen its
    domain.
    """
    return [min(some, key=lambda row: (rule(row), row.card)) for some in groups(rows).values()]


def expected(taken: Sequence[Row], rule: Rule) -> list[tuple[float, float]]:
    """Return how F1, less what the checkpoint is better than others by, falls with the distance."""
    return falling(
        [row.statistics[rule.statistic] for row in taken], [row.f1 - row.advantage for row in taken]
    )


def _together(
    rows: Sequence[Row], rule: Rule, agreements: Agreements
) -> tuple[dict[str, tuple[float, float, float]], dict[str, dict[str, float]]]:
    """Return what several checkpoints are worth together, in the order of the rule."""
    every = sorted(groups(rows).items())
    order = {key: sorted(some, key=lambda row: (rule(row), row.card)) for key, some in every}
    targets = tuple(some[0].target for _, some in every)
    f1 = agreements.together(order)
    alone = next(iter(f1.values()))
    means = {way: by_target(targets, values) for way, values in f1.items()}
    return (
        {
            way: (float(means[way].mean()), *interval(targets, values - alone))
            for way, values in f1.items()
        },
        {
            way: dict(zip(sorted(set(targets)), map(float, values), strict=True))
            for way, values in means.items()
        },
    )


def _near(rows: Sequence[Row], rule: Rule) -> float:
    """Return how far the last of `MEMBERS` checkpoints is behind the first, but for the tenth of
    scenes where it is furthest.
    """
    scores = [sorted(rule(row) for row in some) for some in groups(rows).values()]
    behind = [some[MEMBERS - 1] - some[0] for some in scores if len(some) >= MEMBERS]
    return float(np.quantile(behind, 0.9)) if behind else 0.0


def _expected_error(rows: Sequence[Row], rule: Rule) -> float:
    """Return how far off the expected F1 is on a domain that had no part in it."""
    errors = []
    for target in sorted({row.target for row in rows}):
        others = with_advantage([row for row in rows if row.target != target])
        points = np.array(expected(of_chosen(others, rule), rule))
        for row in of_chosen([row for row in rows if row.target == target], rule):
            said = (
                np.interp(row.statistics[rule.statistic], points[:, 0], points[:, 1])
                + row.advantage
            )
            errors.append(abs(float(said) - row.f1))
    return float(np.mean(errors))


def _tried(rows: Sequence[Row], candidates: Sequence[Rule]) -> tuple[Tried, ...]:
    """Return each statistic without diversity and at its best weight of it."""
    found = []
    for name in dict.fromkeys(rule.statistic for rule in candidates):
        some = [rule for rule in candidates if rule.statistic == name]
        for rule in dict.fromkeys((Rule(name), best_rule(rows, some))):
            made = choices(rows, lambda _, rule=rule: rule)  # type: ignore[misc]  # bound at once
            found.append(Tried.of(rule.words, made))
    return tuple(sorted(found, key=lambda one: one.regret - 0.1 * one.spearman))


def _covariates(rows: Sequence[Row]) -> tuple[Tried, ...]:
    """Return what ordering the checkpoints by what is known without the scene gives: validation,
    advantage, diversity.
    """
    ways = {
        "validation F1": lambda row: -row.validation_f1,
        "advantage on other unseen domains": lambda row: -row.advantage,
        "diversity of the mixture": lambda row: -row.diversity,
    }
    found = []
    for words, score in ways.items():
        made = choices(rows, lambda _, score=score: score)  # type: ignore[misc]  # bound at once
        found.append(Tried.of(words, made))
    return tuple(found)
