"""World lattices and the noise that lives on them: everything here is a function of absolute metric
coordinates.

A `Grid` names pixels of a lattice that spans a whole projected CRS, so a window is the same window
wherever it was cut from, bit for bit: no field knows the block it is asked for in. There is no
random state, only hashes of lattice indices (the finaliser of SplitMix64, Steele, Lea & Flood
2014).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
_U64 = NDArray[np.uint64]

NATIVE_M = 10.0
"""Spacing of the simulated sensor's own lattice, metres (Sentinel-2's 10 m bands)."""
TERRAIN_M = 30.0
"""Spacing of the native elevation, metres."""
_OCTAVE_SCALE = 0.38
"""What `fractal` divides by. The noise's own standard deviation is 0.45, so that sums of octaves
have `FRACTAL_STD`.
"""
FRACTAL_STD = 1.2
"""Standard deviation of `fractal`, measured over 10^6 points at three wavelengths: 1.19-1.21."""


@dataclass(frozen=True)
class Grid:
    """A window of a world lattice. Rows run north to south: row r has its centre at y = -(r + 0.5)
    * step_m.
    """

    step_m: float
    row: int
    column: int
    height: int
    width: int
    east_m: float = 0.0
    """Offset of the lattice from the world's origin, for requested grids that lie askew; 0 for our
    own.
    """
    north_m: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Return (y, x)."""
        return self.height, self.width

    @cached_property
    def x(self) -> F64:
        """Return eastings of the pixel centres, `(x,)` metres."""
        return (
            np.arange(self.column, self.column + self.width, dtype=np.float64) + 0.5
        ) * self.step_m + self.east_m

    @cached_property
    def y(self) -> F64:
        """Return northings of the pixel centres, `(y,)` metres, decreasing."""
        return (
            np.arange(self.row, self.row + self.height, dtype=np.float64) + 0.5
        ) * -self.step_m + self.north_m

    def grown(self, pixels: int) -> Grid:
        """Return the window with a margin on all sides."""
        return Grid(
            self.step_m,
            self.row - pixels,
            self.column - pixels,
            self.height + 2 * pixels,
            self.width + 2 * pixels,
        )

    def inside(self, other: Grid) -> tuple[slice, slice]:
        """Return the (rows, columns) of a larger window of the same lattice that are this
        window.
        """
        top, left = self.row - other.row, self.column - other.column
        return slice(top, top + self.height), slice(left, left + self.width)

    def around(self, other: Grid, margin_m: float) -> Grid:
        """Return a window of this lattice's spacing that covers another window and a margin around
        it.
        """
        return covering(
            self.step_m,
            other.x[0] - margin_m,
            other.y[-1] - margin_m,
            other.x[-1] + margin_m,
            other.y[0] + margin_m,
        )


def covering(
    step_m: float, west: float, south: float, east: float, north: float, align: int = 1
) -> Grid:
    """Return the window whose pixel centres enclose bounds in metres; its ends are multiples of
    `align` pixels.
    """
    left = int(np.floor(west / step_m - 0.5)) // align * align
    right = -(-(int(np.ceil(east / step_m - 0.5)) + 1) // align) * align
    top = int(np.floor(-north / step_m - 0.5)) // align * align
    bottom = -(-(int(np.ceil(-south / step_m - 0.5)) + 1) // align) * align
    return Grid(step_m, top, left, bottom - top, right - left)


def key(*words: str | int | float) -> int:
    """Return a 64-bit seed that names something: the hash of its words."""
    text = "\x1f".join(str(word) for word in words)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mixed(bits: _U64) -> _U64:
    """Return SplitMix64's finaliser of each element."""
    bits = bits ^ (bits >> np.uint64(30))
    bits = bits * np.uint64(0xBF58476D1CE4E5B9)
    bits = bits ^ (bits >> np.uint64(27))
    bits = bits * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def hashed(columns: NDArray[Any], rows: NDArray[Any], seed: int) -> _U64:
    """Return the hash of integer lattice positions (broadcast together)."""
    across = columns.astype(np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    down = mixed(
        rows.astype(np.int64).astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)
        + np.array(seed % 2**64, np.uint64)
    )
    return mixed(across + down)


def unit(bits: _U64, part: int = 0) -> F32:
    """Return 16 bits (`part` 0-3) of hashes as numbers in (0, 1)."""
    piece = (bits >> np.uint64(16 * part)) & np.uint64(0xFFFF)
    return (piece.astype(np.float32) + np.float32(0.5)) * np.float32(1 / 65536)


def white(grid: Grid, seed: int) -> F32:
    """Return independent noise per pixel, `(y, x)`, near Gaussian (sum of four uniforms), mean 0,
    std 1.
    """
    bits = hashed(
        grid.column + np.arange(grid.width)[None, :],
        grid.row + np.arange(grid.height)[:, None],
        seed,
    )
    total = unit(bits, 0) + unit(bits, 1) + unit(bits, 2) + unit(bits, 3)
    return (total - np.float32(2.0)) * np.float32(np.sqrt(3.0))


def _nodes(positions: F64) -> tuple[NDArray[np.int64], F32]:
    """Return lattice indices below positions and the quintic weight of the next one (Perlin
    2002).
    """
    below = np.floor(positions)
    t = positions - below
    return below.astype(np.int64), (t * t * t * (t * (t * 6 - 15) + 10)).astype(np.float32)


def value_noise(grid: Grid, wavelength_m: float, seed: int) -> F32:
    """Return smooth noise in [-1, 1] on a window, `(y, x)`: hashed lattice values, quintic
    interpolation, separable.
    """
    offset = (seed % 9973) / 9973
    columns, fx = _nodes(grid.x / wavelength_m + offset)
    rows, fy = _nodes(grid.y / wavelength_m + offset)
    first, top = columns[0], rows.min()
    table = unit(
        hashed(
            np.arange(first, columns[-1] + 2)[None, :],
            np.arange(top, rows.max() + 2)[:, None],
            seed,
        )
    ) * np.float32(2) - np.float32(1)
    left = table[:, columns - first]
    across = left + (table[:, columns - first + 1] - left) * fx
    upper = across[rows - top]
    return np.asarray(upper + (across[rows - top + 1] - upper) * fy[:, None])


def fractal(grid: Grid, wavelength_m: float, octaves: int, seed: int, gain: float = 0.55) -> F32:
    """Return fractal noise on a window, `(y, x)`, near Gaussian with mean 0 and `FRACTAL_STD`;
    longest wavelength first.
    """
    total = np.zeros(grid.shape, np.float32)
    power = 0.0
    for octave in range(octaves):
        weight = gain**octave
        total += value_noise(grid, wavelength_m / 2.07**octave, seed + 7919 * octave) * np.float32(
            weight
        )
        power += weight**2
    return total * np.float32(1 / (_OCTAVE_SCALE * power**0.5))


def noise_at(x: F64, y: F64, wavelength_m: float, seed: int) -> tuple[F64, F64, F64]:
    """Return gradient noise (Perlin 2002; about ±0.7, std 0.27) at points, and its derivatives
    along x and y per metre.

    The lattice is turned by an angle of the seed's, so that sums of octaves show no grid.
    """
    turn = (seed % 6007) / 6007 * 2 * np.pi
    ca, sa = float(np.cos(turn)) / wavelength_m, float(np.sin(turn)) / wavelength_m
    u, v = x * ca + y * sa, y * ca - x * sa
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    corners = []
    for j, i in ((0, 0), (0, 1), (1, 0), (1, 1)):
        angle = unit(hashed(iu + i, iv + j, seed)) * np.float32(2 * np.pi)
        gu, gv = np.cos(angle), np.sin(angle)
        corners.append((gu, gv, gu * (fu - i) + gv * (fv - j)))
    su, sv = fu * fu * fu * (fu * (fu * 6 - 15) + 10), fv * fv * fv * (fv * (fv * 6 - 15) + 10)
    du, dv = 30 * fu * fu * (fu * (fu - 2) + 1), 30 * fv * fv * (fv * (fv - 2) + 1)
    a, b, c, d = corners
    weights = ((1 - su) * (1 - sv), su * (1 - sv), (1 - su) * sv, su * sv)
    value = sum(w * corner[2] for w, corner in zip(weights, corners, strict=True))
    nu = sum(w * corner[0] for w, corner in zip(weights, corners, strict=True))
    nv = sum(w * corner[1] for w, corner in zip(weights, corners, strict=True))
    nu = nu + du * ((b[2] - a[2]) * (1 - sv) + (d[2] - c[2]) * sv)
    nv = nv + dv * ((c[2] - a[2]) * (1 - su) + (d[2] - b[2]) * su)
    return value, nu * ca - nv * sa, nu * sa + nv * ca


def spread(values: F32, coarse: Grid, fine: Grid) -> F32:
    """Return values of one lattice interpolated bilinearly at the centres of another's window, `(y,
    x)` float32.
    """
    px, py = fine.x / coarse.step_m - 0.5, -fine.y / coarse.step_m - 0.5
    ix, iy = np.floor(px), np.floor(py)
    fx, fy = (px - ix).astype(np.float32), (py - iy).astype(np.float32)
    cx, cy = ix.astype(np.int64) - coarse.column, iy.astype(np.int64) - coarse.row
    left = values[:, cx]
    across = left + (values[:, cx + 1] - left) * fx
    upper = across[cy]
    return upper + (across[cy + 1] - upper) * fy[:, None]


def ramp(values: F32, low: float, high: float) -> F32:
    """Return a smooth step, 0 below `low` and 1 above `high` (Hermite)."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1).astype(np.float32)
    return np.asarray(t * t * (np.float32(3) - np.float32(2) * t))
