"""An analyst's review taken up: verdicts, other shapes and new landslides in an inventory, what was
cut away among the rejected, and what products say of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from inventory.formats.cog import UNSEEN, burnt
from inventory.outline.attributes import STATUSES, shape_fields
from inventory.outline.outline import Inventory
from inventory.outline.polygons import polygonise
from inventory.revisions.review import (
    ANALYST,
    CONFIRMED,
    DISMISSED,
    TOUCH_M2,
    Review,
    keepers,
    overlaps,
)
from inventory.revisions.revisions import last_number

logger = logging.getLogger(__name__)

CUT = "cut away by an analyst"
"""Reason of what a person left out of a landslide; later revisions do not draw it again."""


def apart(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return landslides of which each square metre counts once: ground that two outlines share
    belongs to the smaller one. Dismissed ones count nowhere and stay as they are.

    Args:
        frame: outlines in a metric CRS, with `id` and `status`.
    """
    alive = np.flatnonzero((frame["status"] != DISMISSED).to_numpy())
    shapes = frame.geometry.to_numpy()[alive].copy()
    taken: dict[int, list[Any]] = {}
    for small, large in overlaps(shapes) if len(shapes) else []:
        taken.setdefault(large, []).append(shapes[small])
    if not taken:
        return frame
    result = frame.copy()
    for at, others in taken.items():
        left = shapely.get_parts(shapely.difference(shapes[at], shapely.union_all(others)))
        areas = [part for part in left if part.geom_type == "Polygon" and part.area > TOUCH_M2]
        row = result.index[alive[at]]
        logger.warning(
            "landslide %s overlaps smaller ones: the ground they share is theirs",
            frame.at[row, "id"],
        )
        shape = shapely.MultiPolygon(areas)
        result.loc[[row], frame.geometry.name] = gpd.GeoSeries([shape], index=[row], crs=frame.crs)
        fields = shape_fields(np.array([shape], dtype=object), str(frame.crs)) if areas else {}
        for name in fields.keys() & set(frame.columns):
            result.loc[row, name] = fields[name][0]
    gone = result.geometry.is_empty.to_numpy()
    return result[~gone].reset_index(drop=True)


@dataclass(frozen=True)
class Reviewed:
    """An inventory with an analyst's verdicts in it."""

    inventory: Inventory
    notes: dict[str, str]
    """What the analyst did, by id."""
    last_number: int


def reviewed(old: Inventory, review: Review, mask: Any, last: int) -> Reviewed:
    """Return the inventory as the analyst left it: statuses, outlines, additions; what was cut away
    among the rejected.

    Args:
        old: the inventory that was reviewed, or a later revision of it.
        review: what was changed.
        mask: ``landslides.tif`` of the revision that was reviewed, `(y, x)`; tells what was cut
            away.
        last: highest number ever given to a landslide of the event.
    """
    crs = str(old.geobox.crs)
    frame, notes = _named_once(old.landslides.to_crs(crs)), dict[str, str]()
    shapes = dict(
        zip(review.shapes, _moved(list(review.shapes.values()), review.crs, crs), strict=True)
    )
    row_of = {identity: row for row, identity in zip(frame.index, frame["id"], strict=True)}
    for identity, verdict in review.status.items():
        if identity in row_of:
            frame.loc[row_of[identity], "status"] = verdict
            notes[identity] = (
                verdict + " by an analyst"
                if verdict != STATUSES[0]
                else "verdict withdrawn by an analyst"
            )
    added = list(
        zip(
            _moved([shape for shape, _ in review.added], review.crs, crs), review.added, strict=True
        )
    )
    for identity, shape in shapes.items():
        if identity in row_of:
            frame.loc[row_of[identity], "card"] = ANALYST
            frame.loc[[row_of[identity]], frame.geometry.name] = gpd.GeoSeries(
                [shape], index=[row_of[identity]], crs=crs
            )
            notes[identity] = "; ".join(
                filter(None, [notes.get(identity), "outline drawn by an analyst"])
            )
    gone = sorted((review.status.keys() | shapes.keys()) - row_of.keys())
    if gone:
        logger.warning(
            "the review speaks of %s, which this inventory has not (any more)", ", ".join(gone)
        )
    fresh = [(shape, verdict) for shape, (_, verdict) in added if not _known(shape, frame)]
    rows = _drawn(fresh, frame, crs, last)
    notes |= dict.fromkeys(rows["id"], "added by an analyst")
    frame = apart(pd.concat([frame, rows], ignore_index=True) if len(rows) else frame)
    everything = _moved(list(review.everything), review.crs, crs)
    cut = _cut_away(old, [shapes[key] for key in shapes if key in row_of], everything, mask)
    rejected = (
        pd.concat([old.rejected.to_crs(crs), cut], ignore_index=True) if len(cut) else old.rejected
    )
    return Reviewed(replace(old, landslides=frame, rejected=rejected), notes, last + len(rows))


def _named_once(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the landslides that have an id, each once: a file edited in place may hold others,
    which the review adds.
    """
    named = frame.assign(id=frame["id"].fillna("").astype(str).str.strip())
    return named.iloc[sorted(keepers(named))].reset_index(drop=True)


def _moved(shapes: list[Any], there: str, here: str) -> list[Any]:
    return list(gpd.GeoSeries(shapes, crs=there).to_crs(here)) if shapes else []


def _known(shape: Any, frame: gpd.GeoDataFrame) -> bool:
    """Return whether a landslide with this very outline is there: the same review read twice."""
    near = frame.sindex.query(shape)
    return any(
        shapely.area(shapely.symmetric_difference(shape, frame.geometry.iloc[at])) < 1
        for at in near
    )


def _drawn(
    fresh: list[tuple[Any, str]], like: gpd.GeoDataFrame, crs: str, last: int
) -> gpd.GeoDataFrame:
    """Return rows for landslides that an analyst drew; what only the imagery knows is left
    empty.
    """
    if not fresh:
        return like.iloc[:0]
    geometry = np.array([shape for shape, _ in fresh], dtype=object)
    columns: dict[str, Any] = {
        "id": [f"L{number:05d}" for number in range(last + 1, last + 1 + len(fresh))],
        **shape_fields(geometry, crs),
        "confidence": "low",
        "status": [verdict for _, verdict in fresh],
        "card": ANALYST,
    }
    rows = pd.DataFrame(columns).reindex(
        columns=[name for name in like.columns if name != like.geometry.name]
    )
    typed = rows.astype(
        {name: like[name].dtype for name in rows.columns if like[name].dtype.kind == "M"}
    )
    return gpd.GeoDataFrame(typed, geometry=geometry, crs=crs)


def _cut_away(
    old: Inventory, redrawn: list[Any], everything: list[Any], mask: Any
) -> gpd.GeoDataFrame:
    """Return what was landslide beside the redrawn outlines and is in no outline any more, as
    rejected rows.
    """
    if not redrawn:
        return old.rejected.iloc[:0]
    values = np.asarray(mask[:, :])
    drawn = burnt(
        gpd.GeoDataFrame(geometry=everything, crs=str(old.geobox.crs)),
        old.geobox,
        slice(0, len(values)),
    )
    left = polygonise((values == 1) & (drawn == 0), old.geobox.affine)
    reach = shapely.union_all(redrawn).buffer(abs(old.geobox.affine.a) / 2)
    pieces = left[shapely.intersects(left, reach)] if len(left) else left
    columns: dict[str, Any] = {
        **shape_fields(pieces, str(old.geobox.crs)),
        "card": ANALYST,
        "reason": CUT,
    }
    columns |= {"id": "", "confidence": "low", "status": DISMISSED}
    frame = pd.DataFrame(columns, index=range(len(pieces))).reindex(
        columns=old.rejected.columns.drop("geometry")
    )
    typed = frame.astype(
        {
            name: old.rejected[name].dtype
            for name in frame.columns
            if old.rejected[name].dtype.kind == "M"
        }
    )
    return gpd.GeoDataFrame(typed, geometry=pieces, crs=str(old.geobox.crs))


def counted(inventory: Inventory) -> Inventory:
    """Return the inventory without the landslides that an analyst dismissed: what headline, mask
    and report count.
    """
    frame = inventory.landslides
    return replace(inventory, landslides=frame[frame["status"] != DISMISSED].reset_index(drop=True))


def as_reviewed(
    old: Inventory, predicted: NDArray[np.uint8], review: Review
) -> tuple[Inventory, NDArray[np.uint8]]:
    """Return a published inventory and its mask `(y, x)` as they are with a review taken up."""
    taken_up = counted(reviewed(old, review, predicted, last_number(old)).inventory)
    drawn = burnt(taken_up.landslides, taken_up.geobox, slice(0, len(predicted)))
    return taken_up, np.where(predicted == UNSEEN, predicted, drawn)


def verdicts_of(inventory: Inventory) -> dict[str, str]:
    """Return the status of every landslide that has been reviewed, by id."""
    frame = inventory.landslides[inventory.landslides["status"] != STATUSES[0]]
    return dict(zip(frame["id"], frame["status"], strict=True))


def people_decided(inventory: Inventory) -> bool:
    """Return whether anything of an inventory is as a person wants it, and not as the machine drew
    it.
    """
    frame = inventory.landslides
    touched = (frame["status"] != STATUSES[0]) | (frame["card"] == ANALYST)
    return bool(touched.any() or (inventory.rejected["reason"] == CUT).any())


def verdict_words(inventory: Inventory) -> list[str]:
    """Return what analysts have decided, in a sentence; none where nothing was reviewed."""
    counts = inventory.landslides["status"].value_counts()
    confirmed, dismissed = int(counts.get(CONFIRMED, 0)), int(counts.get(DISMISSED, 0))
    if not confirmed and not dismissed:
        return []
    return [
        f"Reviewed by an analyst: {confirmed:,} confirmed; {dismissed:,} dismissed and not "
        "counted (see `status`)."
    ]
