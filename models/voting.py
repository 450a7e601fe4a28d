"""The candidates' vote on a scene: each maps some windows of it, and who agrees with the others is ordered first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from configs.area import Area
from configs.records import Advance
from configs.selection import AGREEMENT, SelectionConfig
from configs.stack import Stack
from models.agreement import agreement, calls, seen_by_all, windows
from models.predict import Device
from models.ranking import Compared, observed

VOTERS = 3
"""Fewer cards than this cannot outvote one: of two, each agrees with the other as much as the other with it."""


def wanted(compared: Iterable[Compared], settings: SelectionConfig) -> bool:
    """Return whether the choice goes by agreement: a study knows all the cards' bands, and there are enough cards for it."""
    known = [settings.calibration(one.found.card.bands, one.found.card.simulated) for one in compared]
    statistics = {one.statistic if one else None for one in known}
    return len(known) >= VOTERS and AGREEMENT in statistics and None not in statistics


def vote(
    compared: Sequence[Compared],
    stack: Stack,
    area: Area | None,
    settings: SelectionConfig,
    device: Device,
    advance: Advance,
) -> dict[str, float]:
    """Return the agreement of each card with the others on windows of the scene, 0-1; empty where no pixel is seen by all.

    The others are those that read the same bands, as in the study that knows them; all candidates where they are too few.

    Raises:
        RequestError: a card's weights cannot be used.
        MachineError: out of memory, or the GPU was lost.
    """
    sights = {(one.found.card.needs_pre, one.found.card.requires) for one in compared}
    usable = seen_by_all([observed(stack, area, *sight) for sight in sorted(sights)])
    places = windows(stack, usable, settings.window_px, settings.windows)
    if not places:
        return {}
    cards = [one.found.load(device).adapted(one.scene) for one in compared]
    thresholds = [one.found.card.threshold for one in compared]
    called = calls(cards, thresholds, stack, places, usable, halo=settings.halo_px, advance=advance)
    every = agreement(list(called))
    for members in _alike(compared):
        if len(members) >= VOTERS:
            every[members] = agreement(list(called[members]))
    return {one.found.card.name: float(value) for one, value in zip(compared, every, strict=True)}


def _alike(compared: Sequence[Compared]) -> list[list[int]]:
    """Return the numbers of the cards that read the same bands, by their bands."""
    found: dict[tuple[frozenset[str], bool], list[int]] = {}
    for number, one in enumerate(compared):
        found.setdefault((frozenset(one.found.card.bands), one.found.card.simulated), []).append(number)
    return list(found.values())
