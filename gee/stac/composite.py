"""Several scenes, one image a window: per pixel the first that is clear there, by the scene
classification (SCL) that comes with every L2A scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.records import ObservationClass, Scene
from configs.stack import EPOCH_DAY
from gee.chunks import HANDS
from gee.rasters import Array
from gee.resample import Method
from gee.stac.bands import CogRaster

_CLASSES: Final[Mapping[int, ObservationClass]] = {
    0: ObservationClass.NOT_IMAGED,
    1: ObservationClass.NOT_IMAGED,
    2: ObservationClass.CLEAR,
    3: ObservationClass.SHADOW,
    4: ObservationClass.CLEAR,
    5: ObservationClass.CLEAR,
    6: ObservationClass.WATER,
    7: ObservationClass.CLEAR,
    8: ObservationClass.CLOUD,
    9: ObservationClass.CLOUD,
    10: ObservationClass.CLOUD,
    11: ObservationClass.SNOW,
}
"""Sen2Cor's scene classification (https://sentiwiki.copernicus.eu/web/s2-processing): no data,
saturated or defective, dark area (shaded slopes: they can be read), cloud shadow, vegetation, bare
ground, water, unclassified (bright fresh ground among it), cloud of medium and high probability,
cirrus, snow."""
GROUND: Final = (2, 4, 5, 6, 7)
"""Classes by whose pixels the numbers of a scene are judged."""
_LOOKUP: Final = np.array([_CLASSES.get(n, ObservationClass.CLOUD) for n in range(256)], np.uint8)
_SETTLED: Final = (ObservationClass.CLEAR, ObservationClass.WATER)


@dataclass(frozen=True)
class Shot:
    """One scene, ready to be read."""

    scene: Scene
    classes: Callable[[], CogRaster]
    """Opens the scene classification."""
    bands: Mapping[str, Callable[[], CogRaster]]
    """Stack band -> opens it."""


def observed(numbers: Array) -> NDArray[np.uint8]:
    """Return the observation classes of classification numbers, `(y, x)`, NaN where not known."""
    known = np.isfinite(numbers)
    return np.where(
        known, _LOOKUP[np.where(known, numbers, 0).astype(np.uint8)], ObservationClass.NOT_IMAGED
    ).astype(np.uint8)


def method_for(block: GeoBox, native: GeoBox) -> Method:
    """Return how a band comes onto a grid: its own pixel at the grid's spacing or finer, the mean
    of several on a coarser one.
    """
    return "nearest" if abs(block.affine.a) <= 1.5 * abs(native.affine.a) else "bilinear"


def compose(
    shots: Sequence[Shot], names: Sequence[str], block: GeoBox, hands: Executor
) -> tuple[dict[str, Array], NDArray[np.uint8], NDArray[np.int32]]:
    """Return (bands, observation, date) of a block: per pixel the first clear scene, else the first
    that imaged it. A scene's bands are only asked for where they are used.
    """
    shape = tuple(int(side) for side in block.shape)
    bands = {name: np.full(shape, np.nan, np.float32) for name in names}
    seen, day = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for shot in shots:
        if np.isin(seen, _SETTLED).all():
            break
        found = observed(classified(shot, block))
        better = _better(found, seen)
        if not better.any():
            continue
        window = _around(better)
        pixels = _pixels(shot, names, block[window], hands)
        imaged = np.logical_and.reduce([np.isfinite(values) for values in pixels.values()])
        taken = better[window] & imaged
        for name, values in pixels.items():
            bands[name][window][taken] = values[taken]
        seen[window][taken] = found[window][taken]
        day[window][taken] = (shot.scene.acquired.date() - EPOCH_DAY).days
    return bands, seen, day


def _better(found: NDArray[np.uint8], seen: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a scene shows what those before it did not."""
    clear = np.isin(found, _SETTLED) & ~np.isin(seen, _SETTLED)
    first = (found != ObservationClass.NOT_IMAGED) & (seen == ObservationClass.NOT_IMAGED)
    better: NDArray[np.bool_] = clear | first
    return better


def _around(wanted: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest window that holds all that is wanted."""
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _pixels(shot: Shot, names: Iterable[str], window: GeoBox, hands: Executor) -> dict[str, Array]:
    """Return a scene's bands on a window: waited for together, then warped one by one."""

    def come(name: str) -> CogRaster:
        raster = shot.bands[name]()
        raster.fetch(window)
        return raster

    rasters = dict(zip(names, hands.map(come, names), strict=True))
    return {name: _warped(raster, window) for name, raster in rasters.items()}


def _warped(raster: CogRaster, window: GeoBox) -> Array:
    raster.fetch(window)
    with HANDS:
        return raster.warp(window, method_for(window, raster.geobox))


def classified(shot: Shot, window: GeoBox) -> Array:
    """Return a scene's classification on a window, `(y, x)`, NaN where there is none."""
    raster = shot.classes()
    raster.fetch(window)
    with HANDS:
        return raster.warp(window, "nearest")


def settle_water(
    seen: NDArray[np.uint8], day: NDArray[np.int32], others: Iterable[Shot], block: GeoBox
) -> None:
    """Make clear again, in place, what one day alone calls water: shaded slopes pass for it. Water
    is what a second day calls so too, or what no other day shows clearly.

    Args:
        seen: observation classes of a window, `(y, x)`.
        day: their acquisition days.
        others: scenes to compare with, of both windows, in a fixed order.
        block: the grid.
    """
    open_ = seen == ObservationClass.WATER
    for shot in others:
        if not open_.any():
            return
        that = (shot.scene.acquired.date() - EPOCH_DAY).days
        if (day[open_] == that).all():
            continue
        window = _around(open_)
        found = observed(classified(shot, block[window]))
        asked = open_[window] & (day[window] != that) & np.isin(found, _SETTLED)
        dry = asked & (found == ObservationClass.CLEAR)
        seen[window][dry] = ObservationClass.CLEAR
        open_[window] &= ~asked


def clear_share(numbers: Array, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return (imaged, clear) shares of an area on a coarse grid, 0-1."""
    part = observed(numbers)[inside] if inside.any() else observed(numbers).ravel()
    return (
        float(np.mean(part != ObservationClass.NOT_IMAGED)),
        float(np.mean(np.isin(part, _SETTLED))),
    )


def of_ground(values: Array, numbers: Array) -> Array:
    """Return values where the classification says ground, NaN elsewhere."""
    return np.where(np.isin(numbers, GROUND), values, np.float32(np.nan))
