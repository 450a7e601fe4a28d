"""Surface reflectance of what lies on the ground, and what the atmosphere makes of it, per band.

Typical values of dense forest, grass, soil, rock, gravel, water, snow; a band more is a column
more.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gee.simulated.lattice import F32

BANDS: Final = ("B2", "B3", "B4", "B8", "B11", "B12")
"""Optical bands that are simulated, in the order of every spectrum here."""
COARSE: Final = ("B11", "B12")
"""Bands that are measured on 20 m pixels."""

PATH: Final = np.array([0.078, 0.049, 0.029, 0.010, 0.003, 0.002], np.float32)
"""Path reflectance of a clear atmosphere at sea level."""
TRANSMITTANCE: Final = np.array([0.80, 0.86, 0.90, 0.95, 0.95, 0.94], np.float32)
SKY: Final = np.array([0.30, 0.22, 0.16, 0.10, 0.05, 0.03], np.float32)
"""Share of the irradiance of flat ground that comes from the sky."""
SCALE_HEIGHT_M: Final = 7000.0
"""Path reflectance falls by 1/e over this height."""

FOREST = np.array([0.030, 0.050, 0.030, 0.350, 0.160, 0.070], np.float32)
EVERGREEN = np.array([0.027, 0.046, 0.027, 0.330, 0.145, 0.060], np.float32)
CONIFER = np.array([0.022, 0.034, 0.023, 0.225, 0.095, 0.045], np.float32)
LEAFLESS = np.array([0.050, 0.066, 0.080, 0.165, 0.215, 0.145], np.float32)
AUTUMN = np.array([0.038, 0.060, 0.080, 0.270, 0.195, 0.105], np.float32)
GRASS = np.array([0.040, 0.075, 0.055, 0.340, 0.215, 0.110], np.float32)
STRAW = np.array([0.060, 0.090, 0.110, 0.250, 0.270, 0.190], np.float32)
CROP = np.array([0.038, 0.070, 0.042, 0.410, 0.200, 0.095], np.float32)
GRAVEL = np.array([0.130, 0.160, 0.180, 0.220, 0.240, 0.210], np.float32)
WATER = np.array([0.050, 0.045, 0.032, 0.020, 0.010, 0.006], np.float32)
SNOW = np.array([0.850, 0.850, 0.850, 0.800, 0.100, 0.070], np.float32)
BURNT = np.array([0.040, 0.046, 0.054, 0.090, 0.150, 0.160], np.float32)
_PAVED = np.array([0.115, 0.140, 0.155, 0.205, 0.235, 0.205], np.float32)


def between(first: F32, second: F32, share: F32) -> F32:
    """Return `(band, y, x)`: a mixture of two spectra `(band,)` by a share `(y, x)` of the
    second.
    """
    return first[:, None, None] + (second - first)[:, None, None] * share[None]


def paint(surface: F32, share: F32, spectrum: F32) -> None:
    """Cover a surface `(band, y, x)` in place with a spectrum `(band,)` or `(band, y, x)` by a
    share `(y, x)`.
    """
    for band in range(len(surface)):
        surface[band] += share * (spectrum[band] - surface[band])
