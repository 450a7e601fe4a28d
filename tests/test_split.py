"""Landslides that touch are told apart; neither strips nor frames change which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from small_scene import FLAT, SmallScene, small_scene

from configs.clean import CleanConfig
from inventory.outline.attributes import kind_of
from inventory.outline.rings import Ints
from inventory.outline.split import Objects, split

DEPTH = 0.1


def _hills(shape: tuple[int, int], *tops: tuple[int, int, float, float]) -> NDArray[np.float32]:
    """Return probabilities with bell-shaped tops (row, column, height, width)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    bells = [h * np.exp(-((y - r) ** 2 + (x - c) ** 2) / (2 * w**2)) for r, c, h, w in tops]
    return np.max(bells, axis=0).astype(np.float32)


def _numbers(probability: NDArray[np.float32], threshold: float = 0.3) -> Ints:
    return split(probability >= threshold, probability, DEPTH)


def test_a_neck_parts_two_and_a_shoulder_does_not() -> None:
    two = _numbers(_hills((60, 60), (30, 18, 0.9, 8), (30, 42, 0.9, 8)))
    assert len(np.unique(two[two > 0])) == 2
    assert two[30, 18] != two[30, 42]
    assert set(np.unique(two[:, :30])) & set(np.unique(two[:, 30:])) <= {0, two[30, 18]}
    one = _numbers(_hills((60, 60), (30, 26, 0.9, 8), (30, 34, 0.85, 8)))
    assert len(np.unique(one[one > 0])) == 1


def test_the_extent_stays_what_the_threshold_says() -> None:
    rng = np.random.default_rng(5)
    probability = ndimage.gaussian_filter(rng.random((200, 200)), 3).astype(np.float32)
    probability = (probability - probability.min()) / np.ptp(probability)
    numbers = _numbers(probability, 0.5)
    np.testing.assert_array_equal(numbers > 0, probability >= 0.5)
    for number in np.unique(numbers[numbers > 0]):
        assert ndimage.label(numbers == number, np.ones((3, 3)))[1] == 1, "one piece each"


def test_a_flat_top_and_unknown_pixels_are_one_landslide() -> None:
    flat = np.full((20, 20), 0.1, np.float32)
    flat[5:15, 5:15] = 0.9
    flat[8:10, 8:10] = np.nan  # four corners of one height around a hole
    numbers = split(np.nan_to_num(flat) >= 0.3, flat, DEPTH)
    assert len(np.unique(numbers[numbers > 0])) == 1


def _objects(probability: NDArray[np.float32], first_row: int) -> Objects:
    def called(rows: slice) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        return probability[rows] >= 0.3, probability[rows]

    return Objects(called, probability.shape, first_row, DEPTH)


TALL = _hills(
    (1500, 40), *((row, 20, 0.9, 6) for row in range(40, 1480, 22)), (513, 8, 0.8, 4)
)  # necks at any window's edge


@given(st.integers(1, 700), st.integers(0, 5000))
def test_rows_asked_for_do_not_change_landslides(rows: int, first_row: int) -> None:
    objects = _objects(TALL, first_row)
    parts = [objects[slice(top, top + rows)] for top in range(0, 1500, rows)]
    np.testing.assert_array_equal(np.concatenate(parts), _objects(TALL, first_row)[slice(0, 1500)])


def test_a_frame_does_not_change_the_landslides_inside_it() -> None:
    whole = _objects(TALL, 100)[slice(0, 1500)]
    cut = _objects(np.ascontiguousarray(TALL[300:]), 400)[slice(0, 1200)]
    inside = slice(200, 1200)  # away from the frame's own edge
    ours, theirs = whole[300:][inside], cut[inside]
    np.testing.assert_array_equal(np.where(ours > 0, ours - 300 * 40, 0), theirs)


@pytest.fixture
def scene(tmp_path: Path) -> SmallScene:
    return small_scene(tmp_path)


def test_touching_landslides_are_two_rows_unless_asked_otherwise(scene: SmallScene) -> None:
    rows, columns = FLAT
    near = slice(columns.stop, columns.stop + 8)
    scene.probability[rows, columns.start : near.stop] = 0.9
    scene.probability[rows, columns.stop - 1 : columns.stop + 1] = 0.55
    apart = CleanConfig(min_slope_deg=None)
    together = apart.model_copy(update={"split_depth": None})
    many, one = (scene.outline(rules).landslides for rules in (apart, together))
    assert len(many) == len(one) + 1
    assert many.area.sum() == one.area.sum()


def test_the_largest_are_called_complex() -> None:
    assert kind_of(np.array([400.0, 999_999.0, 1e6])).tolist() == ["single", "single", "complex"]
