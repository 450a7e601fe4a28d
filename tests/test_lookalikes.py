"""What rules against look-alikes are measured by: streams from relief, matches, and differences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.lookalikes import Objects, blocks_of, difference, drained, kept, paired, without


def test_a_valley_gathers_what_falls_on_its_sides() -> None:
    rows, columns = np.mgrid[:21, :15].astype(float)
    valley = 10 * np.abs(columns - 7) + (20 - rows)  # a V that falls to the south
    cells = drained(valley)
    assert cells.sum() >= cells.size
    assert cells[-1, 7] == cells.max()
    assert cells[10, 7] > 5 * cells[10, [2, 12]].max()
    pit = valley.copy()
    pit[5, 7] = -50  # is filled, and drains on
    assert drained(pit)[-1, 7] > 0.7 * cells[-1, 7]


def test_matches_are_by_half_of_both_and_right_by_a_quarter() -> None:
    numbers, traced = np.zeros((2, 20, 40), np.int64)
    numbers[2:8, 2:8], traced[2:8, 3:8] = 1, 1  # IoU 0.83
    numbers[12:18, 2:14], traced[12:18, 2:6] = 2, 2  # a third of it on traced ground
    numbers[2:8, 30:36] = 3
    matched, right = paired(numbers, traced)
    assert matched.tolist() == [True, False, False]
    assert right.tolist() == [True, True, False]
    assert set(np.unique(without(numbers, np.array([False, True, True])))) == {0, 1}


def test_taking_wrong_ones_away_is_better_and_right_ones_worse() -> None:
    rng = np.random.default_rng(0)
    numbers = np.zeros((256, 256), np.int64)
    traced = np.zeros_like(numbers)
    for i in range(1, 65):
        y, x = divmod(i - 1, 8)
        numbers[y * 32 + 4 : y * 32 + 12, x * 32 + 4 : x * 32 + 12] = i
    wrong = np.arange(64) % 2 == 1
    true = np.flatnonzero(~wrong) + 1
    traced[np.isin(numbers, true)] = np.searchsorted(true, numbers[np.isin(numbers, true)]) + 1
    assert len(np.unique(blocks_of(numbers))) == 16
    slope = np.full(numbers.shape, 20.0)
    objects = Objects.of(numbers, slope, rng.random(numbers.shape), rng.random(numbers.shape))
    before, after, draws = difference(objects, traced, wrong, rng)
    assert before == pytest.approx(2 * 32 / 96)
    assert after == pytest.approx(1)
    assert np.quantile(draws, 0.025) > 0
    assert np.quantile(difference(objects, traced, ~wrong, rng)[2], 0.975) < 0
    slope[:128] = 3
    assert len(np.unique(kept(numbers, slope))) == 33
