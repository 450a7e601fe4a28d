"""Landsat-8 over the simulated Earth, as the live source delivers it: pan-sharpened to 15 m, under
Sentinel-2's band names.

The same light, air and ground as `scene` and `sentinel2`, seen on pixels of 30 m and by a pan band
of 15 m, once in 16 days. Visible bands by smoothing-filter-based intensity modulation (band x pan /
smoothed pan, Liu 2000), the others bilinear.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

import numpy as np

from configs.stack import EPOCH_DAY
from gee.simulated import sentinel2, spectra
from gee.simulated.cover import Place
from gee.simulated.lattice import F32, Grid, spread, white
from gee.simulated.scene import _blurred, _lit, _taps
from gee.simulated.sky import Acquisition, acquisitions
from gee.simulated.world import World

BANDS: Final = ("B1", "B2", "B3", "B4", "B8", "B11", "B12")
"""OLI's bands 1 to 7, as `gee.earthengine.landsat` names them."""
PAN: Final = {"B2": np.float32(0.2), "B3": np.float32(0.45), "B4": np.float32(0.35)}
"""What the pan band (0.50-0.68 µm) is of the visible ones, about their share of its width; these
bands are sharpened.
"""
PRODUCT: Final = "simulated Landsat-8 TOA, pan-sharpened to 15 m"
RESOLUTION_M: Final = 15.0
REVISIT_DAYS: Final = 16
NOISE: Final = np.float32(0.0012)
"""Detector noise, reflectance (typical; OLI is quieter than MSI)."""
MARGIN_PX: Final = 16
"""Native pixels around a window: 30 m pixels to interpolate between, the smoothed pan, and the
point spread.
"""


def overpasses(world: World, grid: Grid, first: date, last: date) -> list[Acquisition]:
    """Return the overpasses that see any of a window between two local solar days, earliest
    first.
    """
    tracks = sorted({one.track for one in acquisitions(world, grid, first, last)})
    found, start = [], (first - EPOCH_DAY).days
    for track in tracks:
        begin = start + (world.key("landsat track", track) % REVISIT_DAYS - start) % REVISIT_DAYS
        found += [
            Acquisition(world, track, day)
            for day in range(begin, (last - EPOCH_DAY).days + 1, REVISIT_DAYS)
        ]
    return sorted(found, key=lambda one: (one.day, one.track))


def reach(window: Grid) -> Grid:
    """Return the window that the ground must cover."""
    return window.grown(MARGIN_PX)


def _halves(image: F32) -> F32:
    """Return pixels of 15 m from native ones of 10 m, two from three each way, by the ground they
    share.
    """
    half = np.float32(0.5)
    tall = np.empty((image.shape[0] // 3 * 2, image.shape[1]), np.float32)
    tall[0::2] = image[0::3] + half * image[1::3]
    tall[1::2] = half * image[1::3] + image[2::3]
    wide = np.empty((tall.shape[0], image.shape[1] // 3 * 2), np.float32)
    wide[:, 0::2] = tall[:, 0::3] + half * tall[:, 1::3]
    wide[:, 1::2] = half * tall[:, 1::3] + tall[:, 2::3]
    return wide * np.float32(1 / 2.25)


def _smooth(image: F32) -> F32:
    """Return 3 x 3 means, one pixel smaller on each side."""
    height, width = image.shape[0] - 2, image.shape[1] - 2
    total = np.zeros((height, width), np.float32)
    for row in range(3):
        for column in range(3):
            total += image[row : row + height, column : column + width]
    return total * np.float32(1 / 9)


def render(
    ground: Place, acquisition: Acquisition, window: Grid, names: Iterable[str]
) -> dict[str, F32]:
    """Return bands of one scene at the centres of native pixels, bilinear between those of 15 m,
    name -> `(y, x)`.

    Args:
        ground: covers `reach(window)`.
        acquisition: the scene.
        window: where.
        names: of `BANDS`.
    """
    requested = list(names)
    fine = Grid(RESOLUTION_M, 0, 0, 1, 1).around(window, RESOLUTION_M)
    coarse = Grid(30.0, 0, 0, 1, 1).around(fine.grown(1), 30.0)
    native = Grid(
        window.step_m, coarse.row * 3, coarse.column * 3, coarse.height * 3, coarse.width * 3
    )
    lit = _seen(ground, acquisition, native, {*requested, *PAN})
    halves = Grid(
        RESOLUTION_M, coarse.row * 2, coarse.column * 2, coarse.height * 2, coarse.width * 2
    )
    pan = sum(
        (share * lit[name] for name, share in PAN.items()), np.zeros(native.shape, np.float32)
    )
    pan = _halves(pan) + white(halves, acquisition.key("noise", "pan")) * NOISE
    detail = pan[fine.inside(halves)] / np.maximum(
        _smooth(pan[fine.grown(1).inside(halves)]), np.float32(1e-3)
    )
    found = {}
    for name in requested:
        own = (
            sentinel2.blocks(lit[name], 3)
            + white(coarse, acquisition.key("noise oli", name)) * NOISE
        )
        image = spread(own, coarse, fine) * (detail if name in PAN else np.float32(1))
        found[name] = np.maximum(spread(image.astype(np.float32), fine, window), np.float32(1e-4))
    return found


def _seen(ground: Place, acquisition: Acquisition, native: Grid, names: set[str]) -> dict[str, F32]:
    """Return top-of-atmosphere reflectance through the point spread, on native pixels, band -> `(y,
    x)`.
    """
    six = _lit(ground, acquisition)
    lit = {name: six[spectra.BANDS.index(name)] for name in sorted(names) if name in spectra.BANDS}
    if "B1" in names:
        lit |= sentinel2.lit(ground, acquisition, ["B1"])
    east, north = acquisition.shift_m
    across, down = _taps(east / native.step_m), _taps(-north / native.step_m)
    part = native.grown(2).inside(ground.grid)
    return {name: _blurred(image[part], across, down) for name, image in lit.items()}
