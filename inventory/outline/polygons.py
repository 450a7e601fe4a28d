"""Objects of a raster of any size, strip by strip, to polygons: the outline is kept, never the
pixels, so memory follows the result.

A landslide is an 8-connected group of pixels of one number. Its parts that touch only at a corner
are parts of one MultiPolygon, which is what keeps every geometry valid. Holes are kept. The answer
does not depend on the height of the strips.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from inventory.outline.rings import Corners, Ints, Rings, corners_of, joined, rings_of

LARGEST_CHANGE = 0.01
"""Share of its area by which simplification may change a polygon (contract: areas agree with the
mask within 1 %).
"""


def through(affine: Affine, xy: NDArray[Any]) -> NDArray[np.float64]:
    """Return points `(n, 2)` moved by an affine: x, y = a x + b y + c, d x + e y + f."""
    turn = np.array([[affine.a, affine.d], [affine.b, affine.e]])
    moved: NDArray[np.float64] = xy @ turn + np.array([affine.c, affine.f])
    return moved


class Patches(NamedTuple):
    """The 8-connected groups of each number, in the order of their first outline corner (row by
    row)."""

    geometry: NDArray[Any]
    """`(patch,)` valid MultiPolygons in the coordinates of the affine."""
    of_piece: Ints
    """`(piece,)` which patch a piece (a label handed out by `Tracer.add`) belongs to."""


class Tracer:
    """Traces objects that arrive as consecutive strips of rows."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows = 0
        self.pieces = 0
        """Labels handed out so far: 0 ... pieces - 1."""
        self._objects = np.zeros((1, width + 2), np.int64)
        self._labels = np.zeros((1, width + 2), np.int64)
        self._corners: list[Corners] = []
        self._seams: list[NDArray[np.int64]] = []

    def add(self, strip: NDArray[Any]) -> Ints:
        """Return the labels of the next strip's pixels, `(y, x)`; what is in no object has label 0
        too.

        A landslide that crosses strips, or only touches diagonally, has several labels until
        `finish` joins them.

        Args:
            strip: `(y, x)` the number of each pixel's object, the same in all strips, 0 for none;
                a mask is one number.
        """
        strip = strip.astype(np.int64)
        if not strip.any() and not self._objects.any():
            self.rows += len(strip)
            return np.zeros(strip.shape, np.int64)
        # scikit-image has no annotations here
        found, count = label(strip, connectivity=1, return_num=True)  # type: ignore[no-untyped-call]
        labels = np.where(strip > 0, found.astype(np.int64) + (self.pieces - 1), 0)
        objects = np.vstack([self._objects, np.pad(strip, ((0, 0), (1, 1)))])
        padded = np.vstack([self._labels, np.pad(labels, ((0, 0), (1, 1)))])
        self._trace(objects, padded)
        self._objects, self._labels = objects[-1:].copy(), padded[-1:].copy()
        self.pieces += count
        self.rows += len(strip)
        return labels

    def _trace(self, objects: Ints, labels: Ints) -> None:
        self._corners.append(corners_of(objects, labels, self.rows))
        across = (objects[0] > 0) & (objects[0] == objects[1])
        if across.any():
            pairs = np.stack([labels[0, across], labels[1, across]], axis=1)
            self._seams.append(np.unique(pairs, axis=0))

    def finish(self, affine: Affine) -> Patches:
        """Return the patches of all strips, in the coordinates of `affine` (pixel corner to
        CRS).
        """
        below = np.zeros((1, self.width + 2), np.int64)
        self._trace(np.vstack([self._objects, below]), np.vstack([self._labels, below]))
        corners = joined(self._corners)
        part = _components(self.pieces, np.concatenate([np.empty((0, 2), np.int64), *self._seams]))
        touching = corners.piece[corners.touching].reshape(-1, 2)
        patch = _components(self.pieces, np.stack([np.arange(self.pieces), part], axis=1), touching)
        rings = rings_of(corners)
        return _assembled(rings, part[rings.piece], patch, affine)


def _components(count: int, *links: Ints) -> Ints:
    """Return for each of `count` nodes the smallest node it is linked to."""
    pairs = np.concatenate(links)
    graph = coo_array(
        (np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count)
    )
    _, group = connected_components(graph, directed=False)
    smallest: Ints = np.unique(group, return_index=True)[1]
    node: Ints = smallest[group]
    return node


def _assembled(rings: Rings, part: Ints, patch: Ints, affine: Affine) -> Patches:
    """Return the patches made of rings; `part` names the 4-connected part of each ring, `patch` the
    group of each piece.
    """
    xy = through(affine, rings.coordinates)
    lines = np.asarray(
        shapely.linearrings(
            xy, indices=np.repeat(np.arange(len(rings.is_hole)), np.diff(rings.starts))
        )
    )
    shells = np.flatnonzero(~rings.is_hole)
    at = np.zeros(int(part.max(initial=-1)) + 1, np.int64)
    at[part[shells]] = np.arange(len(shells))  # a 4-connected part has exactly one shell
    by_shell = np.lexsort((rings.is_hole, at[part]))  # the shell first, then its holes
    polygons = np.asarray(shapely.polygons(lines[by_shell], indices=at[part][by_shell]))
    order: dict[int, int] = {}
    of_shell = np.array(
        [order.setdefault(group, len(order)) for group in patch[rings.piece[shells]].tolist()],
        np.int64,
    )
    sorting = np.argsort(of_shell, kind="stable")
    geometry = np.asarray(shapely.multipolygons(polygons[sorting], indices=of_shell[sorting]))
    return Patches(geometry, np.array([order[group] for group in patch.tolist()], np.int64))


def polygonise(mask: NDArray[Any], affine: Affine, strip_rows: int = 1024) -> NDArray[Any]:
    """Return the 8-connected groups of a whole mask `(y, x)`, or of each number in it, as
    MultiPolygons.
    """
    tracer = Tracer(mask.shape[1])
    for first in range(0, mask.shape[0], strip_rows):
        tracer.add(mask[first : first + strip_rows])
    return tracer.finish(affine).geometry


def simplified(geometry: NDArray[Any], tolerance_m: float) -> NDArray[Any]:
    """Return polygons with fewer vertices; one whose area would change by more than 1 %, or turn
    invalid, stays as it is.
    """
    simple = shapely.simplify(geometry, tolerance_m, preserve_topology=True)
    area = shapely.area(geometry)
    good = shapely.is_valid(simple) & (np.abs(shapely.area(simple) - area) <= LARGEST_CHANGE * area)
    multi = np.array(
        [shapely.MultiPolygon([g]) if g.geom_type == "Polygon" else g for g in simple], dtype=object
    )
    return np.where(good, multi, geometry) if len(geometry) else geometry
