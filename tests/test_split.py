"""Splits: every pixel at most once, guards as wide as promised, shares kept, deterministic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from configs.errors import RequestError
from tiles.split import UNUSED, bands, checkerboard, guarded, random_blocks

SHAPES = st.tuples(st.integers(30, 150), st.integers(30, 150))


def nearest_stranger(numbers: NDArray[np.uint8]) -> float:
    """Return the least Chebyshev distance between pixels of different splits."""
    least = np.inf
    for number in set(np.unique(numbers)) - {UNUSED}:
        others = (numbers != number) & (numbers != UNUSED)
        if others.any():
            distance = ndimage.distance_transform_cdt(~others, metric="chessboard")
            least = min(least, distance[numbers == number].min())
    return least


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from(["easting", "northing"]), st.integers(1, 5), st.integers(0, 3))
def test_bands_are_contiguous_and_guarded(
    shape: tuple[int, int], axis: Any, n: int, guard: int
) -> None:
    numbers = bands(shape, axis, n, guard)
    assert numbers.shape == shape
    assert numbers.dtype == np.uint8
    assert nearest_stranger(numbers) > guard
    along = 1 if axis == "easting" else 0
    line = np.take(numbers, 0, axis=1 - along)
    assert (numbers == np.expand_dims(line, 1 - along)).all()
    used = line[line != UNUSED]
    assert (np.diff(used.astype(int)) >= 0).all()
    assert set(used) == set(range(n))
    assert (numbers == UNUSED).sum() <= (n - 1) * (guard + 1) * shape[1 - along]


def test_bands_share_out_the_pixels_that_count() -> None:
    among = np.zeros((100, 300), bool)
    among[:, 200:] = True
    numbers = bands((100, 300), "easting", 4, 0, among=among)
    assert [(among & (numbers == n)).sum() for n in range(4)] == [2500] * 4
    assert (numbers[:, :200] == 0).all()


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(8, 40), st.integers(0, 6), st.integers(0, 9))
def test_blocks_are_guarded_and_depend_on_the_seed_alone(
    shape: tuple[int, int], block: int, guard: int, seed: int
) -> None:
    numbers = random_blocks(shape, block, (0.7, 0.15, 0.15), guard, seed=seed)
    assert nearest_stranger(numbers) > guard
    np.testing.assert_array_equal(
        numbers, random_blocks(shape, block, (0.7, 0.15, 0.15), guard, seed=seed)
    )
    board = checkerboard(shape, block, guard)
    assert nearest_stranger(board) > guard
    assert set(np.unique(board)) <= {0, 1, UNUSED}


def test_shares_are_kept_and_the_seed_matters() -> None:
    numbers = [random_blocks((400, 500), 10, (0.7, 0.15, 0.15), 0, seed=seed) for seed in range(3)]
    for one in numbers:
        np.testing.assert_allclose(
            np.bincount(one.ravel()) / one.size, (0.7, 0.15, 0.15), atol=0.005
        )
    assert (numbers[0] != numbers[1]).mean() > 0.2


def test_landslides_are_dealt_out_alike() -> None:
    rng = np.random.default_rng(0)
    positive = np.zeros((400, 500), bool)
    for row, column in rng.integers(
        0, 380, (25, 2)
    ):  # few, large: a blind deal would often leave a split without
        positive[row : row + 20, column : column + 20] = True
    for seed in range(10):
        numbers = random_blocks((400, 500), 20, (0.7, 0.15, 0.15), 0, seed=seed, positive=positive)
        shares = np.bincount(numbers[positive], minlength=3) / positive.sum()
        np.testing.assert_allclose(shares, (0.7, 0.15, 0.15), atol=0.08)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(0, 9), st.integers(0, 1000))
def test_guards_take_only_what_lies_near_a_border(
    shape: tuple[int, int], guard: int, seed: int
) -> None:
    coarse = np.random.default_rng(seed).integers(0, 3, (8, 8)).astype(np.uint8)
    numbers = coarse.repeat(20, 0).repeat(20, 1)[: shape[0], : shape[1]]
    kept = guarded(numbers, guard)
    assert nearest_stranger(kept) > guard
    assert ((kept == numbers) | (kept == UNUSED)).all()
    if guard == 0:
        np.testing.assert_array_equal(kept, numbers)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: bands((50, 50), "easting", 10, 5), "do not fit"),
        (lambda: bands((50, 50), "easting", 0, 5), "0 bands"),
        (lambda: checkerboard((50, 50), 8, 8), "vanish"),
        (lambda: random_blocks((50, 50), 16, (1, 0), 2, seed=0), "shares"),
    ],
)
def test_impossible_splits_are_refused(make: Any, named: str) -> None:
    with pytest.raises(RequestError, match=named):
        make()
