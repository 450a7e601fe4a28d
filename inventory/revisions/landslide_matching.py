"""Landslide against landslide: how many of the reference were found, how many found are real, how
well shapes agree.

A landslide of the reference is found when at least 25 % of it is covered; one of the inventory is
real when at least 25 % of it lies on the reference. The stricter one-to-one score (IoU of at least
0.5) stands beside what a perfect mapper could reach on this grid: the same score of the reference,
burnt to pixels and outlined again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.stack import Rows
from inventory.outline.polygons import polygonise

_FOUND_SHARE = 0.25
_ONE_TO_ONE_IOU = 0.5
_INSIDE_SHARE = 0.5
"""Share of a landslide that must lie in what both observed for it to count. Chosen: the
majority.
"""
_SIZES_M2 = (0.0, 400.0, 1000.0, 10_000.0, np.inf)
_SIZE_NAMES = ("< 400 m²", "400-1000 m²", "1000-10000 m²", "> 10000 m²")
_BLOCK_PX = 256

Shapes = NDArray[Any]
Floats = NDArray[np.float64]


class _Clipped(NamedTuple):
    """Landslides restricted to what both observed."""

    shapes: Shapes
    rows: NDArray[np.int64]
    """Position of each in the frame it came from."""
    area: Floats


@dataclass(frozen=True)
class LandslideScores:
    """Scores by landslide, over what both the inventory and the reference observed."""

    reference_count: int
    predicted_count: int
    found: int
    """Landslides of the reference of which at least 25 % is covered."""
    real: int
    """Landslides of the inventory of which at least 25 % lies on the reference."""
    one_to_one: int
    """Pairs with an IoU of at least 0.5, each landslide in at most one."""
    ceiling_f1: float
    """One-to-one F1 of the reference burnt to this grid: no mapper can be expected to do better."""
    by_size: pd.DataFrame
    """A row per size class: reference, found, predicted, real, one_to_one, recall, precision."""
    missed: gpd.GeoDataFrame
    """Landslides of the reference that were not found, with `covered` (0-1)."""
    false: gpd.GeoDataFrame
    """Landslides of the inventory that are not in the reference, with `covered` (0-1)."""
    reference_areas_m2: Floats
    """Areas of the reference's landslides, as far as both observed them."""
    predicted_areas_m2: Floats

    @property
    def recall(self) -> float:
        """Return the share of the reference's landslides that was found."""
        return self.found / self.reference_count if self.reference_count else float("nan")

    @property
    def precision(self) -> float:
        """Return the share of the inventory's landslides that is real."""
        return self.real / self.predicted_count if self.predicted_count else float("nan")

    @property
    def one_to_one_f1(self) -> float:
        """Return the F1 of one-to-one pairs."""
        return _pair_f1(self.one_to_one, self.reference_count, self.predicted_count)

    def as_plain(self) -> dict[str, Any]:
        """Return the scores as plain JSON types."""
        names = ("reference_count", "predicted_count", "found", "real", "recall", "precision")
        more = ("one_to_one", "one_to_one_f1", "ceiling_f1")
        rows = self.by_size.replace({np.nan: None}).to_dict("records")
        return {**{name: getattr(self, name) for name in (*names, *more)}, "by_size": rows}


def _pair_f1(pairs: int, reference: int, predicted: int) -> float:
    return 2 * pairs / (reference + predicted) if reference + predicted else float("nan")


def _valid_pieces(predicted: Rows, reference: Rows, affine: Affine) -> Shapes:
    """Return what both observed as many small polygons, block by block."""
    height, width = (int(n) for n in predicted.shape)
    pieces: list[Shapes] = []
    for top in range(0, height, _BLOCK_PX):
        rows = slice(top, min(top + _BLOCK_PX, height))
        valid = (np.asarray(predicted[rows, :]) != 255) & (np.asarray(reference[rows, :]) != 255)
        for left in range(0, width, _BLOCK_PX):
            block = np.ascontiguousarray(valid[:, left : left + _BLOCK_PX])
            pieces.append(polygonise(block, affine @ Affine.translation(left, top)))
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=object)


def _clip(shapes: Shapes, pieces: Shapes) -> _Clipped:
    """Return the landslides of which the majority lies in the pieces, cut to them."""
    area = shapely.area(shapes)
    i, j = shapely.STRtree(pieces).query(shapes, predicate="intersects")
    inside = shapely.contains_properly(pieces[j], shapes[i])
    cuts = shapes[i].copy()
    cuts[~inside] = shapely.intersection(shapes[i[~inside]], pieces[j[~inside]])
    within = np.bincount(i, weights=shapely.area(cuts), minlength=len(shapes))
    rows = np.flatnonzero((within >= _INSIDE_SHARE * area) & (area > 0))
    order = np.argsort(i, kind="stable")
    bounds = np.searchsorted(i[order], np.arange(len(shapes) + 1))
    clipped = np.empty(len(rows), dtype=object)
    for at, row in enumerate(rows):
        mine = cuts[order[bounds[row] : bounds[row + 1]]]
        whole = within[row] >= area[row] * (1 - 1e-9)
        clipped[at] = (
            shapes[row] if whole else mine[0] if len(mine) == 1 else shapely.union_all(mine)
        )
    return _Clipped(clipped, rows, shapely.area(clipped))


class _Pairs(NamedTuple):
    """Overlapping landslides: positions on both sides and the shared area in m²."""

    reference: NDArray[np.int64]
    predicted: NDArray[np.int64]
    shared: Floats


def _pairs(reference: _Clipped, predicted: _Clipped) -> _Pairs:
    i, j = shapely.STRtree(predicted.shapes).query(reference.shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(reference.shapes[i], predicted.shapes[j]))
    return _Pairs(i, j, shared)


def _covered(shapes: _Clipped, by: _Clipped) -> Floats:
    """Return which share of each landslide the other side covers; overlaps among the others count
    once.
    """
    union = shapely.get_parts(shapely.union_all(by.shapes)) if len(by.shapes) else by.shapes
    pairs = _pairs(shapes, _Clipped(union, np.arange(len(union)), shapely.area(union)))
    total = np.bincount(pairs.reference, weights=pairs.shared, minlength=len(shapes.shapes))
    share: Floats = np.minimum(total / shapes.area, 1.0)
    return share


def _one_to_one(reference: _Clipped, predicted: _Clipped) -> dict[int, int]:
    """Return the pairs (reference → predicted) with an IoU of at least 0.5, the best first, each
    landslide once.
    """
    pairs = _pairs(reference, predicted)
    union = reference.area[pairs.reference] + predicted.area[pairs.predicted] - pairs.shared
    iou = pairs.shared / union
    good = np.flatnonzero(iou >= _ONE_TO_ONE_IOU)
    taken: dict[int, int] = {}
    used: set[int] = set()
    for k in good[np.lexsort((pairs.predicted[good], pairs.reference[good], -iou[good]))]:
        i, j = int(pairs.reference[k]), int(pairs.predicted[k])
        if i not in taken and j not in used:
            taken[i] = j
            used.add(j)
    return taken


def _sizes(area: Floats) -> NDArray[np.int64]:
    return np.digitize(area, _SIZES_M2[1:-1])


def _by_size(
    reference: Floats,
    found: NDArray[np.bool_],
    predicted: Floats,
    real: NDArray[np.bool_],
    paired: NDArray[np.bool_],
) -> pd.DataFrame:
    theirs, ours = _sizes(reference), _sizes(predicted)
    rows = []
    for number, name in enumerate(_SIZE_NAMES):
        there, here = theirs == number, ours == number
        counts = {
            "reference": int(there.sum()),
            "found": int(found[there].sum()),
            "predicted": int(here.sum()),
            "real": int(real[here].sum()),
            "one_to_one": int(paired[there].sum()),
        }
        recall = counts["found"] / counts["reference"] if counts["reference"] else np.nan
        precision = counts["real"] / counts["predicted"] if counts["predicted"] else np.nan
        rows.append({"size": name, **counts, "recall": recall, "precision": precision})
    return pd.DataFrame(rows)


def _ceiling(reference: _Clipped, raster: Rows, predicted: Rows, geobox: GeoBox) -> float:
    """Return the one-to-one F1 of the reference burnt to the grid."""
    height = int(raster.shape[0])
    mask = np.zeros(tuple(int(n) for n in raster.shape), bool)
    for first in range(0, height, 1024):
        rows = slice(first, min(first + 1024, height))
        mask[rows] = (np.asarray(raster[rows, :]) == 1) & (np.asarray(predicted[rows, :]) != 255)
    shapes = polygonise(mask, geobox.affine)
    burnt = _Clipped(shapes, np.arange(len(shapes)), shapely.area(shapes))
    return _pair_f1(len(_one_to_one(reference, burnt)), len(reference.shapes), len(shapes))


def compare_landslides(
    predicted_frame: gpd.GeoDataFrame,
    reference_frame: gpd.GeoDataFrame,
    predicted: Rows,
    reference: Rows,
    geobox: GeoBox,
) -> LandslideScores:
    """Return the scores by landslide.

    Args:
        predicted_frame: landslides of the inventory; dismissed ones are left out.
        reference_frame: landslides of the reference, any CRS.
        predicted: ``landslides.tif``, `(y, x)` uint8, 255 not observed.
        reference: the reference burnt on the same grid, 255 where it says nothing.
        geobox: the grid.
    """
    crs = str(geobox.crs)
    ours = predicted_frame.to_crs(crs)
    if "status" in ours.columns:
        ours = ours[ours["status"] != "dismissed"]
    theirs = reference_frame.to_crs(crs)
    pieces = _valid_pieces(predicted, reference, geobox.affine)
    p = _clip(ours.geometry.make_valid().to_numpy(), pieces)
    r = _clip(theirs.geometry.make_valid().to_numpy(), pieces)
    r_covered, p_covered = _covered(r, p), _covered(p, r)
    found, real = r_covered >= _FOUND_SHARE, p_covered >= _FOUND_SHARE
    pairs = _one_to_one(r, p)
    paired = np.isin(np.arange(len(r.rows)), list(pairs))
    return LandslideScores(
        reference_count=len(r.rows),
        predicted_count=len(p.rows),
        found=int(found.sum()),
        real=int(real.sum()),
        one_to_one=len(pairs),
        ceiling_f1=_ceiling(r, reference, predicted, geobox),
        by_size=_by_size(r.area, found, p.area, real, paired),
        missed=theirs.iloc[r.rows[~found]].assign(covered=r_covered[~found]),
        false=ours.iloc[p.rows[~real]].assign(covered=p_covered[~real]),
        reference_areas_m2=r.area,
        predicted_areas_m2=p.area,
    )
