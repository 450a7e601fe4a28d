"""What one turn of the watch saw and did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Turn:
    """What one turn of the watch saw and did, for people and for `--json`."""

    seen: int = 0
    intended: list[str] = field(default_factory=list)
    """Keys of runs that were written down in this turn."""
    ended: dict[str, str] = field(default_factory=dict)
    """Key → how its run stands now, of runs that were begun or looked after in this turn."""
    withdrawn: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be read or had, and why earthquakes that came near were left alone."""
    feed_error: str = ""
    next: str | None = None
    """While the feed is down: when it is asked again."""

    def as_plain(self) -> dict[str, Any]:
        """Return the turn as plain types."""
        return asdict(self)
