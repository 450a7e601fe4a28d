"""Landslides that touch, told apart: the pixels above the threshold are cut along the valleys of
the probability between its peaks.

One threshold cannot both draw outlines and part neighbours: high enough to part them, it loses
their rims. So the threshold draws the extent, and peaks of the smoothed probability are the seeds
from which a watershed shares it out (Vincent and Soille 1991). Two peaks are two landslides where
the saddle between them lies lower than both by a given depth.

Rows are split in windows on the lattice of the projection's own rows, each with context above and
below, so that neither the strips of a pass nor the frame of a run changes a landslide.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from inventory.outline.rings import Ints

_WINDOW_ROWS: Final = 512
_CONTEXT_ROWS: Final = 128
"""Rows around a window that are split with it: 1.3 km of 10-m pixels, longer than all but the
largest landslides."""
_SMOOTH_PX: Final = 0.8
"""Standard deviation of the smoothing, pixels. Chosen on the validation bands of Iburi: what one
pixel says alone is no seed."""
_LEAST_PX: Final = 12
"""Smaller groups are not split. Chosen: three of the smallest landslides that count."""
_TOUCHING: Final = np.ones((3, 3), bool)

Called = Callable[[slice], tuple[NDArray[np.bool_], NDArray[np.float32]]]


class Objects:
    """Numbers of the landslides of a probability raster, asked for by rows."""

    def __init__(self, called: Called, shape: tuple[int, ...], first_row: int, depth: float):
        """Prepare to split.

        Args:
            called: (mask, probability), each `(y, x)`, of the rows it is given.
            shape: (rows, columns) of the raster.
            first_row: the raster's first row on the lattice of its projection.
            depth: how much lower than both peaks a saddle has to lie, probability.
        """
        self._called, self._shape = called, (int(shape[0]), int(shape[1]))
        self._offset, self._depth = first_row % _WINDOW_ROWS, depth
        self._window = lru_cache(maxsize=2)(self._split)

    def __getitem__(self, rows: slice) -> Ints:
        """Return the number of each pixel's landslide, `(y, x)`, 0 for none; the same in whatever
        rows it is asked for.
        """
        start, stop, _ = rows.indices(self._shape[0])
        first, last = ((at + self._offset) // _WINDOW_ROWS for at in (start, max(start, stop - 1)))
        whole = np.concatenate([self._window(number) for number in range(first, last + 1)])
        at = start - max(0, first * _WINDOW_ROWS - self._offset)
        return whole[at : at + stop - start]

    def _split(self, number: int) -> Ints:
        """Return the numbers of one window's own rows."""
        low = number * _WINDOW_ROWS - self._offset
        own = slice(max(0, low), min(self._shape[0], low + _WINDOW_ROWS))
        top = max(0, low - _CONTEXT_ROWS)
        bottom = min(self._shape[0], low + _WINDOW_ROWS + _CONTEXT_ROWS)
        mask, probability = self._called(slice(top, bottom))
        if not mask.any():
            return np.zeros((own.stop - own.start, self._shape[1]), np.int64)
        numbers = split(mask, probability, self._depth)
        # A landslide is numbered by a pixel of its own, counted over the raster: two windows that
        # see it agree.
        numbers[numbers > 0] += top * self._shape[1]
        return numbers[own.start - top : own.stop - top]


def split(mask: NDArray[np.bool_], probability: NDArray[np.float32], depth: float | None) -> Ints:
    """Return the number of each pixel's landslide, `(y, x)`, 0 outside `mask`: 1 + the place of its
    seed, counted row by row.

    Args:
        mask: `(y, x)` what is a landslide.
        probability: `(y, x)` 0-1, NaN where not known.
        depth: how much lower than both peaks a saddle has to lie for them to be two; None: what
            touches is one.
    """
    groups, count = ndimage.label(mask, _TOUCHING)
    place = np.arange(1, mask.size + 1, dtype=np.int64).reshape(mask.shape)
    first = np.zeros(count + 1, np.int64)
    inside = np.flatnonzero(mask)[::-1]  # the first pixel of each group is written last
    first[groups.ravel()[inside]] = inside + 1
    numbers: Ints = first[groups]
    if depth is None:
        return numbers
    height = ndimage.gaussian_filter(np.nan_to_num(probability), _SMOOTH_PX)
    sizes = np.bincount(groups.ravel(), minlength=count + 1)
    for group, box in enumerate(ndimage.find_objects(groups), 1):
        if sizes[group] >= _LEAST_PX:
            own = groups[box] == group
            numbers[box][own] = _parts(height[box], own, depth, place[box])[own]
    return numbers


def _parts(height: NDArray[Any], own: NDArray[np.bool_], depth: float, place: Ints) -> Ints:
    """Return one group's numbers; its seeds are the peaks that stand out by `depth`."""
    peaks = np.where(own, height, 0)
    # All of a dome down to the depth below its peak is one seed, however many peaks of one height
    # it has (scikit-image has no annotations here).
    domes = reconstruction(peaks - depth, peaks)  # type: ignore[no-untyped-call]
    tops = local_maxima(domes, connectivity=2).astype(bool) & own  # type: ignore[no-untyped-call]
    if not tops.any():
        tops = own & (peaks == peaks.max())
    seeds, count = ndimage.label(tops, _TOUCHING)
    names = np.zeros(count + 1, np.int64)
    at = np.flatnonzero(tops)[::-1]
    names[seeds.ravel()[at]] = place.ravel()[at]
    if count == 1:
        return np.where(own, names[1], 0)
    shared = watershed(-peaks, seeds, mask=own, connectivity=_TOUCHING)  # type: ignore[no-untyped-call]
    numbers: Ints = names[shared]
    return numbers
