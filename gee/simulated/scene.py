"""One acquisition as the sensor delivers it: top-of-atmosphere reflectance, clouds, and the mask
that comes with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.records import ObservationClass
from gee.simulated import spectra
from gee.simulated.cover import Place, snow_share, surface, water_share
from gee.simulated.lattice import F32, Grid, white
from gee.simulated.season import season_day
from gee.simulated.sky import Acquisition, haze, imaged, sky
from gee.simulated.sun import cast_shadow, incidence

MARGIN_PX = 4
"""Native pixels around a window that blur, misplacement and 20 m pixels reach into."""
NOISE = 0.002
"""Detector noise, reflectance (typical)."""
_BLUR_PX = 0.42
"""Standard deviation of the point spread function, pixels."""
CLOUD_MASK, SHADE_MASK = 0.07, 0.25
"""Opacities from which the mask that comes with a scene says cloud and shadow; thinner veils pass
as clear.
"""
_UNREADABLE = 0.10
"""Ground that gets less light than this share of flat sunlit ground is called shadow."""


class _Light(NamedTuple):
    """Illumination of a window, relative to flat ground in full sun, `(y, x)`."""

    direct: F32
    sky: F32
    """How much of the sky a pixel sees, 0-1."""


def light(ground: Place, acquisition: Acquisition, shade: F32) -> _Light:
    """Return sunlight and sky light, terrain and cloud shadows included."""
    cosine, up = incidence(ground.world, ground.gx, ground.gy, ground.grid, acquisition.date)
    hidden = cast_shadow(ground.world, ground.grid, acquisition.date)
    # Crowns stand upright whatever the slope: forests show less of the terrain (sun-canopy-sensor
    # idea, Gu & Gillespie 1998).
    relief = np.minimum(cosine / up, np.float32(2.2))
    relief = relief + np.float32(0.15) * ground.forest * (np.float32(1) - relief)
    view = np.float32(0.5) + np.float32(0.5) / np.sqrt(np.float32(1) + ground.gx**2 + ground.gy**2)
    return _Light(
        relief * (np.float32(1) - hidden) * (np.float32(1) - np.float32(0.82) * shade), view
    )


def classes(ground: Place, acquisition: Acquisition) -> NDArray[np.uint8]:
    """Return what the scene's mask says of each pixel of a window, `(y, x)` `ObservationClass`."""
    over = sky(acquisition, ground.grid)
    lit = light(ground, acquisition, np.zeros(ground.grid.shape, np.float32))
    dark = lit.direct * np.float32(1 - spectra.SKY[2]) + lit.sky * spectra.SKY[2] < _UNREADABLE
    snow = snow_share(ground, season_day(acquisition.date, ground.world.southern)) > 0.25
    found = np.full(ground.grid.shape, ObservationClass.CLEAR, np.uint8)
    found[water_share(ground) > 0.6] = ObservationClass.WATER
    found[snow] = ObservationClass.SNOW
    found[dark | (over.shade > SHADE_MASK)] = ObservationClass.SHADOW
    found[over.cloud > CLOUD_MASK] = ObservationClass.CLOUD
    found[imaged(acquisition, ground.grid) == 0] = ObservationClass.NOT_IMAGED
    return found


def _lit(ground: Place, acquisition: Acquisition) -> F32:
    """Return top-of-atmosphere reflectance before the sensor, `(band, y, x)`."""
    over = sky(acquisition, ground.grid)
    lit = light(ground, acquisition, over.shade)
    laid = surface(ground, acquisition.date)
    thick = haze(acquisition, ground.grid)
    thin = np.exp(-ground.height / np.float32(spectra.SCALE_HEIGHT_M))
    glow = np.float32(0.85) * over.cloud
    for band in range(len(spectra.BANDS)):
        share = spectra.SKY[band]
        ground_light = lit.direct * (1 - share) + lit.sky * share * (
            np.float32(1) - np.float32(0.35) * over.shade
        )
        path = (spectra.PATH[band] + thick * (spectra.PATH[band] / spectra.PATH[0])) * thin
        laid[band] = path + spectra.TRANSMITTANCE[band] * laid[band] * ground_light
        white_cloud = np.float32(0.42 if band < 4 else 0.3) + np.float32(0.4) * glow
        laid[band] += glow * (white_cloud - laid[band])
    return laid


def _taps(shift_px: float) -> F32:
    offsets = np.arange(-2, 3, dtype=np.float64) - shift_px
    weights = np.exp(-0.5 * (offsets / _BLUR_PX) ** 2)
    return np.asarray((weights / weights.sum()).astype(np.float32))


def _blurred(image: F32, across: F32, down: F32) -> F32:
    """Return an image `(y, x)` two pixels smaller on each side, filtered with five taps each
    way.
    """
    width, height = image.shape[1] - 4, image.shape[0] - 4
    wide: F32 = across[0] * image[:, :width]
    for k in range(1, 5):
        wide += across[k] * image[:, k : k + width]
    out: F32 = down[0] * wide[:height]
    for k in range(1, 5):
        out += down[k] * wide[k : k + height]
    return out


def even(grid: Grid) -> Grid:
    """Return the window grown to whole 20 m pixels."""
    top, left = grid.row // 2 * 2, grid.column // 2 * 2
    bottom, right = -(-(grid.row + grid.height) // 2) * 2, -(-(grid.column + grid.width) // 2) * 2
    return Grid(grid.step_m, top, left, bottom - top, right - left)


def render(ground: Place, acquisition: Acquisition, window: Grid) -> F32:
    """Return the scene's reflectance on a native window, `(band, y, x)`; `ground` covers it with
    `MARGIN_PX` around.
    """
    whole = even(window)
    lit = _lit(ground, acquisition)[(slice(None), *whole.grown(2).inside(ground.grid))]
    east, north = acquisition.shift_m
    across, down = _taps(east / window.step_m), _taps(-north / window.step_m)
    out = np.empty((len(spectra.BANDS), *window.shape), np.float32)
    for number, band in enumerate(spectra.BANDS):
        seen = _blurred(lit[number], across, down)
        if band in spectra.COARSE:
            blocks = (
                seen[0::2, 0::2] + seen[0::2, 1::2] + seen[1::2, 0::2] + seen[1::2, 1::2]
            ) * np.float32(0.25)
            noise = white(_halved(whole), acquisition.key("noise", band)) * np.float32(NOISE)
            seen = np.repeat(np.repeat(blocks + noise, 2, 0), 2, 1)
        else:
            seen = seen + white(whole, acquisition.key("noise", band)) * np.float32(NOISE)
        out[number] = seen[window.inside(whole)]
    return np.maximum(out, np.float32(1e-4))


def _halved(grid: Grid) -> Grid:
    return Grid(grid.step_m * 2, grid.row // 2, grid.column // 2, grid.height // 2, grid.width // 2)
