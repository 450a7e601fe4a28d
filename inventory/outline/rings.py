"""Rings around the objects of a raster, found from their corners alone.

An object's outline turns only where its pixels among the four around a grid vertex are odd in
number or touch diagonally. Along every grid line the corners of an object pair up into edges, so
corners from strips of any height link into the same rings, with nothing to join or dissolve at
seams. Everything is in pixel coordinates (x right, y down), landslide on the left hand (seen with y
up).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]


class Corners(NamedTuple):
    """Turns of the outlines in the order (y, object, x, side of the horizontal edge); all arrays
    `(corner,)`.
    """

    y: Ints
    x: Ints
    south: NDArray[np.bool_]
    """The vertical edge at this corner runs south of it (else north)."""
    leaves_h: NDArray[np.bool_]
    """The ring leaves this corner along its horizontal edge (else along the vertical one)."""
    piece: Ints
    """Label of a true pixel at this corner."""
    touching: NDArray[np.bool_]
    """Two pixels of the object touch diagonally here: the vertex holds two of its corners."""
    number: Ints
    """Number of the object: outlines link corners of one number only."""


class Rings(NamedTuple):
    """Closed, simple rings: `coordinates[starts[i]:starts[i + 1]]` is ring i, first vertex not
    repeated.
    """

    coordinates: Ints
    """`(vertex, 2)` as x, y in pixels."""
    starts: Ints
    """`(ring + 1,)`"""
    piece: Ints
    """`(ring,)` label of the pixels it bounds."""
    is_hole: NDArray[np.bool_]
    """`(ring,)`"""


# Per code NW | NE << 1 | SW << 2 | SE << 3, the corners at a vertex: (owner: 0 NW, 1 NE, 2 SW, 3
# SE; south; leaves_h). Codes 6 and 9 are the diagonal touches; the corner whose edge runs west
# comes first.
_KINDS: dict[int, tuple[tuple[int, bool, bool], ...]] = {
    1: ((0, False, False),),
    2: ((1, False, True),),
    4: ((2, True, True),),
    8: ((3, True, False),),
    7: ((0, True, True),),
    11: ((0, True, False),),
    13: ((0, False, False),),
    14: ((1, False, True),),
    9: ((0, False, False), (3, True, False)),
    6: ((2, True, True), (1, False, True)),
}
_COUNT = np.array([len(_KINDS.get(code, ())) for code in range(16)], np.int8)
_TABLE = np.array(
    [
        [(kinds * 2)[i] for i in (0, 1)] if (kinds := _KINDS.get(c)) else [(0, 0, 0)] * 2
        for c in range(16)
    ]
)


def corners_of(objects: Ints, labels: Ints, first_row: int) -> Corners:
    """Return the corners on the row lines above each row but the first of `objects`.

    Args:
        objects: `(y, x)` number of the object each pixel belongs to, 0 none; its first row the last
            one of the strip above (or 0), padded by one 0 column on each side.
        labels: the labels of the objects' pixels, same shape.
        first_row: number of the row line between the first and second row.
    """
    around = [objects[:-1, :-1], objects[:-1, 1:], objects[1:, :-1], objects[1:, 1:]]
    parts = []
    for own, number in enumerate(around):
        # Each object around a vertex is met once: from the first of its pixels there.
        new = number > 0
        for earlier in around[:own]:
            new = new & (number != earlier)
        at = np.flatnonzero(new)
        mine = number.ravel()[at]
        code = sum(
            (each.ravel()[at] == mine).astype(np.int64) << k for k, each in enumerate(around)
        )
        parts.append(_corners_at(at, mine, np.asarray(code), labels, first_row))
    found = joined(parts)
    return _taken(found, np.lexsort((found.x, found.number, found.y)))  # stable: pairs stay pairs


def _corners_at(at: Ints, number: Ints, code: Ints, labels: Ints, first_row: int) -> Corners:
    """Return the corners of one object each at vertices, given by their places in a flat array."""
    repeat = _COUNT[code].astype(np.int64)
    at, number, code = (np.repeat(each, repeat) for each in (at, number, code))
    touching = (code == 6) | (code == 9)
    second = touching & np.r_[False, at[1:] == at[:-1]]
    owner, south, leaves_h = _TABLE[code, second.astype(np.int64)].T
    y, x = np.divmod(at, labels.shape[1] - 1)
    piece = labels[y + (owner >> 1), x + (owner & 1)]
    return Corners(
        y + first_row, x, south.astype(bool), leaves_h.astype(bool), piece, touching, number
    )


def _taken(corners: Corners, order: Ints) -> Corners:
    return Corners._make(column[order] for column in corners)


def joined(parts: list[Corners]) -> Corners:
    """Return the corners of consecutive strips as one."""
    return Corners(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _successors(corners: Corners) -> Ints:
    """Return for each corner the next one on its ring."""
    count = len(corners.y)
    along_row = np.arange(count) ^ 1  # an object's corners on a row line pair up in order of x
    order = np.lexsort((corners.south, corners.y, corners.number, corners.x))
    along_column = np.empty(count, np.int64)
    along_column[order[0::2]], along_column[order[1::2]] = order[1::2], order[0::2]
    return np.where(corners.leaves_h, along_row, along_column)


def _walk(successor: Ints) -> tuple[Ints, Ints]:
    """Return (corners in ring order, first position of each ring and the end); each ring begins at
    its smallest corner.

    The rank of a corner on its ring is found by pointer doubling, all rings at once.
    """
    count = len(successor)
    links = coo_array(
        (np.ones(count, np.int8), (np.arange(count), successor)), shape=(count, count)
    )
    _, ring = connected_components(links, directed=False)
    first = np.unique(ring, return_index=True)[1]
    ring = np.argsort(np.argsort(first))[ring]  # rings in order of their first corner
    start = np.zeros(count, bool)
    start[first] = True
    ahead = np.where(start[successor], np.arange(count), successor)  # the last corner stays
    left = (ahead != np.arange(count)).astype(np.int64)
    while not np.array_equal(further := ahead[ahead], ahead):
        left += left[ahead]
        ahead = further
    starts = np.r_[0, np.cumsum(np.bincount(ring))] if count else np.zeros(1, np.int64)
    walk = np.empty(count, np.int64)
    walk[starts[ring + 1] - 1 - left] = np.arange(count)
    return walk, starts


def _simple(corners: Corners, members: Ints) -> list[Ints]:
    """Return a ring that touches itself as simple rings, cut at the vertices it visits twice."""
    loops: list[Ints] = []
    path: list[tuple[tuple[int, int], int]] = []
    seen: dict[tuple[int, int], int] = {}
    vertices = zip(corners.y[members].tolist(), corners.x[members].tolist(), strict=True)
    for vertex, member in zip(vertices, members.tolist(), strict=True):
        if vertex in seen:
            cut = seen[vertex]
            loops.append(np.array([corner for _, corner in path[cut:]]))
            for gone, _ in path[cut:]:
                del seen[gone]
            del path[cut:]
        seen[vertex] = len(path)
        path.append((vertex, member))
    return [*loops, np.array([corner for _, corner in path])]


def _cut(corners: Corners, walk: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """Return walk and starts with every ring simple."""
    ring = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    twice = np.flatnonzero(corners.touching[walk])
    keys = np.stack([ring[twice], corners.y[walk[twice]], corners.x[walk[twice]]])  # (3, corner)
    unique, counts = np.unique(keys, axis=1, return_counts=True)
    if not (counts > 1).any():
        return walk, starts
    pieces: list[Ints] = []
    done = 0
    for bad in np.unique(unique[0, counts > 1]):
        pieces += [walk[starts[i] : starts[i + 1]] for i in range(done, bad)]
        pieces += _simple(corners, walk[starts[bad] : starts[bad + 1]])
        done = bad + 1
    pieces += [walk[starts[i] : starts[i + 1]] for i in range(done, len(starts) - 1)]
    return np.concatenate(pieces), np.r_[0, np.cumsum([len(piece) for piece in pieces])]


def rings_of(corners: Corners) -> Rings:
    """Return the simple rings that all corners of a mask make, in the order of their first
    corner.
    """
    walk, starts = _cut(corners, *_walk(_successors(corners)))
    x, y = corners.x[walk], corners.y[walk]
    following = np.arange(1, len(walk) + 1)
    following[starts[1:] - 1] = starts[:-1]
    twice_area = x * y[following] - x[following] * y
    turn = np.add.reduceat(twice_area, starts[:-1]) if len(walk) else np.zeros(0, np.int64)
    return Rings(np.stack([x, y], axis=1), starts, corners.piece[walk[starts[:-1]]], turn > 0)
