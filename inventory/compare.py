"""An inventory against a reference: pixels, boundaries, landslides; always only where both have
looked.

Rasters hold 1 landslide, 0 none, 255 not observed (or outside what the reference examined). Pixels
come back as counts; what they amount to is said elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from configs.errors import RequestError
from configs.stack import Rows
from inventory.revisions.landslide_matching import LandslideScores, compare_landslides

__all__ = [
    "BoundaryScore",
    "LandslideScores",
    "PixelCounts",
    "compare_boundaries",
    "compare_landslides",
    "compare_pixels",
]

UNKNOWN = 255
BLOCK_ROWS = 1024
TOLERANCES_PX = (1, 2, 3)


class PixelCounts(NamedTuple):
    """Pixels by what the inventory and the reference say."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True)
class BoundaryScore:
    """How much of the outlines lies within a tolerance of the other side's outlines; NaN where a
    side has none.
    """

    precision: float
    recall: float
    f1: float


class _Both(NamedTuple):
    """Some rows of both rasters, `(y, x)`; `core` are the rows that count, the others are
    context.
    """

    predicted: NDArray[np.bool_]
    reference: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    core: slice


def _blocks(
    predicted: Rows, reference: Rows, halo: int = 0, unobserved_as_none: bool = False
) -> Iterator[_Both]:
    if predicted.shape != reference.shape:
        raise RequestError(
            f"the inventory's grid {predicted.shape} and the reference's {reference.shape} differ",
            "Burn the reference on the inventory's own grid.",
        )
    height = int(predicted.shape[0])
    for first in range(0, height, BLOCK_ROWS):
        low, high = max(0, first - halo), min(height, first + BLOCK_ROWS + halo)
        ours, theirs = (
            np.asarray(raster[slice(low, high), :]) for raster in (predicted, reference)
        )
        valid = (theirs != UNKNOWN) & (unobserved_as_none | (ours != UNKNOWN))
        core = slice(first - low, min(height, first + BLOCK_ROWS) - low)
        yield _Both((ours == 1) & valid, (theirs == 1) & valid, valid, core)


def compare_pixels(
    predicted: Rows, reference: Rows, *, unobserved_as_none: bool = False
) -> PixelCounts:
    """Return the confusion counts over pixels that both know.

    Args:
        predicted: `(y, x)` uint8, ``landslides.tif``.
        reference: `(y, x)` uint8, 255 where it says nothing.
        unobserved_as_none: count what the inventory did not observe as "no landslide" instead of
            leaving it out.

    Raises:
        RequestError: the rasters differ in shape.
    """
    counts = np.zeros(4, np.int64)
    for block in _blocks(predicted, reference, unobserved_as_none=unobserved_as_none):
        kind = (2 * block.reference + block.predicted)[block.valid]
        counts += np.bincount(kind, minlength=4)
    tn, fp, fn, tp = (int(n) for n in counts)
    return PixelCounts(tp, fp, fn, tn)


def _rim(mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that touch, by a side, a valid pixel outside it."""
    outside = valid & ~mask
    rim: NDArray[np.bool_] = mask & ndimage.binary_dilation(outside)
    return rim


def compare_boundaries(
    predicted: Rows, reference: Rows, tolerances_px: Sequence[int] = TOLERANCES_PX
) -> dict[int, BoundaryScore]:
    """Return the boundary scores by tolerance in pixels (Euclidean), over pixels that both know.

    A boundary pixel belongs to a landslide and touches a pixel known to be none; edges of the known
    area are no boundary. Csurka et al. (2013), BMVC, section 3, over all landslides at once.
    """
    near = {px: np.zeros(2, np.int64) for px in tolerances_px}
    total = np.zeros(2, np.int64)
    for block in _blocks(predicted, reference, halo=max(tolerances_px) + 1):
        rims = [_rim(mask, block.valid) for mask in (block.predicted, block.reference)]
        for side, (own, other) in enumerate((rims, rims[::-1])):
            mine = own[block.core]
            total[side] += np.count_nonzero(mine)
            if not mine.any() or not other.any():
                continue
            distance = ndimage.distance_transform_edt(~other)[block.core][mine]
            for px, hits in near.items():
                hits[side] += np.count_nonzero(distance <= px)
    return {px: _boundary_score(hits, total) for px, hits in near.items()}


def _boundary_score(near: NDArray[np.int64], total: NDArray[np.int64]) -> BoundaryScore:
    precision, recall = (
        float(n / t) if t else float("nan") for n, t in zip(near, total, strict=True)
    )
    both = precision + recall
    return BoundaryScore(
        precision, recall, 2 * precision * recall / both if both > 0 else 0.0 if both == 0 else both
    )
