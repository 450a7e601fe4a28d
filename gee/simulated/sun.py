"""Where the sun stands at an acquisition, and what lies in cast shadow."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gee.simulated.lattice import F32, TERRAIN_M, Grid, spread
from gee.simulated.relief import ground
from gee.simulated.world import SUN_BAND_M, World

_HOUR_ANGLE_DEG = -22.5
"""10:30 local solar time, Sentinel-2's descending node."""
_LOWEST_DEG = 8.0
"""Acquisitions are not simulated with a lower sun."""
NEAR_NODES, FAR_NODES = 14, 22
"""Steps of the horizon search: on the 30 m lattice, then on a 120 m one (2.6 km more)."""
_FAR_M = 4 * TERRAIN_M


class _Sun(NamedTuple):
    """Direction to the sun."""

    elevation: float
    """Radians."""
    azimuth: float
    """Radians clockwise from north."""


def sun_at(latitude_deg: float, day: date) -> _Sun:
    """Return the sun's position at 10:30 local solar time (declination: Cooper 1969)."""
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day.timetuple().tm_yday) / 365)
    latitude, hour = np.radians(latitude_deg), np.radians(_HOUR_ANGLE_DEG)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(
        hour
    )
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(
        declination
    ) * np.cos(hour)
    elevation = max(float(np.arcsin(up)), np.radians(_LOWEST_DEG))
    return _Sun(elevation, float(np.arctan2(east, north)))


def bands_of(grid: Grid) -> list[tuple[int, slice]]:
    """Return (band of northing, rows) that a window's rows fall into: the sun is one within
    each.
    """
    band = np.floor(grid.y / SUN_BAND_M).astype(int)
    edges = [0, *(np.flatnonzero(np.diff(band)) + 1).tolist(), grid.height]
    return [(int(band[top]), slice(top, bottom)) for top, bottom in pairwise(edges)]


def _shifted(values: F32, grid: Grid, rows: float, columns: float, out: Grid) -> F32:
    """Return values read at a fixed offset (in pixels, bilinear) from every pixel of a smaller
    window.
    """
    r, c = int(np.floor(rows)), int(np.floor(columns))
    fr, fc = np.float32(rows - r), np.float32(columns - c)
    top, left = out.row - grid.row + r, out.column - grid.column + c
    part = values[top : top + out.height + 1, left : left + out.width + 1]
    across = part[:, :-1] + (part[:, 1:] - part[:, :-1]) * fc
    return across[:-1] + (across[1:] - across[:-1]) * fr


def _blocked(world: World, out: Grid, sun: _Sun, first: int, count: int) -> F32:
    """Return by how many metres the highest ground towards the sun overtops the ray, on a window of
    its lattice.
    """
    grid = out.grown(first + count + 2)
    height = ground(world, grid).height
    here = height[out.inside(grid)]
    rise = np.float32(np.tan(sun.elevation) * out.step_m)
    worst = np.full(out.shape, -1e4, np.float32)
    for step in range(first, first + count):
        ahead = _shifted(height, grid, -np.cos(sun.azimuth) * step, np.sin(sun.azimuth) * step, out)
        worst = np.maximum(worst, ahead - here - rise * np.float32(step))
    return worst


def cast_shadow(world: World, grid: Grid, day: date) -> F32:
    """Return the share of the sun's disc hidden by the horizon, `(y, x)` 0-1, on a window of the
    native lattice.
    """
    hidden = np.zeros(grid.shape, np.float32)
    for band, rows in bands_of(grid):
        strip = Grid(
            grid.step_m, grid.row + rows.start, grid.column, rows.stop - rows.start, grid.width
        )
        sun = sun_at(world.latitude((band + 0.5) * SUN_BAND_M), day)
        worst = np.full(strip.shape, -1e4, np.float32)
        for step_m, first, count in (
            (TERRAIN_M, 1, NEAR_NODES),
            (_FAR_M, NEAR_NODES // 4 + 1, FAR_NODES),
        ):
            lattice = Grid(step_m, 0, 0, 1, 1).around(strip, step_m)
            worst = np.maximum(
                worst, spread(_blocked(world, lattice, sun, first, count), lattice, strip)
            )
        hidden[rows] = np.clip(worst / np.float32(6.0) + np.float32(0.5), 0, 1)
    return hidden


def incidence(world: World, gx: F32, gy: F32, grid: Grid, day: date) -> tuple[F32, F32]:
    """Return (cosine of the local incidence angle, `(y, x)` ≥ 0; sine of the sun's elevation, `(y,
    1)`).
    """
    up, east, north = (np.empty((grid.height, 1), np.float32) for _ in range(3))
    for band, rows in bands_of(grid):
        sun = sun_at(world.latitude((band + 0.5) * SUN_BAND_M), day)
        up[rows] = np.sin(sun.elevation)
        east[rows] = np.cos(sun.elevation) * np.sin(sun.azimuth)
        north[rows] = np.cos(sun.elevation) * np.cos(sun.azimuth)
    cosine = (up - gx * east - gy * north) / np.sqrt(np.float32(1) + gx * gx + gy * gy)
    return np.maximum(cosine, 0).astype(np.float32), up
