"""Sentinel-1 over the simulated ground: sigma0 in VV and VH, seen from the side, through any cloud,
with speckle.

Backscatter by cover and local incidence, brightened where a slope faces the sensor (a slant-range
cell holds more ground), unseen in layover and shadow. Speckle has the 4.4 looks of IW GRD and is
correlated over two pixels. Then, as the live source does it: Lee filter 5x5 in linear power,
decibel. One scene a window: the orbit that covers most of the area.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from gee.simulated import spectra
from gee.simulated.cover import Place, _cuts, bareness, snow_share, surface, water_share
from gee.simulated.lattice import F32, Grid, ramp, white
from gee.simulated.orbit import Pass, hidden, towards, view_of
from gee.simulated.season import leaves, season_day

BANDS: Final = ("VV", "VH")
PRODUCT: Final = "simulated Sentinel-1 IW GRD, sigma0"
LOOKS: Final = 4.4
"""Equivalent number of looks of IW GRD (Sentinel-1 product specification, table 5-1), as in
`gee.earthengine.radar`.
"""
MARGIN_PX: Final = 4
"""Native pixels around a window: speckle reaches 1, the Lee filter 2."""
RADIUS_PX: Final = 2
_REFERENCE_COS: Final = float(np.cos(np.radians(39.0)))
FLOOR_DB, CEILING_DB = -60.0, 30.0


class _Echo(NamedTuple):
    """Typical backscatter of a cover at 39 degrees of local incidence, dB, and how steeply it falls
    (power of the cosine).
    """

    vv: float
    vh: float
    falls: float


FOREST: Final = _Echo(-7.5, -13.3, 1.0)
GRASS: Final = _Echo(-12.0, -19.0, 1.5)
CROP: Final = _Echo(-11.0, -16.8, 1.5)
_PLOUGHED: Final = _Echo(-10.5, -19.0, 2.0)
_ROCK: Final = _Echo(-9.0, -17.0, 1.6)
GRAVEL: Final = _Echo(-10.5, -18.5, 2.0)
_BARE: Final = _Echo(-10.0, -18.0, 1.8)
WATER: Final = _Echo(-20.0, -28.0, 3.0)
_LEAF_OFF_DB: Final = {"VV": -0.4, "VH": -1.0}
_WET_SNOW_DB: Final = -3.5
_LEVEL: Final = np.float32(0)
_SCAR_SPREAD_DB: Final = (3.5, 2.0)
"""How much roughness and moisture, each slide's own, move the echo of a scar: so it may be darker
or brighter than before.
"""


def echo(ground: Place, one: Pass, band: str, cleared: tuple[F32, F32]) -> F32:
    """Return sigma0 before speckle, linear power, `(y, x)`; `cleared` is what `_cleared` says of
    the ground.
    """
    view, (east, north) = view_of(one, ground.grid), towards(one)
    up = ground.gx * np.float32(east) + ground.gy * np.float32(
        north
    )  # rise per metre towards the sensor
    sine = view.tangent / np.sqrt(1 + view.tangent**2)
    upright = np.sqrt(1 + ground.gx**2 + ground.gy**2)
    cosine = np.clip((np.sqrt(1 - sine**2) - sine * up) / upright, 0.08, 1) / np.float32(
        _REFERENCE_COS
    )
    facing = np.clip(
        np.sqrt(1 + up * up) / np.maximum(1 + up / view.tangent, np.float32(0.12)), 0.2, 8
    )
    laid = _cover(ground, one, band, cosine.astype(np.float32), cleared)
    return np.asarray(laid * facing, np.float32)


def _paint(
    laid: F32, share: F32, cover: _Echo, band: str, cosine: F32, more_db: F32 | np.float32 = _LEVEL
) -> None:
    level = cover.vv if band == "VV" else cover.vh
    power = np.power(
        np.float32(10), (np.float32(level) + np.asarray(more_db, np.float32)) / np.float32(10)
    )
    laid += share * (power * cosine ** np.float32(cover.falls) - laid)


def _cover(ground: Place, one: Pass, band: str, cosine: F32, cleared: tuple[F32, F32]) -> F32:
    """Return backscatter by what covers the ground on the day, each share adding its power."""
    weather = ground.world.landscape.weather
    season = season_day(one.date, ground.world.southern)
    wet = np.float32(
        2.0 * one.chance("soil moisture") - 1.0
    )  # dB, bare and grassy ground: it rained, or it did not
    laid = np.zeros(ground.grid.shape, np.float32)
    _paint(laid, np.ones_like(laid), GRASS, band, cosine, wet + np.float32(0.5) * ground.open_noise)
    _paint(laid, ground.rocky, _ROCK, band, cosine)
    out, _ = leaves(weather, season, ground.height, ground.variety)
    bare_trees = (1 - out) * np.float32(ground.world.landscape.cover.deciduous)
    trees = np.float32(_LEAF_OFF_DB[band]) * bare_trees + np.float32(0.4) * ground.variety
    _paint(laid, ground.forest, FOREST, band, cosine, trees)
    green, open_share = cleared
    _paint(laid, ground.farmed * (1 - green), _PLOUGHED, band, cosine, wet)
    _paint(laid, ground.farmed * green, CROP, band, cosine)
    _paint(laid, open_share, _BARE, band, cosine, wet)
    _paint(
        laid,
        ramp(-ground.river_m, -1.2 * ground.world.landscape.cover.bar_m, 0.0),
        GRAVEL,
        band,
        cosine,
    )
    for scars, old in ((ground.old, True), (ground.new, False)):
        if scars is not None:
            rough, moist = (scars.traits[trait] - np.float32(0.5) for trait in (1, 2))
            own = (
                np.float32(_SCAR_SPREAD_DB[0]) * rough
                + np.float32(_SCAR_SPREAD_DB[1]) * moist
                + np.float32(0.5) * wet
            )
            _paint(laid, bareness(ground, scars, old), _BARE, band, cosine, own)
    snow = snow_share(ground, season)
    laid *= np.power(np.float32(10), snow * np.float32(_WET_SNOW_DB / 10))
    _paint(laid, water_share(ground), WATER, band, cosine, np.float32(4 * one.chance("wind") - 2))
    return laid


def _cleared(ground: Place, day: date) -> tuple[F32, F32]:
    """Return (how green fields are, share of fresh clearings and pits), as the optical image shows
    them, `(y, x)` 0-1.
    """
    laid = surface(ground, day)
    red, infrared = laid[2], laid[3]
    green = np.clip(
        ((infrared - red) / (infrared + red) - np.float32(0.25)) / np.float32(0.45), 0, 1
    )
    soil = np.array(ground.world.landscape.ground.soil, np.float32)
    painted = np.zeros((len(spectra.BANDS), *ground.grid.shape), np.float32)
    _cuts(ground, painted, day)  # clearings painted on black: their brightness is their share
    return green, np.clip(painted[2] / (soil[2] * np.float32(0.87)), 0, 1)


def speckle(one: Pass, grid: Grid, band: str) -> F32:
    """Return multiplicative speckle of mean 1 and `LOOKS` equivalent looks, `(y, x)`, correlated
    over two pixels.

    The mean of five complex-Gaussian intensities, four of weight 1 and one of 0.2207: (4 + w)² / (4
    + w²) = 4.4.
    """
    wide = grid.grown(1)
    total, weights = np.zeros(grid.shape, np.float32), (1.0, 1.0, 1.0, 1.0, 0.2207)
    for look, weight in enumerate(weights):
        for part in (0, 1):
            field = white(wide, one.key("speckle", band, look, part))
            smooth = field[:-1] + np.float32(0.6) * field[1:]
            smooth = smooth[:, :-1] + np.float32(0.6) * smooth[:, 1:]
            total += np.float32(weight) * smooth[1:, 1:] ** 2
    power = 2 * sum(weights) * (1 + 0.6**2) ** 2
    return total * np.float32(1 / power)


def lee(power: F32) -> F32:
    """Return power two pixels smaller on each side, its speckle filtered (Lee 1980) as
    `gee.earthengine.radar.lee` does.
    """
    side = 2 * RADIUS_PX + 1
    height, width = power.shape[0] - side + 1, power.shape[1] - side + 1
    mean, square = (np.zeros((height, width), np.float64) for _ in range(2))
    for row in range(side):
        for column in range(side):
            part = power[row : row + height, column : column + width].astype(np.float64)
            mean += part
            square += part * part
    mean /= side**2
    variance = np.maximum(square / side**2 - mean * mean, 0.0)
    noise = 1 / LOOKS
    signal = np.maximum((variance - mean * mean * noise) / (1 + noise), 0.0)
    centre = power[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
    return np.asarray(mean + signal / np.maximum(variance, 1e-12) * (centre - mean), np.float32)


def render(ground: Place, one: Pass, window: Grid, names: Iterable[str]) -> dict[str, F32]:
    """Return sigma0 on a native window, linear power, band -> `(y, x)`; NaN in layover, in shadow
    and beyond the swath.

    Args:
        ground: covers the window with `MARGIN_PX` around.
        one: the overpass.
        window: where.
        names: of `BANDS`.
    """
    wide, cleared = window.grown(RADIUS_PX), _cleared(ground, one.date)
    seen = (hidden(one, window) <= 0) & (view_of(one, window).imaged > 0)
    found = {}
    for band in names:
        power = echo(ground, one, band, cleared)[wide.inside(ground.grid)] * speckle(
            one, wide, band
        )
        found[band] = np.where(seen, lee(power), np.float32(np.nan)).astype(np.float32)
    return found


def decibel(power: F32) -> F32:
    """Return linear power in dB, within what the band holds."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            np.clip(np.float32(10) * np.log10(power), FLOOR_DB, CEILING_DB), np.float32
        )
