"""The ground: valleys, side valleys and gullies that run down them, on a 30 m lattice that knows no
block.

Valleys follow the zero lines of a meandering noise; gullies are stripes laid along the local fall
line, each octave turned by the slopes of the one before (the idea of C. John's and R. Johansen's
"eroded terrain noise"), which gives branching ridges without simulating water. Compared with the
real elevation models in docs/simulated-earth.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gee.simulated.lattice import F32, F64, TERRAIN_M, Grid, fractal, hashed, noise_at, unit
from gee.simulated.world import World

TILE = 64
"""Side of a cached tile of the terrain lattice, nodes."""
_TILES_KEPT = 1024
"""Cached tiles; each holds two float32 fields (32 KiB)."""


class Ground(NamedTuple):
    """Terrain on a window."""

    height: F32
    """Elevation, metres."""
    river_m: F32
    """Distance to the middle of the main valley, metres; negative never."""


class _Surface(NamedTuple):
    height: F64
    gx: F64
    gy: F64


def _summed(x: F64, y: F64, waves: tuple[tuple[float, float], ...], seed: int) -> _Surface:
    """Return a sum of (wavelength, weight) noises with derivatives."""
    value, gx, gy = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for number, (wavelength, weight) in enumerate(waves):
        n, nx, ny = noise_at(x, y, wavelength, seed + 104729 * number)
        value, gx, gy = value + weight * n, gx + weight * nx, gy + weight * ny
    return _Surface(value, gx, gy)


def _valleys(x: F64, y: F64, spacing_m: float, seed: int) -> tuple[F64, F64, F64]:
    """Return the distance to the nearest valley line (metres, saturating) and its gradient."""
    lines = _summed(x, y, ((spacing_m, 1.0), (spacing_m / 2.3, 0.22)), seed)
    steep = np.sqrt(lines.gx**2 + lines.gy**2 + (0.5 / spacing_m) ** 2)
    sign = np.sign(lines.height) / steep
    return np.abs(lines.height) / steep, lines.gx * sign, lines.gy * sign


def _bank(distance: F64, floor_m: float, spacing_m: float) -> tuple[F64, F64]:
    """Return the relative height of a hillside at a distance from its valley line, and its
    derivative per metre.
    """
    length = spacing_m * 0.2
    t = np.maximum(distance - floor_m, 0.0) / length
    soft = np.sqrt(t * t + 0.04) - 0.2
    grown = np.exp(-0.55 * soft)
    return (1 - grown) / 0.55, grown * t / np.sqrt(t * t + 0.04) / length


def _stripes(x: F64, y: F64, wavelength_m: float, seed: int, ux: F64, uy: F64) -> tuple[F64, F64]:
    """Return cosine and sine of stripes across (ux, uy), blended from the nine lattice cells around
    each point.
    """
    u, v = x / wavelength_m, y / wavelength_m
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = (u - iu).astype(np.float32), (v - iv).astype(np.float32)
    ax, ay = (ux * 2 * np.pi).astype(np.float32), (uy * 2 * np.pi).astype(np.float32)
    cosine, sine = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    total = np.full(x.shape, 1e-6, np.float32)
    for j in (-1, 0, 1):
        for i in (-1, 0, 1):
            bits = hashed(iu + i, iv + j, seed)
            px = fu - np.float32(i + 0.25) - unit(bits, 0) * np.float32(0.5)
            py = fv - np.float32(j + 0.25) - unit(bits, 1) * np.float32(0.5)
            weight = np.maximum(np.float32(1) - (px * px + py * py) * np.float32(0.64), 0) ** 2
            phase = px * ax + py * ay
            cosine += weight * np.cos(phase)
            sine += weight * np.sin(phase)
            total += weight
    return (cosine / total).astype(np.float64), (sine / total).astype(np.float64)


def _gullied(x: F64, y: F64, start: _Surface, mask: F64, world: World) -> F64:
    """Return the height with gullies cut along the fall line, octave by octave."""
    relief = world.landscape.relief
    height, gx, gy = start
    wavelength = relief.gully_m
    for octave in range(relief.gully_octaves):
        slope = np.sqrt(gx * gx + gy * gy) + 0.02
        ux, uy = -gy / slope, gx / slope
        cosine, sine = _stripes(x, y, wavelength, world.key("gully", octave), ux, uy)
        depth = relief.gully_strength * mask * np.minimum(slope, 1.2) * wavelength / (2 * np.pi)
        height = height + depth * (cosine - 0.6)
        push = -depth * sine * 2 * np.pi / wavelength
        gx, gy = gx + push * ux, gy + push * uy
        wavelength /= 2.0
    return height


def ground_at(world: World, x: F64, y: F64) -> tuple[F64, F64]:
    """Return elevation and distance to the main valley line at points, metres."""
    relief = world.landscape.relief
    broad = _summed(x, y, ((18_000, 1.2), (7_900, 0.4)), world.key("broad"))
    river, rx, ry = _valleys(x, y, relief.valley_m, world.key("valley"))
    side, sx, sy = _valleys(x, y, relief.side_m, world.key("side"))
    varied = _summed(x, y, ((5_300, 1.0),), world.key("varied")).height * 0.35 + 1.0
    main_rise, main_slope = _bank(river, relief.floor_m, relief.valley_m)
    side_rise, side_slope = _bank(side, 0.0, relief.side_m)
    off_floor = np.clip((river - relief.floor_m) / (0.06 * relief.valley_m), 0.0, 1.0)
    main, lateral = relief.valley_depth_m * varied, relief.side_depth_m * off_floor * varied
    height = (
        relief.base_m
        + relief.broad_m * (broad.height + 0.5)
        + main * main_rise
        + lateral * side_rise
    )
    gx = relief.broad_m * broad.gx + main * main_slope * rx + lateral * side_slope * sx
    gy = relief.broad_m * broad.gy + main * main_slope * ry + lateral * side_slope * sy
    height = _gullied(x, y, _Surface(height, gx, gy), off_floor, world)
    rough = (
        noise_at(x, y, 180.0, world.key("rough"))[0]
        + 0.5 * noise_at(x, y, 90.0, world.key("rough", 2))[0]
    )
    return height + rough * relief.rough_m * (0.15 + 0.85 * off_floor), river


@lru_cache(maxsize=_TILES_KEPT)
def _tile(world: World, step_m: float, row: int, column: int) -> Ground:
    """Return one whole tile: always computed alike, so that every window that shows it shows the
    same bits.
    """
    grid = Grid(step_m, row * TILE, column * TILE, TILE, TILE)
    x, y = np.meshgrid(grid.x, grid.y)
    height, river = ground_at(world, x, y)
    return Ground(height.astype(np.float32), np.minimum(river, 30_000).astype(np.float32))


def ground(world: World, grid: Grid) -> Ground:
    """Return terrain on a window of a lattice (30 m, or a coarser one for far horizons)."""
    height, river = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.float32)
    for row in range(grid.row // TILE, (grid.row + grid.height - 1) // TILE + 1):
        for column in range(grid.column // TILE, (grid.column + grid.width - 1) // TILE + 1):
            tile = _tile(world, grid.step_m, row, column)
            top, left = row * TILE - grid.row, column * TILE - grid.column
            rows, columns = slice(max(top, 0), top + TILE), slice(max(left, 0), left + TILE)
            part = (
                slice(max(-top, 0), min(TILE, grid.height - top)),
                slice(max(-left, 0), min(TILE, grid.width - left)),
            )
            height[rows, columns], river[rows, columns] = tile.height[part], tile.river_m[part]
    return Ground(height, river)


def gradient(world: World, grid: Grid) -> tuple[F32, F32]:
    """Return (dz/dx, dz/dy) on a window by central differences; y northwards."""
    height = ground(world, grid.grown(1)).height
    scale = np.float32(0.5 / grid.step_m)
    return (height[1:-1, 2:] - height[1:-1, :-2]) * scale, (
        height[:-2, 1:-1] - height[2:, 1:-1]
    ) * scale


def measured_elevation(world: World, grid: Grid) -> F32:
    """Return what a 30 m surface model would say: the ground plus correlated errors of about 2
    m.
    """
    error = fractal(grid, 240.0, 2, world.key("surface model error")) * np.float32(1.6)
    return ground(world, grid).height + error


TERRAIN = Grid(TERRAIN_M, 0, 0, 1, 1)
"""The terrain lattice, for `Grid.around`."""
