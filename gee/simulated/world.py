"""A world: one landscape laid over one projected CRS with one seed. Everything is a function of it
and of coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj

from configs.errors import RequestError
from configs.spelling import instead
from gee.simulated.landscapes import LANDSCAPES, Landscape
from gee.simulated.lattice import key

SUN_BAND_M = 10_000.0
"""Latitude is taken in steps of this northing, so that it is the same in every window."""


@dataclass(frozen=True)
class World:
    """The simulated Earth in one map projection."""

    name: str
    seed: int
    epsg: int

    @property
    def landscape(self) -> Landscape:
        """Return the landscape's parameters."""
        return LANDSCAPES[self.name]

    def key(self, *words: str | int) -> int:
        """Return the seed of one of its fields."""
        return key(self.name, self.seed, self.epsg, *words)

    @property
    def central_meridian(self) -> float:
        """Return the longitude whose solar time its acquisitions keep; 0 outside UTM."""
        zone = self.epsg % 100
        return zone * 6.0 - 183.0 if self.epsg // 100 in (326, 327) and 1 <= zone <= 60 else 0.0

    @property
    def southern(self) -> bool:
        """Return whether its seasons are those of the southern hemisphere."""
        return self.epsg // 100 == 327 or self.epsg == 3031

    def latitude(self, northing_m: float) -> float:
        """Return the latitude of a northing on the central meridian, degrees, in steps of
        `SUN_BAND_M`.
        """
        return _latitude(self.epsg, int(np.floor(northing_m / SUN_BAND_M)))


@lru_cache(maxsize=4096)
def _latitude(epsg: int, band: int) -> float:
    if epsg // 100 not in (326, 327):
        return 86.0 if epsg == 3413 else -82.0
    transformer = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True)
    return float(transformer.transform(500_000.0, (band + 0.5) * SUN_BAND_M)[1])


def world(landscape: str, seed: int, crs: object) -> World:
    """Return the world that a metric CRS shows.

    Raises:
        RequestError: an unknown landscape, or a CRS without an EPSG code in metres.
    """
    if landscape not in LANDSCAPES:
        raise RequestError(
            f"--source simulated: no landscape `{landscape}`",
            instead(landscape, LANDSCAPES, f"Choose one of {', '.join(LANDSCAPES)}."),
        )
    found = pyproj.CRS.from_user_input(str(crs))
    epsg = found.to_epsg()
    if epsg is None or not found.is_projected:
        raise RequestError(
            f"the simulated Earth cannot be seen in {found.name}",
            "Use a grid in UTM (EPSG:326zz / EPSG:327zz).",
        )
    return World(landscape, seed, epsg)
