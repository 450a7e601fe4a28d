"""The live Earth: Earth Engine as a `Source`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import DERIVED, When, inputs_of
from configs.earthengine import EarthEngineConfig
from configs.errors import NothingToSeeError
from configs.event import Event, Windows
from configs.records import Level, Offer, Scene
from gee.backscatter import around_px, geometry
from gee.earthengine import assets, landsat, optical, planning, radar, survey, terrain
from gee.earthengine.block_request import BlockRequest
from gee.earthengine.layers import Recipe
from gee.earthengine.pixels import Layers, Puller
from gee.earthengine.rate_limit import gate_for
from gee.earthengine.session import connect
from gee.earthengine.usage import Account
from gee.native import window
from gee.ranking import reaches
from gee.source import Elevation, Plan, Pulled, Source

logger = logging.getLogger(__name__)

LANDSAT_M, SENTINEL_M = 15.0, 10.0
_STATIC = ("dem", "slope", "hillshade", "aspect_sin", "aspect_cos", "curvature", "water")


class EarthEngineSource:
    """Earth Engine through the real client. Signs in when first asked for something that needs
    it.
    """

    name = "earthengine"

    def __init__(self, config: EarthEngineConfig | None = None) -> None:
        self.config = config or EarthEngineConfig()
        self.block_px = self.config.block_px or planning.SIDES_PX[0]
        self.workers = self.config.workers
        self.account = Account()
        """What this source has cost so far."""
        self._asking = threading.Lock()
        self._known: dict[str, BlockRequest] = {}

    def offer(self) -> Offer:
        """Return the bands of the configured optical sensor, Sentinel-1 beside it, and terrain."""
        sentinel = self.config.sensor == "sentinel-2"
        names = {*(optical.BANDS if sentinel else landsat.BANDS), *radar.BANDS}
        names |= {name for name, inputs in DERIVED.items() if names.issuperset(inputs)}
        return Offer(
            source=self.name,
            sensor=self.config.sensor,
            level=Level(self.config.level) if sentinel else Level.TOA,
            resolution_m=SENTINEL_M if sentinel else LANDSAT_M,
            bands=frozenset({f"{when}_{name}" for when in When for name in names} | set(_STATIC)),
            simulated=False,
        )

    def extent(self) -> BaseGeometry | None:
        """Return None: the whole Earth."""
        return None

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return the scenes a pull would use, found out by few small questions.

        Raises:
            NothingToSeeError: no scene in a window that `bands` needs.
            SourceError: no credentials, no quota, no network.
            RequestError: a band that this sensor does not have.
        """
        puller = self._puller
        measured = inputs_of(bands)
        want = planning.wanted(measured, self.offer())
        _, south, _, north = area.polygon.bounds
        dem = assets.choose_dem(self.config.dem, south, north)
        found = survey.scenes(puller, want.windows, self.config, area, event, windows)
        chosen = planning.choose(found, want, self.config, area, event, windows)
        native = None
        needed = want.elevation or planning.flattens(want, self.config)
        if needed or any(one.scene.sun for one in chosen.found):
            answer = puller.ask(terrain.listing(dem, area), patient=True)
            with suppress(*(() if needed else (NothingToSeeError,))):
                native = terrain.read_listing(answer, dem)  # without it, no shadow is cast
        return planning.plan_of(
            chosen, want, measured, geobox, area, event, windows, self.config, native
        )

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return one block, asked for in one request where the limits allow.

        Raises:
            SourceError: nothing helped; every later call gets the same error at once.
        """
        puller = self._puller  # signs in: expressions cannot be built before
        requested = self._asked(plan, block)
        if not requested.types:
            return Pulled({}, {}, {})
        read = puller.fetch(requested.image, requested.types, block, requested.check)
        self._flatten(plan, block, requested, read)
        return requested.pulled(plan.bands, read)

    def _flatten(self, plan: Plan, block: GeoBox, requested: BlockRequest, read: Layers) -> None:
        """Take the terrain out of backscatter, in place, where its angle came along; what the
        sensor could not see is not known.
        """
        heights: Elevation | None = None
        for key, recipe in requested.recipes.items():
            if radar.ANGLE not in recipe.bands or not recipe.scenes:
                continue
            if heights is None:
                heights = self.elevation(plan, block, around_px(plan.elevation_step_m))
            seen_from = plan.details["scenes"][recipe.scenes[0].id]["to_sensor_deg"]
            angle = radar.DEGREES.read(read[f"{key}{radar.ANGLE}"])
            found = geometry(heights, block, angle, seen_from)
            for name in set(recipe.bands) - {radar.ANGLE}:
                layer = f"{key}{name}"
                read[layer] = radar.flattened(read[layer], found)

    def image(self, plan: Plan) -> Any:
        """Return `ee.Image` of all that a plan shows, bands under their stack names, in the
        integers they travel in.

        Raises:
            SourceError: no credentials, no quota, no network.
        """
        connect(self.config)
        return self._asked(plan, plan.geobox).image

    def usage(self) -> dict[str, Any]:
        """Return requests, bytes and mishaps so far, and what the service reported."""
        return self.account.as_plain()

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Add what a worker elsewhere has asked for."""
        for what, count in counts.items():
            self.account.add(what, count)

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return heights on the elevation model's own grid, `margin_px` of its pixels around the
        block.

        Raises:
            SourceError: nothing helped.
        """
        puller = self._puller
        native: Mapping[str, Any] = plan.details["elevation"]
        grid = window(native, block, margin_px)
        image, types = terrain.image(native["dem"])
        parts = [
            puller.fetch(image, types, part, terrain.check) for _, part in terrain.within_turn(grid)
        ]
        return terrain.read(
            {name: np.concatenate([part[name] for part in parts], axis=1) for name in types}, grid
        )

    @cached_property
    def _puller(self) -> Puller:
        session = connect(self.config)
        self.account.reported = session.reported
        return Puller(self.config, gate_for(session.project, session.url), self.account)

    def _asked(self, plan: Plan, block: GeoBox) -> BlockRequest:
        """Return what is asked for in a block: one expression for all blocks that the same scenes
        reach.
        """
        facts = plan.details["scenes"]
        reaching = [scene for scene in plan.scenes if reaches(facts[scene.id]["bounds"], block)]
        key = json.dumps(
            [plan.bands, [(scene.id, scene.when, facts[scene.id]) for scene in reaching]],
            default=str,
        )
        with self._asking:
            if key not in self._known:
                want = planning.wanted(plan.bands, self.offer())
                self._known[key] = BlockRequest.of(self._recipes(reaching, facts, want), want.water)
            return self._known[key]

    def _recipes(
        self, reaching: Sequence[Scene], facts: Mapping[str, Any], want: planning.Wanted
    ) -> dict[str, Recipe]:
        """Return the recipe of every instrument and window, with the scenes that reach the
        block.
        """

        def of(when: When, from_radar: bool) -> Sequence[Scene]:
            return [
                s
                for s in reaching
                if s.when is when and (s.product == assets.S1_POWER) == from_radar
            ]

        recipes: dict[str, Recipe] = {}
        for when, bands in want.optical.items():
            if self.config.sensor == "landsat-8":
                recipes[f"{when}_"] = landsat.recipe(of(when, False), bands, self.config)
            else:
                recipes[f"{when}_"] = optical.recipe(of(when, False), facts, bands, self.config)
        for when, bands in want.radar.items():
            recipes[f"{when}_radar_"] = radar.recipe(of(when, True), bands, self.config)
        return recipes


_: type[Source] = EarthEngineSource
