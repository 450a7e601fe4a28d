"""Where Sentinel-1 flies over the simulated Earth, from which side it looks, and what of the ground
it cannot see.

One orbit serves both windows, the one that covers most of the area, as in the live source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.stack import EPOCH, EPOCH_DAY
from gee.simulated.lattice import F32, F64, TERRAIN_M, Grid, spread
from gee.simulated.relief import ground as terrain
from gee.simulated.sky import across_track
from gee.simulated.sun import _shifted
from gee.simulated.world import World

REVISIT_DAYS: Final = 12
SWATH_M, SPACING_M = 250_000.0, 200_000.0
NEAR_DEG, FAR_DEG = 30.5, 46.0
"""Incidence angle on the ellipsoid at the near and the far edge of the IW swath (product
specification).
"""
_TO_SENSOR_DEG: Final = {"ascending": 258.0, "descending": 102.0}
"""Direction from the ground to the sensor, clockwise from north: right-looking from an orbit 12
degrees off north.
"""
_NODES: Final = 40
"""Layover and shadow are sought this far along the look direction, nodes of 30 m (1.2 km)."""


@dataclass(frozen=True)
class Pass:
    """One overpass of an orbit (local solar days since 1970-01-01)."""

    world: World
    track: int
    day: int

    @property
    def direction(self) -> str:
        """Return whether the orbit ascends (evening) or descends (morning)."""
        return "ascending" if self.world.key("radar direction", self.track) % 2 else "descending"

    @property
    def date(self) -> date:
        """Return the local solar day."""
        return EPOCH_DAY + timedelta(days=self.day)

    @property
    def acquired(self) -> datetime:
        """Return the time of 18:00 (ascending) or 6:00 (descending) local solar time, UTC."""
        midnight = EPOCH + timedelta(days=self.day)
        hour = 18.0 if self.direction == "ascending" else 6.0
        return midnight + timedelta(hours=hour - self.world.central_meridian / 15)

    @property
    def id(self) -> str:
        """Return the scene's name."""
        return f"SIM1_{self.world.name}_{self.world.epsg}_{self.date:%Y%m%d}_O{self.track}"

    def key(self, *words: str | int) -> int:
        """Return the seed of something that is this overpass's own."""
        return self.world.key("radar", self.track, self.day, *words)

    def chance(self, word: str) -> float:
        """Return a uniform number of this overpass."""
        return (self.key(word) % 1_000_003 + 0.5) / 1_000_003


def passes(world: World, grid: Grid, first: date, last: date) -> list[Pass]:
    """Return the overpasses between two local solar days of the orbit that covers most of a window,
    earliest first.
    """
    middle = across_track(grid.x[None, :], grid.y[:, None])
    low, high = (
        int(np.floor((middle.min() - SWATH_M) / SPACING_M)),
        int(np.floor(middle.max() / SPACING_M)),
    )
    shares = [
        (-float(np.round(_inside(middle - t * SPACING_M).mean(), 2)), t)
        for t in range(low, high + 1)
    ]
    track = min(shares)[1]
    start = (first - EPOCH_DAY).days
    start += (world.key("radar track", track) % REVISIT_DAYS - start) % REVISIT_DAYS
    return [
        Pass(world, track, day) for day in range(start, (last - EPOCH_DAY).days + 1, REVISIT_DAYS)
    ]


def from_id(world: World, name: str) -> Pass:
    """Return the overpass that a scene's name (`Pass.id`) names."""
    day, track = name.rsplit("_", 2)[-2:]
    return Pass(world, int(track[1:]), (date.fromisoformat(day) - EPOCH_DAY).days)


def imaged(one: Pass, grid: Grid) -> NDArray[np.bool_]:
    """Return where the swath covers a pixel's centre, `(y, x)`."""
    return np.asarray(view_of(one, grid).imaged > 0)


def _inside(offset: F64) -> NDArray[np.bool_]:
    return (offset >= 0) & (offset < SWATH_M)


class _View(NamedTuple):
    """How the sensor sees a window, `(y, x)`."""

    tangent: F32
    """Of the incidence angle on the ellipsoid."""
    imaged: F32


def view_of(one: Pass, grid: Grid) -> _View:
    offset = across_track(grid.x[None, :], grid.y[:, None]) - one.track * SPACING_M
    share = np.clip(offset / SWATH_M, 0, 1)
    if one.direction == "descending":  # the sensor stands in the east
        share = 1 - share
    angle = np.radians(NEAR_DEG + (FAR_DEG - NEAR_DEG) * share)
    return _View(np.tan(angle).astype(np.float32), _inside(offset).astype(np.float32))


def towards(one: Pass) -> tuple[float, float]:
    """Return (east, north) of the horizontal unit vector from the ground to the sensor."""
    azimuth = np.radians(_TO_SENSOR_DEG[one.direction])
    return float(np.sin(azimuth)), float(np.cos(azimuth))


def hidden(one: Pass, grid: Grid) -> F32:
    """Return by how many metres of height a pixel lies in layover or shadow, `(y, x)`; seen where
    not above 0.

    Shadow: ground nearer the sensor overtops the ray. Layover: higher ground further away, or lower
    ground nearer, is at the same slant range.
    """
    lattice = Grid(TERRAIN_M, 0, 0, 1, 1).around(grid, TERRAIN_M)
    wide = lattice.grown(_NODES + 2)
    height = terrain(one.world, wide).height
    here = height[lattice.inside(wide)]
    tangent = view_of(one, lattice).tangent
    east, north = towards(one)
    worst = np.full(lattice.shape, -1e4, np.float32)
    for step in range(1, _NODES + 1):
        metres = np.float32(step * TERRAIN_M)
        nearer = _shifted(height, wide, -north * step, east * step, lattice) - here
        further = _shifted(height, wide, north * step, -east * step, lattice) - here
        shadow = nearer - metres / tangent
        layover = np.maximum(further, -nearer) - metres * tangent
        worst = np.maximum(worst, np.maximum(shadow, layover))
    return spread(worst, lattice, grid)
