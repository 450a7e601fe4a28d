"""What the study says of its cards beside the choice: in-domain references, calibration, thresholds, and trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from configs.checkpoint import Calibration
from configs.studying import StudyConfig
from models.inference.calibration import Reliability
from models.selection import domain_check
from models.selection.domain_check import Judged
from models.selection.evidence import Choices, Row, by_target, interval


@dataclass(frozen=True)
class Calibrated:
    """Expected calibration error of one method."""

    method: str
    out: float
    """Pooled over unseen domains."""
    home: float
    """Pooled over domains the card has seen."""
    scene: float
    """Mean over unseen scenes of the scene's own error."""


def references(config: StudyConfig, rows: Sequence[Row], chosen: Choices) -> dict[str, tuple[float, float]]:
    """Return, by domain, the F1 of the chosen cards and of the card trained on that domain alone."""
    alone = {made.name: made.domains[0] for made in config.compositions if len(made.domains) == 1 and not made.trial}
    found = {}
    for target, mean in zip(sorted(set(chosen.targets)), by_target(chosen.targets, chosen.chosen), strict=True):
        own = [row.f1 for row in rows if alone.get(row.card) == target and row.target == target]
        found[target] = (float(mean), float(np.mean(own)) if own else math.nan)
    return found


def calibrated(judged: Sequence[Judged]) -> tuple[tuple[Calibrated, ...], dict[str, tuple[Reliability, ...]]]:
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
        found.append(Calibrated(name, out, home, float(np.mean(domain_check.errors(unseen, way)))))
    return tuple(found), diagrams


def thresholds(judged: Sequence[Judged]) -> dict[str, tuple[float, float, float]]:
    unseen = [one for one in judged if not one.seen]
    f1 = domain_check.thresholds(unseen, domain_check.held_out(judged, "platt"))
    targets, own = tuple(one.target for one in unseen), f1["the card's"]
    return {
        name: (float(by_target(targets, values).mean()), *interval(targets, values - own))
        for name, values in f1.items()
    }


def trials(config: StudyConfig, judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Return, by trial, what it changes on scenes of domains it has not seen, against the plain card of its mixture."""
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
                differences.setdefault(one.target, []).append(f1[one.card, one.seed, one.scene] - f1[beside])
        for target, values in differences.items():
            found.setdefault(made.kind or made.name, {})[target] = float(np.mean(values))
    return found
