"""How much ground slid, when the map's own errors are taken into account: the error-adjusted area
and its interval (Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015, eqs. 9 to 11).

What was mapped is not all landslide, and of what was not mapped some is: the shares of both, known
from ground held out of a checkpoint's training, weigh the two areas of this map. The errors belong
to ground of their kind, so nothing is said where the map covers much less or more than theirs did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from configs.checkpoint import Accuracy, Stratum

_SIGMAS = 1.96
"""Standard errors of a two-sided interval of 95 %."""
_ALIKE = 2.0
"""Chosen: beyond half or twice the mapped share of the ground the errors were measured on, they are
those of another kind of scene: what a map leaves out depends on how much there is.
"""


class TotalArea(NamedTuple):
    """An area with its 95 % interval."""

    km2: float
    low_km2: float
    high_km2: float
    measured_on: str = ""
    """Ground on which the errors were measured, in words."""

    def as_plain(self) -> dict[str, float | str]:
        """Return it as JSON holds it."""
        areas = {name: round(getattr(self, name), 6) for name in ("km2", "low_km2", "high_km2")}
        return {**areas, "measured_on": self.measured_on}


def error_adjusted(strata: Iterable[tuple[float, Stratum]]) -> TotalArea:
    """Return the landslide area of (km², errors) of every class of a map, with its interval."""
    km2, shares, units = (
        np.array(column)
        for column in zip(*((area, of.share, of.units) for area, of in strata), strict=True)
    )
    total = float(km2 @ shares)
    error = float(np.sqrt(np.sum(km2**2 * shares * (1 - shares) / (units - 1))))
    low, high = total - _SIGMAS * error, total + _SIGMAS * error
    return TotalArea(total, max(0.0, low), min(float(km2.sum()), high))


def adjusted(mapped_km2: float, seen_km2: float, accuracy: Accuracy | None) -> TotalArea | None:
    """Return the landslide area of a scene of which so much was seen and mapped; None where no
    errors are known, or only those of scenes with far less or more landslides.
    """
    if accuracy is None or not 0 < mapped_km2 <= seen_km2:
        return None
    ratio = mapped_km2 / seen_km2 / accuracy.mapped_fraction if accuracy.mapped_fraction else 0.0
    if not 1 / _ALIKE <= ratio <= _ALIKE:
        return None
    strata = ((mapped_km2, accuracy.mapped), (seen_km2 - mapped_km2, accuracy.unmapped))
    return error_adjusted(strata)._replace(measured_on=accuracy.measured_on)
