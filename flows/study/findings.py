"""What the evidence says: what choosing by distance or by record costs, when to raise the alarm,
what to expect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from configs.checkpoint import Calibration
from configs.studying import StudyConfig
from flows.study.evidence import Mapped
from models.inference.calibration import Reliability
from models.selection import domain_check
from models.selection.choose import MEMBERS
from models.selection.domain_check import Judged
from models.selection.evidence import (
    Choices,
    Row,
    Score,
    by_statistic,
    by_target,
    choices,
    elsewhere,
    falling,
    groups,
    interval,
    seed_deviation,
    with_advantage,
)
from models.selection.signals import PLAIN, SIGNALS, STATISTICS


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

    tried: tuple[Tried, ...]
    """Every distance between scene and checkpoint, the best first."""
    covariates: tuple[Tried, ...]
    """What is known of a checkpoint without looking at the scene."""
    plain: Choices
    """By joint MMD."""
    elsewhere: Choices
    """By what checkpoints did on other domains they had not seen."""
    gain: tuple[float, float, float]
    """F1 of the choice by record less that by joint MMD, and its 95 % interval."""
    rows: tuple[Row, ...]
    deviation: float
    """Of a checkpoint's F1 between seeds."""
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
    """Way to map with the checkpoints by joint MMD -> mean F1 on unseen domains, interval of the
    difference to the chosen card.
    """
    together_by_target: Mapping[str, Mapping[str, float]]
    """The same, way -> domain -> mean F1."""
    trials: Mapping[str, Mapping[str, float]]
    """Trial -> domain -> F1 difference to the plain checkpoint of the same mixture and seed."""

    def summary(self) -> dict[str, Any]:
        """Return the numbers that matter, for `--json`."""
        mean, low, high = self.gain
        return {
            "mmd_spearman": self.plain.domain_spearman[0],
            "mmd_spearman_interval": self.plain.domain_spearman[1:],
            "mmd_spearman_within_a_scene": self.plain.spearman,
            "mmd_regret": self.plain.regret,
            "mmd_f1": float(self.plain.chosen.mean()),
            "elsewhere_regret": self.elsewhere.regret,
            "elsewhere_f1": float(self.elsewhere.chosen.mean()),
            "elsewhere_less_mmd": mean,
            "elsewhere_less_mmd_interval": [low, high],
            "seed_deviation": self.deviation,
            "average_card_f1": float(self.plain.average.mean()),
            "best_card_f1": float(self.plain.best.mean()),
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
    config: StudyConfig, rows: Sequence[Row], judged: Sequence[Judged], mapped: Mapped
) -> Findings:
    """Return the findings of all evidence there is."""
    rows = with_advantage(rows)
    by_mmd, by_record = (choices(rows, score) for score in (by_statistic(PLAIN), elsewhere))
    taken = of_chosen(rows)
    plain = [one for one in judged if not _is_trial(config, one.card)]
    calibrations, diagrams = calibrated(plain)
    together, together_by_target = _together(rows, mapped)
    return Findings(
        tried=_tried(rows, {name: by_statistic(name) for name in STATISTICS}),
        covariates=_tried(rows, _KNOWN_BEFORE),
        plain=by_mmd,
        elsewhere=by_record,
        gain=_difference(by_record, by_mmd),
        rows=tuple(rows),
        deviation=seed_deviation([row for row in rows if not row.seen]),
        near=_near(rows),
        limits=domain_check.limits([{n: row.statistics[n] for n in SIGNALS} for row in taken]),
        expected=tuple(expected(taken)),
        expected_error=_expected_error(rows),
        reference=references(config, rows, by_mmd),
        calibrated=calibrations,
        diagrams=diagrams,
        thresholds=thresholds(plain),
        together=together,
        together_by_target=together_by_target,
        trials=trials(config, judged),
    )


def _difference(a: Choices, b: Choices) -> tuple[float, float, float]:
    """Return the mean over domains of how much more one choice reached than another, and its 95 %
    interval.
    """
    values = a.chosen - b.chosen
    return (float(by_target(a.targets, values).mean()), *interval(a.targets, values))


def _is_trial(config: StudyConfig, name: str) -> bool:
    return next(made.trial for made in config.compositions if made.name == name)


def of_chosen(rows: Sequence[Row]) -> list[Row]:
    """Return the row of the nearest checkpoint for every scene, by joint MMD among those that have
    not seen its domain.
    """
    return [min(some, key=_nearness) for some in groups(rows).values()]


def _nearness(row: Row) -> tuple[float, str]:
    return row.statistics[PLAIN], row.card


def expected(taken: Sequence[Row]) -> list[tuple[float, float]]:
    """Return how F1, less what the checkpoint is better than others by, falls with the joint
    MMD.
    """
    return falling(
        [row.statistics[PLAIN] for row in taken], [row.f1 - row.advantage for row in taken]
    )


def _together(
    rows: Sequence[Row], mapped: Mapped
) -> tuple[dict[str, tuple[float, float, float]], dict[str, dict[str, float]]]:
    """Return what several checkpoints are worth together, the nearest first."""
    every = sorted(groups(rows).items())
    order = {key: sorted(some, key=_nearness) for key, some in every}
    targets = tuple(some[0].target for _, some in every)
    f1 = mapped.together(order)
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


def _near(rows: Sequence[Row]) -> float:
    """Return how far the last of `MEMBERS` checkpoints is behind the first, but for the tenth of
    scenes where it is furthest.
    """
    distances = [sorted(row.statistics[PLAIN] for row in some) for some in groups(rows).values()]
    behind = [some[MEMBERS - 1] - some[0] for some in distances if len(some) >= MEMBERS]
    return float(np.quantile(behind, 0.9)) if behind else 0.0


def _expected_error(rows: Sequence[Row]) -> float:
    """Return how far off the expected F1 is on a domain that had no part in it."""
    errors = []
    for target in sorted({row.target for row in rows}):
        others = with_advantage([row for row in rows if row.target != target])
        points = np.array(expected(of_chosen(others)))
        for row in of_chosen([row for row in rows if row.target == target]):
            said = np.interp(row.statistics[PLAIN], points[:, 0], points[:, 1]) + row.advantage
            errors.append(abs(float(said) - row.f1))
    return float(np.mean(errors))


_KNOWN_BEFORE: dict[str, Score] = {
    "validation F1": lambda row: -row.validation_f1,
    "advantage on other unseen domains": elsewhere,
    "diversity of the mixture": lambda row: -row.diversity,
}
"""What is known of a checkpoint without looking at the scene."""


def _tried(rows: Sequence[Row], ways: Mapping[str, Score]) -> tuple[Tried, ...]:
    """Return what ordering the checkpoints by each score gives, the best first."""
    found = [Tried.of(words, choices(rows, score)) for words, score in ways.items()]
    return tuple(sorted(found, key=lambda one: one.regret - 0.1 * one.spearman))
