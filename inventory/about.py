"""What the products say of the run that made them: the event, where and when we looked, with what,
and what to beware of.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.area import Area
from configs.checkpoint import Accuracy, Confidence
from configs.event import Event, Windows
from configs.records import Choice, Scene


@dataclass(frozen=True)
class Beside:
    """What the index (colour alone) maps of the same scene by the same rules."""

    count: int
    km2: float
    shared_km2: float
    """Ground that the inventory calls landslide too."""


@dataclass(frozen=True)
class About:
    """A run in the words of its products. Its one clock is `windows.as_of`: the same run gives the
    same bytes.
    """

    event: Event
    area: Area
    windows: Windows
    scenes: tuple[Scene, ...]
    choice: Choice
    source: str
    """Where the imagery came from, for people: ``earthengine``, ``archive:...``,
    ``simulated:...``.
    """
    simulated: bool
    """Whether the imagery is simulated; every product then says so."""
    revision: int = 1
    warnings: tuple[str, ...] = ()
    attribution: tuple[str, ...] = ()
    """Lines the licences of imagery and training data ask for."""
    bands: tuple[str, ...] = ()
    """Stack bands the checkpoint reads."""
    beside: Beside | None = None
    """What colour alone maps, where that was asked."""
    promise: Confidence | None = None
    """What high and medium confidence promise, where it was measured of the checkpoint."""
    accuracy: Accuracy | None = None
    """What the total area is adjusted by, where the whole map is that of one checkpoint it was
    measured of.
    """

    @property
    def stamp(self) -> str:
        """Return the run's clock as an ISO 8601 text in UTC."""
        return self.windows.as_of.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    @property
    def name(self) -> str:
        """Return the event's title, or its folder name where it has none."""
        return self.event.title or self.event.name
