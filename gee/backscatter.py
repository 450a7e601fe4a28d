"""What a slope does to radar: backscatter as flat ground would have it, and what the sensor could
not see.

A slope that faces the sensor packs more ground into a resolution cell, and shines; one that turns
away is dim. Vollrath et al. (2020, Remote Sens. 12(11), 1867), volume model: the ratio of the
illuminated areas (Small 2011) of a slope in range. Where the slope is steeper than the incidence
angle, or lies in the radar's shadow, there is nothing to correct. Heights are taken on their own
grid, as for every derived band (`gee.derive`).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.records import Sun
from gee.derive import terrain
from gee.shadow import cast_shadow, margin_px
from gee.source import Elevation

STEEPEST_DEG: Final = 5.0
"""Slopes whose local angle comes nearer to the line of sight than this count as layover: the
correction grows without bound there.
"""
FARTHEST_DEG: Final = 46.5
"""Incidence at the far edge of the IW swath (product specification), from where shadow is
longest.
"""


class Geometry(NamedTuple):
    """How a sensor sees a block, `(y, x)` each."""

    flattening_db: NDArray[np.float32]
    """Add it to sigma nought for terrain-flattened gamma nought; NaN where slope or angle is not
    known.
    """
    hidden: NDArray[np.bool_]
    """Layover, foreshortening without bound, or shadow."""


def around_px(step_m: float) -> int:
    """Return how many pixels of elevation around a block can put it into radar shadow."""
    return margin_px(Sun(0.0, 90 - FARTHEST_DEG), step_m)


def geometry(
    elevation: Elevation, block: GeoBox, incidence_deg: NDArray[np.float32], to_sensor_deg: float
) -> Geometry:
    """Return what the terrain does to backscatter.

    Args:
        elevation: heights that cover the block and `around_px` around it.
        block: any grid.
        incidence_deg: angle of incidence on the ellipsoid, `(y, x)`; NaN where not imaged.
        to_sensor_deg: direction from the ground to the sensor, clockwise from true north.
    """
    made = terrain(elevation, block, ("slope", "aspect_sin", "aspect_cos"))
    towards = math.radians(to_sensor_deg)
    facing = made["aspect_sin"] * math.sin(towards) + made["aspect_cos"] * math.cos(towards)
    rise = np.arctan(np.tan(np.radians(made["slope"])) * facing)
    incidence = np.radians(incidence_deg)
    local = incidence - rise  # of the slope in range
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.tan(local) / np.tan(incidence) / np.cos(incidence)
        hidden = (local <= math.radians(STEEPEST_DEG)) | (local >= math.pi / 2)
        flattening = 10 * np.log10(np.where(hidden, np.nan, ratio))
    known = incidence_deg[np.isfinite(incidence_deg)]
    if known.size:
        ray = Sun(to_sensor_deg, 90 - float(np.median(known)))
        hidden |= cast_shadow(elevation, block, ray)
    return Geometry(flattening.astype(np.float32), hidden)
