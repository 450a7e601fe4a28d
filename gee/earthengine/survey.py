"""The first questions: which scenes there are, then how clear those are that a run could use.

Metadata come by pages of some months, and no pixel is looked at for them. Clear shares cost the
service an aggregation each, of which a project may have few at once: they are asked only for the
scenes that could be chosen, several scenes as the bands of one image, few questions in flight.
What the service refuses as too much is asked again in smaller parts, never unchanged; a scene
whose share is not to be had keeps the cloud share of its own metadata.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import ee

from configs.area import Area
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange, Event, Windows
from gee.earthengine import landsat, optical, radar
from gee.earthengine.pixels import Puller, TooMuchError
from gee.earthengine.scenes import Checkpoint
from gee.ranking import best_first, is_useless, usable

logger = logging.getLogger(__name__)

PAGE_DAYS: Final = 125
"""A page of Sentinel-2 over a large event (nine tiles, every 2.5 days) has some 450 scenes: far
from the 5 000 elements that an answer may have.
"""
SHARES_AT_ONCE: Final = 8
QUESTIONS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class _Page:
    """Some days of one window of one instrument."""

    key: str
    when: When
    days: DateRange

    def halves(self) -> tuple[_Page, ...]:
        """Return the page in two, or none where it is a single day."""
        length = (self.days.last - self.days.first).days
        if length == 0:
            return ()
        middle = self.days.first + timedelta(days=length // 2)
        return (
            replace(self, days=DateRange(first=self.days.first, last=middle)),
            replace(self, days=DateRange(first=middle + timedelta(days=1), last=self.days.last)),
        )


def _pages(windows: Mapping[str, When], dates: Windows) -> list[_Page]:
    pages = []
    for key, when in windows.items():
        days = dates.pre if when is When.PRE else dates.post
        first = days.first
        while first <= days.last:
            last = min(days.last, first + timedelta(days=PAGE_DAYS - 1))
            pages.append(_Page(key, when, DateRange(first=first, last=last)))
            first = last + timedelta(days=1)
    return pages


def scenes(
    puller: Puller,
    windows: Mapping[str, When],
    config: EarthEngineConfig,
    area: Area,
    event: Event,
    dates: Windows,
) -> list[Checkpoint]:
    """Return all scenes the service has in some windows, with the clear shares of those that a run
    could use.

    Args:
        puller: what asks.
        windows: ``optical_post``, ``radar_pre``, … -> its window (`planning.Wanted.windows`).
        config: sensor, level, thresholds, how many scenes of a tile are used.
        area: where to look.
        event: what shook.
        dates: when to look.

    Raises:
        SourceError: nothing helped.
    """
    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as hands:
        pages = hands.map(lambda page: _listed(puller, page, config, area), _pages(windows, dates))
        found = [one for page in pages for one in page]
    if config.sensor == "sentinel-2":
        found = _with_shares(puller, found, config, area, event, dates)
    return found


def _listed(puller: Puller, page: _Page, config: EarthEngineConfig, area: Area) -> list[Checkpoint]:
    """Return the scenes of a page, asked for in halves where it is too much at once."""
    halves = page.halves()
    try:
        answer = puller.ask(_question(page, config, area), patient=not halves)
    except TooMuchError as error:
        if not halves:
            raise puller.give_up(error) from error
        puller.account.add("split")
        return [one for half in halves for one in _listed(puller, half, config, area)]
    if page.key.startswith("radar"):
        return radar.read_listing(answer, page.when, area)
    if config.sensor == "landsat-8":
        return landsat.read_listing(answer, page.when, area)
    return optical.read_listing(answer, config, page.when, area)


def _question(page: _Page, config: EarthEngineConfig, area: Area) -> Any:
    if page.key.startswith("radar"):
        return radar.listing(area, page.days)
    if config.sensor == "landsat-8":
        return ee.Dictionary(landsat.listing(area, page.days))
    return ee.Dictionary(optical.listing(config, area, page.days))


def _with_shares(
    puller: Puller,
    found: Sequence[Checkpoint],
    config: EarthEngineConfig,
    area: Area,
    event: Event,
    dates: Windows,
) -> list[Checkpoint]:
    """Return scenes with their clear shares, asked for until every tile has as many scenes with
    clear ground as a run uses, or no scene is left.
    """
    shares: dict[str, float | None] = {}
    held = usable(found, area, event, dates)
    while True:
        known = [_told(one, shares) for one in held]
        if not (missing := _undecided(known, shares, event, config)):
            break
        shares |= _Shares(puller, config, area).of(missing)
    if unknown := sum(share is None for share in shares.values()):
        logger.warning(
            "Earth Engine would not tell the clear share of %d scenes: they are ranked by the "
            "cloud share of their whole tile",
            unknown,
        )
    return [_told(one, shares) for one in found]


def _told(one: Checkpoint, shares: Mapping[str, float | None]) -> Checkpoint:
    share = shares.get(one.index)
    return one if share is None else replace(one, scene=replace(one.scene, clear_fraction=share))


def _undecided(
    known: Iterable[Checkpoint],
    shares: Mapping[str, float | None],
    event: Event,
    config: EarthEngineConfig,
) -> list[str]:
    """Return the scenes, by their index, whose clear share could still change what is chosen."""
    by_tile: dict[tuple[When, str], list[Checkpoint]] = defaultdict(list)
    for one in known:
        if "clouds" in one.facts:
            by_tile[one.scene.when, one.tile].append(one)
    missing: dict[str, None] = {}
    for group in by_tile.values():
        ordered = [one for one in best_first(group, event, config) if not is_useless(one)]
        for one in ordered[: config.scenes_per_tile]:
            if one.facts["clouds"] == optical.SCORED and one.index not in shares:
                missing[one.index] = None
    return list(missing)


class _Shares:
    """Clear shares, asked for several at once."""

    def __init__(self, puller: Puller, config: EarthEngineConfig, area: Area) -> None:
        self._puller = puller
        self._at_once, self._in_flight = SHARES_AT_ONCE, QUESTIONS_AT_ONCE
        self._question: Callable[[Sequence[str]], Any] = lambda some: optical.shares(
            some, config, area
        )

    def of(self, indices: Sequence[str]) -> dict[str, float | None]:
        """Return scene -> share, None where the service would not tell."""
        known: dict[str, float | None] = {}
        while left := [index for index in indices if index not in known]:
            size = self._at_once
            batches = [left[start : start + size] for start in range(0, len(left), size)]
            with ThreadPoolExecutor(self._in_flight) as hands:
                answers = list(hands.map(self._asked, batches[: self._in_flight]))
            for answer in answers:
                known |= answer or {}
            if None in answers:
                if self._at_once == self._in_flight == 1:
                    known[left[0]] = None
                self._at_once = max(1, self._at_once // 2)
                self._in_flight = max(1, self._in_flight // 2)
        return known

    def _asked(self, batch: Sequence[str]) -> dict[str, float | None] | None:
        """Return the shares of a batch; None where it is too much at once."""
        with suppress(TooMuchError):
            answer = self._puller.ask(self._question(batch))
            return {index: answer[f"s{place}"] for place, index in enumerate(batch)}
        self._puller.account.add("split")
        return None
