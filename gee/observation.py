"""What one checkpoint could see of the area: observation of the windows it reads, and what of its
bands is really known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from configs.area import Area
from configs.bands import RADAR, When, parse_band
from configs.errors import from_os_error
from configs.files import replacing
from configs.places import drop, zarr_at
from configs.reading import open_to_read
from configs.records import Advance, ObservationClass, Requires, silent
from configs.stack import CHUNK_PX, Stack

logger = logging.getLogger(__name__)

OUTSIDE: Final = 255
"""Stored where a pixel's centre lies outside the area: it is neither observed nor missing."""
_STRIP_PX: Final = 4 * CHUNK_PX


@dataclass(frozen=True)
class Observed:
    """Per-pixel observation for one checkpoint, on disk, and its sums over the area."""

    path: Path
    counts: dict[ObservationClass, int]
    """Pixels of the area by class."""
    area_px: int
    unreadable_px: int
    """Pixels whose windows are clear but where a band the checkpoint needs is not known; they count
    as not imaged.
    """
    radar_only_px: int = 0
    """Clear pixels that radar alone vouches for: the checkpoint requires no more, and an optical
    window is not clear there.
    """

    @property
    def array(self) -> zarr.Array[Any]:
        """Return the classes, `(y, x)` uint8: `ObservationClass`, `OUTSIDE` beyond the area."""
        return open_to_read(self.path)

    @property
    def clear_px(self) -> int:
        """Return the pixels a checkpoint can say something about."""
        return self.counts[ObservationClass.CLEAR]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what every product must say about how its pixels were seen."""
        if not self.radar_only_px:
            return ()
        share = self.radar_only_px / max(self.clear_px, 1)
        return (
            f"{share:.0%} of what counts as observed was seen by radar alone: the optical "
            "image is not clear there",
        )

    @property
    def observed_fraction(self) -> float:
        """Return clear / (area - permanent water), 0-1 (contract)."""
        land = self.area_px - self.counts[ObservationClass.WATER]
        return self.clear_px / land if land > 0 else 0.0


def observe(
    stack: Stack,
    bands: Iterable[str],
    area: Area,
    path: Path,
    *,
    requires: Requires = Requires.CLEAR,
    progress: Advance = silent,
) -> Observed:
    """Return what a checkpoint that reads `bands` could see of the area, written to the Zarr array
    `path`.

    CLEAR only where every window the bands need is clear and every band is known. NO_PRE where only
    the pre-event image is missing or unclear. WATER where either window says permanent water. A
    checkpoint that requires radar alone sees wherever its radar and static bands are known; its
    optical bands are given as they are, and filled where there are none.

    Raises:
        MachineError: the disk is full.
    """
    names = tuple(bands)
    stack.view(names)  # refuses bands that the stack does not hold
    needed = names if requires is Requires.CLEAR else tuple(name for name in names if _firm(name))
    counts, unreadable, radar_only = np.zeros(256, np.int64), 0, 0
    strips = list(_strips(stack.shape))
    try:
        drop(path)  # a folder that is not empty cannot be replaced in one step
        with replacing(path) as temporary:
            array = _create(temporary, stack.shape)
            for done, (rows, columns) in enumerate(strips, 1):
                seen = _seen(stack, names, rows, columns)
                clouded = np.zeros(_size(rows, columns), bool)
                if requires is Requires.RADAR:
                    seen, clouded = _through_cloud(seen, clouded)
                classes, unknown = _classes(stack, needed, seen, rows, columns)
                inside = area.mask(stack.geobox[rows, columns])
                unreadable += int(np.count_nonzero(unknown & inside))
                classes[~inside] = OUTSIDE
                array[rows, columns] = classes
                radar_only += int(np.count_nonzero(clouded & (classes == ObservationClass.CLEAR)))
                counts += np.bincount(classes.ravel(), minlength=256)
                progress(done, len(strips))
    except (OSError, MemoryError) as error:
        raise from_os_error(error) from error
    if unreadable:
        logger.warning(
            "%d pixels are clear but a band in %s is not known there: not imaged",
            unreadable,
            ", ".join(needed),
        )
    if radar_only:
        logger.warning(
            "%d pixels were seen by radar alone: the optical image is not clear there", radar_only
        )
    found = {kind: int(counts[kind]) for kind in ObservationClass}
    return Observed(path, found, sum(found.values()), unreadable, radar_only)


def _firm(name: str) -> bool:
    """Return whether cloud leaves a band alone: radar and what does not change with time."""
    parsed = parse_band(name)
    return parsed.when is None or parsed.band.name in RADAR


def _size(rows: slice, columns: slice) -> tuple[int, int]:
    return rows.stop - rows.start, columns.stop - columns.start


def _strips(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield windows of whole chunks, in reading order."""
    for top in range(0, shape[0], _STRIP_PX):
        for left in range(0, shape[1], _STRIP_PX):
            yield (
                slice(top, min(top + _STRIP_PX, shape[0])),
                slice(left, min(left + _STRIP_PX, shape[1])),
            )


def _create(path: Path, shape: tuple[int, int]) -> zarr.Array[Any]:
    return zarr.create_array(
        zarr_at(path),
        shape=shape,
        chunks=(CHUNK_PX, CHUNK_PX),
        dtype="uint8",
        fill_value=OUTSIDE,
        dimension_names=("y", "x"),
    )


def _seen(
    stack: Stack, names: tuple[str, ...], rows: slice, columns: slice
) -> dict[When, NDArray[np.uint8]]:
    """Return what was seen in each window that a checkpoint reads."""
    windows = {parse_band(name).when for name in names} - {None}
    return {when: stack.observation(when, rows, columns) for when in When if when in windows}


def _through_cloud(
    seen: dict[When, NDArray[np.uint8]], clouded: NDArray[np.bool_]
) -> tuple[dict[When, NDArray[np.uint8]], NDArray[np.bool_]]:
    """Return windows as radar sees them, clear but for water, and where the optical image was not
    clear in any.
    """
    for found in seen.values():
        clouded = clouded | ~np.isin(found, (ObservationClass.CLEAR, ObservationClass.WATER))
    clear = {
        when: np.where(found == ObservationClass.WATER, found, np.uint8(ObservationClass.CLEAR))
        for when, found in seen.items()
    }
    return clear, clouded


def _classes(
    stack: Stack,
    names: tuple[str, ...],
    seen: dict[When, NDArray[np.uint8]],
    rows: slice,
    columns: slice,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a window's classes for a checkpoint, and where they would be clear if only its bands
    were known, `(y, x)` each.
    """
    shape = _size(rows, columns)
    classes = seen.get(When.POST, np.full(shape, ObservationClass.CLEAR, np.uint8)).copy()
    if When.PRE in seen:
        no_pre = (classes == ObservationClass.CLEAR) & (seen[When.PRE] != ObservationClass.CLEAR)
        classes[no_pre] = ObservationClass.NO_PRE
    known, known_but_pre = np.ones(shape, bool), np.ones(shape, bool)
    for name in names:
        finite = np.isfinite(stack.read(name, rows, columns))
        known &= finite
        if parse_band(name).when is not When.PRE:
            known_but_pre &= finite
    unknown: NDArray[np.bool_] = (classes == ObservationClass.CLEAR) & ~known
    classes[unknown] = np.where(
        known_but_pre[unknown], ObservationClass.NO_PRE, ObservationClass.NOT_IMAGED
    )
    classes[(classes == ObservationClass.NO_PRE) & ~known_but_pre] = ObservationClass.NOT_IMAGED
    for found in seen.values():
        classes[found == ObservationClass.WATER] = ObservationClass.WATER
    return classes, unknown
