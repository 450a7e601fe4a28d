"""People before machine: what an analyst drew, dismissed, confirmed or cut away stays, whatever the
next image is taken for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from configs.clean import CleanConfig
from configs.layout import REVISION
from configs.stack import Rows, Stack
from inventory.formats.geopackage import read_inventory, read_metadata
from inventory.outline.attributes import (
    DATES,
    STATUSES,
    DrawnBy,
    attributed,
    limits_of,
    shape_fields,
)
from inventory.outline.measure import EdgeCounter, Gauge, Measures
from inventory.outline.outline import Inventory, strips
from inventory.revisions.review import ANALYST, DISMISSED, Review
from inventory.revisions.revisions import (
    SAME_SHARE,
    Matched,
    in_words,
    last_number,
    match_revisions,
)
from inventory.revisions.take_up import CUT, apart, reviewed

_THIN_PX = 1.0
"""What sticks out of a reviewed outline by no more than this on either side is its rim, not another
landslide. Chosen: the rim of one pixel that a shifted image or threshold makes."""


def _impose(new: Inventory, old: Inventory, rules: CleanConfig) -> Inventory:
    """Return what the machine found, with what people decided in its place.

    Outlines of an analyst and dismissed ones replace what the machine draws there; of what sticks
    out, pieces stay that are large enough for a landslide of their own and no mere rim. What was
    cut away stays away. Reviewed landslides that the machine does not draw any more stay as they
    were.

    Args:
        new: this revision as the machine sees it.
        old: the revision before, reviewed.
        rules: for the smallest landslide.
    """
    crs = str(new.geobox.crs)
    before, cut = old.landslides.to_crs(crs), old.rejected.to_crs(crs)
    cut = cut[cut["reason"] == CUT]
    fixed = before[(before["card"] == ANALYST) | (before["status"] == DISMISSED)]
    machine = _trimmed(
        new.landslides, [*fixed.geometry, *cut.geometry], rules, abs(new.geobox.affine.a)
    )
    others = before[(before["status"] != STATUSES[0]) & ~before.index.isin(fixed.index)]
    lost = others[~_drawn_again(others.geometry.to_numpy(), machine.geometry.to_numpy())]
    parts = [part[new.landslides.columns] for part in (machine, fixed, lost) if len(part)]
    frame = pd.concat(parts, ignore_index=True) if parts else new.landslides
    rejected = (
        pd.concat([new.rejected, cut[new.rejected.columns]], ignore_index=True)
        if len(cut)
        else new.rejected
    )
    frame = apart(gpd.GeoDataFrame(frame, crs=crs))
    return replace(new, landslides=frame, rejected=_numbered(rejected))


def _drawn_again(shapes: NDArray[Any], machine: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which outlines the machine's overlap by more than a touch."""
    found = np.zeros(len(shapes), bool)
    i, j = shapely.STRtree(machine).query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[i], machine[j]))
    found[
        i[shared >= SAME_SHARE * np.minimum(shapely.area(shapes[i]), shapely.area(machine[j]))]
    ] = True
    return found


def _numbered(rejected: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return rejected.assign(id=[f"R{number:05d}" for number in range(1, len(rejected) + 1)])


def _trimmed(
    frame: gpd.GeoDataFrame, judged: list[Any], rules: CleanConfig, resolution_m: float
) -> gpd.GeoDataFrame:
    """Return the machine's outlines without what people have judged, in as many rows as pieces are
    left.
    """
    if not judged or not len(frame):
        return frame
    union = shapely.union_all(judged)
    hit = shapely.area(shapely.intersection(frame.geometry.to_numpy(), union)) > 0
    rows, shapes = [], []
    for at in np.flatnonzero(hit):
        left = shapely.get_parts(shapely.difference(frame.geometry.iloc[at], union))
        for piece in left:
            whole = piece.geom_type == "Polygon" and piece.area >= (rules.min_area_m2 or 0)
            if whole and not piece.buffer(-_THIN_PX * resolution_m).is_empty:
                rows.append(int(at))
                shapes.append(shapely.MultiPolygon([piece]))
    pieces = frame.iloc[rows].assign(
        **(shape_fields(np.array(shapes, dtype=object), str(frame.crs)) if rows else {})
    )
    pieces = pieces.set_geometry(shapes, crs=frame.crs) if rows else pieces
    return pd.concat([frame[~hit], pieces], ignore_index=True)


def measured(
    inventory: Inventory, probability: Rows, observation: Rows, stack: Stack, rules: CleanConfig
) -> Inventory:
    """Return the inventory with the fields of an analyst's outlines measured on this revision's
    rasters.

    A field that nothing was seen of keeps what it was.
    """
    frame = inventory.landslides
    drawn = frame[frame["card"] == ANALYST]
    if drawn.empty:
        return inventory
    geometry = drawn.geometry.to_numpy()
    totals = _tallied(geometry, probability, observation, stack)
    crs, resolution_m = str(inventory.geobox.crs), abs(inventory.geobox.affine.a)
    drawn_by = DrawnBy(ANALYST, limits_of(rules, None))
    fresh = attributed(geometry, totals, crs, resolution_m, drawn_by)
    fresh.index = drawn.index
    result = frame.copy()
    for name in fresh.columns.drop(["id", "status", "card", "geometry"]):
        known = fresh[name].notna()
        result.loc[drawn.index[known], name] = fresh.loc[known, name]
    for name in DATES:
        result[name] = result[name].astype("datetime64[s]")
    return replace(inventory, landslides=result)


def _tallied(
    geometry: NDArray[Any], probability: Rows, observation: Rows, stack: Stack
) -> Measures:
    """Return what the rasters say under outlines, pixel by pixel whose centre lies inside; overlaps
    go to the later one.
    """
    width = int(probability.shape[1])
    measures = Measures()
    measures.grow(len(geometry))
    gauge, edges = Gauge(stack, measures), EdgeCounter(measures, width)
    for strip in strips(probability, observation):
        affine = stack.geobox.affine @ Affine.translation(0, strip.rows.start)
        numbered = ((shape, number) for number, shape in enumerate(geometry, 1))
        burnt = rasterize(
            numbered, out_shape=strip.probability.shape, transform=affine, dtype="int32"
        )
        mask = (burnt > 0) & strip.seen
        labels = np.where(mask, burnt.astype(np.int64) - 1, 0)
        gauge.read(strip.rows, labels, mask, strip.probability, strip.observation)
        edges.add(mask, labels, ~strip.seen)
    edges.finish()
    return measures


GEOPACKAGE = "landslides.gpkg"
MASK = "landslides.tif"


@dataclass(frozen=True)
class Earlier:
    """The revision before, and an analyst's review of it or of one before it."""

    folder: Path
    review: Review | None = None
    reviewed_folder: Path | None = None
    """Folder of the revision that was reviewed; `folder` where None."""

    @property
    def number(self) -> int:
        """Return the number of the revision before, 0 for a folder of another name."""
        match = REVISION.match(self.folder.name)
        return int(match[1]) if match else 0


@dataclass(frozen=True)
class Reconciled:
    """An inventory under the ids of its event."""

    inventory: Inventory
    last_number: int
    matched: Matched | None = None
    words: tuple[str, ...] = ()
    """The changes since the revision before."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What an analyst has done, by id."""


def reconcile(
    inventory: Inventory,
    earlier: Earlier | None,
    after: Path,
    rules: CleanConfig,
    measure: Callable[[Inventory], Inventory],
    kept: bool = False,
) -> Reconciled:
    """Return the inventory under the ids of the event, people's decisions in it, and what changed.

    Args:
        inventory: this revision as the machine sees it.
        earlier: the revision before; None for the first.
        after: ``landslides.tif`` of this revision: what it observed.
        rules: for the smallest landslide.
        measure: fills in the fields of what an analyst drew from this revision's rasters.
        kept: whether pixels clear in the revision before have kept their image.
    """
    if earlier is None:
        return Reconciled(inventory, last_number(inventory))
    package = earlier.folder / GEOPACKAGE
    old = read_inventory(package)
    last, notes = (
        last_number(old, int(read_metadata(package).get("last_number", 0))),
        dict[str, str](),
    )
    if earlier.review is not None:
        with rasterio.open(
            (earlier.reviewed_folder or earlier.folder) / MASK, driver="GTiff"
        ) as file:
            taken_up = reviewed(old, earlier.review, file.read(1), last)
        old, notes, last = taken_up.inventory, taken_up.notes, taken_up.last_number
    imposed = measure(_impose(inventory, old, rules))
    largest_first = imposed.landslides.sort_values(
        "area_m2", ascending=False, kind="stable", ignore_index=True
    )
    imposed = replace(imposed, landslides=largest_first)
    matched = match_revisions(imposed, old, earlier.folder / MASK, after, last, notes, kept)
    words = (in_words(matched, earlier.number),) if earlier.number else ()
    return Reconciled(matched.inventory, matched.last_number, matched, words, notes)
