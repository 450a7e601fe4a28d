"""Is a refresh due? One pure function of what an event has, what is on offer and what time it is (design 2.10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from configs.bands import When
from configs.event import Moment
from configs.records import Scene
from configs.refresh import EventState


@dataclass(frozen=True)
class Standing:
    """What an event has: its state, and what its latest revision knew."""

    state: EventState
    name: str
    event_time: Moment
    as_of: Moment | None
    """Clock of the latest revision; None while there is none."""
    post_last: date
    """Last day that the next run would look at."""
    known: frozenset[str]
    """Scenes that the latest revision could use, by id."""
    review: bool = False
    """Whether an analyst's review waits to be taken up."""

    @property
    def last_day(self) -> date:
        """Return the last day whose images are wanted: the age limit's, or the end of the post window."""
        limit = self.event_time.date() + timedelta(days=self.state.age_limit_days)
        return min(limit, max(self.post_last, self.event_time.date()))


@dataclass(frozen=True)
class Refresh:
    """A refresh is due."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """The event is to be left alone."""

    reason: str
    closed_by: Literal["operator", "coverage", "age"]


@dataclass(frozen=True)
class Wait:
    """Nothing to do now; look again later."""

    reason: str


Verdict = Refresh | Stop | Wait


def settled(standing: Standing) -> Stop | None:
    """Return why an event is to be left alone whatever images there are; None where they decide."""
    state = standing.state
    if standing.review and state.closed_by != "operator":
        return None
    if state.state == "closed":
        return Stop(state.reason or "closed", state.closed_by or "operator")
    if state.observed_fraction is not None and state.observed_fraction >= state.coverage_target:
        seen, target = f"{state.observed_fraction:.1%}", f"{state.coverage_target:.0%}"
        return Stop(f"coverage target reached: {seen} of the area seen, {target} wanted", "coverage")
    return None


def is_refresh_due(standing: Standing, scenes: Iterable[Scene], now: datetime) -> Verdict:
    """Return whether an event's inventory is to be refreshed now.

    Images that came before the age limit are still used when the look for them is late: a missed schedule is made up once.

    Args:
        standing: the event's state and what its latest revision knew.
        scenes: what the source has to offer now for both windows.
        now: the clock; acquisitions after it do not exist.
    """
    if (stop := settled(standing)) is not None:
        return stop
    if standing.review:
        return Refresh("an analyst's review is to be taken up")
    fresh = [
        scene
        for scene in scenes
        if scene.id not in standing.known
        and scene.acquired <= now
        and scene.acquired.date() <= standing.last_day
        and scene.clear_fraction != 0
    ]
    if fresh and (standing.as_of is None or standing.as_of <= now):
        return Refresh(_in_words(fresh))
    end = datetime.combine(standing.last_day, time.max, now.tzinfo)
    if now > end:
        age = (now - standing.event_time).days
        return Stop(f"age limit reached: {age} days after the earthquake, images up to {end.date()} wanted", "age")
    since = f" since revision {standing.state.latest_revision}" if standing.as_of else ""
    return Wait(f"no new image{since}")


def _in_words(fresh: list[Scene]) -> str:
    noun = "image" if len(fresh) == 1 else "images"
    days = sorted({scene.acquired.date() for scene in fresh if scene.when is When.POST} or {fresh[0].acquired.date()})
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"{len(fresh)} new {noun} ({span})"


def is_look_due(state: EventState, now: datetime) -> bool:
    """Return whether it is time to look for new images again; several missed looks are one."""
    if state.state == "closed":
        return False
    return state.checked is None or now >= state.checked + timedelta(hours=state.every_hours)
