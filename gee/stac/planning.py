"""From a request to a plan: which of the catalogue's scenes are used, what their numbers mean, and
what the pull will cost; all that is read before are quick looks at overviews.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area
from configs.bands import BANDS, When, parse_band
from configs.errors import CoslideError, NothingToSeeError
from configs.event import Event, Windows
from configs.stac import StacConfig
from gee.ranking import Found, best_first, few_per_tile, is_useless, usable
from gee.rasters import Array
from gee.stac import encoding
from gee.stac.catalogue import Catalogue, by_ids, collection_missing, hull_of
from gee.stac.composite import clear_share, of_ground
from gee.stac.files import Files
from gee.stac.items import SCL, asset_of, facts_of, fingerprint, newest_processing, sighting
from gee.stac.transport import FileTroubleError

logger = logging.getLogger(__name__)

_GLANCE_PX: Final = 256
"""Longest side of the looks by which scenes are ranked and judged."""
_LOOKS: Final = 2
"""So many times the scenes that a tile may have are looked at, by their date and the cloud of the
whole tile; clear shares then choose among them."""
_JUDGED_BY: Final = ("B4", "B2", "B12", "B11", "B8")
"""Bands by which a scene's numbers are judged: two dark over plants, others dark over water."""
_MOST_JUDGES: Final = 3


@dataclass(frozen=True)
class Chosen:
    """The scenes of a run, best first per window, what their numbers mean, and what was left."""

    found: tuple[Found, ...]
    facts: Mapping[str, dict[str, Any]]
    """Scene id -> what provenance keeps of it."""
    fingerprints: Mapping[str, str]
    """Of every scene that might have been chosen: what earlier revisions show may stay as long as
    its scene is the same.
    """
    left_out: Mapping[str, int]
    """Reason -> number of scenes."""
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """What quick looks are taken on."""

    grid: GeoBox
    inside: NDArray[np.bool_]

    @classmethod
    def at(cls, area: Area, geobox: GeoBox) -> Look:
        """Return a coarse grid over an area."""
        height, width = (int(side) for side in geobox.shape)
        thin = max(1, -(-max(height, width) // _GLANCE_PX))
        coarse = GeoBox(
            (-(-height // thin), -(-width // thin)), geobox.affine @ Affine.scale(thin), geobox.crs
        )
        return cls(coarse, area.mask(coarse))


class Planner:
    """Chooses the scenes of one request."""

    def __init__(
        self, config: StacConfig, catalogue: Catalogue, files: Files, hands: Executor
    ) -> None:
        self._config, self._catalogue = config, catalogue
        self._files, self._hands = files, hands
        self._left_out: dict[str, int] = {}
        self._trouble: FileTroubleError | None = None

    def choose(
        self,
        bands: Mapping[When, Sequence[str]],
        area: Area,
        geobox: GeoBox,
        event: Event,
        windows: Windows,
    ) -> Chosen:
        """Return the scenes to use.

        Args:
            bands: window -> Sentinel-2 bands that are asked for in it.
            area: where to look.
            geobox: the run's grid.
            event: what shook.
            windows: when to look, and the clock.

        Raises:
            NothingToSeeError: a window that bands need has none.
            SourceError: the catalogue cannot be had.
        """
        look = Look.at(area, geobox)
        chosen: list[Found] = []
        prints: dict[str, str] = {}
        told: dict[str, encoding.Encoding] = {}
        for when, names in bands.items():
            held = self._listed(when, names, area, event, windows)
            prints |= {one.scene.id: fingerprint(one.facts["item"]) for one in held}
            seen = self._seen(few_per_tile(best_first(held, event, self._config), self._most), look)
            judged = self._judged(seen, names, look)
            if not judged:
                raise self._nothing(when, windows, area)
            ordered = best_first((one for one, _ in judged), event, self._config)
            few = few_per_tile(ordered, self._config.scenes_per_tile)
            self._leave_out("better ones of the tile", len(held) - len(few))
            chosen += few
            told |= {one.scene.id: how for one, how in judged}
        facts = {one.scene.id: facts_of(one) | told[one.scene.id].as_plain() for one in chosen}
        doubts = tuple(how.doubt for name, how in sorted(told.items()) if how.doubt)
        return Chosen(tuple(chosen), facts, prints, dict(self._left_out), doubts)

    @property
    def _most(self) -> int:
        return _LOOKS * self._config.scenes_per_tile

    def _leave_out(self, reason: str, number: int = 1) -> None:
        if number > 0:
            self._left_out[reason] = self._left_out.get(reason, 0) + number

    def _listed(
        self, when: When, names: Sequence[str], area: Area, event: Event, windows: Windows
    ) -> list[Found]:
        """Return the scenes of a window that have all files, of each pass the latest processing."""
        days = windows.pre if when is When.PRE else windows.post
        listed = self._catalogue.search(self._config.collection, hull_of(area), days)
        listed = by_ids(listed, self._config.leave_out)
        for item in listed:
            self._files.know(item)
        product = self._config.collection
        held = usable(
            (sighting(item, when, area, product) for item in listed), area, event, windows
        )
        whole = [
            one
            for one in held
            if all(asset_of(one.facts["item"], band) is not None for band in (*names, SCL))
        ]
        self._leave_out("a band or the classification is missing", len(held) - len(whole))
        newest, older = newest_processing(whole)
        self._leave_out("there is a later processing", len(older))
        return newest

    def _seen(self, found: Iterable[Found], look: Look) -> list[Found]:
        """Return scenes with the clear share of the area, by a quick look at the classification;
        those that show nothing of it are left out.
        """

        def one(found: Found) -> Found | None:
            try:
                numbers = self._glance(found, SCL, look)
            except FileTroubleError as trouble:
                self._passed_over(trouble)
                return None
            imaged, clear = clear_share(numbers, look.inside)
            facts = {**found.facts, "classes": numbers}
            if not imaged:
                return replace(found, facts=facts, scene=replace(found.scene, clear_fraction=None))
            return replace(
                found, facts=facts, scene=replace(found.scene, clear_fraction=round(clear, 4))
            )

        seen = list(self._hands.map(one, found))
        self._leave_out("a file cannot be read", sum(one is None for one in seen))
        there = [one for one in seen if one is not None]
        shown = [one for one in there if one.scene.clear_fraction is not None]
        self._leave_out("nothing of the area is in it", len(there) - len(shown))
        return shown

    def _judged(
        self, found: Iterable[Found], names: Sequence[str], look: Look
    ) -> list[tuple[Found, encoding.Encoding]]:
        """Return scenes with what their numbers mean."""
        judges = [name for name in _JUDGED_BY if name in names][:_MOST_JUDGES] or names[:1]

        def one(found: Found) -> tuple[Found, encoding.Encoding | None, str]:
            item = found.facts["item"]
            if is_useless(found):
                return found, encoding.said(item), ""
            try:
                numbers = {
                    f"{found.scene.when}_{name}": of_ground(
                        self._glance(found, name, look), found.facts["classes"]
                    )
                    for name in judges
                }
                return found, encoding.decided(item, numbers), ""
            except encoding.SpoiltError as spoilt:
                logger.warning("%s: %s; it is left out", found.scene.id, spoilt)
                return found, None, "its numbers are no reflectances"
            except FileTroubleError as trouble:
                self._passed_over(trouble)
                return found, None, "a file cannot be read"

        judged = list(self._hands.map(one, found))
        for _, how, reason in judged:
            if how is None:
                self._leave_out(reason)
        return [(scene, how) for scene, how, _ in judged if how is not None]

    def _glance(self, found: Found, name: str, look: Look) -> Array:
        """Return a file's numbers on the coarse grid, from its overviews, NaN where not known."""
        address = found.facts["item"].get_self_href() or ""
        raster = self._files.numbers(found.scene, {"item": address}, name)
        return raster.at(abs(look.grid.affine.a)).warp(look.grid, "nearest")

    def _passed_over(self, trouble: FileTroubleError) -> None:
        self._trouble = self._trouble or trouble
        logger.warning("%s; the scene is left out", trouble.message)

    def _nothing(self, when: When, windows: Windows, area: Area) -> CoslideError:
        """Return why a window has no scene: nothing there, or nothing that can be read."""
        if self._trouble is not None:
            return self._trouble
        days = windows.pre if when is When.PRE else windows.post
        why = ", ".join(f"{count} left out: {reason}" for reason, count in self._left_out.items())
        missing = collection_missing(self._catalogue, self._config.collection)
        return NothingToSeeError(
            f"the catalogue {self._config.catalogue} has no {self._config.collection} scene of the "
            f"area ({area.origin}) in the {when} window {days} as of {windows.as_of:%Y-%m-%d}"
            + (f" ({missing or why})" if missing or why else ""),
            f"Give a longer --{when} window, or wait: `coslide refresh` looks again.",
        )


def by_window(bands: Iterable[str]) -> dict[When, tuple[str, ...]]:
    """Return the bands asked for in each window, pre first."""
    parsed = [parse_band(name) for name in bands]
    return {
        when: names
        for when in When
        if (names := tuple(one.band.name for one in parsed if one.when is when))
    }


def estimate(
    found: Sequence[Found], names: Sequence[str], geobox: GeoBox, files: Files, block_px: int
) -> tuple[float, float]:
    """Return (requests, bytes) that the scenes of one window will take: what their headers tell of
    the files that were looked at, and of the others what these have at their resolution.

    Args:
        found: the scenes, best first.
        names: Sentinel-2 bands.
        geobox: the run's grid.
        files: what has been opened.
        block_px: side of the blocks that are pulled.
    """
    left: dict[str, float] = {}
    blocks = math.prod(-(-int(side) // block_px) for side in geobox.shape)
    requests = total = 0.0
    for one in found:
        share = min(1.0, _BLOCKS_PER_SHARE * left.get(one.tile, 1.0))
        left[one.tile] = left.get(one.tile, 1.0) * (1 - (one.scene.clear_fraction or 0.0))
        known = {
            name: cost
            for name in (*names, SCL)
            if (cost := files.in_transit(one, name, geobox)) is not None
        }
        requests += 1 + max(known.get(SCL, (1, 0))[0], blocks)
        total += known.get(SCL, (1, 0))[1]
        judged = [name for name in names if name in known]
        for name in names if judged else ():
            like = name if name in known else min(judged, key=lambda other: _unlike(name, other))
            finer = (BANDS[like].resolution_m / BANDS[name].resolution_m) ** 2
            requests += share * (1 + max(known[like][0], blocks))
            total += share * known[like][1] * finer
    return requests, total


def _unlike(name: str, other: str) -> float:
    return abs(BANDS[name].resolution_m - BANDS[other].resolution_m)


_BLOCKS_PER_SHARE: Final = 4.0
"""What is not clear lies in clumps: a tenth of the pixels keeps some four tenths of blocks waiting
(chosen)."""
