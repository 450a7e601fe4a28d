"""Rivers, faults and rocks of the simulated Earth: what a survey would have mapped, laid under the
ground that is there.

Nothing here looks at slides. Rivers are the lines that the relief's valleys follow. Faults are few,
long and as old as the world, but for one: the mapped trace of the fault that the earthquake
ruptured, from which the shaking is computed anyway. Lithology has patches of its own; where they
meet follows in part the smooth share of the ground's weakness that the slide model knows, and
valley floors are sediment.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from skimage.measure import find_contours

from gee.factors.distance import NO_SEGMENTS, Segments, distance_m
from gee.simulated.grids import Resampler
from gee.simulated.lattice import (
    F32,
    FRACTAL_STD,
    TERRAIN_M,
    Grid,
    fractal,
    hashed,
    noise_at,
    spread,
    unit,
    value_noise,
)
from gee.simulated.relief import _valleys
from gee.simulated.relief import ground as terrain
from gee.simulated.shaking import Rupture
from gee.simulated.slides import Shaken
from gee.simulated.world import World

_RIVER_CAP_M: Final = 6000.0
"""Rivers are looked for this far around: main valleys lie 5 to 10 km apart."""
FAULT_CAP_M: Final = 40_000.0
TILE: Final = 64
"""Side of a tile that river lines are traced on, nodes of the terrain lattice."""
_STREAM_SHARE: Final = 0.28
"""Side streams begin this far from the main valley, as a share of the valleys' spacing."""
_FAULT_CELL_M: Final = 24_000.0
"""One old fault a cell, 14 to 40 km long, within 25 degrees of the world's grain."""
_FAULT_HALF_M: Final = (7_000.0, 20_000.0)
_FAULT_BENDS: Final = 9
_TRACE_GROWTH: Final = 1.4
"""The mapped trace of the ruptured fault is this much longer than what broke."""
LITHOLOGY: Final = {1: "alluvium", 2: "weak", 3: "layered", 4: "firm", 5: "hard"}
"""Code -> kind of ground."""
_PATCH_M: Final = 2600.0
_STRENGTH_SHARE: Final = 0.9
"""Weight of the ground's smooth weakness beside the patches' own field, which has standard
deviation 1.
"""
_EDGES: Final = (0.95, 0.1, -0.85)
"""Of the field: above weak, then layered, firm; below hard."""


def rivers(world: World, block: GeoBox) -> Segments:
    """Return the river lines that come within `_RIVER_CAP_M` of a block, metres in the world's
    CRS.
    """
    west, south, east, north = block.boundingbox.bbox
    side = TILE * TERRAIN_M
    rows = range(
        int(np.floor((-north - _RIVER_CAP_M) / side)) - 1,
        int(np.floor((-south + _RIVER_CAP_M) / side)) + 1,
    )
    columns = range(
        int(np.floor((west - _RIVER_CAP_M) / side)) - 1,
        int(np.floor((east + _RIVER_CAP_M) / side)) + 1,
    )
    return np.concatenate(
        [NO_SEGMENTS, *(_traced(world, row, column) for row in rows for column in columns)]
    )


@lru_cache(maxsize=4096)
def _traced(world: World, row: int, column: int) -> Segments:
    """Return the river lines of one tile: always traced on the whole tile, so that every window has
    the same ones.
    """
    relief = world.landscape.relief
    grid = Grid(TERRAIN_M, row * TILE, column * TILE, TILE + 1, TILE + 1)
    main = _zero_lines(grid, relief.valley_m, world.key("valley"))
    side = _zero_lines(grid, relief.side_m, world.key("side"))
    middle = side.mean(axis=1)
    away, _, _ = _valleys(middle[:, 0], middle[:, 1], relief.valley_m, world.key("valley"))
    return np.concatenate([main, side[away < _STREAM_SHARE * relief.valley_m]])


def _zero_lines(grid: Grid, spacing_m: float, seed: int) -> Segments:
    """Return where the noise that valleys of a spacing follow is zero (`relief._valleys`)."""
    x, y = np.meshgrid(grid.x, grid.y)
    value = (
        noise_at(x, y, spacing_m, seed)[0]
        + 0.22 * noise_at(x, y, spacing_m / 2.3, seed + 104729)[0]
    )
    corner = np.array([grid.x[0], grid.y[0]])
    lines = [
        corner + found[:, ::-1] * (grid.step_m, -grid.step_m)
        for found in find_contours(value, 0.0)  # type: ignore[no-untyped-call]  # scikit-image ships none
    ]
    return np.concatenate(
        [NO_SEGMENTS, *(np.stack([line[:-1], line[1:]], axis=1) for line in lines)]
    )


def faults(quake: Shaken, block: GeoBox) -> Segments:
    """Return the faults that come within `FAULT_CAP_M` of a block: old ones, and the trace of the
    one that ruptured.
    """
    world = quake.world
    west, south, east, north = block.boundingbox.bbox
    reach = FAULT_CAP_M + _FAULT_HALF_M[1] + _FAULT_CELL_M
    columns = np.arange(
        np.floor((west - reach) / _FAULT_CELL_M), np.ceil((east + reach) / _FAULT_CELL_M)
    )
    rows = np.arange(
        np.floor((south - reach) / _FAULT_CELL_M), np.ceil((north + reach) / _FAULT_CELL_M)
    )
    bits = hashed(columns[None, :], rows[:, None], world.key("faults")).ravel()
    grain = (world.key("grain") % 997) / 997 * np.pi
    strike = grain + (unit(bits, 0).astype(np.float64) - 0.5) * np.radians(50)
    corner = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    middle = (corner + np.stack([unit(bits, 1), unit(bits, 2)], axis=1)) * _FAULT_CELL_M
    half = _FAULT_HALF_M[0] + unit(bits, 3).astype(np.float64) * (
        _FAULT_HALF_M[1] - _FAULT_HALF_M[0]
    )
    along = np.stack([np.sin(strike), np.cos(strike)], axis=1) * half[:, None]
    old = _bent(middle - along, middle + along, half * 0.05, strike * 7)
    return np.concatenate([old, _ruptured(quake.rupture)])


def _ruptured(rupture: Rupture) -> Segments:
    start, end = np.array([rupture.start]), np.array([rupture.end])
    middle, half = (start + end) / 2, (end - start) / 2 * _TRACE_GROWTH
    return _bent(middle - half, middle + half, np.array([250.0]), np.array([1.0]))


def _bent(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    bend_m: NDArray[np.float64],
    phase: NDArray[np.float64],
) -> Segments:
    """Return lines between points `(line, xy)` that wind a little, as segments."""
    share = np.linspace(0, 1, _FAULT_BENDS + 1)
    across = (end - start)[:, ::-1] * (1, -1)
    across = across / np.linalg.norm(across, axis=1, keepdims=True)
    wind = bend_m[:, None] * np.sin(
        2 * np.pi * 1.5 * share[None, :] + phase[:, None]
    )  # (line, point)
    line = (
        start[:, None]
        + (end - start)[:, None] * share[None, :, None]
        + across[:, None] * wind[..., None]
    )
    return np.stack([line[:, :-1], line[:, 1:]], axis=2).reshape(-1, 2, 2)


def lithology(world: World, grid: Grid) -> F32:
    """Return codes of `LITHOLOGY` on a native window, `(y, x)`."""
    lattice = Grid(TERRAIN_M, 0, 0, 1, 1).around(grid, TERRAIN_M)
    river = spread(terrain(world, lattice).river_m, lattice, grid)
    own = fractal(grid, _PATCH_M, 3, world.key("lithology"), 0.4) * np.float32(1 / FRACTAL_STD)
    # The longest wave of what `slides` takes for weakness, with the weight that it has there.
    strength = value_noise(grid, 420.0, world.key("weakness")) * np.float32(1.86)
    field = own + np.float32(_STRENGTH_SHARE) * strength
    codes = np.full(grid.shape, 5, np.float32)
    for code, edge in zip((4, 3, 2), sorted(_EDGES), strict=True):
        codes[field > np.float32(edge)] = code
    codes[river < np.float32(world.landscape.relief.floor_m)] = 1
    return codes


LAYERS: Final = ("river_distance", "fault_distance", "lithology")


def layer(name: str, quake: Shaken, resample: Resampler) -> F32:
    """Return one of `LAYERS` on a block, `(y, x)`."""
    block = resample.block
    if name == "lithology":
        codes: F32 = resample.nearest(lithology(quake.world, resample.window))
        return codes
    if name == "river_distance":
        return distance_m(rivers(quake.world, block), block, _RIVER_CAP_M)
    return distance_m(faults(quake, block), block, FAULT_CAP_M)
