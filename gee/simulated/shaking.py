"""From shaking to the number, place and size of slides: published relations, nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammainccinv

from gee.simulated.lattice import F64

NUMBER_SPREAD: Final = 0.46
"""Standard deviation of log10 of the number of slides about Malamud et al. 2004."""
JIBSON_SPREAD: Final = 0.51
"""Standard deviation of log10 of the Newmark displacement (Jibson 2007)."""
_INVERSE_GAMMA: Final = (1.40, 1.28e-3, -1.32e-4)
"""rho, a [km²], s [km²] of the area distribution (Malamud et al. 2004)."""
LARGEST_KM2: Final = 0.4
"""Truncation of the area distribution: its variance is infinite."""
DEFAULT_MAGNITUDE: Final = 6.6
"""Where an event has none: Iburi's."""
DEFAULT_DEPTH_KM: Final = 10.0


@dataclass(frozen=True)
class Rupture:
    """A vertical rupture seen from above: its ends in metres of the world's CRS, and the depth of
    its upper edge.
    """

    magnitude: float
    start: tuple[float, float]
    end: tuple[float, float]
    depth_km: float

    def distance_km(self, x: F64, y: F64) -> F64:
        """Return the closest distance from points (metres) to the rupture, km."""
        return np.sqrt((self.surface_distance_m(x, y) / 1000) ** 2 + self.depth_km**2)

    def surface_distance_m(self, x: F64, y: F64) -> F64:
        """Return the horizontal distance from points (metres) to the rupture's trace, metres."""
        (x0, y0), (x1, y1) = self.start, self.end
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        return np.sqrt((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2)


def rupture_length_km(magnitude: float) -> float:
    """Return the subsurface rupture length (Wells & Coppersmith 1994, all types)."""
    return float(10 ** (0.59 * magnitude - 2.44))


def rupture_width_km(magnitude: float) -> float:
    """Return the down-dip rupture width (Wells & Coppersmith 1994, all types)."""
    return float(10 ** (0.32 * magnitude - 1.01))


def affected_km2(magnitude: float) -> float:
    """Return the area that slides can occur in (Keefer & Wilson 1989)."""
    return float(10 ** (magnitude - 3.46))


def affected_distance_km(magnitude: float) -> float:
    """Return the distance from the rupture trace within which the affected area lies: a stadium of
    that area.
    """
    length = rupture_length_km(magnitude)
    return (math.sqrt(length**2 + math.pi * affected_km2(magnitude)) - length) / math.pi


def peak_acceleration(magnitude: float, distance_km: F64) -> F64:
    """Return peak ground acceleration in g (Campbell 1981; fitted for M 5-7.7 and distances up to
    50 km).
    """
    term = 0.0159 * math.exp(0.868 * magnitude)
    return np.asarray(term * (distance_km + 0.0606 * math.exp(0.7 * magnitude)) ** -1.09)


def safety_factor(
    slope: F64, cohesion_kpa: F64, friction: F64, thickness_m: F64, wet_share: F64
) -> F64:
    """Return the static factor of safety of an infinite slope (Jibson et al. 2000, eq. 3); angles
    in radians.

    Unit weights: material 15.7 kN/m³ (Jibson et al. 2000), water 9.8 kN/m³.
    """
    material, water = 15.7, 9.8
    steep = np.maximum(slope, 1e-3)
    return np.asarray(
        cohesion_kpa / (material * thickness_m * np.sin(steep))
        + np.tan(friction) / np.tan(steep) * (1 - wet_share * water / material)
    )


def critical_acceleration(safety: F64, slope: F64) -> F64:
    """Return the acceleration in g at which an infinite slope begins to move; at least 0.01 g."""
    return np.maximum((safety - 1.0) * np.sin(slope), 0.01)


def newmark_displacement_cm(critical: F64, peak: F64) -> F64:
    """Return the sliding-block displacement in cm (Jibson 2007); 0 where the shaking stays below
    the critical one.
    """
    ratio = np.clip(critical / peak, 1e-6, 1 - 1e-9)
    moved = 10 ** (0.215 + np.log10((1 - ratio) ** 2.341 * ratio**-1.438))
    return np.where(critical < peak, moved, 0.0)


def failure_probability(displacement_cm: F64) -> F64:
    """Return the probability of failure (Jibson et al. 2000, fitted at Northridge); here a relative
    weight.
    """
    return np.asarray(0.335 * (1 - np.exp(-0.048 * displacement_cm**1.565)))


def expected_number(magnitude: float) -> float:
    """Return the number of slides an earthquake triggers (Malamud et al. 2004)."""
    return float(10 ** (1.29 * magnitude - 5.65))


def area_density(area_km2: F64) -> F64:
    """Return the (untruncated) probability density of slide areas, per km² (Malamud et al.
    2004).
    """
    rho, a, s = _INVERSE_GAMMA
    return np.asarray(
        (a / (area_km2 - s)) ** (rho + 1) * np.exp(-a / (area_km2 - s)) / (a * math.gamma(rho))
    )


@lru_cache(maxsize=64)
def _truncation(scale: float) -> tuple[float, float]:
    rho, a, s = _INVERSE_GAMMA
    low, high = (
        gammaincc(rho, a / (25e-6 / scale - s)),
        gammaincc(rho, a / (LARGEST_KM2 / scale - s)),
    )
    return float(low), float(high)


def slide_areas_m2(uniform: NDArray[np.floating], scale: float = 1.0) -> F64:
    """Return slide areas from numbers in (0, 1), by the inverse of the distribution truncated to 25
    m² … 0.4 km².
    """
    rho, a, s = _INVERSE_GAMMA
    low, high = _truncation(scale)
    share = low + np.asarray(uniform, dtype=np.float64) * (high - low)
    return np.asarray((a / gammainccinv(rho, share) + s) * scale * 1e6)
