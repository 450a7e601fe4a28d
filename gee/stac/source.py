"""A STAC catalogue of cloud-optimised GeoTIFFs as a `Source`: Sentinel-2 L2A and elevation without
an account.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import DERIVED, When, inputs_of, parse_band
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows
from configs.records import Level, Offer, Scene
from configs.stac import StacConfig
from gee.derive import MARGIN_PX
from gee.memory import share_heaps
from gee.native import coarse, shortest_side_m, window
from gee.previous import FINGERPRINTS
from gee.ranking import reaches
from gee.rasters import Array
from gee.shadow import widest_margin_px
from gee.source import DOUBTS, Elevation, Plan, Pulled, Source
from gee.stac import elevation, items, planning
from gee.stac.catalogue import Catalogue, by_ids, collection_missing, hull_of
from gee.stac.composite import Shot, compose, settle_water
from gee.stac.files import Files
from gee.stac.signing import Signer
from gee.stac.transport import Transport
from gee.usage import Account, Counting

RECIPE: Final = "coslide/stac/1"
"""Goes into the plan, and so into the resume key: changed whenever the same scenes would give other
pixels.
"""
_RESOLUTION_M: Final = 10.0


class StacSource(Counting):
    """A catalogue. Asks nothing before it is asked."""

    name = "stac"

    def __init__(self, config: StacConfig | None = None, sign: Signer | None = None) -> None:
        """Prepare to ask.

        Args:
            config: which catalogue, and how.
            sign: makes addresses that may be read; found by the catalogue's host where None.
        """
        self.config = config or StacConfig()
        self.block_px = self.config.block_px
        self.workers = self.config.workers
        self.account = Account()
        self._sign = sign
        share_heaps()

    def offer(self) -> Offer:
        """Return Sentinel-2's L2A bands and terrain."""
        names = set(items.BANDS)
        names |= {name for name, inputs in DERIVED.items() if names.issuperset(inputs)}
        static = {"dem", *(name for name, inputs in DERIVED.items() if inputs == ("dem",))}
        return Offer(
            self.name,
            "sentinel-2",
            Level.SURFACE,
            _RESOLUTION_M,
            frozenset(
                {f"{when}_{name}" for when in When for name in names}
                | (static if self.config.elevation else set())
            ),
            False,
        )

    def extent(self) -> BaseGeometry | None:
        """Return None: whatever the catalogue lists."""
        return None

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return the scenes a pull would use, by the catalogue and quick looks at overviews.

        Raises:
            NothingToSeeError: no scene in a window that `bands` needs, or no elevation.
            SourceError: the catalogue cannot be had.
            RequestError: a band that it does not have, or no catalogue there.
        """
        measured = inputs_of(bands)
        offered = self.offer().bands
        for name in (*bands, *measured):
            if name not in offered:
                raise RequestError(
                    f"the catalogue {self.config.catalogue} has no band `{name}`",
                    f"It has {', '.join(sorted(offered))}.",
                )
        names = tuple(name for name in measured if name != "dem")
        wanted = planning.by_window(names)
        planner = planning.Planner(self.config, self._catalogue, self._files, self._hands)
        chosen = planner.choose(wanted, area, geobox, event, windows)
        scenes = tuple(one.scene for one in chosen.found)
        shaded = any(scene.sun for scene in scenes)
        native = self._heights_for(area, needed="dem" in measured, shaded=shaded)
        step_m = shortest_side_m(native, geobox) if native else 0.0
        requests, megabytes = self._estimate(chosen, wanted, geobox)
        if native:
            margin_px = max(widest_margin_px(scenes, step_m), MARGIN_PX)
            more, size = self._estimate_heights(native, geobox, margin_px)
            requests, megabytes = requests + more, megabytes + size
        details: dict[str, Any] = {
            "recipe": RECIPE,
            "catalogue": self.config.address,
            "collection": self.config.collection,
            "scenes": dict(chosen.facts),
            "left_out": dict(chosen.left_out),
            FINGERPRINTS: dict(chosen.fingerprints),
            **({"elevation": native} if native else {}),
            **({DOUBTS: list(chosen.doubts)} if chosen.doubts else {}),
        }
        return Plan(
            names,
            "dem" in measured,
            geobox,
            area,
            event,
            windows,
            scenes,
            requests,
            megabytes,
            self.block_px,
            details,
            elevation_step_m=step_m,
        )

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return the bands, observation classes and dates of one block.

        Raises:
            SourceError: a file or its host cannot be had.
        """
        facts = plan.details["scenes"]
        reaching = [one for one in plan.scenes if reaches(facts[one.id]["bounds"], block)]
        bands: dict[str, Array] = {}
        seen: dict[When, NDArray[np.uint8]] = {}
        days: dict[When, NDArray[np.int32]] = {}
        for when in When:
            names = [name for name in plan.bands if parse_band(name).when is when]
            if not names:
                continue
            shots = [self._shot(one, facts[one.id], names) for one in reaching if one.when is when]
            found, seen[when], days[when] = compose(shots, names, block, self._hands)
            bands |= found
            others = [self._shot(one, facts[one.id], ()) for one in reaching]
            settle_water(seen[when], days[when], others, block)
        return Pulled({name: bands[name] for name in plan.bands}, seen, days)

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return heights on the elevation model's own grid, `margin_px` of its pixels around the
        block.

        Raises:
            SourceError: a file or its host cannot be had.
        """
        native = plan.details["elevation"]
        tiles = native["tiles"]
        return elevation.around(
            native,
            {name: partial(self._files.heights, name, tiles[name]["item"]) for name in tiles},
            {name: tiles[name]["bounds"] for name in tiles},
            block,
            margin_px,
        )

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(self.config, self.account)

    @cached_property
    def _files(self) -> Files:
        transport = Transport(self.config, self.account)
        return Files(self.config, self._catalogue, transport, self._sign)

    @cached_property
    def _hands(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.config.requests, thread_name_prefix="stac")

    def _shot(self, scene: Scene, facts: Mapping[str, Any], names: Any) -> Shot:
        return Shot(
            scene,
            partial(self._files.numbers, scene, facts, items.SCL),
            {
                name: partial(self._files.band, scene, facts, parse_band(name).band.name)
                for name in names
            },
        )

    def _heights_for(self, area: Area, *, needed: bool, shaded: bool) -> dict[str, Any] | None:
        """Return what `_elevation_of` does, None where no heights are wanted; where they are wanted
        for shadows alone, None too where there are none.
        """
        if not needed and not (shaded and self.config.elevation):
            return None
        with suppress(*(() if needed else (NothingToSeeError,))):
            return self._elevation_of(area, shaded)
        return None

    def _elevation_of(self, area: Area, shaded: bool) -> dict[str, Any]:
        """Return the tiles of elevation around an area and their native grid, JSON types."""
        collection = self.config.elevation or ""
        around = hull_of(area).buffer(elevation.margin_deg(area, shaded))
        found = by_ids(self._catalogue.search(collection, around, None), self.config.leave_out)
        if not found:
            missing = collection_missing(self._catalogue, collection)
            raise NothingToSeeError(
                missing or f"{collection} has no elevation here: open sea, or beyond its tiles",
                "Choose another place, or another collection: `source.stac.elevation`.",
            )
        tiles, cogs = {}, []
        for item in found:
            self._files.know(item)
            address = items.bare(item.get_self_href() or "")
            bounds = item.bbox or (-180.0, -90.0, 180.0, 90.0)
            tiles[item.id] = {
                "item": address,
                "bounds": [round(float(value), 4) for value in bounds],
                "fingerprint": items.fingerprint(item),
            }
            cogs.append(self._files.cog_of_heights(item.id, address))
        _, south, _, north = area.polygon.bounds
        grid = elevation.grid_of(cogs, (south + north) / 2)
        return {"collection": collection, **grid, "tiles": tiles}

    def _estimate(
        self, chosen: planning.Chosen, wanted: Mapping[When, tuple[str, ...]], geobox: GeoBox
    ) -> tuple[int, float]:
        """Return (requests, megabytes) that the pull will take."""
        requests = total = 0.0
        for when, names in wanted.items():
            found = [one for one in chosen.found if one.scene.when is when]
            more, size = planning.estimate(found, names, geobox, self._files, self.block_px)
            requests, total = requests + more, total + size
        return math.ceil(requests), total / 1e6

    def _estimate_heights(
        self, native: Mapping[str, Any], geobox: GeoBox, margin_px: int
    ) -> tuple[int, float]:
        """Return (requests, megabytes) that heights will take, `margin_px` around included."""
        blocks = math.prod(-(-int(side) // self.block_px) for side in geobox.shape)
        under = window(native, coarse(geobox), margin_px)
        requests = total = 0
        for name, tile in native["tiles"].items():
            runs, size = self._files.cog_of_heights(name, tile["item"]).in_transit(under)
            requests += max(runs, blocks) if size else 0
            total += size
        return requests, total / 1e6


_: type[Source] = StacSource
