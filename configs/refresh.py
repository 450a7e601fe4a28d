"""How an event is followed after its first revision: until when, how often, and which pixel wins;
and its state on disk.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.event import Frozen, Moment
from configs.files import format_of


class RefreshConfig(Frozen):
    """When a refresh is due, and what it does with pixels that were clear before."""

    coverage_target: float = Field(default=0.95, gt=0, le=1)
    """Observed share of the area from which the event is closed. Chosen: the rest is mostly
    permanent shade and cloud edges.
    """
    age_limit_days: int = Field(default=90, ge=1, le=3650)
    """Days after the earthquake from which later images are no longer wanted: re-vegetation and new
    slides blur the picture.
    """
    every_hours: float = Field(default=24, gt=0, le=24 * 30)
    """Hours between two looks for new images; Sentinel-2 passes every 2 to 5 days."""
    policy: Literal["keep", "latest"] = "keep"
    """keep: a pixel already clear keeps its image and date, new images fill what was not seen.
    latest: the newest clear pixel.
    """


class EventState(Frozen):
    """``event.yaml``: whether an event is still followed, and why not."""

    format: str = format_of("event")
    state: Literal["open", "closed"] = "open"
    """open: refreshed when something new is to be had; closed: left alone."""
    closed_by: Literal["", "operator", "coverage", "age"] = ""
    """Who closed it: a person, the coverage target, or the age limit."""
    reason: str = ""
    """Why it is closed, in words."""
    coverage_target: float = Field(default=RefreshConfig().coverage_target, gt=0, le=1)
    """Observed share from which it is closed; edit it here."""
    age_limit_days: int = Field(default=RefreshConfig().age_limit_days, ge=1, le=3650)
    """Days after the earthquake from which it is closed; edit it here."""
    every_hours: float = Field(default=RefreshConfig().every_hours, gt=0, le=24 * 30)
    """Hours between two looks for new images; edit it here."""
    latest_revision: int = Field(default=0, ge=0)
    """Number of the latest revision; 0 while there is none."""
    observed_fraction: float | None = Field(default=None, ge=0, le=1)
    """Observed share of the latest revision."""
    checked: Moment | None = None
    """When somebody last looked for new images (the run's clock)."""
