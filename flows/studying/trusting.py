"""What the study says of trust: how far is too far, what probabilities and thresholds are worth, what generalises better."""

from __future__ import annotations

import math

import numpy as np

from flows.studying.findings import Findings
from flows.studying.tables import number, span, table


def alarm(found: Findings) -> str:
    rows = [[name, f"{value:.3f}"] for name, value in found.limits.items()]
    points = ", ".join(f"{x:.2f} → {y:.2f}" for x, y in found.expected)
    return (
        "## How far is too far\n\nLimits of the signals of the nearest card by joint MMD, tolerance limits from held-out domains: with 95 % "
        "confidence at most one in twenty such scenes sets off any of them. Tested on scenes made wrong in eight ways: [ood.md](ood.md).\n\n"
        + table(["signal", "limit"], rows)
        + f"\n\nF1 to be expected by the chosen card's `{found.rule.statistic}`, before its "
        f"advantage is added: {points}. On a domain that had no part in it the expectation is off by "
        f"{number(found.expected_error)} in the mean."
    )


def calibration(found: Findings) -> str:
    rows = [[one.method, number(one.out, 4), number(one.home, 4), number(one.scene, 4)] for one in found.calibrated]
    return (
        "## Probabilities under shift: expected calibration error\n\nFitted on unseen scenes of *other* domains and judged on the one "
        "left out; 15 bins, every scene with one weight.\n\n"
        + table(["calibration", "unseen domains", "seen domains", "mean of an unseen scene"], rows)
    )


def thresholds(found: Findings) -> str:
    rows = [[name, number(mean), span((low, high))] for name, (mean, low, high) in found.thresholds.items()]
    return (
        "## Thresholds without labels\n\n*Expected F1*: the threshold of the highest F1 that the calibrated probabilities lead one to "
        "expect; *own share*: after moving them to the share of landslides they themselves suggest.\n\n"
        + table(["threshold", "F1 on unseen domains", "difference to the card's, 95 %"], rows)
    )


def trials(found: Findings) -> str:
    if not found.trials:
        return ""
    domains = sorted({target for one in found.trials.values() for target in one})
    rows = [
        [name, *(f"{one.get(target, math.nan):+.3f}" for target in domains), f"{np.mean(list(one.values())):+.3f}"]
        for name, one in found.trials.items()
    ]
    return (
        "## Better than mixing alone?\n\nF1 against the plain card of the same mixture and seed, on domains neither has seen.\n\n"
        + table(["trial", *domains, "mean"], rows)
    )
