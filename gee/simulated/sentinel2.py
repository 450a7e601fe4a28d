"""Sentinel-2's coarser bands, B1 B5 B6 B7 B8A B9, of the same scene that `scene` renders, on their
own 20 m and 60 m pixels.

Their surface spectra follow from the six bands of `spectra`: one linear map, fitted to the spectra
of all cover types, so that a mixture of covers has the mixture of their spectra. What the map
cannot know is added by a seed of its own: chlorophyll, which moves the red edge of plants, and
water vapour, which B9 measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np

from gee.simulated import spectra
from gee.simulated.cover import Place, surface
from gee.simulated.landscapes import LANDSCAPES
from gee.simulated.lattice import F32, Grid, fractal, white

# The frozen sensor model: one point spread and one noise for all bands.
from gee.simulated.scene import NOISE, _blurred, _taps, light
from gee.simulated.sky import Acquisition, haze, sky

PIXEL: Final[Mapping[str, int]] = MappingProxyType(
    {"B1": 6, "B5": 2, "B6": 2, "B7": 2, "B8A": 2, "B9": 6}
)
"""Band -> side of its pixels in native ones of 10 m."""
BANDS: Final = tuple(PIXEL)
ALIGN: Final = 6
"""Windows are grown to whole 60 m pixels."""

_ENDMEMBERS: Final = (
    (spectra.FOREST, (0.025, 0.085, 0.245, 0.325, 0.365, 0.360)),
    (spectra.EVERGREEN, (0.022, 0.078, 0.230, 0.305, 0.345, 0.340)),
    (spectra.CONIFER, (0.019, 0.055, 0.155, 0.205, 0.235, 0.230)),
    (spectra.LEAFLESS, (0.045, 0.098, 0.125, 0.145, 0.180, 0.190)),
    (spectra.AUTUMN, (0.033, 0.125, 0.205, 0.245, 0.285, 0.285)),
    (spectra.GRASS, (0.034, 0.115, 0.255, 0.315, 0.355, 0.350)),
    (spectra.STRAW, (0.052, 0.145, 0.195, 0.225, 0.265, 0.270)),
    (spectra.CROP, (0.031, 0.105, 0.295, 0.380, 0.425, 0.420)),
    (spectra.GRAVEL, (0.120, 0.193, 0.203, 0.212, 0.226, 0.230)),
    (spectra.WATER, (0.048, 0.028, 0.023, 0.021, 0.018, 0.016)),
    (spectra.SNOW, (0.850, 0.845, 0.830, 0.815, 0.760, 0.550)),
    (spectra.BURNT, (0.037, 0.063, 0.072, 0.082, 0.098, 0.105)),
    (np.array(LANDSCAPES["tephra-hills"].ground.soil), (0.072, 0.190, 0.212, 0.233, 0.262, 0.272)),
    (np.array(LANDSCAPES["loess-basin"].ground.soil), (0.105, 0.242, 0.262, 0.280, 0.308, 0.317)),
    (np.array(LANDSCAPES["deep-gorge"].ground.rock), (0.110, 0.185, 0.198, 0.210, 0.227, 0.230)),
)
"""(spectrum in `spectra.BANDS`, typical reflectance in `BANDS`)."""
_PATH: Final = np.array([0.105, 0.024, 0.018, 0.014, 0.008, 0.004], np.float32)
_TRANSMITTANCE: Final = np.array([0.72, 0.91, 0.93, 0.94, 0.955, 0.90], np.float32)
_SKY: Final = np.array([0.36, 0.14, 0.125, 0.11, 0.085, 0.07], np.float32)
_CLOUD: Final = np.array([0.42, 0.42, 0.42, 0.42, 0.42, 0.33], np.float32)
_CHLOROPHYLL: Final = np.array([0.0, -0.07, 0.035, 0.02, 0.0, 0.0], np.float32)
"""How a unit of the chlorophyll field moves each band over full vegetation (relative, typical)."""
_VAPOUR: Final = 1.1
"""Optical depth of the water vapour at sea level on an average day, in B9."""
_VAPOUR_HEIGHT_M: Final = 2000.0


@lru_cache(maxsize=1)
def from_six() -> F32:
    """Return the map `(6, 6)`: reflectance in `BANDS` from that in `spectra.BANDS`, least squares
    of relative errors.
    """
    known = np.array([spectrum for spectrum, _ in _ENDMEMBERS], np.float64)
    wanted = np.array([values for _, values in _ENDMEMBERS], np.float64)
    columns = []
    for band in range(len(BANDS)):
        weight = 1 / (wanted[:, band] + 0.02)
        # A little ridge keeps plausible weights; the rounding makes them the same on every machine.
        left = np.vstack([known * weight[:, None], 0.05 * np.eye(known.shape[1])])
        right = np.concatenate([wanted[:, band] * weight, np.zeros(known.shape[1])])
        columns.append(np.round(np.linalg.lstsq(left, right, rcond=None)[0], 4))
    return np.array(columns, np.float32)


def aligned(grid: Grid, pixels: int = ALIGN) -> Grid:
    """Return the window grown to whole pixels of so many native ones."""
    top, left = grid.row // pixels * pixels, grid.column // pixels * pixels
    bottom, right = (
        -(-end // pixels) * pixels for end in (grid.row + grid.height, grid.column + grid.width)
    )
    return Grid(grid.step_m, top, left, bottom - top, right - left)


def blocks(image: F32, side: int) -> F32:
    """Return means of square groups of pixels, `(y, x)`; summed in one fixed order."""
    total = np.zeros((image.shape[0] // side, image.shape[1] // side), np.float32)
    for row in range(side):
        for column in range(side):
            total += image[row::side, column::side]
    return total * np.float32(1 / side**2)


def _laid(ground: Place, acquisition: Acquisition, names: list[str]) -> dict[str, F32]:
    """Return surface reflectance, band -> `(y, x)`."""
    six = surface(ground, acquisition.date)
    red, infrared = six[2], six[3]
    plants = np.clip(
        (infrared - red) / np.maximum(infrared + red, np.float32(1e-3)) * np.float32(1.6), 0, 1
    )
    day = acquisition.date
    green = (
        fractal(ground.grid, 420.0, 4, ground.world.key("chlorophyll", day.year * 12 + day.month))
        * plants
    )
    found = {}
    for name in names:
        band = BANDS.index(name)
        weights = from_six()[band]
        laid = weights[0] * six[0]
        for number in range(1, len(six)):
            laid = laid + weights[number] * six[number]
        found[name] = np.maximum(laid, np.float32(0.004)) * (
            np.float32(1) + _CHLOROPHYLL[band] * green
        )
    return found


def lit(ground: Place, acquisition: Acquisition, names: list[str]) -> dict[str, F32]:
    """Return top-of-atmosphere reflectance before the sensor, band -> `(y, x)`; light and air as in
    `scene`.
    """
    over = sky(acquisition, ground.grid)
    shone = light(ground, acquisition, over.shade)
    thick = haze(acquisition, ground.grid)
    thin = np.exp(-ground.height / np.float32(spectra.SCALE_HEIGHT_M))
    vapour = np.float32(_VAPOUR * (0.5 + acquisition.chance("vapour")))
    moist = np.exp(-vapour * np.exp(-ground.height / np.float32(_VAPOUR_HEIGHT_M)))
    glow = np.float32(0.85) * over.cloud
    found = {}
    for name, laid in _laid(ground, acquisition, names).items():
        band = BANDS.index(name)
        share = _SKY[band]
        light_here = shone.direct * (1 - share) + shone.sky * share * (
            np.float32(1) - np.float32(0.35) * over.shade
        )
        path = (_PATH[band] + thick * (_PATH[band] / spectra.PATH[0])) * thin
        passed = _TRANSMITTANCE[band] * (moist if name == "B9" else np.float32(1))
        seen = path + passed * laid * light_here
        found[name] = seen + glow * (_CLOUD[band] + np.float32(0.4) * glow - seen)
    return found


def render(
    ground: Place, acquisition: Acquisition, window: Grid, names: Iterable[str]
) -> dict[str, F32]:
    """Return bands of one scene on a native window, name -> `(y, x)`, each value repeated over its
    own pixel.

    Args:
        ground: covers the window, grown to `ALIGN`, with `scene.MARGIN_PX` around.
        acquisition: the scene.
        window: where.
        names: of `BANDS`.
    """
    whole = aligned(window)
    part = whole.grown(2).inside(ground.grid)
    east, north = acquisition.shift_m
    across, down = _taps(east / window.step_m), _taps(-north / window.step_m)
    found = {}
    for name, image in lit(ground, acquisition, list(names)).items():
        side = PIXEL[name]
        own = Grid(
            whole.step_m * side,
            whole.row // side,
            whole.column // side,
            whole.height // side,
            whole.width // side,
        )
        seen = blocks(_blurred(image[part], across, down), side)
        seen = seen + white(own, acquisition.key("noise", name)) * np.float32(NOISE)
        seen = np.repeat(np.repeat(seen, side, 0), side, 1)[window.inside(whole)]
        found[name] = np.maximum(seen, np.float32(1e-4))
    return found
