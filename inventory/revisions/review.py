"""An analyst's review of an inventory: verdicts, other shapes and new landslides, read back from an
edited GeoPackage.

What was edited is told from the file itself: its metadata holds the verdicts it was published with,
and the fields of an untouched outline still fit its shape. So a copy of an older revision changes
only what the analyst changed in it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray

from configs.errors import RequestError
from configs.vectors import UNREADABLE
from inventory.formats.cog import UNSEEN, burnt
from inventory.formats.geopackage import read_metadata
from inventory.outline.attributes import STATUSES, shape_fields
from inventory.outline.outline import Inventory
from inventory.outline.polygons import polygonise
from inventory.revisions.revisions import last_number

logger = logging.getLogger(__name__)

LAYER = "landslides"
ANALYST = "analyst"
"""Value of the field `card` of a landslide whose outline a person drew."""
CUT = "cut away by an analyst"
"""Reason of what a person left out of a landslide; later revisions do not draw it again."""
_MOST_FAULTS = 20
"""Faults in one message; who has more has given another file."""
_TOUCH_M2 = 1.0
"""Shared ground below this is the rounding of a border that two outlines have in common."""
CONFIRMED, DISMISSED = STATUSES[1], STATUSES[2]


@dataclass(frozen=True)
class Review:
    """What an analyst changed."""

    path: Path
    status: dict[str, str]
    """New status by id."""
    shapes: dict[str, Any]
    """New outline by id, in the inventory's CRS."""
    added: tuple[tuple[Any, str], ...]
    """(outline, status) of landslides the analyst drew."""
    everything: tuple[Any, ...]
    """All outlines in the file: what of the mask none of them covers was cut away."""
    crs: str
    revision: int
    """Which revision was reviewed; 0 where the file does not say."""

    @property
    def edits(self) -> int:
        """Return how many landslides were changed or added."""
        return len(self.status.keys() | self.shapes.keys()) + len(self.added)


def read_review(path: Path) -> Review:
    """Return what was changed in a GeoPackage of ours since it was published.

    Raises:
        RequestError: unreadable, not ours, of a newer format, or values that cannot be meant (every
            landslide that has one is named).
    """
    metadata = read_metadata(path)
    try:
        frame = pyogrio.read_dataframe(path, layer=LAYER)
    except UNREADABLE as error:
        raise RequestError(
            f"{path}: cannot read layer `{LAYER}`: {error}", "Give an edited landslides.gpkg."
        ) from error
    missing = [
        name for name in ("id", "status", "area_m2", "perimeter_m") if name not in frame.columns
    ]
    if missing:
        raise RequestError(
            f"{path}: no field {', '.join(missing)}", "Edit a copy: `coslide review EVENT_DIR`."
        )
    if frame.crs is None:
        raise RequestError(
            f"{path}: layer `{LAYER}` does not say its coordinate system",
            "Edit a copy: `coslide review EVENT_DIR`.",
        )
    names = frame["id"].fillna("").astype(str).str.strip()
    shapes, statuses = _polygons(frame), _statuses(frame)
    faults = [
        f"landslide {name or f'in row {row}'} {fault}"
        for row, (name, *found) in enumerate(zip(names, shapes, statuses, strict=True), start=1)
        for fault in found
        if isinstance(fault, _Fault)
    ]
    if not faults:
        frame = frame.assign(id=names, geometry=np.array(shapes, object), status=statuses)
        faults = _twins(frame)
    if faults:
        raise _refused(path, faults)
    told = metadata.get("verdicts")
    published: dict[str, str] = told if isinstance(told, dict) else {}
    revision = metadata.get("revision")
    keeps = _keepers(frame)
    status, outlines, added = dict[str, str](), dict[str, Any](), []
    redrawn = _redrawn(frame)
    for at, (identity, verdict) in enumerate(zip(frame["id"], frame["status"], strict=True)):
        shape = frame.geometry.iloc[at]
        if at not in keeps:
            added.append((shape, CONFIRMED if verdict == STATUSES[0] else verdict))
            continue
        if verdict != published.get(identity, STATUSES[0]):
            status[identity] = verdict
        if redrawn[at]:
            outlines[identity] = shape
    return Review(
        path,
        status,
        outlines,
        tuple(added),
        tuple(frame.geometry),
        str(frame.crs),
        revision if isinstance(revision, int) else 0,
    )


class _Fault(str):
    """What cannot be meant of a landslide, in words that follow its name."""


def _refused(path: Path, faults: list[str]) -> RequestError:
    """Return the error that lists what is wrong, landslide by landslide."""
    told = faults[:_MOST_FAULTS]
    if len(faults) > len(told):
        told.append(f"and {len(faults) - len(told)} more")
    return RequestError(
        f"{path}: {'; '.join(told)}",
        f"Write {', '.join(STATUSES)} as `status`, and draw every landslide once, as a polygon; "
        "or delete the row.",
    )


def _polygons(frame: gpd.GeoDataFrame) -> list[Any]:
    """Return a valid MultiPolygon a row, or its fault."""
    found: list[Any] = []
    for shape in frame.geometry:
        try:
            whole = [] if shape is None else shapely.make_valid(shape)
        except shapely.GEOSException:
            found.append(_Fault("has corners that are no numbers"))
            continue
        parts = shapely.get_parts(shapely.get_parts(whole))
        areas = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
        found.append(shapely.MultiPolygon(areas) if areas else _Fault("has no area"))
    return found


def _statuses(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the status of each row, or its fault."""
    found: list[str] = []
    for status in frame["status"]:
        word = (
            STATUSES[0]
            if status is None or status != status
            else str(status).strip().lower() or STATUSES[0]
        )
        found.append(word if word in STATUSES else _Fault(f"has status `{str(status)[:40]}`"))
    return found


def _keepers(frame: gpd.GeoDataFrame) -> set[int]:
    """Return the rows that keep their id: a GIS that splits a polygon gives both parts the same
    one; the largest keeps it.
    """
    area, best = shapely.area(frame.geometry.to_numpy()), dict[str, int]()
    for at, identity in enumerate(frame["id"]):
        if identity and (identity not in best or area[at] > area[best[identity]]):
            best[identity] = at
    return set(best.values())


def _redrawn(frame: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """Return which outlines do not fit their own fields any more: those a person has edited."""
    shapes = frame.geometry.to_numpy()
    now = shape_fields(shapes, str(frame.crs)) if len(frame) else {}
    changed = np.zeros(len(frame), bool)
    for name, tolerance in (("area_m2", 0.5), ("perimeter_m", 0.5), ("lon", 1e-5), ("lat", 1e-5)):
        if name in frame.columns and len(frame):
            then = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
            with np.errstate(invalid="ignore"):
                changed |= ~(np.abs(now[name] - then) <= tolerance)
    return changed


def _overlaps(shapes: NDArray[Any]) -> list[tuple[int, int]]:
    """Return (smaller, larger) positions of outlines that share more than a touch, small first."""
    i, j = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    area = shapely.area(shapes)
    shared = shapely.area(shapely.intersection(shapes[i], shapes[j]))
    first = (area[i] < area[j]) | ((area[i] == area[j]) & (i < j))
    found = zip(i[first & (shared > _TOUCH_M2)], j[first & (shared > _TOUCH_M2)], strict=True)
    return sorted((int(a), int(b)) for a, b in found)


def apart(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return landslides of which each square metre counts once: ground that two outlines share
    belongs to the smaller one. Dismissed ones count nowhere and stay as they are.

    Args:
        frame: outlines in a metric CRS, with `id` and `status`.
    """
    alive = np.flatnonzero((frame["status"] != DISMISSED).to_numpy())
    shapes = frame.geometry.to_numpy()[alive].copy()
    taken: dict[int, list[Any]] = {}
    for small, large in _overlaps(shapes) if len(shapes) else []:
        taken.setdefault(large, []).append(shapes[small])
    if not taken:
        return frame
    result = frame.copy()
    for at, others in taken.items():
        left = shapely.get_parts(shapely.difference(shapes[at], shapely.union_all(others)))
        areas = [part for part in left if part.geom_type == "Polygon" and part.area > _TOUCH_M2]
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


def _twins(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the faults of landslides that have one outline: whatever is given to one is all of the
    other.
    """
    alive = frame[frame["status"] != DISMISSED]
    shapes = alive.geometry.to_numpy()
    found = []
    for small, large in _overlaps(shapes) if len(shapes) else []:
        if shapely.area(shapely.difference(shapes[large], shapes[small])) <= _TOUCH_M2:
            first, second = (alive["id"].iloc[at] or "without id" for at in (small, large))
            found.append(f"landslides {first} and {second} have the same outline")
    return found


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
    return named.iloc[sorted(_keepers(named))].reset_index(drop=True)


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
