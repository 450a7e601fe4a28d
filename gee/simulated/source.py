"""The simulated Earth as a `Source`: any place, any date, no account, no file. A test bench, never evidence.

Which pixel is taken: after the event the earliest clear one; before it the clear one whose season is nearest to the
event's, counting every day of age a quarter (what a responder wants: leaves and snow alike, little else changed).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import DERIVED, When, inputs_of, parse_band
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows
from configs.records import Level, ObservationClass, Offer, Scene
from gee.simulated import spectra
from gee.simulated.cover import Place, cut_out, place, struck
from gee.simulated.fingerprint import fingerprint
from gee.simulated.grids import Resampler, native_window
from gee.simulated.landscapes import LANDSCAPES
from gee.simulated.lattice import F32, TERRAIN_M, Grid, covering
from gee.simulated.relief import measured_elevation
from gee.simulated.scene import MARGIN_PX, classes, even, render
from gee.simulated.sky import Acquisition, acquisitions, imaged, sky
from gee.simulated.slides import shaken
from gee.simulated.world import World, world
from gee.source import Elevation, Plan, Pulled, Source

AGE_WEIGHT = 0.25
"""What a day of age counts against a day of seasonal difference when a pre-event pixel is chosen."""
PROBE_PX = 40
"""The area is probed for clouds on about this many points a side."""
PRODUCT = "simulated Sentinel-2 L1C"
WARNING = "simulated imagery: a test bench, not evidence about the real Earth"


@dataclass(frozen=True)
class SimulatedSource:
    """An Earth that never was.

    Raises:
        RequestError: (on construction) no such landscape.
    """

    landscape: str = "tephra-hills"
    seed: int = 0
    block_px: int = 512
    workers: int = 2
    name: str = "simulated"

    def __post_init__(self) -> None:
        if self.landscape not in LANDSCAPES:
            raise RequestError(
                f"--source simulated: no landscape `{self.landscape}`", f"Choose one of {', '.join(LANDSCAPES)}."
            )

    def offer(self) -> Offer:
        """Return what the simulated Earth can deliver."""
        bases = {*spectra.BANDS, *(name for name, inputs in DERIVED.items() if set(inputs) <= {*spectra.BANDS, "dem"})}
        static = {name for name in bases | {"dem"} if name == "dem" or DERIVED.get(name) == ("dem",)}
        timed = {f"{when}_{name}" for when in When for name in bases - static}
        return Offer("simulated", "sentinel-2", Level.TOA, 10.0, frozenset(static | timed), True, (WARNING,))

    def extent(self) -> BaseGeometry | None:
        """Return None: it covers the whole Earth."""
        return None

    def plan(self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]) -> Plan:
        """Return the overpasses of both windows, clearest first, nearest to the event among equals."""
        bands = inputs_of(bands)
        available = self.offer().bands
        unknown = [name for name in bands if name not in available]
        if unknown:
            raise RequestError(
                f"the simulated Earth has no band {', '.join(unknown)}",
                f"Use {', '.join(spectra.BANDS)} with pre_ or post_, and dem.",
            )
        earth = world(self.landscape, self.seed, geobox.crs)
        needed = {parsed.when for parsed in map(parse_band, bands) if parsed.when is not None}
        scenes: list[Scene] = []
        for when in sorted(needed):
            found = self._scenes(earth, area, geobox, event, windows, when)
            if not found:
                span = windows.pre if when is When.PRE else windows.post
                raise NothingToSeeError(
                    f"no simulated scene of the {when} window {span} as of {windows.as_of:%Y-%m-%d %H:%M} UTC",
                    f"Give a longer --{when} (one overpass every 5 days), or a later --as-of.",
                )
            scenes += found
        details = {"landscape": self.landscape, "seed": self.seed, "simulator": fingerprint()}
        measured = tuple(name for name in bands if name != "dem")
        return Plan(measured, "dem" in bands, geobox, area, event, windows, tuple(scenes), details=details)

    def _scenes(
        self, earth: World, area: Area, geobox: GeoBox, event: Event, windows: Windows, when: When
    ) -> list[Scene]:
        probes, inside = _probes(area, geobox)
        span = windows.pre if when is When.PRE else windows.post
        day = timedelta(days=1)
        scenes = []
        for one in acquisitions(earth, probes, span.first - day, span.last + day):
            seen = imaged(one, probes)[inside] > 0
            if not windows.holds(when, one.acquired, event) or not seen.any():
                continue
            over = sky(one, probes)
            cloudy = (over.cloud[inside] > 0.1)[seen]
            clear = seen.mean() * (1 - (cloudy | (over.shade[inside] > 0.3)[seen]).mean())
            scenes.append(
                Scene(_id(one), when, one.acquired, PRODUCT, round(float(clear), 4), round(float(cloudy.mean()), 4))
            )
        return sorted(
            scenes, key=lambda s: (-round(s.clear_fraction or 0.0, 1), abs((s.acquired - event.time).total_seconds()))
        )

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return the bands, observation classes and dates of one block."""
        earth = world(self.landscape, self.seed, block.crs)
        window = native_window(block)
        resample = Resampler(window, block)
        before = place(earth, even(window).grown(MARGIN_PX))
        bands, observation, dates = {}, {}, {}
        for when in sorted({parse_band(name).when or When.POST for name in plan.bands}):
            ground = struck(before, shaken(earth, plan.event)) if when is When.POST else before
            names = [name for name in plan.bands if parse_band(name).when is when]
            image = _composite(ground, plan, when, window)
            for name in names:
                layer = image.values[spectra.BANDS.index(parse_band(name).band.name)]
                bands[name] = resample.values(layer)
            observation[when] = resample.nearest(image.classes)
            dates[when] = resample.nearest(image.days)
        return Pulled(bands, observation, dates)

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return the 30 m surface model around a block."""
        earth = world(self.landscape, self.seed, block.crs)
        grid = Grid(TERRAIN_M, 0, 0, 1, 1).around(native_window(block), 0.0).grown(margin_px)
        affine = Affine(TERRAIN_M, 0, grid.column * TERRAIN_M, 0, -TERRAIN_M, -grid.row * TERRAIN_M)
        return Elevation(measured_elevation(earth, grid), GeoBox(grid.shape, affine, block.crs))


@dataclass(frozen=True)
class _Image:
    """The best pixels of a window, on native pixels."""

    values: F32
    classes: NDArray[np.uint8]
    days: NDArray[np.int32]


def _id(acquisition: Acquisition) -> str:
    return f"SIM_{acquisition.world.name}_{acquisition.world.epsg}_{acquisition.date:%Y%m%d}_T{acquisition.track}"


def _overpasses(earth: World, plan: Plan, when: When, window: Grid) -> list[Acquisition]:
    """Return the plan's overpasses of one window that see any of a block, the ones to prefer first."""
    wanted = {scene.id for scene in plan.scenes if scene.when is when}
    span = plan.windows.pre if when is When.PRE else plan.windows.post
    day = timedelta(days=1)
    found = [one for one in acquisitions(earth, window, span.first - day, span.last + day) if _id(one) in wanted]
    if when is When.POST:
        return found[::-1] if plan.latest_first else found

    def cost(one: Acquisition) -> float:
        age = (plan.event.time - one.acquired).total_seconds() / 86400
        apart = age % 365.25
        return min(apart, 365.25 - apart) + AGE_WEIGHT * age

    return sorted(found, key=cost)


def _composite(ground: Place, plan: Plan, when: When, window: Grid) -> _Image:
    """Return the best pixels of a native window; where nothing is clear, the first scene that imaged it, as it was."""
    inside = window.inside(ground.grid)
    found = np.zeros(window.shape, np.uint8)
    chosen = np.full(window.shape, -1, np.int32)
    candidates = _overpasses(ground.world, plan, when, window)
    for number, one in enumerate(candidates):
        seen = classes(ground, one)[inside]
        usable = (seen == ObservationClass.CLEAR) | (seen == ObservationClass.WATER)
        settled = (found == ObservationClass.CLEAR) | (found == ObservationClass.WATER)
        better = (usable & ~settled) | ((chosen < 0) & (seen != ObservationClass.NOT_IMAGED))
        found[better], chosen[better] = seen[better], number
        if (settled | usable).all():
            break
    values = np.full((len(spectra.BANDS), *window.shape), np.nan, np.float32)
    days = np.zeros(window.shape, np.int32)
    for number in np.unique(chosen[chosen >= 0]):
        here = chosen == number
        part = _bounding(here, window)
        image = render(cut_out(ground, even(part).grown(MARGIN_PX)), candidates[number], part)
        rows, columns = part.inside(window)
        values[:, rows, columns] = np.where(here[rows, columns], image, values[:, rows, columns])
        days[here] = (candidates[number].acquired.date() - candidates[number].date).days + candidates[number].day
    return _Image(values, found, days)


def _bounding(here: NDArray[np.bool_], window: Grid) -> Grid:
    """Return the smallest window that holds all true pixels."""
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    return Grid(window.step_m, window.row + int(rows[0]), window.column + int(columns[0]), height, width)


def _probes(area: Area, geobox: GeoBox) -> tuple[Grid, NDArray[np.bool_]]:
    """Return a coarse window over the area, and which of its points lie inside."""
    west, south, east, north = area.projected(str(geobox.crs)).bounds
    step = max(60.0, float(np.ceil(max(east - west, north - south) / PROBE_PX / 60) * 60))
    grid = covering(step, west, south, east, north)
    affine = Affine(step, 0, grid.column * step, 0, -step, -grid.row * step)
    inside = area.mask(GeoBox(grid.shape, affine, geobox.crs))
    return grid, inside if inside.any() else np.ones(grid.shape, bool)


_: type[Source] = SimulatedSource
