"""Polygons of masks: the pixels, exactly, whatever the strips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from inventory.outline.polygons import LARGEST_CHANGE, Tracer, polygonise, simplified

GRID = Affine(10, 0, 300, 0, -10, 700)
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@settings(max_examples=80, deadline=None)
@given(mask=masks, strip_rows=st.integers(1, 13))
def test_polygons_are_the_mask(mask: NDArray[np.bool_], strip_rows: int) -> None:
    shapes = polygonise(mask, GRID, strip_rows)
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapes).sum() == 100 * mask.sum()
    _, groups = ndimage.label(mask, np.ones((3, 3)))
    assert len(shapes) == groups
    burnt = np.zeros(mask.shape, np.uint8)
    for shape in shapes:
        one = rasterize([shape], out_shape=mask.shape, transform=GRID, dtype="uint8")
        assert not (burnt & one).any(), "two polygons share a pixel"
        assert ndimage.label(one, np.ones((3, 3)))[1] == 1, "a polygon holds two groups"
        burnt |= one
    np.testing.assert_array_equal(burnt.astype(bool), mask)


@settings(max_examples=60, deadline=None)
@given(mask=masks, strip_rows=st.integers(1, 13))
def test_strips_do_not_matter(mask: NDArray[np.bool_], strip_rows: int) -> None:
    whole, cut = polygonise(mask, GRID, 1000), polygonise(mask, GRID, strip_rows)
    assert [shape.wkb for shape in whole] == [shape.wkb for shape in cut]


def test_labels_lead_to_the_patch_that_holds_the_pixel() -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(1).random((60, 50)), 1.2) > 0.52
    tracer = Tracer(50)
    labels = np.concatenate([tracer.add(mask[first : first + 7]) for first in range(0, 60, 7)])
    patches = tracer.finish(Affine.identity())
    for y, x in np.argwhere(mask)[::9]:
        patch = patches.of_piece[labels[y, x]]
        assert shapely.contains_xy(patches.geometry[patch], x + 0.5, y + 0.5)


def test_a_landslide_across_a_seam_is_one() -> None:
    mask = np.zeros((64, 8), bool)
    mask[:, 3] = True
    shapes = polygonise(mask, GRID, 16)
    assert len(shapes) == 1
    assert shapely.get_num_coordinates(shapes[0]) == 5


def test_holes_stay_and_islands_in_them_are_their_own() -> None:
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    outer, island = polygonise(mask, GRID)
    assert shapely.get_num_interior_rings(shapely.get_geometry(outer, 0)) == 1
    assert (outer.area, island.area) == (2400, 100)


def test_pixels_that_touch_at_a_corner_are_two_parts_of_one_landslide() -> None:
    (shape,) = polygonise(np.eye(3, dtype=bool), GRID)
    assert shape.geom_type == "MultiPolygon"
    assert shapely.get_num_geometries(shape) == 3


def test_nothing_gives_nothing() -> None:
    assert len(polygonise(np.zeros((5, 5), bool), GRID)) == 0


@pytest.mark.parametrize("tolerance_m", [5.0, 12.0, 40.0, 500.0])
def test_simplification_keeps_areas(tolerance_m: float) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(2).random((80, 80)), 2) > 0.51
    shapes = polygonise(mask, GRID)
    simple = simplified(shapes, tolerance_m)
    area = shapely.area(shapes)
    assert (np.abs(shapely.area(simple) - area) <= LARGEST_CHANGE * area).all()
    assert shapely.is_valid(simple).all()
    assert shapely.get_num_coordinates(simple).sum() <= shapely.get_num_coordinates(shapes).sum()
    assert {shape.geom_type for shape in simple} == {"MultiPolygon"}


def test_simplification_does_simplify() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = polygonise((rows - 100) ** 2 + (columns - 100) ** 2 < 90**2, GRID)
    assert (
        shapely.get_num_coordinates(simplified(disc, 10.0))[0]
        < shapely.get_num_coordinates(disc)[0] / 2
    )


@pytest.mark.parametrize("strip_rows", [1, 7, 1000])
def test_objects_that_touch_are_traced_apart(strip_rows: int) -> None:
    blocks = np.random.default_rng(0).integers(0, 6, (14, 17))
    objects = np.kron(blocks, np.ones((3, 3), int))
    shapes = polygonise(objects, GRID, strip_rows)
    groups = sum(
        ndimage.label(objects == number, np.ones((3, 3)))[1]
        for number in range(1, objects.max() + 1)
    )
    assert len(shapes) == groups
    assert shapely.is_valid(shapes).all()
    pixel_m2 = abs(GRID.determinant)
    assert shapely.area(shapes).sum() == (objects > 0).sum() * pixel_m2
    assert shapely.area(shapely.union_all(shapes)) == (objects > 0).sum() * pixel_m2
