"""A source for tests: the answer is built first and the fake serves it, block by block, and
remembers what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import box
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import DERIVED, When, inputs_of, parse_band
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows
from configs.records import Level, ObservationClass, Offer, Scene
from configs.stack import EPOCH_DAY
from gee.resample import cut, footprint, positions
from gee.source import Elevation, Plan, Pulled, Source


@dataclass
class FakeSource:
    """Serves arrays that lie on one grid; everything beyond them was not imaged."""

    grid: GeoBox
    bands: Mapping[str, NDArray[np.float32]]
    """Stack band -> `(y, x)` on `grid`."""
    observation: Mapping[When, NDArray[np.uint8]]
    terrain: Elevation
    scenes: tuple[Scene, ...]
    level: Level = Level.TOA
    fault: Callable[[GeoBox], None] = lambda block: None
    """Called with every block before it is served: raise here what shall go wrong."""
    name: str = "fake"
    block_px: int = 256
    workers: int = 2
    pulled: list[GeoBox] = field(default_factory=list)
    """The blocks it was asked for."""

    def offer(self) -> Offer:
        """Return what the arrays hold and what can be derived from it."""
        measured = {*self.bands, "dem"}
        names = {*measured, *(name for name, inputs in DERIVED.items() if inputs == ("dem",))}
        for when in When:
            names |= {
                f"{when}_{name}"
                for name, inputs in DERIVED.items()
                if all(f"{when}_{base}" in measured for base in inputs)
            }
        return Offer(
            self.name,
            "fake",
            self.level,
            float(self.grid.affine.a),
            frozenset(names),
            simulated=True,
        )

    def extent(self) -> BaseGeometry | None:
        """Return the outline of the grid."""
        return self.grid.geographic_extent.geom

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return the scenes that lie in the windows, in the order given."""
        measured = inputs_of(bands)
        missing = sorted(set(measured) - {*self.bands, "dem"})
        if missing:
            raise RequestError(f"the fake has no band {', '.join(missing)}", "Ask for another.")
        if not box(*self.grid.geographic_extent.boundingbox).intersects(area.polygon):
            raise NothingToSeeError("the area misses the fake", "Ask for an area on its grid.")
        needed = {parse_band(name).when for name in measured} - {None}
        scenes = tuple(
            scene
            for scene in self.scenes
            if scene.when in needed and windows.holds(scene.when, scene.acquired, event)
        )
        for when in sorted(needed - {scene.when for scene in scenes}, key=str):
            raise NothingToSeeError(f"no scene in the {when} window", "Widen it.")
        pulled = tuple(name for name in measured if name != "dem")
        return Plan(pulled, "dem" in measured, geobox, area, event, windows, scenes)

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return the crop of every array that the plan names."""
        self.pulled.append(block)
        self.fault(block)
        rows, columns = positions(block, self.grid)
        row, column = np.rint(rows).astype(int), np.rint(columns).astype(int)
        inside = (
            (row >= 0) & (row < self.grid.shape[0]) & (column >= 0) & (column < self.grid.shape[1])
        )
        row, column = np.where(inside, row, 0), np.where(inside, column, 0)
        seen: dict[When, NDArray[np.uint8]] = {}
        dates: dict[When, NDArray[np.int32]] = {}
        for scene in reversed(plan.scenes):
            day = (scene.acquired.date() - EPOCH_DAY).days
            seen[scene.when] = np.where(
                inside, self.observation[scene.when][row, column], 0
            ).astype(np.uint8)
            dates[scene.when] = np.where(
                seen[scene.when] == ObservationClass.NOT_IMAGED, 0, day
            ).astype(np.int32)
        bands = {}
        for name in plan.bands:
            when = parse_band(name).when
            imaged = inside if when is None else seen[when] != ObservationClass.NOT_IMAGED
            bands[name] = np.where(imaged, self.bands[name][row, column], np.nan).astype(np.float32)
        return Pulled(bands, seen, dates)

    def usage(self) -> dict[str, Any]:
        """Return nothing: no service is asked."""
        return {}

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Count nothing: no service is asked."""

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return the part of the terrain around a block."""
        rows, columns = positions(block, self.terrain.geobox)
        window = footprint(rows, columns, self.terrain.values.shape, margin_px)
        if window is None:
            window = (slice(0, 1), slice(0, 1))
        return Elevation(self.terrain.values[window], cut(self.terrain.geobox, window))


_: type[Source] = FakeSource


def small_world(area: Area, event: Event, resolution_m: float = 10.0, seed: int = 0) -> FakeSource:
    """Return a fake with B2, B3, B4, B8 before and after on an area's grid: smooth hills, one
    cloud, a void in the pre image.
    """
    grid = area.geobox(resolution_m)
    height, width = (int(side) for side in grid.shape)
    random = np.random.default_rng(seed)
    bands: dict[str, NDArray[np.float32]] = {}
    for when in When:
        for name in ("B2", "B3", "B4", "B8"):
            bands[f"{when}_{name}"] = random.uniform(0.02, 0.4, (height, width)).astype(np.float32)
    seen = {when: np.full((height, width), ObservationClass.CLEAR, np.uint8) for when in When}
    seen[When.POST][: height // 4, : width // 4] = ObservationClass.CLOUD
    seen[When.PRE][:, -(width // 5) :] = ObservationClass.NOT_IMAGED
    scenes = tuple(
        Scene(
            f"fake-{when}",
            when,
            event.time + timedelta(days=20 if when is When.POST else -20),
            "fake",
        )
        for when in When
    )
    return FakeSource(grid, bands, seen, _hills(grid), scenes)


def _hills(grid: GeoBox) -> Elevation:
    """Return smooth hills at 30 m that reach 300 m beyond a grid."""
    affine = grid.affine
    left, top = np.floor(affine.c / 30) * 30 - 300, np.ceil(affine.f / 30) * 30 + 300
    width = int((grid.shape[1] * affine.a + 660) // 30) + 1
    height = int((grid.shape[0] * -affine.e + 660) // 30) + 1
    x, y = left + 30 * (np.arange(width) + 0.5), top - 30 * (np.arange(height) + 0.5)
    z = 300 + 120 * np.sin(x / 700)[None, :] * np.cos(y / 900)[:, None]
    return Elevation(
        z.astype(np.float32), GeoBox((height, width), Affine(30, 0, left, 0, -30, top), grid.crs)
    )


def an_event(latitude: float = 42.69, longitude: float = 141.93) -> Event:
    """Return an earthquake for tests."""
    moment = datetime(2018, 9, 5, 18, 7, tzinfo=UTC)
    return Event(name="a-quake", time=moment, latitude=latitude, longitude=longitude, magnitude=6.6)
