"""Several scenes, one image a window: which scene comes first, and per pixel the first that is
clear there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import RADAR, When, parse_band
from configs.event import Event
from configs.records import ObservationClass
from configs.stack import EPOCH_DAY
from gee.archive.manifest import CloudMask, SceneEntry
from gee.rasters import Array, Raster
from gee.resample import Method

_LITTLE: Final = 0.1
"""Scenes that are clear over less of the area come after all others: what they show is mostly the
gaps of a cloud mask. Chosen, not measured."""
YEAR_DAYS: Final = 365.25


@dataclass(frozen=True)
class Candidate:
    """A scene with its opened rasters, and how much of the area it shows."""

    entry: SceneEntry
    when: When
    bands: Mapping[str, tuple[Raster, Method]]
    """Stack band -> raster, for the bands the plan pulls."""
    mask: Raster | None
    power: frozenset[str] = frozenset()
    """Those of the bands that are linear power in the file, and become decibel."""
    imaged_fraction: float = 0.0
    around_fraction: float = 0.0
    """Imaged share of the whole grid, the context around the area included."""
    clear_fraction: float = 0.0
    too_bright: bool = False
    """Whether no pixel of any optical band is darker than the offset that Sentinel-2 files of 2022
    and later carry.
    """


def groups(names: Iterable[str], scenes: Iterable[SceneEntry]) -> list[tuple[str, ...]]:
    """Return bands of one window as they are to be composited: together where a scene has them all,
    else optical, then radar.
    """
    requested = tuple(names)
    if any(
        {parse_band(name).band.name for name in requested} <= scene.bands.keys() for scene in scenes
    ):
        return [requested]
    radar = tuple(name for name in requested if parse_band(name).band.name in RADAR)
    optical = tuple(name for name in requested if name not in radar)
    return [group for group in (optical, radar) if group]


def first_choice(candidates: Iterable[Candidate], event: Event) -> list[Candidate]:
    """Return the scenes of one window, best first.

    After the event: earliest first, so that later re-growth and later slides do not blur the
    picture. Before it: nearest in season and in time, one day of the year counting as much as ten
    days ago, since forests before leaf-out pass for scars. Scenes that show little (`_LITTLE`) come
    last; ties by name.
    """
    return sorted(
        candidates,
        key=lambda one: (one.clear_fraction < _LITTLE, _distance(one, event), one.entry.id),
    )


def _distance(candidate: Candidate, event: Event) -> float:
    days = abs((candidate.entry.acquired - event.time).total_seconds()) / 86400
    if candidate.when is When.POST:
        return days
    season = abs((days + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2)
    return season + days / 10


def classes(
    imaged: NDArray[np.bool_], numbers: Array | None, mask: CloudMask | None
) -> NDArray[np.uint8]:
    """Return the observation classes of one scene, `(y, x)`: what its cloud mask says of the imaged
    pixels.

    Where the mask itself is not known the pixel counts as not imaged.
    """
    found = np.where(imaged, ObservationClass.CLEAR, ObservationClass.NOT_IMAGED).astype(np.uint8)
    if mask is None or numbers is None:
        return found
    listed = {
        ObservationClass.CLEAR: mask.clear,
        ObservationClass.CLOUD: mask.cloud,
        ObservationClass.SHADOW: mask.shadow,
        ObservationClass.SNOW: mask.snow,
        ObservationClass.WATER: mask.water,
        ObservationClass.CAST_SHADOW: mask.cast_shadow,
    }
    if mask.clear:
        found[imaged] = ObservationClass.CLOUD
    for kind, values in listed.items():
        found[imaged & np.isin(numbers, values)] = kind
    found[~np.isfinite(numbers)] = ObservationClass.NOT_IMAGED
    return found


def look(
    candidate: Candidate, block: GeoBox, quick: bool = False
) -> tuple[dict[str, Array], NDArray[np.uint8]]:
    """Return one scene's bands and observation classes on a block; a pixel is imaged where all its
    bands are known.
    """
    pixels = {
        name: raster.glance(block) if quick else raster.warp(block, method)
        for name, (raster, method) in candidate.bands.items()
    }
    for name in candidate.power & pixels.keys():
        pixels[name] = decibel(pixels[name])
    imaged = np.logical_and.reduce([np.isfinite(values) for values in pixels.values()])
    numbers = None
    if candidate.mask is not None and imaged.any():
        numbers = candidate.mask.glance(block) if quick else candidate.mask.warp(block, "nearest")
    return pixels, classes(imaged, numbers, candidate.entry.cloud_mask)


def decibel(power: Array) -> Array:
    """Return linear power as dB, NaN where it is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(power > 0, 10 * np.log10(power), np.nan).astype(np.float32)


def compose(
    candidates: Iterable[Candidate], names: Iterable[str], block: GeoBox
) -> tuple[dict[str, Array], NDArray[np.uint8], NDArray[np.int32]]:
    """Return (bands, observation, date) of a block: per pixel the first clear scene, else the first
    that imaged it.
    """
    shape = tuple(int(side) for side in block.shape)
    bands = {name: np.full(shape, np.nan, np.float32) for name in names}
    seen, day = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for candidate in candidates:
        if (seen == ObservationClass.CLEAR).all():
            break
        pixels, found = look(candidate, block)
        better = (found == ObservationClass.CLEAR) & (seen != ObservationClass.CLEAR)
        better |= (found != ObservationClass.NOT_IMAGED) & (seen == ObservationClass.NOT_IMAGED)
        for name, values in pixels.items():
            bands[name][better] = values[better]
        seen[better] = found[better]
        day[better] = (candidate.entry.acquired.date() - EPOCH_DAY).days
    return bands, seen, day
