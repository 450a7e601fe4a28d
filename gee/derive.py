"""What is computed on our side from what a source delivers: one definition of slope and of every
index for all sources.

Terrain is differentiated on the elevation's own spacing, in metres on the ground and against true
north whatever its CRS (`gee.ground`), and only then brought to the grid
(bilinear): differentiating elevation that was interpolated first would show stair-steps of the
coarser grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import BANDS, DERIVED
from gee.ground import GroundSteps, ground_steps
from gee.resample import positions, sample
from gee.source import Elevation

_HILLSHADE_AZIMUTH_DEG: Final = 270.0
_HILLSHADE_ALTITUDE_DEG: Final = 45.0
"""Where the light comes from: one value for every source; those of `ee.Terrain.hillshade` (Earth
Engine reference).
"""
MARGIN_PX: Final = 3
"""Native pixels needed around a block: one for the gradient, one for the interpolation, one for
rounding.
"""

_DIAGONALS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_Array = NDArray[np.float64]


def index(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return a normalised difference, (a - b) / (a + b) in -1 ... 1, NaN where not both are known
    or their sum is not positive.

    Of reflectances in the steps that sensors and stacks count in (1e-4), so that every source gives
    the same and a stack's own bands give it again: of dark pixels unrounded ones gave up to 0.0016
    more or less.

    Args:
        name: ``NDVI`` (B8, B4: Rouse et al. 1974; Yang et al. 2024 eq. 1) or ``MNDWI`` (B3, B11: Xu
            2006).
        bands: base band -> reflectance `(y, x)`.
    """
    first, second = (
        np.rint(bands[base].astype(np.float64) / BANDS[base].scale) for base in DERIVED[name]
    )
    total = first + second
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (first - second) / total, np.nan).astype(np.float32)


def terrain(
    elevation: Elevation,
    block: GeoBox,
    names: Iterable[str],
    azimuth_deg: float = _HILLSHADE_AZIMUTH_DEG,
    altitude_deg: float = _HILLSHADE_ALTITUDE_DEG,
) -> dict[str, NDArray[np.float32]]:
    """Return terrain bands of a block, `(y, x)` float32, NaN where elevation is void.

    Args:
        elevation: native elevation that covers the block and `MARGIN_PX` around it.
        block: the grid to bring them to.
        names: of ``dem`` (m), ``slope`` (degrees), ``hillshade`` (0-255), ``aspect_sin``,
            ``aspect_cos`` (of the downhill direction, clockwise from true north; 0 where flat) and
            ``curvature`` (1/100 m, positive on ridges).
        azimuth_deg: where the light comes from, clockwise from north.
        altitude_deg: its height over the horizon.
    """
    wanted = tuple(names)
    rows, columns = positions(block, elevation.geobox)
    native = _native(elevation, set(wanted), azimuth_deg, altitude_deg)
    found = {name: sample(values, rows, columns, "bilinear") for name, values in native.items()}
    if {"aspect_sin", "aspect_cos"} & found.keys():
        length = np.hypot(found["aspect_sin"], found["aspect_cos"])
        for name in ("aspect_sin", "aspect_cos"):
            found[name] = np.where(
                length > 1e-6, found[name] / np.maximum(length, 1e-6), 0 * length
            ).astype(np.float32)
    return {name: found[name] for name in wanted}


def _native(
    elevation: Elevation, names: set[str], azimuth_deg: float, altitude_deg: float
) -> dict[str, _Array]:
    """Return the bands on the elevation's own grid."""
    z = elevation.values.astype(np.float64)
    found: dict[str, _Array] = {"dem": z} if "dem" in names else {}
    if not names - {"dem"}:
        return found
    steps = ground_steps(elevation.geobox)
    around = _neighbours(z)
    east, north = _horn(z, around, steps)
    steepness = np.hypot(east, north)
    if "slope" in names:
        found["slope"] = np.degrees(np.arctan(steepness))
    if "hillshade" in names:
        found["hillshade"] = _hillshade(east, north, azimuth_deg, altitude_deg)
    if names & {"aspect_sin", "aspect_cos"}:
        with np.errstate(invalid="ignore", divide="ignore"):
            found["aspect_sin"] = np.where(steepness == 0, 0.0, -east / steepness)
            found["aspect_cos"] = np.where(steepness == 0, 0.0, -north / steepness)
    if "curvature" in names:
        found["curvature"] = _curvature(z, around, steps)
    return found


def _neighbours(z: _Array) -> dict[tuple[int, int], _Array]:
    """Return the eight neighbours of every pixel by (row, column) offset; missing ones continue the
    slope through the pixel.

    As `gdaldem -compute_edges` does: without it a frame of one native pixel would be lost along
    edges and voids.
    """
    padded = np.pad(z, 1, constant_values=np.nan)
    height, width = z.shape

    def shifted(row: int, column: int) -> _Array:
        return padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    around: dict[tuple[int, int], _Array] = {}
    for row, column in ((0, 1), (1, 0)):
        one, other = shifted(row, column), shifted(-row, -column)
        no_one, no_other = np.isnan(one), np.isnan(other)
        around[row, column] = np.where(no_one, np.where(no_other, z, 2 * z - other), one)
        around[-row, -column] = np.where(no_other, np.where(no_one, z, 2 * z - one), other)
    for row, column in _DIAGONALS:
        found = shifted(row, column)
        around[row, column] = np.where(
            np.isnan(found), around[row, 0] + around[0, column] - z, found
        )
    return around


def _horn(
    z: _Array, around: Mapping[tuple[int, int], _Array], steps: GroundSteps
) -> tuple[_Array, _Array]:
    """Return dz/d(east), dz/d(north) by Horn (1981), third-order finite difference, weights 1 2 1;
    NaN where z is void.
    """
    right = around[-1, 1] + 2 * around[0, 1] + around[1, 1]
    left = around[-1, -1] + 2 * around[0, -1] + around[1, -1]
    below = around[1, -1] + 2 * around[1, 0] + around[1, 1]
    above = around[-1, -1] + 2 * around[-1, 0] + around[-1, 1]
    void = np.where(np.isnan(z), np.nan, 0.0)  # a void's neighbours must not speak for it
    east, north = steps.gradient((right - left) / 8, (below - above) / 8)
    return east + void, north + void


def _hillshade(east: _Array, north: _Array, azimuth_deg: float, altitude_deg: float) -> _Array:
    """Return 255 times the cosine between the surface normal and the light, 0 where turned away
    (Horn 1981).
    """
    azimuth, altitude = np.radians(azimuth_deg), np.radians(altitude_deg)
    along = (
        -east * np.sin(azimuth) * np.cos(altitude)
        - north * np.cos(azimuth) * np.cos(altitude)
        + np.sin(altitude)
    )
    shade: _Array = 255 * np.maximum(along, 0) / np.sqrt(1 + east**2 + north**2)
    return shade


def _curvature(z: _Array, around: Mapping[tuple[int, int], _Array], steps: GroundSteps) -> _Array:
    """Return -100 (z_xx + z_yy): Zevenbergen & Thorne (1987) with the sign and the 1/100 m of
    common GIS, positive on ridges.
    """
    across: _Array = around[0, 1] - 2 * z + around[0, -1]
    along: _Array = around[1, 0] - 2 * z + around[-1, 0]
    mixed: _Array = (around[1, 1] - around[1, -1] - around[-1, 1] + around[-1, -1]) / 4
    return -100 * steps.laplacian(across, along, mixed)


def hillshade_attributes() -> dict[str, Any]:
    """Return what the stack says about its hillshade."""
    return {
        "hillshade_azimuth_deg": _HILLSHADE_AZIMUTH_DEG,
        "hillshade_altitude_deg": _HILLSHADE_ALTITUDE_DEG,
    }
