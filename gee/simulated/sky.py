"""What is between the ground and the sensor: clouds and their shadows, haze, and the edge of the
swath.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from configs.stack import EPOCH, EPOCH_DAY
from gee.simulated.lattice import F32, F64, Grid, fractal, ramp, spread
from gee.simulated.sun import bands_of, sun_at
from gee.simulated.world import SUN_BAND_M, World

_CLOUD_M = 60.0
"""Lattice that clouds are computed on."""
REVISIT_DAYS = 5
SWATH_M, OVERLAP_M = 90_000.0, 14_000.0
"""Distance between neighbouring swaths and what they share. Narrower than Sentinel-2's 290 km, so
that edges are met.
"""
_TILT = 0.21
"""Swaths run 12 degrees off north."""


@dataclass(frozen=True)
class Acquisition:
    """One overpass: a swath on a day (local solar days since 1970-01-01)."""

    world: World
    track: int
    day: int

    @property
    def date(self) -> date:
        """Return the local solar day."""
        return EPOCH_DAY + timedelta(days=self.day)

    @property
    def acquired(self) -> datetime:
        """Return the time of 10:30 local solar time on the zone's central meridian, UTC."""
        midnight = EPOCH + timedelta(days=self.day)
        return midnight + timedelta(hours=10.5 - self.world.central_meridian / 15)

    def key(self, *words: str | int) -> int:
        """Return the seed of something that is this acquisition's own."""
        return self.world.key("acquisition", self.track, self.day, *words)

    def chance(self, word: str) -> float:
        """Return a uniform number of this acquisition."""
        return (self.key(word) % 1_000_003 + 0.5) / 1_000_003

    @property
    def cloud_fraction(self) -> float:
        """Return the cloud fraction the weather of that day tends to, 0-1."""
        weather = self.world.landscape.weather
        pull = np.log(
            weather.cloud_mean / (1 - weather.cloud_mean)
        ) + 4.5 * weather.cloud_spread * ndtri(self.chance("cloud"))
        fraction = float(1 / (1 + np.exp(-pull)))
        return 0.0 if fraction < 0.015 else min(fraction, 1.0)

    @property
    def shift_m(self) -> tuple[float, float]:
        """Return by how much the image is misplaced (x, y): sigma 0.35 px before August 2021, 0.1
        px refined since.
        """
        sigma = 3.5 if self.date < date(2021, 8, 1) else 1.0
        east, north = (
            float(np.clip(sigma * ndtri(self.chance(word)), -9, 9)) for word in ("east", "north")
        )
        return east, north


class _Sky(NamedTuple):
    """The sky over a window, `(y, x)` 0-1."""

    cloud: F32
    """Opacity of the cloud over a pixel."""
    shade: F32
    """Opacity of the cloud between a pixel and the sun."""


def across_track(x: F64, y: F64) -> F64:
    """Return the coordinate that swaths are counted along, metres."""
    return np.asarray(x * np.cos(_TILT) - y * np.sin(_TILT))


def acquisitions(world: World, grid: Grid, first: date, last: date) -> list[Acquisition]:
    """Return the overpasses that see any of a window between two local solar days, earliest
    first.
    """
    corners = across_track(grid.x[[0, -1]][None, :], grid.y[[0, -1]][:, None])
    low = int(np.floor((corners.min() - OVERLAP_M / 2) / SWATH_M))
    high = int(np.floor((corners.max() + OVERLAP_M / 2) / SWATH_M))
    found = []
    for track in range(low, high + 1):
        phase = world.key("track", track) % REVISIT_DAYS
        start = (first - EPOCH_DAY).days
        start += (phase - start) % REVISIT_DAYS
        found += [
            Acquisition(world, track, day)
            for day in range(start, (last - EPOCH_DAY).days + 1, REVISIT_DAYS)
        ]
    return sorted(found, key=lambda one: (one.day, one.track))


def imaged(acquisition: Acquisition, grid: Grid) -> F32:
    """Return 1 where the swath covers a pixel's centre, `(y, x)`."""
    u = across_track(grid.x[None, :], grid.y[:, None]) - acquisition.track * SWATH_M
    return ((u >= -OVERLAP_M / 2) & (u < SWATH_M + OVERLAP_M / 2)).astype(np.float32)


def _opacity(acquisition: Acquisition, grid: Grid) -> F32:
    fraction = acquisition.cloud_fraction
    if fraction <= 0:
        return np.zeros(grid.shape, np.float32)
    form = fractal(grid, 13_000.0, 7, acquisition.key("cloud form"), 0.62)
    edge = float(ndtri(np.clip(1 - fraction, 1e-4, 1 - 1e-4)))
    return ramp(form, edge - 0.06, edge + 0.42)


def sky(acquisition: Acquisition, grid: Grid) -> _Sky:
    """Return clouds over a window and their shadows, displaced by the cloud's height and the
    sun.
    """
    coarse = Grid(_CLOUD_M, 0, 0, 1, 1).around(grid, _CLOUD_M)
    cloud = spread(_opacity(acquisition, coarse), coarse, grid)
    shade = np.zeros(grid.shape, np.float32)
    height = 900.0 + 2400.0 * acquisition.chance("cloud height")
    for band, rows in bands_of(grid):
        strip = Grid(
            grid.step_m, grid.row + rows.start, grid.column, rows.stop - rows.start, grid.width
        )
        sun = sun_at(acquisition.world.latitude((band + 0.5) * SUN_BAND_M), acquisition.date)
        reach = height / np.tan(sun.elevation) / _CLOUD_M
        down, right = round(-np.cos(sun.azimuth) * reach), round(np.sin(sun.azimuth) * reach)
        lattice = Grid(_CLOUD_M, 0, 0, 1, 1).around(strip, _CLOUD_M)
        moved = Grid(
            _CLOUD_M, lattice.row + down, lattice.column + right, lattice.height, lattice.width
        )
        shade[rows] = spread(_opacity(acquisition, moved), lattice, strip)
    return _Sky(cloud, shade)


def haze(acquisition: Acquisition, grid: Grid) -> F32:
    """Return additional path reflectance at B2, `(y, x)`."""
    coarse = Grid(_CLOUD_M * 4, 0, 0, 1, 1).around(grid, _CLOUD_M * 4)
    amount = (
        0.016 * acquisition.world.landscape.weather.haze * (0.3 + 1.4 * acquisition.chance("haze"))
    )
    form = fractal(coarse, 9_000.0, 3, acquisition.key("haze form"))
    return spread(np.float32(amount) * np.clip(1 + np.float32(0.35) * form, 0, 3), coarse, grid)
