"""What the calendar does: leaves, dry grass, the snow line. Days of the year are northern; the
south is half a year off.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from gee.simulated.landscapes import Weather
from gee.simulated.lattice import F32, ramp

_LAPSE_DAYS_PER_M = 0.02
"""Leaf-out comes later, leaf fall earlier, by this much per metre of height (about 2 days in 100 m,
typical).
"""


def season_day(day: date, southern: bool) -> float:
    """Return the day of the year, moved by half a year in the southern hemisphere."""
    return (day.timetuple().tm_yday + (182.5 if southern else 0.0)) % 365.0


def leaves(weather: Weather, day: float, height: F32, variety: F32) -> tuple[F32, F32]:
    """Return (share of leaves on deciduous trees, how much they have turned), `(y, x)` 0-1."""
    delay = (height - np.float32(500)) * np.float32(_LAPSE_DAYS_PER_M) + variety * np.float32(5)
    out = ramp(np.float32(day - weather.green_up_day) - delay, -12, 16)
    gone = ramp(np.float32(day - weather.leaf_fall_day) + delay, -12, 14)
    turned = ramp(np.float32(day - weather.leaf_fall_day + 26) + delay, -14, 14)
    return out * (np.float32(1) - gone), turned


def dryness(weather: Weather, day: float) -> float:
    """Return how dry the season is, 0-1."""
    return float(0.5 + 0.5 * np.cos((day - weather.dry_season_day) * 2 * np.pi / 365.0))


def snow_line_m(weather: Weather, day: float) -> float:
    """Return the elevation above which ground is snow-covered; lowest in mid February."""
    winter = 0.5 + 0.5 * np.cos((day - 45.0) * 2 * np.pi / 365.0)
    return float(
        weather.snow_summer_m + (weather.snow_winter_m - weather.snow_summer_m) * winter**1.3
    )
