"""Which slopes failed: slides of an earthquake, and scars of long ago, drawn cell by cell on a
fixed lattice of cells.

A cell's slides depend on the cell's index, the event and the seed alone, so every block that they
reach draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyproj

from configs.event import Event
from gee.simulated.lattice import F32, F64, FRACTAL_STD, TERRAIN_M, Grid, fractal, key
from gee.simulated.relief import gradient, ground_at
from gee.simulated.shaking import (
    DEFAULT_DEPTH_KM,
    DEFAULT_MAGNITUDE,
    JIBSON_SPREAD,
    NUMBER_SPREAD,
    Rupture,
    affected_distance_km,
    critical_acceleration,
    expected_number,
    failure_probability,
    newmark_displacement_cm,
    peak_acceleration,
    rupture_length_km,
    rupture_width_km,
    safety_factor,
    slide_areas_m2,
)
from gee.simulated.world import World

_CELL_NODES = 32
CELL_M = _CELL_NODES * TERRAIN_M
"""Side of a cell that slides are drawn for."""
LONGEST_M = 600.0
REACH_M = 880.0
"""No slide extends further from its cell: stray (21 m), longest run-out, half the widest scar (203
m), ragged edge (40 m).
"""
STEPS = 14
"""Points on a slide's centre line."""
_MOST_SIGMAS = 1.5
"""Further from the mean number of slides no earthquake here strays: beyond it half the slopes would
fail.
"""
_PROBES = 6000
"""Places at which the failure probability is summed over the affected area."""


class Slides(NamedTuple):
    """Slides of one cell, one row each."""

    x: F64
    """Centre line from crown to toe, `(slide, point)` metres."""
    y: F64
    half_width: F64
    """`(slide, point)` metres."""
    traits: F32
    """`(slide, 4)` uniform numbers: brightness, rockiness, moisture, remnant vegetation."""


@dataclass(frozen=True)
class Shaken:
    """An earthquake in a world, ready to draw slides: what `Event` means on this ground."""

    world: World
    rupture: Rupture
    total: float
    """Slides over the whole affected area."""
    salt: int


def shaken(world: World, event: Event) -> Shaken:
    """Return an event's rupture and number of slides in a world."""
    magnitude = DEFAULT_MAGNITUDE if event.magnitude is None else event.magnitude
    depth = DEFAULT_DEPTH_KM if event.depth_km is None else max(event.depth_km, 0.0)
    return _shaken(
        world, event.time.date().isoformat(), event.longitude, event.latitude, magnitude, depth
    )


@lru_cache(maxsize=64)
def _shaken(
    world: World, day: str, longitude: float, latitude: float, magnitude: float, depth_km: float
) -> Shaken:
    seed = world.key("event", day, round(longitude * 1e4), round(latitude * 1e4))
    transformer = pyproj.Transformer.from_crs(4326, world.epsg, always_xy=True)
    x, y = (float(value) for value in transformer.transform(longitude, latitude))
    rng = np.random.Generator(np.random.PCG64(seed))
    strike = rng.uniform(0, np.pi)
    epsilon = NUMBER_SPREAD * float(np.clip(rng.normal(), -_MOST_SIGMAS, _MOST_SIGMAS))
    half = rupture_length_km(magnitude) * 500
    dx, dy = float(np.sin(strike)) * half, float(np.cos(strike)) * half
    top = max(depth_km - rupture_width_km(magnitude) / 2, 1.0)
    number = expected_number(magnitude) * 10**epsilon * world.landscape.ground.susceptibility
    return Shaken(world, Rupture(magnitude, (x - dx, y - dy), (x + dx, y + dy), top), number, seed)


def _failure_weight(quake: Shaken, x: F64, y: F64, slope: F64, weakness: F64) -> F64:
    """Return the probability of failure of ground at points; 0 beyond the affected area.

    `weakness` is normal noise that stands for what is not known of the ground: it moves the
    displacement by Jibson's spread.
    """
    soil, rupture = quake.world.landscape.ground, quake.rupture
    friction = np.radians(soil.friction_deg)
    safety = safety_factor(
        slope,
        np.asarray(soil.cohesion_kpa),
        np.asarray(friction),
        np.asarray(soil.thickness_m),
        np.asarray(soil.wetness),
    )
    peak = peak_acceleration(rupture.magnitude, rupture.distance_km(x, y))
    moved = newmark_displacement_cm(critical_acceleration(safety, slope), peak) * 10 ** (
        JIBSON_SPREAD * weakness
    )
    near = rupture.surface_distance_m(x, y) < affected_distance_km(rupture.magnitude) * 1000
    return np.where(near & (slope > np.radians(9)), failure_probability(moved), 0.0)


@lru_cache(maxsize=64)
def _total_weight(quake: Shaken) -> float:
    """Return the integral of the failure probability over the affected area, m², from `_PROBES`
    places.
    """
    rupture, reach = quake.rupture, affected_distance_km(quake.rupture.magnitude) * 1000
    rng = np.random.Generator(np.random.PCG64(quake.salt + 1))
    (x0, y0), (x1, y1) = rupture.start, rupture.end
    west, east = min(x0, x1) - reach, max(x0, x1) + reach
    south, north = min(y0, y1) - reach, max(y0, y1) + reach
    x, y = rng.uniform(west, east, _PROBES), rng.uniform(south, north, _PROBES)
    rise = [
        ground_at(quake.world, x + dx, y + dy)[0]
        for dx, dy in ((30, 0), (-30, 0), (0, 30), (0, -30))
    ]
    slope = np.arctan(np.hypot(rise[0] - rise[1], rise[2] - rise[3]) / 60.0)
    weights = _failure_weight(quake, x, y, slope, rng.normal(0, 1, _PROBES))
    return float(weights.mean() * (east - west) * (north - south))


def cells(grid: Grid) -> list[tuple[int, int]]:
    """Return the (row, column) of every cell whose slides can reach a window, in the one order they
    are drawn in.
    """
    first_row = int(np.floor((-grid.y[0] - REACH_M) / CELL_M))
    last_row = int(np.floor((-grid.y[-1] + REACH_M) / CELL_M))
    first_column = int(np.floor((grid.x[0] - REACH_M) / CELL_M))
    last_column = int(np.floor((grid.x[-1] + REACH_M) / CELL_M))
    return [
        (r, c) for r in range(first_row, last_row + 1) for c in range(first_column, last_column + 1)
    ]


def _cell_grid(row: int, column: int) -> Grid:
    return Grid(TERRAIN_M, row * _CELL_NODES, column * _CELL_NODES, _CELL_NODES, _CELL_NODES)


@lru_cache(maxsize=4096)
def slides(quake: Shaken, row: int, column: int) -> Slides:
    """Return the slides that an earthquake released in one cell."""
    grid = _cell_grid(row, column)
    total = _total_weight(quake)
    if total <= 0:
        return _none()
    gx, gy = gradient(quake.world, grid)
    x, y = np.meshgrid(grid.x, grid.y)
    slope = np.arctan(np.hypot(gx, gy)).astype(np.float64)
    weakness = fractal(grid, 420.0, 3, quake.world.key("weakness")).astype(np.float64) / FRACTAL_STD
    weights = _failure_weight(quake, x, y, slope, weakness)
    expected = quake.total * float(weights.sum()) * TERRAIN_M**2 / total
    return _drawn(
        quake.world, grid, weights, expected, key(quake.salt, "slides", row, column), (gx, gy)
    )


@lru_cache(maxsize=4096)
def old_scars(world: World, row: int, column: int) -> Slides:
    """Return the scars of earlier years in one cell: same shapes, on slopes that shaking did not
    choose.
    """
    grid = _cell_grid(row, column)
    gx, gy = gradient(world, grid)
    steep = np.hypot(gx, gy).astype(np.float64)
    weights = np.clip((steep - 0.25) / 0.5, 0.0, 1.0) * np.exp(
        fractal(grid, 700.0, 3, world.key("old weakness"))
    )
    expected = world.landscape.cover.old_scars * float(weights.mean()) * (CELL_M / 1000) ** 2
    return _drawn(world, grid, weights, expected, world.key("scars", row, column), (gx, gy))


def _none() -> Slides:
    return Slides(
        np.empty((0, STEPS)),
        np.empty((0, STEPS)),
        np.empty((0, STEPS)),
        np.empty((0, 4), np.float32),
    )


def _drawn(
    world: World, grid: Grid, weights: F64, expected: float, seed: int, slope: tuple[F32, F32]
) -> Slides:
    """Return slides at nodes chosen with a probability proportional to `weights`, about `expected`
    of them.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    number = int(rng.poisson(expected))
    if number == 0:
        return _none()
    cumulative = np.cumsum(weights.ravel())
    chosen = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], number), side="right")
    chosen = np.minimum(chosen, weights.size - 1)
    x = grid.x[chosen % grid.width] + rng.uniform(-15, 15, number)
    y = grid.y[chosen // grid.width] + rng.uniform(-15, 15, number)
    areas = slide_areas_m2(rng.uniform(0, 1, number), world.landscape.ground.area_scale)
    ratio = np.clip(np.exp(rng.normal(np.log(2.6), 0.4, number)), 1.5, 6.0)
    length = np.minimum(
        np.sqrt(areas * ratio / 0.72), world.landscape.ground.slope_unit_m
    )  # 0.72: share of the box that the outline fills
    width = np.minimum(areas / 0.72 / length, length / 1.5)
    traits = rng.uniform(0, 1, (number, 4)).astype(np.float32)
    return Slides(*_run_out(world, x, y, length, width, rng.uniform(0, 1, number)), traits)


def _run_out(
    world: World, x: F64, y: F64, length: F64, width: F64, form: F64
) -> tuple[F64, F64, F64]:
    """Return centre lines down the steepest descent and half-widths along them, each `(slide,
    point)`.

    The line ends early where the slope gives out: material stops at the slope break or in the
    channel.
    """
    step = length / (STEPS - 1)
    box = _window(x, y)
    gx, gy = gradient(world, box)
    px, py = [x], [y]
    moving = np.ones(x.shape)
    heading = np.zeros((2, x.size))
    for _ in range(STEPS - 1):
        column = np.floor(px[-1] / TERRAIN_M).astype(np.int64) - box.column
        row = np.floor(-py[-1] / TERRAIN_M).astype(np.int64) - box.row
        fall = np.stack([-gx[row, column], -gy[row, column]]).astype(np.float64)
        steep = np.sqrt((fall * fall).sum(0)) + 1e-6
        heading = heading * 0.55 + fall / steep
        heading /= np.sqrt((heading * heading).sum(0)) + 1e-9
        moving = moving * np.clip((steep - 0.06) / 0.08, 0.25, 1.0)
        px.append(px[-1] + heading[0] * step * moving)
        py.append(py[-1] + heading[1] * step * moving)
    along = np.linspace(0, 1, STEPS)[None, :]
    crown = np.sqrt(np.clip(along / 0.16 + 0.12, 0, 1))
    waist = 1 - (0.25 + 0.3 * form[:, None]) * np.clip((along - 0.3) / 0.35, 0, 1)
    toe = 1 + 0.35 * np.clip((along - 0.7) / 0.2, 0, 1)
    return np.stack(px, 1), np.stack(py, 1), width[:, None] / 2 * crown * waist * toe


def _window(x: F64, y: F64) -> Grid:
    """Return the terrain window that run-outs from points stay in."""
    margin = int(np.ceil(LONGEST_M / TERRAIN_M)) + 2
    left, right = int(np.floor(x.min() / TERRAIN_M)), int(np.floor(x.max() / TERRAIN_M))
    top, bottom = int(np.floor(-y.max() / TERRAIN_M)), int(np.floor(-y.min() / TERRAIN_M))
    return Grid(TERRAIN_M, top, left, bottom - top + 1, right - left + 1).grown(margin)


def outline_noise(grid: Grid, world: World) -> F32:
    """Return the raggedness of outlines on a window, `(y, x)`, about ±1."""
    return fractal(grid, 90.0, 3, world.key("outline"), 0.6) * np.float32(0.5)
