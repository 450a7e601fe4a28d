"""MMD: the fact sheet's values, brute force, invariances, exact histograms, and an error that
counts blocks, not pixels.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from configs.errors import RequestError
from models.histogram import BandHistogram
from models.mmd import (
    Blocked,
    BlockGram,
    kernel,
    mean_bandwidth,
    median_bandwidth,
    mmd2,
    mmd2_histograms,
)

Array = np.ndarray


def brute_force(
    x: Array, y: Array, kernels: int, unbiased: bool, bandwidth: float | None = None
) -> float:
    """Return MMD² as eq. 8 and the fact sheet write it, pair by pair."""
    z = np.concatenate([x, y])
    n = len(z)
    pairs = [float(np.sum((z[i] - z[j]) ** 2)) for i in range(n) for j in range(n) if i != j]
    b = sum(pairs) / len(pairs) if bandwidth is None else bandwidth

    def k(a: Array, c: Array) -> float:
        return sum(
            math.exp(-float(np.sum((a - c) ** 2)) / (b * 2.0 ** (u - kernels // 2)))
            for u in range(kernels)
        )

    def mean(a: Array, c: Array, same: bool) -> float:
        values = [
            k(p, q)
            for i, p in enumerate(a)
            for j, q in enumerate(c)
            if not (same and unbiased and i == j)
        ]
        return math.fsum(values) / len(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "d", "kernels"), [(7, 11, 1, 5), (13, 6, 4, 5), (8, 8, 10, 1), (9, 5, 2, 3)]
)
def test_equals_the_double_sum(n: int, m: int, d: int, kernels: int, unbiased: bool) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(50, 3, (n, d)), rng.normal(52, 2, (m, d))
    assert mmd2(x, y, kernels=kernels, unbiased=unbiased) == pytest.approx(
        brute_force(x, y, kernels, unbiased), abs=1e-10
    )
    fixed = mmd2(x, y, kernels=kernels, unbiased=unbiased, bandwidth=7.0)
    assert fixed == pytest.approx(brute_force(x, y, kernels, unbiased, 7.0), abs=1e-10)


def test_two_point_masses_give_the_largest_value() -> None:
    expected = 2 * (5 - sum(math.exp(-e) for e in (8, 4, 2, 1, 0.5)))
    for n in (50, 300):
        x, y = np.zeros((n, 3)), np.full((n, 3), 2.5)
        # The mean over pairs i != j lies n / (2 n - 1) of the way, hence a little off 1/2 for
        # finite n.
        assert mmd2(x, y) == pytest.approx(expected, abs=2.2 / n)
    assert mmd2(np.zeros((2500, 1)), np.ones((2500, 1))) == pytest.approx(7.743, abs=1e-3)
    assert mmd2(np.zeros((9, 2)), np.zeros((5, 2))) == 0  # nothing varies at all


def test_identical_sets_are_at_zero() -> None:
    x = np.random.default_rng(0).normal(size=(300, 4))
    assert mmd2(x, x) == 0
    assert mmd2(x, x[::-1]) == pytest.approx(0, abs=1e-12)
    assert mmd2(x, x, unbiased=True) <= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 25), st.integers(2, 25), st.integers(1, 4))
def test_symmetric_bounded_and_blind_to_unit_and_origin(seed: int, n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(1, 2, (m, d))
    value = mmd2(x, y)
    assert 0 <= value <= 10
    assert mmd2(y, x) == pytest.approx(value, abs=1e-12)
    assert mmd2(0.01 * x + 3, 0.01 * y + 3) == pytest.approx(value, abs=1e-8)
    assert mmd2(x, y, unbiased=True) == pytest.approx(mmd2(y, x, unbiased=True), abs=1e-12)
    assert mmd2(x[:, ::-1], y[:, ::-1]) == pytest.approx(value, abs=1e-10)


def test_grows_with_an_added_shift() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(300, 3)), rng.normal(size=(250, 3))
    values = [mmd2(x, y + shift) for shift in (0, 0.25, 0.5, 1, 2, 5, 20)]
    assert values == sorted(values)
    fixed = [mmd2(x, y + shift, bandwidth=6.0, unbiased=True) for shift in (0, 0.25, 0.5, 1, 2, 5)]
    assert fixed == sorted(fixed)


def shifted_normals(shift: float, kernels: int) -> float:
    """Return MMD² of two unit normals `shift` apart, closed form, with the mean bandwidth b = 2 +
    shift² / 2.
    """
    total = 0.0
    for u in range(kernels):
        b = (2 + shift * shift / 2) * 2.0 ** (u - kernels // 2)
        # E exp(-D² / b) for D ~ N(m, 2) is (1 + 4 / b)^-1/2 exp(-m² / (b + 4)).
        total += 2 / math.sqrt(1 + 4 / b) * (1 - math.exp(-shift * shift / (b + 4)))
    return total


@pytest.mark.parametrize(("shift", "five", "one"), [(5, 5.65, 1.30), (20, 7.56, 1.70)])
def test_published_check_values_of_wide_shifts(shift: float, five: float, one: float) -> None:
    assert (shifted_normals(shift, 5), shifted_normals(shift, 1)) == pytest.approx(
        (five, one), rel=0.02
    )


@pytest.mark.parametrize("shift", [0.5, 1, 2, 5, 20])
@pytest.mark.parametrize("kernels", [5, 1])
def test_shifted_normals_have_their_closed_form(shift: float, kernels: int) -> None:
    rng = np.random.default_rng(1)
    pairs = [(rng.normal(size=700), rng.normal(size=700) + shift) for _ in range(8)]
    found = np.array([mmd2(x, y, kernels=kernels, unbiased=True) for x, y in pairs])
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert found.mean() == pytest.approx(shifted_normals(shift, kernels), abs=4 * error, rel=1e-3)


def test_biased_and_unbiased_under_equality() -> None:
    rng = np.random.default_rng(2)
    draws = [(rng.normal(size=(60, 2)), rng.normal(size=(40, 2))) for _ in range(60)]
    u = np.array([mmd2(x, y, unbiased=True) for x, y in draws])
    v = np.array([mmd2(x, y) for x, y in draws])
    assert abs(u.mean()) < 3 * u.std() / np.sqrt(len(u))
    assert (v > u).all()
    assert v.min() > 0


def test_bandwidths() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 3)), rng.normal(2, 1, (31, 3))
    z = np.concatenate([x, y])
    squared = ((z[:, None] - z[None]) ** 2).sum(-1)[~np.eye(51, dtype=bool)]
    assert mean_bandwidth(x, y) == pytest.approx(squared.mean(), rel=1e-12)
    assert median_bandwidth(x, y) == pytest.approx(np.median(squared), rel=1e-12)
    assert median_bandwidth(np.repeat(x, 200, 0), y, largest=500) > 0
    assert mmd2(x, y, kernels=1, bandwidth=median_bandwidth(x, y)) <= 2
    b = 3.0
    expected = sum(np.exp(-squared / (b * 2.0 ** (u - 2))) for u in range(5))
    assert kernel(squared.copy(), b) == pytest.approx(expected, rel=1e-12)


def test_memory_does_not_grow_with_the_number_of_pairs() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3000, 4)), rng.normal(size=(3000, 4))
    tracemalloc.start()
    mmd2(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6  # all pairs would be 72 MB


@pytest.mark.parametrize("unbiased", [False, True])
def test_histograms_give_the_value_of_every_pixel(unbiased: bool) -> None:
    rng = np.random.default_rng(6)
    x, y = (rng.gamma(a, 0.02, n).round(4) for a, n in ((4, 700), (5, 400)))
    p, q = BandHistogram.of(x, "post_B4"), BandHistogram.of(y, "post_B4")
    b = mean_bandwidth(x[:, None], y[:, None])
    exact = mmd2(x, y, unbiased=unbiased)
    assert mmd2_histograms(p.counts, q.counts, p.step, b, unbiased=unbiased) == pytest.approx(
        exact, abs=1e-6
    )
    same = mmd2_histograms(p.counts, p.counts, p.step, b, unbiased=unbiased)
    assert same == 0 if not unbiased else same <= 0
    single = np.zeros_like(p.counts)
    single[5] = 9
    assert mmd2_histograms(single, single, p.step, b) == 0


def landscape(
    rng: np.random.Generator, blocks: int, each: int, mean: float = 0.0
) -> tuple[Array, Array]:
    """Return pixels that are alike within a block: half of the variance lies between blocks."""
    block = np.repeat(np.arange(blocks), each)
    return mean + rng.normal(size=(blocks, 3))[block] + rng.normal(size=(blocks * each, 3)), block


def test_block_sums_give_the_same_estimates() -> None:
    rng = np.random.default_rng(7)
    (x, bx), (y, by) = landscape(rng, 6, 15), landscape(rng, 5, 20, 0.5)
    order = rng.permutation(len(x))
    gram = BlockGram.of(Blocked.of(x[order], bx[order]), Blocked.of(y, by), 6.0)
    assert gram.mmd2("biased") == pytest.approx(mmd2(x, y, bandwidth=6.0), abs=1e-12)
    assert gram.mmd2("unbiased") == pytest.approx(
        mmd2(x, y, bandwidth=6.0, unbiased=True), abs=1e-12
    )
    kept = np.array(
        [kernel(((x - p) ** 2).sum(1), 6.0)[bx != b].sum() for p, b in zip(x, bx, strict=True)]
    ).sum()
    within_x = kept / sum(np.sum(bx != b) for b in bx)
    other = gram._within(gram._own[0], "blocks")
    assert float(other) == pytest.approx(within_x, abs=1e-12)


def test_halves_of_one_landscape_are_zero_within_the_error() -> None:
    rng = np.random.default_rng(8)
    scores, pixels, p_values, p_pixel = [], [], [], []
    for _ in range(30):
        x, block = landscape(rng, 40, 12)
        half = np.isin(block, rng.permutation(40)[:20])
        a, b = Blocked.of(x[half], block[half]), Blocked.of(x[~half], block[~half])
        gram = BlockGram.of(a, b, mean_bandwidth(x[half], x[~half]))
        scores.append(gram.mmd2() / gram.standard_error(100))
        pixels.append(gram.mmd2("unbiased"))
        p_values.append(gram.p_value(100))
        alone = BlockGram.of(
            Blocked.of(x[half], np.arange(half.sum())),
            Blocked.of(x[~half], np.arange(half.sum())),
            12.0,
        )
        p_pixel.append(alone.p_value(60))
    assert abs(np.mean(scores)) < 0.5
    assert np.mean(np.abs(scores) < 2) > 0.85
    assert np.mean(np.array(p_values) < 0.1) < 0.25
    assert kstest(p_values, "uniform").pvalue > 0.05
    assert (
        np.mean(pixels) > 0.02
    )  # what the usual unbiased estimate makes of neighbours being alike
    assert (
        np.mean(np.array(p_pixel) < 0.05) > 0.7
    )  # a permutation of pixels says "different" of everything


def test_error_and_p_value_see_a_true_difference() -> None:
    rng = np.random.default_rng(9)
    (x, bx), (y, by) = landscape(rng, 40, 12), landscape(rng, 40, 12, 1.0)
    gram = BlockGram.of(Blocked.of(x, bx), Blocked.of(y, by), 12.0)
    assert gram.p_value(200) < 0.02
    assert gram.mmd2() > 3 * gram.standard_error()
    found = []
    for _ in range(40):
        (x, bx), (y, by) = landscape(rng, 40, 12), landscape(rng, 40, 12, 1.0)
        found.append(BlockGram.of(Blocked.of(x, bx), Blocked.of(y, by), 12.0).mmd2())
    assert gram.standard_error() == pytest.approx(np.std(found), rel=0.4)
    root = gram.standard_error(root=True)
    assert root == pytest.approx(gram.standard_error() / (2 * math.sqrt(gram.mmd2())), rel=0.25)


def test_one_block_says_nothing_about_its_error() -> None:
    x, block = landscape(np.random.default_rng(1), 1, 20)
    y, other = landscape(np.random.default_rng(2), 5, 20)
    gram = BlockGram.of(Blocked.of(x, block), Blocked.of(y, other), 6.0)
    assert math.isnan(gram.standard_error())
    assert math.isnan(gram.p_value())
    assert gram.mmd2() == gram.mmd2("unbiased")


def test_sampled_agrees_with_exact_of_ten_thousand_points_within_its_error() -> None:
    rng = np.random.default_rng(10)
    x, block = landscape(rng, 100, 100)
    y, other = landscape(rng, 100, 100, 0.7)
    tracemalloc.start()
    exact = BlockGram.of(Blocked.of(x, block), Blocked.of(y, other), 12.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(x) == 10_000
    assert peak < 100e6  # all pairs at once would be 2.4 GB
    some = np.concatenate(
        [rng.choice(np.flatnonzero(block == one), 20, replace=False) for one in range(100)]
    )
    sampled = BlockGram.of(Blocked.of(x[some], block[some]), Blocked.of(y[some], other[some]), 12.0)
    assert sampled.mmd2() == pytest.approx(
        exact.mmd2(), abs=max(0.05 * exact.mmd2(), sampled.standard_error())
    )
    assert sampled.standard_error() == pytest.approx(
        exact.standard_error(), rel=0.3
    )  # the blocks', not the pixels'


def test_refuses_what_cannot_be_compared() -> None:
    good = np.zeros((3, 2))
    for bad, says in [
        (np.zeros((3, 4)), "cannot be compared"),
        (np.zeros((0, 2)), "too small"),
        (np.full((3, 2), np.nan), "not finite"),
    ]:
        with pytest.raises(RequestError, match=says):
            mmd2(good, bad)
    with pytest.raises(RequestError, match="too small"):
        mmd2(good[:1], good, unbiased=True)
    with pytest.raises(RequestError, match="levels"):
        mmd2_histograms(np.zeros(3, int), np.zeros(4, int), 1, 1)
    with pytest.raises(RequestError, match="too empty"):
        mmd2_histograms(np.zeros(3, int), np.ones(3, int), 1, 1)
    with pytest.raises(RequestError, match="blocks"):
        Blocked.of(good, np.zeros(2, int))
