"""Small frozen records that travel between the wings: scenes, observation classes, what a source
offers, the choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Literal

from configs.bands import When

Advance = Callable[[int, int], None]
"""Progress of a long step: called with (done, total)."""


IGNORED = 255
"""Label of pixels that are neither landslide nor none: outside the interpreted extent, uncertain,
not seen, or of another split."""


def silent(done: int, total: int) -> None:
    """Report progress to nobody."""


class ObservationClass(IntEnum):
    """What was seen of a pixel (contract, ``observation.tif``)."""

    NOT_IMAGED = 0
    CLEAR = 1
    CLOUD = 2
    SHADOW = 3
    SNOW = 4
    WATER = 5
    NO_PRE = 6
    """No clear pre-event pixel; only where the checkpoint used needs one."""
    CAST_SHADOW = 7
    """Hidden from the sun by the terrain (`gee.shadow`), whatever the scene's own mask says."""


class Level(StrEnum):
    """Product level of the optical bands: what the numbers mean. Checkpoints and sources must agree
    on it.
    """

    TOA = "L1C"
    """Top-of-atmosphere reflectance."""
    SURFACE = "L2A"
    """Surface reflectance."""
    DISPLAY = "display"
    """Brightness, 0-1, of pictures made to be looked at (8-bit RGB): no reflectance, so only
    checkpoints of such pictures fit.
    """


class Requires(StrEnum):
    """What must have been seen of a pixel for a checkpoint to say something about it."""

    CLEAR = "clear"
    """Every window that the checkpoint reads, clear in every instrument."""
    RADAR = "radar"
    """The radar bands and the static ones; optical bands are given as they are, cloud or not. Only
    for checkpoints that learnt so.
    """


@dataclass(frozen=True)
class Sun:
    """Where the sun stood, seen from the middle of a scene."""

    azimuth_deg: float
    """Clockwise from true north."""
    elevation_deg: float
    """Above the horizon."""


@dataclass(frozen=True)
class Scene:
    """One acquisition."""

    id: str
    when: When
    acquired: datetime
    product: str
    clear_fraction: float | None = None
    """Clear share of the area, 0-1; None where it is not known before pulling."""
    cloud_fraction: float | None = None
    date_assumed: bool = False
    """True where the archive's author did not know the date and wrote a plausible one."""
    sun: Sun | None = None
    """None for radar, and where nobody says: no shadow is cast then."""


@dataclass(frozen=True)
class Offer:
    """What a source can deliver. A checkpoint fits when its family and bands do."""

    source: str
    sensor: str
    """e.g. ``sentinel-2``; rasters of another origin say so."""
    level: Level
    resolution_m: float
    """Finest resolution that makes sense to ask for, metres."""
    bands: frozenset[str]
    """Stack bands, derived ones included."""
    simulated: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """One checkpoint's distance to a scene, as written to ``selection.csv``: one row a band, and
    the joint one.
    """

    card: str
    distance: float
    """Joint MMD (square root of MMD^2, Yang et al. 2024 eq. 8)."""
    standard_error: float
    per_band: dict[str, float]
    p_value: float | None = None
    validation_f1: float | None = None
    note: str = ""
    expected_f1: float | None = None
    """The F1 that a study lets one expect here, where one covers the checkpoint."""
    advantage: float | None = None
    """What the checkpoint reached beyond others on unseen domains, where that was measured."""
    signals: dict[str, float] = field(default_factory=dict)
    """Further distances that tell a scene unlike anything a checkpoint is known to work on."""
    adapted_distance: float | None = None
    """The same after the scene was adapted to the checkpoint, of a checkpoint that does so
    (`models.inference.adaptation`); `distance` is before it.
    """


Domain = bool | Literal["unknown"]
"""Whether a scene is out of a checkpoint's domain. False: it is as near as the checkpoint's own
training areas, or as scenes that a study has shown to work. True: a study has shown where it stops
to work, and the scene lies beyond. unknown: nobody has tried the checkpoint so far from home.
"""


@dataclass(frozen=True)
class Choice:
    """Which checkpoint maps this scene, and why."""

    card: str
    fallback: str | None
    """A post-only checkpoint that fills what has no clear pre image, if any."""
    ranking: tuple[Ranked, ...]
    out_of_domain: Domain
    expected_f1: float | None
    reason: str
    warnings: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    """The checkpoints whose mean maps the scene, the chosen one first, where the run asks for
    `average`; empty otherwise.
    """
    trained_on: str = ""
    """What the chosen checkpoint knows, in words: its training domains."""
    fallback_out_of_domain: Domain = False
    """The same of the fallback, which draws landslides of its own."""


@dataclass(frozen=True)
class Finding:
    """One thing that `coslide doctor` looked at."""

    what: str
    state: Literal["ok", "warn", "missing"]
    """warn: limits what can be done, or was never set up here; missing: something is wrong."""
    detail: str
    """What was found, for people; never a secret."""
    remedy: str = ""
    """The one command that mends it."""
