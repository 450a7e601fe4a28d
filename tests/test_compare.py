"""Comparison: a perfect map scores one, and every number can be counted by hand."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from configs.errors import RequestError
from inventory import compare
from inventory.compare import compare_boundaries, compare_landslides, compare_pixels
from inventory.outline.polygons import polygonise

GRID = GeoBox((60, 80), Affine(10, 0, 0, 0, -10, 600), "EPSG:32654")
Mask = NDArray[np.uint8]


def _mask(*blocks: tuple[int, int, int, int]) -> Mask:
    """Return a raster with landslides at (top, bottom, left, right)."""
    mask = np.zeros(GRID.shape, np.uint8)
    for top, bottom, left, right in blocks:
        mask[top:bottom, left:right] = 1
    return mask


def _frame(mask: Mask) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=polygonise(mask == 1, GRID.affine), crs=str(GRID.crs))


SLIDES = _mask((5, 14, 5, 15), (30, 32, 10, 13), (40, 55, 50, 70))


def test_pixels_are_counted_where_both_know() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = (rng.choice([0, 1, 255], GRID.shape).astype(np.uint8) for _ in range(2))
    counts = compare_pixels(ours, theirs)
    known = (ours != 255) & (theirs != 255)
    assert counts.tp == (known & (ours == 1) & (theirs == 1)).sum()
    assert counts.fp == (known & (ours == 1) & (theirs == 0)).sum()
    assert sum(counts) == known.sum()
    all_imaged = compare_pixels(ours, theirs, unobserved_as_none=True)
    assert sum(all_imaged) == (theirs != 255).sum()
    assert all_imaged.fn == counts.fn + ((ours == 255) & (theirs == 1)).sum()
    assert all_imaged.tp == counts.tp


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = np.roll(SLIDES, 2, axis=0)
    whole = compare_pixels(SLIDES, shifted), compare_boundaries(SLIDES, shifted)
    monkeypatch.setattr(compare, "BLOCK_ROWS", 7)
    assert (compare_pixels(SLIDES, shifted), compare_boundaries(SLIDES, shifted)) == whole


def test_other_grids_are_refused() -> None:
    with pytest.raises(RequestError, match="differ"):
        compare_pixels(SLIDES, SLIDES[1:])


def test_boundaries_of_a_shifted_square() -> None:
    square, moved = _mask((10, 30, 10, 30)), _mask((10, 30, 12, 32))
    same = compare_boundaries(square, square)
    assert all(score.f1 == 1 for score in same.values())
    scores = compare_boundaries(square, moved, (1, 2, 3))
    assert scores[1].f1 < scores[2].f1 == scores[3].f1 == 1
    far = 20 + 16  # the right side, and the left one but for two pixels at each end, lie 2 px away
    assert scores[1].recall == pytest.approx(1 - far / 76)


def test_the_edge_of_what_is_known_is_no_boundary() -> None:
    reference = np.where(np.arange(80) < 40, 1, 255).astype(np.uint8) * np.ones((60, 1), np.uint8)
    scores = compare_boundaries(np.ones(GRID.shape, np.uint8), reference)
    assert math.isnan(scores[1].precision)


def test_a_perfect_map_scores_one() -> None:
    scores = compare_landslides(_frame(SLIDES), _frame(SLIDES), SLIDES, SLIDES, GRID)
    assert (scores.reference_count, scores.predicted_count) == (3, 3)
    assert scores.recall == scores.precision == scores.one_to_one_f1 == scores.ceiling_f1 == 1
    assert len(scores.missed) == len(scores.false) == 0


def test_found_needs_a_quarter_and_real_needs_a_quarter() -> None:
    theirs = _mask((10, 20, 10, 20), (10, 20, 40, 50))
    ours = _mask((10, 20, 10, 13), (10, 20, 40, 42), (40, 50, 40, 50))
    scores = compare_landslides(_frame(ours), _frame(theirs), ours, theirs, GRID)
    assert (scores.found, scores.real) == (1, 2), (
        "30 % is found, 20 % is not; two lie on the reference wholly"
    )
    assert scores.recall == 0.5
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.missed["covered"].tolist() == [pytest.approx(0.2)]
    assert scores.false["covered"].tolist() == [0]
    assert scores.one_to_one == 0


def test_one_to_one_counts_each_landslide_once() -> None:
    theirs = _mask((10, 20, 10, 30))
    ours = _mask((10, 20, 10, 19), (10, 20, 20, 30))
    scores = compare_landslides(_frame(ours), _frame(theirs), ours, theirs, GRID)
    assert scores.one_to_one == 1, "both halves lie on it, one reaches an IoU of 0.5"
    assert scores.one_to_one_f1 == pytest.approx(2 / 3)


def test_overlapping_references_count_once() -> None:
    theirs = gpd.GeoDataFrame(geometry=[shapely.box(100, 100, 200, 200)] * 3, crs=str(GRID.crs))
    mask = rasterize(theirs.geometry, out_shape=GRID.shape, transform=GRID.affine, dtype="uint8")
    ours = mask.copy()
    ours[40:50, 8:18] = 1
    ours[46:50, 18:50] = 1
    scores = compare_landslides(_frame(ours), theirs, ours, mask, GRID)
    assert scores.false.empty == (scores.real == 1)
    assert scores.missed.empty


def test_only_what_both_observed_counts() -> None:
    ours = SLIDES.copy()
    ours[:, 45:] = 255
    scores = compare_landslides(_frame(ours), _frame(SLIDES), ours, SLIDES, GRID)
    assert scores.reference_count == 2, "the third lies where the inventory saw nothing"
    assert scores.recall == 1
    theirs = SLIDES.copy()
    theirs[:20] = 255
    assert (
        compare_landslides(_frame(SLIDES), _frame(SLIDES), SLIDES, theirs, GRID).predicted_count
        == 2
    )


def test_dismissed_landslides_do_not_count() -> None:
    frame = _frame(SLIDES).assign(status=["unreviewed", "dismissed", "confirmed"])
    assert compare_landslides(frame, _frame(SLIDES), SLIDES, SLIDES, GRID).predicted_count == 2


def test_sizes() -> None:
    sizes = compare_landslides(
        _frame(SLIDES), _frame(SLIDES), SLIDES, SLIDES, GRID
    ).by_size.set_index("size")
    assert sizes["reference"].tolist() == [0, 1, 1, 1]
    assert sizes["found"].tolist() == [0, 1, 1, 1]


def test_nothing_against_something() -> None:
    none = np.zeros(GRID.shape, np.uint8)
    scores = compare_landslides(_frame(none), _frame(SLIDES), none, SLIDES, GRID)
    assert (scores.recall, scores.predicted_count) == (0, 0)
    assert math.isnan(scores.precision)
    assert len(scores.missed) == 3
    assert scores.as_plain()["one_to_one_f1"] == 0


def test_the_real_truth_against_itself_and_shifted(real: Path) -> None:
    """The labels of Iburi cap what anybody can score: F1 0.87 and 0.76 at shifts of one and two
    pixels (area-weighted).
    """
    truth = pyogrio.read_dataframe(real / "iburi-2018" / "truth.gpkg", layer="source_areas").to_crs(
        32654
    )
    west, _, _, north = truth.total_bounds
    grid = GeoBox(
        (976, 612), Affine(10, 0, west // 10 * 10, 0, -10, north // 10 * 10 + 10), "EPSG:32654"
    )
    mask = rasterize(truth.geometry, out_shape=grid.shape, transform=grid.affine, dtype="uint8")
    frame = gpd.GeoDataFrame(geometry=polygonise(mask == 1, grid.affine), crs=32654)
    scores = compare_landslides(frame, truth, mask, mask, grid)
    assert scores.recall > 0.99
    assert scores.one_to_one_f1 == scores.ceiling_f1 < 1, "touching slides merge on a grid of 10 m"
    f1 = []
    for shift in (1, 2):
        counts = compare_pixels(np.roll(mask, shift, axis=1), mask)
        f1.append(2 * counts.tp / (2 * counts.tp + counts.fp + counts.fn))
    assert f1 == [pytest.approx(0.87, abs=0.03), pytest.approx(0.76, abs=0.04)]
