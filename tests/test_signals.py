"""Distances between scene and checkpoint, what they are worth, and what is trusted under shift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from configs.checkpoint import Calibration
from configs.errors import RequestError
from models.inference import calibration
from models.inference.calibration import LogitCounts
from models.mmd import mmd2
from models.selection import domain_check, evidence, signals
from models.selection.domain_check import Judged
from models.selection.evidence import Row, by_statistic
from models.selection.signals import Comparison, Sample, Scaling

BANDS = ("slope", "pre_B4", "post_B4", "pre_NDVI", "post_NDVI")


def drawn(
    seed: int, shift: float = 0.0, spread: float = 1.0, domains: int = 1, points: int = 300
) -> Sample:
    rng = np.random.default_rng(seed)
    values = shift + spread * rng.normal(size=(points, len(BANDS)))
    return Sample(
        BANDS,
        values,
        np.arange(points, dtype=np.int32),
        (np.arange(points) % domains).astype(np.int32),
    )


def compared(scene: Sample, card: Sample) -> Comparison:
    return Comparison(scene, card, Scaling.of(scene, [card]))


def test_joint_mmd_is_that_of_the_pixels_in_one_scaling() -> None:
    scene, card = drawn(0), drawn(1, 0.7)
    scaling = Scaling.of(scene, [card])
    x, y = scene.values / scaling.spread, card.values / scaling.spread
    expected = mmd2(x, y, unbiased=True, bandwidth=2.0 * len(BANDS))
    assert compared(scene, card).statistic("all/mmd") == pytest.approx(
        math.sqrt(expected), abs=1e-9
    )


@pytest.mark.parametrize("name", signals.STATISTICS)
def test_statistics_grow_with_a_shift(name: str) -> None:
    cards = [drawn(1, shift) for shift in (0.2, 1.0, 2.5)]
    scaling = Scaling.of(drawn(0), cards)  # one scaling for the ranking
    values = [Comparison(drawn(0), card, scaling).statistic(name) for card in cards]
    assert values == sorted(values)
    assert values[2] > values[0] + 0.1


def test_whitening_sees_bands_that_no_longer_go_together() -> None:
    rng = np.random.default_rng(5)
    common = rng.normal(size=(600, 1))
    usual = common + 0.1 * rng.normal(size=(600, 5))
    broken = usual * np.array([1, 1, -1, 1, 1])  # every band alone looks as before
    number = np.arange(600, dtype=np.int32)
    scene, card = (Sample(BANDS, v, number, np.zeros(600, np.int32)) for v in (broken, usual))
    both = compared(scene, card)
    assert both.statistic("whitened/mmd") > 0.35
    assert signals.novelty(scene, card) > 0.5
    assert signals.novelty(drawn(3), drawn(4)) < 0.1


def test_unknown_statistics_are_refused() -> None:
    with pytest.raises(RequestError, match="no statistic"):
        compared(drawn(0), drawn(1)).statistic("all/guess")
    with pytest.raises(RequestError, match="no space"):
        compared(drawn(0), drawn(1)).statistic("everything/mmd")


def test_diversity_is_the_entropy_of_the_shares() -> None:
    assert signals.diversity([5]) == 0
    assert signals.diversity([1, 1, 1, 0]) == pytest.approx(math.log(3))
    assert signals.diversity({"a": 2, "b": 5}) < math.log(2)


def row(
    scene: str, card: str, f1: float, seen: bool = False, seed: int = 0, **statistics: float
) -> Row:
    return Row(
        scene, scene[0], card, seed, seen, f1, f1, f1, statistics, {"mix": 1.0}.get(card, 0.0), 0.5
    )


def table() -> list[Row]:
    """Return four domains in which `good` orders the checkpoints as F1 does, `bad` the other way
    round.
    """
    rows = []
    rng = np.random.default_rng(0)
    for domain in "abcd":
        for number in range(2):
            for card in ("one", "two", "three", "mix"):
                f1 = float(rng.uniform(0.1, 0.9))
                rows.append(row(f"{domain}{number}", card, f1, good=1 - f1, bad=f1, flat=1.0))
            rows.append(
                row(f"{domain}{number}", "home", 0.99, seen=True, good=0.0, bad=0.0, flat=1.0)
            )
    return rows


def test_choosing_is_judged_on_unseen_domains_alone() -> None:
    rows = table()
    made = evidence.choices(rows, by_statistic("good"))
    assert made.regret == 0
    assert made.spearman == pytest.approx(1)
    assert "home" not in made.names  # a checkpoint that has seen the domain is no candidate
    worst = evidence.choices(rows, by_statistic("bad"))
    assert worst.spearman == pytest.approx(-1)
    assert worst.chosen.mean() < made.average.mean() < made.chosen.mean() == made.best.mean()
    low, high = evidence.interval(made.targets, made.chosen - made.average)
    assert 0 < low < np.mean(made.chosen - made.average) < high


def test_the_best_card_elsewhere_is_the_one_of_the_largest_advantage_there() -> None:
    f1 = {"x": 0.2, "y": 0.5, "z": 0.7}
    rows = [
        row(f"{domain}1", card, value if domain != "c" else 1 - value, d=1.0)
        for domain in "abc"
        for card, value in f1.items()
    ]
    made = evidence.choices(evidence.with_advantage(rows), evidence.elsewhere)
    chosen = dict(zip(made.targets, made.chosen, strict=True))
    assert chosen["c"] == pytest.approx(1 - 0.7)  # `z` did best on `a` and `b`
    assert set(made.names) == {"z", "x"}  # on `a` and `b` what it did on `c` counts too


def test_within_a_domain_f1_and_distance_are_means_over_its_scenes() -> None:
    # Scene by scene the order is told wrongly every second time; over both scenes together it is
    # told right.
    told = {
        ("a1", "x"): (0.6, 0.1),
        ("a1", "y"): (0.5, 0.4),
        ("a2", "x"): (0.5, 0.2),
        ("a2", "y"): (0.55, 0.3),
    }
    rows = [
        row(scene, card, f1, d=distance, seed=seed)
        for (scene, card), (f1, distance) in told.items()
        for seed in (0, 1)
    ]
    made = evidence.choices(rows, by_statistic("d"))
    assert sorted(made.correlation.tolist()) == [-1, -1, 1, 1]
    assert made.by_domain == {"a": pytest.approx(1)}
    assert made.domain_spearman[0] == pytest.approx(1)
    seen = row("a1", "home", 0.9, seen=True, d=9.0)
    assert evidence.within_domains([*rows, seen], by_statistic("d")) == {"a": pytest.approx(1)}
    flat = [row("b1", card, 0.5, d=0.5) for card in "xy"]
    assert evidence.within_domains(flat, by_statistic("d")) == {"b": 0.0}


def test_falling_is_the_best_curve_that_never_rises() -> None:
    points = evidence.falling([3, 1, 2, 4], [0.5, 0.6, 0.8, 0.1])
    assert [f1 for _, f1 in points] == pytest.approx([0.7, 0.5, 0.1])
    assert [x for x, _ in points] == pytest.approx([1.5, 3, 4])


def answers(shift: float, seed: int = 0) -> list[Judged]:
    """Return what an overconfident network says on four domains with rare landslides."""
    rng = np.random.default_rng(seed)
    found = []
    for domain in "abcd":
        true = rng.normal(-3, 1.5, 20_000)
        labels = (rng.random(20_000) < 1 / (1 + np.exp(-true))).astype(np.uint8)
        raw = LogitCounts.of(3 * true + shift, labels)
        found.append(Judged("card", 0, domain, domain, False, raw, Calibration(), 0.5))
    return found


def test_calibration_of_other_domains_halves_the_error() -> None:
    judged = answers(4.0)
    plain, _ = domain_check.pooled_error(judged, lambda _: Calibration())
    for method in ("platt", "isotonic"):
        fitted = domain_check.held_out(judged, method)  # type: ignore[arg-type]
        error, diagram = domain_check.pooled_error(
            judged, lambda one, fitted=fitted: fitted[one.target]
        )  # type: ignore[misc]
        assert error < plain / 4
        assert sum(one.pixels for one in diagram) == pytest.approx(1e6, rel=1e-3)
    assert set(domain_check.held_out(judged, "platt")) == set("abcd")


def test_isotonic_never_falls_and_is_never_certain() -> None:
    counts = answers(2.0)[0].raw
    fitted = calibration.fit(counts, "isotonic")
    probability = calibration.apply(np.linspace(-30, 30, 500), fitted)
    assert (np.diff(probability) >= 0).all()
    assert 0 < probability.min() < probability.max() < 1
    assert counts.calibration_error(fitted) < 0.01
    with pytest.raises(ValueError, match="points"):
        Calibration(method="isotonic")


def test_isotonic_of_scores_that_tell_nothing_is_level() -> None:
    upside_down = calibration.fit(
        LogitCounts.of(np.array([-1.0, 1.0]), np.array([1, 0])), "isotonic"
    )
    assert calibration.apply(np.array([-5.0, 0.0, 5.0]), upside_down) == pytest.approx([0.5] * 3)


def test_counts_moved_by_a_calibration_are_those_of_the_moved_logits() -> None:
    rng = np.random.default_rng(1)
    z, y = rng.normal(0, 3, 4000), rng.integers(0, 2, 4000)
    moved, direct = LogitCounts.of(z, y).mapped(0.5, -1.0), LogitCounts.of(0.5 * z - 1, y)
    assert moved.positives.sum() == direct.positives.sum()
    assert (
        np.abs(np.cumsum(moved.positives - direct.positives)).max() < 40
    )  # a bin's width apart at most
    by_hand = calibration.expected_calibration_error(1 / (1 + np.exp(-z)), y)
    assert LogitCounts.of(z, y).calibration_error(Calibration()) == pytest.approx(by_hand, abs=2e-3)


def test_thresholds_without_labels_are_near_the_best_one() -> None:
    judged = answers(4.0)
    f1 = domain_check.thresholds(judged, domain_check.held_out(judged, "platt"))
    for number, one in enumerate(judged):
        best = max(one.f1(one.raw.logits >= z) for z in np.linspace(-10, 10, 81))
        assert f1["expected F1"][number] > best - 0.02
        assert f1["the checkpoint's"][number] < best


def test_limits_leave_one_in_twenty_outside_whatever_the_number_of_signals() -> None:
    rng = np.random.default_rng(2)

    def drawn(count: int) -> list[dict[str, float]]:
        return [dict(zip("uvw", rng.normal(size=3).tolist(), strict=True)) for _ in range(count)]

    kept, fresh = [], drawn(4000)
    for _ in range(
        60
    ):  # two dozen known scenes at a time: fresh ones set off the alarm at most one time in twenty
        found = domain_check.limits(drawn(24))
        outside = np.mean([any(one[name] > found[name] for name in found) for one in fresh])
        kept.append(outside <= 0.05)
    assert np.mean(kept) >= 0.88  # 95 in 100, less what sixty draws may miss
    wide, narrow = domain_check.limits(drawn(24)), domain_check.limits(drawn(2000))
    assert all(narrow[name] < wide[name] for name in narrow)
    assert any(one[name] > narrow[name] for one in fresh for name in narrow)
    one = drawn(1)
    assert domain_check.limits(one * 3) == pytest.approx(one[0])
    assert domain_check.limits([]) == {}


def test_the_limit_of_a_share_knows_that_most_shares_are_near_nothing() -> None:
    rng = np.random.default_rng(3)

    def outside(name: str) -> float:
        """Return how often two dozen scenes gave a limit that more than one fresh scene in twenty
        lies beyond.
        """
        shares = 1 / (1 + np.exp(4 - 1.3 * rng.normal(size=(60, 24))))
        fresh = 1 / (1 + np.exp(4 - 1.3 * rng.normal(size=4000)))
        found = [
            domain_check.limits([{name: share} for share in some])[name] for some in shares.tolist()
        ]
        return float(np.mean([np.mean(fresh > limit) > 0.05 for limit in found]))

    assert outside(signals.NOVELTY) <= 0.12
    assert outside("as if normal") > 0.15
    assert (
        domain_check.limits([{signals.NOVELTY: share} for share in (0.0, 0.001, 0.002)])[
            signals.NOVELTY
        ]
        < 1
    )
