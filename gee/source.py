"""The seam of the imagery wing: live, archived and simulated Earth answer the same three questions.

What can you deliver (`offer`), which scenes would it be (`plan`), and the pixels of one block
(`pull`, `elevation`). Sources deliver *measured* bands only; every derived band is computed by
`gee.derive` on our side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import When
from configs.event import Event, Windows
from configs.records import ObservationClass, Offer, Scene

DOUBTS = "doubts"
"""Key of a plan's details: what looks wrong with the imagery, in words."""


_SAME_MODEL: Final = {"cop-dem-glo-30": "glo30"}
"""Name of an elevation model in a catalogue -> the name it has elsewhere."""


@dataclass(frozen=True)
class Plan:
    """What a pull will use, resolved before the first pixel: it goes into the provenance and the
    resume key.
    """

    bands: tuple[str, ...]
    """Measured stack bands to pull (`configs.bands.inputs_of`), without ``dem``."""
    needs_elevation: bool
    geobox: GeoBox
    area: Area
    event: Event
    windows: Windows
    scenes: tuple[Scene, ...]
    requests: int = 0
    """Requests to a service, estimated; 0 for local sources."""
    megabytes: float = 0.0
    """Pixels to be moved, estimated."""
    block_px: int = 0
    """Side of the blocks that suit this grid, a whole multiple of `CHUNK_PX`; 0: the source's
    own.
    """
    details: Mapping[str, Any] = field(default_factory=dict)
    """Source's own provenance, JSON types: collections, versions, orbit, ..."""
    latest_first: bool = False
    """Whether the latest clear pixel after the event is taken, not the earliest."""
    elevation_step_m: float = 0.0
    """Side of the elevation model's pixels; 0 where no elevation can be had, and so no shadow be
    cast.
    """

    @property
    def elevation_model(self) -> str:
        """Return the name of the elevation model that terrain comes from, empty where the source
        does not know it; one model has one name, whoever serves it.
        """
        native = self.details.get("elevation") or {}
        named = (str(native[key]) for key in ("dem", "collection", "model") if native.get(key))
        name = next(named, "")
        return _SAME_MODEL.get(name, name)

    def newest_first(self) -> Plan:
        """Return the plan that takes the latest clear pixel after the event."""
        post = sorted(
            (s for s in self.scenes if s.when is When.POST),
            key=lambda s: (s.acquired, s.id),
            reverse=True,
        )
        rest = tuple(scene for scene in self.scenes if scene.when is not When.POST)
        return replace(self, scenes=(*rest, *post), latest_first=True)


@dataclass(frozen=True)
class Pulled:
    """One block's pixels on the block's grid."""

    bands: Mapping[str, NDArray[np.float32]]
    """Stack band -> `(y, x)` in the band's unit, NaN where not known."""
    observation: Mapping[When, NDArray[np.uint8]]
    """`(y, x)` of `ObservationClass`: NOT_IMAGED, CLEAR, CLOUD, SHADOW, SNOW or WATER (permanent
    water); the terrain's own shadow is found afterwards, from heights and the scenes' sun.
    """
    date: Mapping[When, NDArray[np.int32]]
    """`(y, x)` acquisition day since 1970-01-01, 0 where not imaged."""
    stored: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Those of the bands that came in the very integers a stack stores (`configs.stack.encode`):
    they need no second coding.
    """


@dataclass(frozen=True)
class Elevation:
    """Elevation on its native grid: metres, NaN where void; the grid may be geographic."""

    values: NDArray[np.float32]
    geobox: GeoBox


class Source(Protocol):
    """An Earth to ask. Implementations are cheap to make; they touch disk or network only when
    asked.
    """

    @property
    def name(self) -> str:
        """Return its name as in the run file: ``earthengine``, ``stac``, …"""
        ...

    @property
    def block_px(self) -> int:
        """Return the side of the blocks it likes to be asked for, a whole multiple of
        `configs.stack.CHUNK_PX`.
        """
        ...

    @property
    def workers(self) -> int:
        """Return how many blocks may be asked for at once."""
        ...

    def offer(self) -> Offer:
        """Return what this source can deliver."""
        ...

    def extent(self) -> BaseGeometry | None:
        """Return the WGS 84 outline of what it covers; None for the whole Earth."""
        ...

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return which scenes a pull would use, best first per window.

        Args:
            area: where to look.
            geobox: the run's grid.
            event: what shook.
            windows: when to look, and the clock.
            bands: the stack's bands, derived ones included: only the source knows whether it can be
                asked for elevation.

        Raises:
            NothingToSeeError: the area misses the source, or no scene lies in a window that `bands`
                needs.
            SourceError: the source cannot be had.
            RequestError: a band it does not have, or files that cannot be read.
        """
        ...

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return the measured bands, observation classes and dates of one block. Safe to call from
        several threads.
        """
        ...

    def usage(self) -> dict[str, Any]:
        """Return what has been asked of a service so far, for the provenance: requests, bytes, …;
        empty where there is no service.
        """
        ...

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Add what a worker elsewhere has asked for in this source's name."""
        ...

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return native elevation that covers a block and `margin_px` native pixels around it.

        The native grid is the same whatever the block, so that terrain derived from it has no
        seams.
        """
        ...


def beside(first: Pulled, second: Pulled) -> Pulled:
    """Return the bands of both. Of a window that both looked at, the first tells what was seen, and
    the dates.

    A pixel is imaged where both instruments saw it.
    """
    observation, days = dict(first.observation), dict(first.date)
    for when, seen in second.observation.items():
        days.setdefault(when, second.date[when])
        both = observation.get(when, seen)
        observation[when] = np.where(seen == ObservationClass.NOT_IMAGED, seen, both)
    return Pulled({**first.bands, **second.bands}, observation, days)
