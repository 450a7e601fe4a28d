"""What a revision keeps of the one before: a pixel already clear keeps its image and date.

The earlier stack must hold the same kind of pixels (source, sensor, level, settings, grid spacing);
then, window by window and pixel by pixel, what was clear then and whose scene may still be used
stays as the very integers it was stored as.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import When, parse_band
from configs.event import as_plain
from configs.records import ObservationClass, Scene, Sun
from configs.stack import EPOCH_DAY, Stack, grid_attributes
from gee.source import Plan, Source

logger = logging.getLogger(__name__)

Policy = Literal["keep", "latest"]
_SAME_DETAILS: Final = ("landscape", "seed", "simulator", "recipe", "settings")
"""Source's own provenance that decides what a pixel of a given scene looks like."""
FINGERPRINTS: Final = "fingerprints"
"""Key of a plan's details: what each scene (and ``static``) is made of, for sources whose files
people may change.
"""
FACTORS: Final = "factors"
"""Key of a plan's details: file, checksum and settings of each factor."""
_SETTLED: Final = (ObservationClass.CLEAR, ObservationClass.WATER)


@dataclass(frozen=True)
class Kept:
    """One block of the earlier stack, on the new block's grid."""

    stored: Mapping[str, NDArray[Any]]
    """Stored integers by name, observation and date included."""
    settled: Mapping[When, NDArray[np.bool_]]
    """`(y, x)`: clear then, from a scene that may still be used."""


@dataclass(frozen=True)
class Earlier:
    """The stack of the revision before, and what of it may be kept."""

    stack: Stack
    policy: Policy
    days: Mapping[When, NDArray[np.int32]]
    """Acquisition days whose pixels may be kept; windows that lack a band are not in it."""
    static: bool
    """Whether terrain and other static bands are the same."""

    @property
    def key(self) -> str:
        """Return the identity of the earlier pixels, for the new stack's own."""
        return f"{self.stack.attributes['plan_key']} {self.policy}"

    def scenes(self, plan: Plan) -> list[dict[str, Any]]:
        """Return the earlier stack's scenes that its pixels may come from and the plan does not
        name.
        """
        named = {(scene.id, str(scene.when)) for scene in plan.scenes}
        found = [
            one for one in self.stack.attributes["scenes"] if (one["id"], one["when"]) not in named
        ]
        return [one for one in found if _day(one) in self.days.get(When(one["when"]), ())]

    def on(self, block: GeoBox, names: tuple[str, ...]) -> Kept:
        """Return the earlier pixels of a block; what lies beyond the earlier grid is not imaged."""
        wanted = [name for name in names if name in self.stack.band_names]
        wanted += [f"{when}_{what}" for when in self.days for what in ("observation", "date")]
        stored = {name: _cut(self.stack, name, block) for name in wanted}
        settled = {
            when: np.isin(stored[f"{when}_observation"], _SETTLED)
            & np.isin(stored[f"{when}_date"], days)
            for when, days in self.days.items()
        }
        return Kept(stored, settled)

    def still_to_ask(self, plan: Plan, kept: Kept, inside: NDArray[np.bool_]) -> Plan:
        """Return the plan with only those measured bands of a block that are not known yet; of a
        block that is context alone, all of it counts.
        """
        inside = inside if inside.any() else ~inside
        requested = []
        for name in plan.bands:
            when = parse_band(name).when
            if when is None:
                known = self.static and name in kept.stored
            else:
                known = (
                    self.policy == "keep"
                    and when in kept.settled
                    and bool(kept.settled[when][inside].all())
                )
            if not known:
                requested.append(name)
        return replace(plan, bands=tuple(requested))

    def knows(self, name: str, kept: Kept, requested: Plan) -> bool:
        """Return whether a band of the stack needs nothing of what is asked for."""
        when = parse_band(name).when
        if when is None:
            return self.static and name in kept.stored
        return when in kept.settled and all(
            parse_band(band).when is not when for band in requested.bands
        )


def earlier(
    stack: Stack, source: Source, plan: Plan, names: tuple[str, ...], policy: Policy
) -> Earlier | None:
    """Return what of an earlier stack may be kept; None where its pixels are of another kind."""
    then = stack.attributes
    reason = _difference(then, source, plan)
    if reason:
        logger.info("nothing is kept of the stack of the revision before: %s", reason)
        return None
    days = {}
    for when in When:
        bands = [name for name in names if parse_band(name).when is when]
        if bands and all(name in stack.band_names for name in bands):
            days[when] = _days(then, plan, when)
    same = ("grid", grid_attributes(plan.geobox)), ("area", plan.area.as_plain())
    static = all(then.get(key) == value for key, value in same) and _static(then) == _static_of(
        plan.details
    )
    return Earlier(stack, policy, days, static)


def _difference(then: Mapping[str, Any], source: Source, plan: Plan) -> str:
    """Return in which respect the earlier pixels are of another kind, empty where in none."""
    offer = source.offer()
    details = then.get("source_details", {})
    grid, now = then["grid"], grid_attributes(plan.geobox)
    if (then["source"], then["sensor"], then["level"]) != (
        source.name,
        offer.sensor,
        str(offer.level),
    ):
        return "it is of another source"
    if any(details.get(key) != plan.details.get(key) for key in _SAME_DETAILS):
        return "the source's settings differ"
    if offer.simulated and then.get("event") != as_plain(plan.event):
        return "the simulated earthquake differs"
    step = grid["transform"][0]
    apart = [(grid["transform"][i] - now["transform"][i]) / step for i in (2, 5)]
    aligned = all(abs(shift - round(shift)) < 1e-6 for shift in apart)
    if (
        grid["crs_wkt"] != now["crs_wkt"]
        or grid["transform"][:2] != now["transform"][:2]
        or not aligned
    ):
        return "its grid differs"
    return ""


def scene_attributes(scene: Scene) -> dict[str, Any]:
    """Return a scene as a stack's attributes name it."""
    return {
        "id": scene.id,
        "when": str(scene.when),
        "acquired": scene.acquired.isoformat(),
        "product": scene.product,
        "clear_fraction": scene.clear_fraction,
        "date_assumed": scene.date_assumed,
        **({"sun": asdict(scene.sun)} if scene.sun else {}),
    }


def scenes_of(stack: Stack) -> tuple[Scene, ...]:
    """Return the scenes that a stack's pixels come from, as it keeps them."""
    return tuple(
        Scene(
            one["id"],
            When(one["when"]),
            datetime.fromisoformat(one["acquired"]),
            one["product"],
            one["clear_fraction"],
            date_assumed=one["date_assumed"],
            sun=Sun(**one["sun"]) if one.get("sun") else None,
        )
        for one in stack.attributes["scenes"]
    )


def kept_scenes(stack: Stack, plan: Plan) -> tuple[Scene, ...]:
    """Return the scenes of a stack that its plan does not name: those that only pixels of earlier
    revisions come from.
    """
    named = {(scene.id, scene.when) for scene in plan.scenes}
    return tuple(scene for scene in scenes_of(stack) if (scene.id, scene.when) not in named)


def _day(scene: Mapping[str, Any]) -> int:
    return (datetime.fromisoformat(scene["acquired"]).date() - EPOCH_DAY).days


def _days(then: Mapping[str, Any], plan: Plan, when: When) -> NDArray[np.int32]:
    """Return the days of a window whose scenes may all still be used: in the window, not after the
    clock, not changed.
    """
    before = then.get("source_details", {}).get(FINGERPRINTS)
    after = plan.details.get(FINGERPRINTS)
    good, bad = set[int](), set[int]()
    for scene in then["scenes"]:
        if scene["when"] != str(when):
            continue
        same = after is None or (
            before is not None and before.get(scene["id"]) == after.get(scene["id"], "withdrawn")
        )
        usable = same and plan.windows.holds(
            when, datetime.fromisoformat(scene["acquired"]), plan.event
        )
        (good if usable else bad).add(_day(scene))
    return np.array(sorted(good - bad), np.int32)


def _static(then: Mapping[str, Any]) -> Any:
    return _static_of(then.get("source_details", {}))


def _static_of(details: Mapping[str, Any]) -> Any:
    """Return what decides static bands: the elevation model, the archive's files, factor files."""
    return (
        details.get("elevation"),
        details.get(FINGERPRINTS, {}).get("static"),
        details.get(FACTORS, {}),
    )


def _cut(stack: Stack, name: str, block: GeoBox) -> NDArray[Any]:
    """Return an array's stored integers on an aligned block, its fill value beyond the stack's
    grid.
    """
    array = stack.stored(name)
    grid = stack.geobox.affine
    top, left = round((block.affine.f - grid.f) / grid.e), round((block.affine.c - grid.c) / grid.a)
    height, width = (int(side) for side in block.shape)
    found = np.full((height, width), array.fill_value, array.dtype)
    rows = slice(max(top, 0), min(top + height, stack.shape[0]))
    columns = slice(max(left, 0), min(left + width, stack.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = np.asarray(array[rows, columns])
        found[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part
    return found


def merge(kept: Kept, policy: Policy, when: When, stored: dict[str, NDArray[Any]]) -> None:
    """Put the earlier pixels of one window that stay into a block's new ones, in place."""
    if when not in kept.settled:
        return
    stays = kept.settled[when]
    if policy == "latest":
        stays = stays & ~np.isin(stored[f"{when}_observation"], _SETTLED)
    for name in stored:
        if name.startswith(f"{when}_"):
            stored[name] = np.where(stays, kept.stored[name], stored[name])


def news(kept: Kept | None, stored: Mapping[str, NDArray[Any]], inside: NDArray[np.bool_]) -> int:
    """Return how many pixels of the area are clear now and were not, or come from another day."""
    new = np.zeros(inside.shape, bool)
    for when in When:
        clear = np.isin(stored[f"{when}_observation"], _SETTLED)
        if kept is not None and when in kept.settled:
            clear &= ~kept.settled[when] | (kept.stored[f"{when}_date"] != stored[f"{when}_date"])
        new |= clear & inside
    return int(np.count_nonzero(new))
