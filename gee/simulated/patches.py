"""Things with straight edges or blobs, strewn over fixed cells: parcels, clear-cuts, quarries,
burns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gee.simulated.lattice import F32, Grid, hashed, unit


class _Strewn(NamedTuple):
    """One hidden object a cell, seen from every pixel, `(y, x)`."""

    along: F32
    """Offset from the object's middle along its own axis, metres."""
    across: F32
    chance: F32
    """Four uniform numbers of the object, all the same within a cell."""
    second: F32
    third: F32
    fourth: F32


def strewn(grid: Grid, cell_m: float, seed: int, stray: float = 0.5) -> _Strewn:
    """Return the object of each pixel's cell; its middle strays from the cell's by up to half of
    `stray` cells.
    """
    u, v = grid.x / cell_m, grid.y / cell_m
    iu, iv = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    columns, rows = np.arange(iu[0], iu[-1] + 1), np.arange(iv[-1], iv[0] + 1)
    place = hashed(columns[None, :], rows[:, None], seed)
    traits = hashed(columns[None, :], rows[:, None], seed + 1)

    def seen(table: F32) -> F32:
        return np.asarray(table[iv - rows[0]][:, iu - columns[0]])

    half, reach = np.float32(0.5), np.float32(stray * cell_m)
    dx = ((u - iu - 0.5) * cell_m).astype(np.float32)[None, :] - seen(
        (unit(place, 0) - half) * reach
    )
    dy = ((v - iv - 0.5) * cell_m).astype(np.float32)[:, None] - seen(
        (unit(place, 1) - half) * reach
    )
    angle = unit(place, 2) * np.float32(np.pi)
    ca, sa = seen(np.cos(angle)), seen(np.sin(angle))
    return _Strewn(
        dx * ca + dy * sa, dy * ca - dx * sa, *(seen(unit(traits, part)) for part in range(4))
    )


def parcels(field: _Strewn, length_m: float, width_m: float, seed: int) -> tuple[F32, F32, F32]:
    """Return (first, second uniform number of each pixel's parcel, edge: 1 within 5 m of its
    border), `(y, x)`.
    """
    a, b = field.along / np.float32(length_m), field.across / np.float32(width_m)
    row = np.floor(b)
    shifted = a + row * np.float32(0.37)
    column = np.floor(shifted)
    block = (field.chance * np.float32(4096)).astype(np.int64) * 64
    bits = hashed(column.astype(np.int64) + block, row.astype(np.int64), seed)
    edge = np.minimum(
        np.minimum(shifted - column, column + 1 - shifted) * np.float32(length_m),
        np.minimum(b - row, row + 1 - b) * np.float32(width_m),
    )
    return unit(bits, 0), unit(bits, 1), (edge < np.float32(5)).astype(np.float32)


def rectangle(field: _Strewn, half_length: F32, half_width: F32, soft_m: float = 7.0) -> F32:
    """Return how much of each pixel a rectangle covers, `(y, x)` 0-1."""
    inside = np.minimum(half_length - np.abs(field.along), half_width - np.abs(field.across))
    return np.clip(inside / np.float32(2 * soft_m) + np.float32(0.5), 0, 1)


def blob(field: _Strewn, radius: F32, ragged: F32, soft_m: float = 10.0) -> F32:
    """Return how much of each pixel a ragged blob covers, `(y, x)` 0-1."""
    distance = np.sqrt(field.along**2 + np.float32(2.2) * field.across**2)
    return np.clip(
        (radius * (1 + np.float32(0.3) * ragged) - distance) / np.float32(2 * soft_m)
        + np.float32(0.5),
        0,
        1,
    )
