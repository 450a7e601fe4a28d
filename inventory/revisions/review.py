"""An analyst's review of an inventory: verdicts, other shapes and new landslides, read back from an
edited GeoPackage.

What was edited is told from the file itself: its metadata holds the verdicts it was published with,
and the fields of an untouched outline still fit its shape. So a copy of an older revision changes
only what the analyst changed in it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
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
from inventory.formats.geopackage import read_metadata
from inventory.outline.attributes import STATUSES, shape_fields

logger = logging.getLogger(__name__)

LAYER = "landslides"
ANALYST = "analyst"
"""Value of the field `card` of a landslide whose outline a person drew."""
_MOST_FAULTS = 20
"""Faults in one message; who has more has given another file."""
TOUCH_M2 = 1.0
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
    metadata, frame = read_metadata(path), _meant(_read(path), path)
    told, revision = metadata.get("verdicts"), metadata.get("revision")
    published: dict[str, str] = told if isinstance(told, dict) else {}
    keeps = keepers(frame)
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


def _read(path: Path) -> gpd.GeoDataFrame:
    """Return the landslides of a GeoPackage.

    Raises:
        RequestError: unreadable, or not ours.
    """
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
    return frame


def _meant(frame: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """Return the landslides with names, outlines and statuses as they are meant.

    Raises:
        RequestError: a value that cannot be meant; all of them are told.
    """
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
    return frame


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


def keepers(frame: gpd.GeoDataFrame) -> set[int]:
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


def overlaps(shapes: NDArray[Any]) -> list[tuple[int, int]]:
    """Return (smaller, larger) positions of outlines that share more than a touch, small first."""
    i, j = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    area = shapely.area(shapes)
    shared = shapely.area(shapely.intersection(shapes[i], shapes[j]))
    first = (area[i] < area[j]) | ((area[i] == area[j]) & (i < j))
    found = zip(i[first & (shared > TOUCH_M2)], j[first & (shared > TOUCH_M2)], strict=True)
    return sorted((int(a), int(b)) for a, b in found)


def _twins(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the faults of landslides that have one outline: whatever is given to one is all of the
    other.
    """
    alive = frame[frame["status"] != DISMISSED]
    shapes = alive.geometry.to_numpy()
    found = []
    for small, large in overlaps(shapes) if len(shapes) else []:
        if shapely.area(shapely.difference(shapes[large], shapes[small])) <= TOUCH_M2:
            first, second = (alive["id"].iloc[at] or "without id" for at in (small, large))
            found.append(f"landslides {first} and {second} have the same outline")
    return found
