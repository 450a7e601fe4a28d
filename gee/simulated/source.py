"""The simulated Earth as a `Source`: any place, any date, no account, no file. A test bench, never
evidence.

Sentinel-2 (six bands by `scene`, six more by `sentinel2`), Sentinel-1 and elevation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import DERIVED, When, inputs_of, parse_band
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows
from configs.records import Level, ObservationClass, Offer, Scene, Sun
from configs.spelling import instead
from configs.stack import EPOCH_DAY
from gee.simulated import geology, landsat, orbit, radar, sentinel2, spectra
from gee.simulated.composite import Reach, compose, preferred, reach_of
from gee.simulated.cover import Place, place, struck
from gee.simulated.fingerprint import added_fingerprint, fingerprint
from gee.simulated.grids import Resampler, native_window
from gee.simulated.landscapes import LANDSCAPES
from gee.simulated.lattice import F32, TERRAIN_M, Grid, covering
from gee.simulated.relief import measured_elevation
from gee.simulated.scene import render
from gee.simulated.sky import REVISIT_DAYS, Acquisition, acquisitions, imaged, sky
from gee.simulated.slides import shaken
from gee.simulated.sun import sun_at
from gee.simulated.world import World, world
from gee.source import Elevation, Plan, Pulled, Source, beside

OPTICAL = (*spectra.BANDS, *sentinel2.BANDS)
_PROBE_PX = 40
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
    sensor: str = "sentinel-2"
    """Or ``landsat-8``."""

    def __post_init__(self) -> None:
        if self.landscape not in LANDSCAPES:
            raise RequestError(
                f"--source simulated: no landscape `{self.landscape}`",
                instead(self.landscape, LANDSCAPES, f"Choose one of {', '.join(LANDSCAPES)}."),
            )

    def offer(self) -> Offer:
        """Return what the simulated Earth can deliver."""
        bases = {*(landsat.BANDS if self._landsat else OPTICAL), *radar.BANDS}
        bases |= {name for name, inputs in DERIVED.items() if set(inputs) <= {*bases, "dem"}}
        static = {"dem", *(name for name, inputs in DERIVED.items() if inputs == ("dem",))}
        timed = {f"{when}_{name}" for when in When for name in bases - static}
        bands = frozenset({*static, *geology.LAYERS, *timed})
        finest = landsat.RESOLUTION_M if self._landsat else 10.0
        return Offer("simulated", self.sensor, Level.TOA, finest, bands, True, (WARNING,))

    @property
    def _landsat(self) -> bool:
        return self.sensor == "landsat-8"

    def extent(self) -> BaseGeometry | None:
        """Return None: it covers the whole Earth."""
        return None

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return the overpasses of both windows, clearest first, nearest to the event among
        equals.
        """
        bands = inputs_of(bands)
        available = self.offer().bands
        unknown = [name for name in bands if name not in available]
        if unknown:
            raise RequestError(
                f"the simulated Earth has no band {', '.join(unknown)}",
                f"It has {', '.join(sorted(available))}.",
            )
        earth = world(self.landscape, self.seed, geobox.crs)
        scenes: list[Scene] = []
        for when, names in _by_window(bands).items():
            if set(names) - set(radar.BANDS):
                scenes += self._scenes(earth, area, geobox, event, windows, when)
            if set(names) & set(radar.BANDS):
                scenes.append(_radar_scene(earth, area, geobox, event, windows, when))
        details = {"landscape": self.landscape, "seed": self.seed, "simulator": fingerprint()}
        measured = tuple(name for name in bands if name != "dem")
        if self._landsat or any(
            parse_band(name).band.name not in spectra.BANDS for name in measured
        ):
            details["simulator_added"] = added_fingerprint()
        if self._landsat:
            details["sensor"] = self.sensor
        return Plan(
            measured,
            "dem" in bands,
            geobox,
            area,
            event,
            windows,
            tuple(scenes),
            elevation_step_m=TERRAIN_M,
            details=details,
        )

    def _scenes(
        self, earth: World, area: Area, geobox: GeoBox, event: Event, windows: Windows, when: When
    ) -> list[Scene]:
        probes, inside = _probes(area, geobox)
        scenes = []
        latitude = earth.latitude(float(probes.y[probes.height // 2]))
        passing = landsat.overpasses if self._landsat else acquisitions
        product = landsat.PRODUCT if self._landsat else PRODUCT
        for one in passing(earth, probes, *_days(windows, when)):
            seen = imaged(one, probes)[inside] > 0
            if not windows.holds(when, one.acquired, event) or not seen.any():
                continue
            over = sky(one, probes)
            cloudy = (over.cloud[inside] > 0.1)[seen]
            sun = sun_at(latitude, one.date)
            clear = seen.mean() * (1 - (cloudy | (over.shade[inside] > 0.3)[seen]).mean())
            scenes.append(
                Scene(
                    _id(one),
                    when,
                    one.acquired,
                    product,
                    round(float(clear), 4),
                    round(float(cloudy.mean()), 4),
                    sun=Sun(
                        round(math.degrees(sun.azimuth) % 360, 2),
                        round(math.degrees(sun.elevation), 2),
                    ),
                )
            )
        if not scenes:
            often = landsat.REVISIT_DAYS if self._landsat else REVISIT_DAYS
            raise _nothing("", when, windows, f"one overpass every {often} days")
        return sorted(
            scenes,
            key=lambda s: (
                -round(s.clear_fraction or 0.0, 1),
                abs((s.acquired - event.time).total_seconds()),
            ),
        )

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return the bands, observation classes and dates of one block."""
        earth, resample = (
            world(self.landscape, self.seed, block.crs),
            Resampler(native_window(block), block),
        )
        requested = _by_window(plan.bands)
        found = (
            _seen(earth, plan, requested, resample, self._landsat)
            if requested
            else Pulled({}, {}, {})
        )
        quake = shaken(earth, plan.event)
        still = {
            name: geology.layer(name, quake, resample)
            for name in plan.bands
            if name in geology.LAYERS
        }
        bands = {**found.bands, **still}
        return Pulled({name: bands[name] for name in plan.bands}, found.observation, found.date)

    def usage(self) -> dict[str, Any]:
        """Return nothing: no service is asked."""
        return {}

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Count nothing: no service is asked."""

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return the 30 m surface model around a block."""
        earth = world(self.landscape, self.seed, block.crs)
        grid = Grid(TERRAIN_M, 0, 0, 1, 1).around(native_window(block), 0.0).grown(margin_px)
        affine = Affine(TERRAIN_M, 0, grid.column * TERRAIN_M, 0, -TERRAIN_M, -grid.row * TERRAIN_M)
        return Elevation(measured_elevation(earth, grid), GeoBox(grid.shape, affine, block.crs))


def _id(acquisition: Acquisition) -> str:
    world = acquisition.world
    return f"SIM_{world.name}_{world.epsg}_{acquisition.date:%Y%m%d}_T{acquisition.track}"


def _by_window(bands: Iterable[str]) -> dict[When, tuple[str, ...]]:
    """Return the base bands asked for in each window, pre first."""
    parsed = [parse_band(name) for name in bands]
    return {
        when: names
        for when in When
        if (names := tuple(one.band.name for one in parsed if one.when is when))
    }


def _seen(
    earth: World,
    plan: Plan,
    requested: Mapping[When, tuple[str, ...]],
    resample: Resampler,
    of_landsat: bool,
) -> Pulled:
    """Return what the instruments saw of a block."""
    fine = any(set(names) & set(sentinel2.BANDS) for names in requested.values())
    reach = landsat.reach if of_landsat else reach_of(sentinel2.ALIGN if fine else 2)
    before = place(earth, reach(resample.window))
    found = Pulled({}, {}, {})
    for when, names in requested.items():
        ground = struck(before, shaken(earth, plan.event)) if when is When.POST else before
        found = beside(found, _optical(ground, plan, when, names, resample, reach, of_landsat))
        found = beside(found, _radar(ground, plan, when, names, resample))
    return found


def _days(windows: Windows, when: When) -> tuple[date, date]:
    """Return the first and last local solar day that can lie in a window."""
    span, day = windows.pre if when is When.PRE else windows.post, timedelta(days=1)
    return span.first - day, span.last + day


def _nothing(instrument: str, when: When, windows: Windows, how_often: str) -> NothingToSeeError:
    span = windows.pre if when is When.PRE else windows.post
    return NothingToSeeError(
        f"no simulated {instrument}scene of the {when} window {span} as of "
        f"{windows.as_of:%Y-%m-%d %H:%M} UTC",
        f"Give a longer --{when} ({how_often}), or a later --as-of.",
    )


def _radar_scene(
    earth: World, area: Area, geobox: GeoBox, event: Event, windows: Windows, when: When
) -> Scene:
    """Return the one radar scene of a window: the first after the event, the last before it."""
    held = [
        one
        for one in orbit.passes(earth, _probes(area, geobox)[0], *_days(windows, when))
        if windows.holds(when, one.acquired, event)
    ]
    if not held:
        raise _nothing("radar ", when, windows, f"one pass every {orbit.REVISIT_DAYS} days")
    one = held[0] if when is When.POST else held[-1]
    return Scene(one.id, when, one.acquired, radar.PRODUCT)


def _optical(
    ground: Place,
    plan: Plan,
    when: When,
    names: Iterable[str],
    resample: Resampler,
    reach: Reach,
    of_landsat: bool,
) -> Pulled:
    """Return the optical bands of one window on the block's grid; nothing where none is asked
    for.
    """
    requested = [name for name in names if name in OPTICAL]
    if not requested:
        return Pulled({}, {}, {})
    first = [name for name in requested if name in spectra.BANDS]
    more = [name for name in requested if name in sentinel2.BANDS]

    def rendered(here: Place, one: Acquisition, part: Grid) -> dict[str, F32]:
        if of_landsat:
            return landsat.render(here, one, part, requested)
        image = dict(zip(spectra.BANDS, render(here, one, part), strict=True)) if first else {}
        return {name: image[name] for name in first} | (
            sentinel2.render(here, one, part, more) if more else {}
        )

    wanted = {scene.id for scene in plan.scenes if scene.when is when}
    passing = landsat.overpasses if of_landsat else acquisitions
    overpasses = passing(ground.world, resample.window, *_days(plan.windows, when))
    candidates = preferred([one for one in overpasses if _id(one) in wanted], when, plan.event)
    image = compose(ground, candidates, resample.window, requested, rendered, reach)
    bands = {f"{when}_{name}": resample.values(layer) for name, layer in image.values.items()}
    return Pulled(
        bands, {when: resample.nearest(image.classes)}, {when: resample.nearest(image.days)}
    )


def _radar(
    ground: Place, plan: Plan, when: When, names: Iterable[str], resample: Resampler
) -> Pulled:
    """Return the radar bands of one window on the block's grid; nothing where none is asked for."""
    requested = [name for name in names if name in radar.BANDS]
    if not requested:
        return Pulled({}, {}, {})
    scene = next(one for one in plan.scenes if one.when is when and one.product == radar.PRODUCT)
    one = orbit.from_id(ground.world, scene.id)
    power = radar.render(ground, one, resample.window, requested)
    bands = {
        f"{when}_{name}": radar.decibel(resample.values(layer)) for name, layer in power.items()
    }
    swath = resample.nearest(orbit.imaged(one, resample.window))
    seen = np.where(swath, ObservationClass.CLEAR, ObservationClass.NOT_IMAGED).astype(np.uint8)
    days = np.where(swath, (scene.acquired.date() - EPOCH_DAY).days, 0).astype(np.int32)
    return Pulled(bands, {when: seen}, {when: days})


def _probes(area: Area, geobox: GeoBox) -> tuple[Grid, NDArray[np.bool_]]:
    """Return a coarse window over the area, and which of its points lie inside."""
    west, south, east, north = area.projected(str(geobox.crs)).bounds
    step = max(60.0, float(np.ceil(max(east - west, north - south) / _PROBE_PX / 60) * 60))
    grid = covering(step, west, south, east, north)
    affine = Affine(step, 0, grid.column * step, 0, -step, -grid.row * step)
    inside = area.mask(GeoBox(grid.shape, affine, geobox.crs))
    return grid, inside if inside.any() else np.ones(grid.shape, bool)


_: type[Source] = SimulatedSource
