"""The same landslides in the next revision: ids, dates and an analyst's verdict survive; every
change is named.

Landslides of two revisions are the same where they overlap; of several candidates the largest
overlap wins. "Gone" is only said where both revisions observed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.errors import RasterioIOError
from rasterio.features import geometry_mask, geometry_window
from rasterio.warp import transform_geom

from inventory.colours import CHANGE
from inventory.formats.cog import UNSEEN
from inventory.outline.outline import Inventory

SAME_SHARE = 0.1
"""Share of the smaller one that must overlap. Chosen: a shift of one pixel keeps it, a touch does
not make it.
"""
_SAME_AREA = 0.1
"""Relative change of area from which a landslide has grown or shrunk. Chosen: a pixel row on a
median slide is less.
"""
_SEEN_SHARE = 0.5
"""Share of a landslide that must be observed for its absence, or its newness, to mean anything."""


@dataclass(frozen=True)
class Matched:
    """An inventory with the ids of the revision before, and what changed."""

    inventory: Inventory
    changes: gpd.GeoDataFrame
    """Fields of `layers.CHANGE_FIELDS`; unchanged landslides are not in it."""
    counts: dict[str, int]
    """Number of landslides by kind of change, ``unchanged`` included."""
    last_number: int
    """Highest number ever given to a landslide of this event."""


@dataclass(frozen=True)
class _Overlap:
    new: int
    old: int
    area_m2: float


def _overlaps(new: gpd.GeoDataFrame, old: gpd.GeoDataFrame) -> list[_Overlap]:
    """Return which landslides overlap, largest overlap first."""
    after, before = new.geometry.to_numpy(), old.geometry.make_valid().to_numpy()
    j, i = shapely.STRtree(after).query(before, predicate="intersects")
    shared = shapely.area(shapely.intersection(after[i], before[j]))
    enough = shared >= SAME_SHARE * np.minimum(shapely.area(after[i]), shapely.area(before[j]))
    enough &= shared > 0
    found = [
        _Overlap(int(a), int(b), float(s))
        for a, b, s in zip(i[enough], j[enough], shared[enough], strict=True)
    ]
    return sorted(found, key=lambda each: (-each.area_m2, each.new, each.old))


class Observed:
    """What a revision observed: its ``landslides.tif``, opened once however many landslides are
    asked about.
    """

    def __init__(self, mask: Path) -> None:
        try:
            self._file = rasterio.open(mask, driver="GTiff")
        except RasterioIOError:
            self._file = None

    def __enter__(self) -> Observed:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def share(self, geometry: Any, crs: str) -> float:
        """Return which share of a polygon was observed; 0 outside the raster or without the
        file.
        """
        if self._file is None:
            return 0.0
        file = self._file
        try:
            plain = transform_geom(crs, file.crs, shapely.geometry.mapping(geometry))
            window = geometry_window(file, [plain], boundless=True)
            values = file.read(1, window=window, boundless=True, fill_value=UNSEEN)
            inside = geometry_mask(
                [plain], values.shape, file.window_transform(window), invert=True
            )
        except (RasterioIOError, ValueError):
            return 0.0
        return float((values[inside] != UNSEEN).mean()) if inside.any() else 0.0


def _number_of(identity: str) -> int:
    """Return the number in an id of ours, 0 in one that is not."""
    digits = identity[1:]
    return int(digits) if identity[:1] == "L" and digits.isdigit() else 0


class _Match:
    """Who is who: new landslides by position, old ones by position."""

    def __init__(self, new: gpd.GeoDataFrame, old: gpd.GeoDataFrame) -> None:
        self.new, self.old = new, old
        self.kept: dict[int, int] = {}
        """new → the old one whose id it keeps"""
        self.parents: dict[int, list[int]] = defaultdict(list)
        self.children: dict[int, list[int]] = defaultdict(list)
        heirs: set[int] = set()
        for each in _overlaps(new, old):
            self.parents[each.new].append(each.old)
            self.children[each.old].append(each.new)
            if each.new not in self.kept and each.old not in heirs:
                self.kept[each.new] = each.old
                heirs.add(each.old)
        self.heirs = heirs

    def kind(self, new: int) -> str:
        """Return what happened to a landslide of the new revision."""
        if new not in self.kept:
            return "split" if self.parents[new] else "new"
        if len(self.children[self.kept[new]]) > 1:
            return "split"
        if len(self.parents[new]) > 1:
            return "merged"
        ratio = self.new["area_m2"].iloc[new] / self.old["area_m2"].iloc[self.kept[new]]
        return (
            "grown"
            if ratio > 1 + _SAME_AREA
            else "shrunk"
            if ratio < 1 - _SAME_AREA
            else "unchanged"
        )

    def ids(self, last: int) -> list[str]:
        """Return the ids of the new landslides; new ones are numbered after `last`, largest
        first.
        """
        old = self.old["id"].tolist()
        fresh = (f"L{number:05d}" for number in range(last + 1, last + 1 + len(self.new)))
        return [old[self.kept[i]] if i in self.kept else next(fresh) for i in range(len(self.new))]


def _inherited(match: _Match, last: int) -> gpd.GeoDataFrame:
    """Return the new landslides with id, first_seen and status of the ones they are."""
    frame = match.new.copy()
    frame["id"] = match.ids(last)
    for name in ("first_seen", "status"):
        values = frame[name].tolist()
        for new, old in match.kept.items():
            was = match.old[name].iloc[old]
            values[new] = values[new] if pd.isna(was) else was
        frame[name] = pd.Series(values, index=frame.index, dtype=frame[name].dtype)
    return frame


_NOTES = {
    "new": "not there before",
    "grown": "larger than before",
    "shrunk": "smaller than before",
    "split": "one landslide before, several now",
    "merged": "several landslides before, one now",
    "gone": "observed again, and no longer a landslide",
    "not observed": "not observed in this revision: nothing is said about it",
    "reviewed": "reviewed by an analyst",
}


_FIRST_SEEN = "first seen: not observed in the revision before"
_SAME_IMAGE = {
    "new": "drawn now on the same image",
    "grown": "drawn larger on the same image",
    "shrunk": "drawn smaller on the same image",
    "gone": "not drawn any more on the same image",
}
"""Where pixels keep their image, nothing has changed on the ground: the checkpoint sees it
differently.
"""


@dataclass(frozen=True)
class _Looks:
    """What both revisions observed, and whether pixels seen before have kept their image."""

    before: Observed
    after: Observed
    crs: str
    kept: bool

    def words(self, kind: str, shape: Any, was: list[Any]) -> str:
        """Return what a change means, told from what was seen of the ground that changed."""
        if kind not in _SAME_IMAGE:
            return _NOTES[kind]
        ground = (
            shape
            if kind in ("new", "gone")
            else shapely.symmetric_difference(shape, shapely.union_all(was))
        )
        if self.before.share(ground, self.crs) < _SEEN_SHARE:
            return {"new": _FIRST_SEEN, "grown": "larger: more of it could be seen"}.get(
                kind, _NOTES[kind]
            )
        return _SAME_IMAGE[kind] if self.kept else _NOTES[kind]


def _rows(
    match: _Match, frame: gpd.GeoDataFrame, looks: _Looks, notes: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a row for every landslide that changed: first those of now, then those that went."""
    new_ids = frame["id"].tolist()
    now = [
        _row_of_new(match, frame, looks, i, notes.get(new_ids[i], "")) for i in range(len(frame))
    ]
    went = [
        _row_of_old(match, new_ids, looks, j) for j in range(len(match.old)) if j not in match.heirs
    ]
    return [*filter(None, now), *went]


def _row_of_new(
    match: _Match, frame: gpd.GeoDataFrame, looks: _Looks, i: int, verdict: str
) -> dict[str, Any] | None:
    """Return what became of landslide `i` of now; None where it is as it was and nobody judged
    it.
    """
    kind, shape = match.kind(i), frame.geometry.iloc[i]
    if kind == "unchanged":
        if not verdict:
            return None
        kind, reasons = "reviewed", ""
    elif verdict:
        reasons = _NOTES[kind]
    else:
        parents = [match.old.geometry.iloc[j] for j in match.parents[i]]
        reasons = looks.words(kind, shape, parents)
    old_ids, new_ids = match.old["id"].tolist(), frame["id"].tolist()
    family = {old_ids[j] for j in match.parents[i]}
    family |= {new_ids[k] for j in match.parents[i] for k in match.children[j]}
    before = sum(match.old["area_m2"].iloc[j] for j in match.parents[i]) if i in match.kept else 0.0
    return {
        "id": new_ids[i],
        "change": kind,
        "area_before_m2": float(before),
        "area_after_m2": float(frame["area_m2"].iloc[i]),
        "related": " ".join(sorted(family - {new_ids[i]})),
        "note": "; ".join(filter(None, [verdict, reasons])),
        "geometry": shape,
    }


def _row_of_old(match: _Match, new_ids: list[str], looks: _Looks, j: int) -> dict[str, Any]:
    """Return what became of landslide `j` of before, which has no heir of its own."""
    shape = match.old.geometry.iloc[j]
    heirs = [new_ids[k] for k in match.children[j]]
    seen = looks.after.share(shape, looks.crs) >= _SEEN_SHARE
    kind = "merged" if heirs else "gone" if seen else "not observed"
    return {
        "id": match.old["id"].iloc[j],
        "change": kind,
        "area_before_m2": float(match.old["area_m2"].iloc[j]),
        "area_after_m2": 0.0,
        "related": " ".join(heirs),
        "note": f"part of {heirs[0]} now" if heirs else looks.words(kind, shape, []),
        "geometry": shape,
    }


def last_number(inventory: Inventory, known: int = 0) -> int:
    """Return the highest number given to a landslide so far."""
    return max([known, *map(_number_of, inventory.landslides["id"])])


def match_revisions(
    new: Inventory,
    old: Inventory,
    before: Path,
    after: Path,
    last: int,
    notes: Mapping[str, str] | None = None,
    kept: bool = False,
) -> Matched:
    """Return the new inventory with the ids of the old one, and the changes.

    Args:
        new: this revision, numbered anyhow.
        old: the revision before.
        before: ``landslides.tif`` of the revision before: what it observed.
        after: ``landslides.tif`` of this revision.
        last: highest number ever given to a landslide of the event.
        notes: what an analyst has done to landslides of the old one, by id.
        kept: whether pixels clear in the revision before have kept their image (`refresh.policy`).
    """
    crs = str(new.geobox.crs)
    match = _Match(new.landslides, old.landslides.to_crs(crs))
    frame = _inherited(match, last)
    with Observed(before) as then, Observed(after) as now:
        rows = _rows(match, frame, _Looks(then, now, crs, kept), notes or {})
    names = ["id", "change", "area_before_m2", "area_after_m2", "related", "note"]
    changes = gpd.GeoDataFrame(
        pd.DataFrame([{name: row[name] for name in names} for row in rows], columns=names),
        geometry=[row["geometry"] for row in rows],
        crs=crs,
    )
    counts = {kind: int((changes["change"] == kind).sum()) for kind in CHANGE}
    counts["unchanged"] = (
        sum(match.kind(i) == "unchanged" for i in range(len(frame))) - counts["reviewed"]
    )
    inventory = replace(new, landslides=frame)
    return Matched(inventory, changes, counts, last_number(inventory, last))


def in_words(matched: Matched, before: int) -> str:
    """Return the changes since revision `before` in one sentence."""
    reasons = [
        f"{count:,} {kind}"
        for kind, count in matched.counts.items()
        if count and kind != "unchanged"
    ]
    unchanged = f"{matched.counts['unchanged']:,} unchanged"
    note = matched.changes["note"].astype(str)
    first, same = (
        int(note.str.startswith(_FIRST_SEEN).sum()),
        int(note.str.contains("on the same image").sum()),
    )
    tail = f"; {first:,} of the new ones lie where nothing had been seen before" if first else ""
    where = "change is on an unchanged image" if same == 1 else "changes are on unchanged images"
    tail += f"; {same:,} {where}: drawn differently, not changed on the ground" if same else ""
    return f"Since revision {before}: {', '.join([*reasons, unchanged])}{tail}."
