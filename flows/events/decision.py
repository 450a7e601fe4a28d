"""Whether an event is to be looked at, refreshed or left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from configs.bands import When
from configs.event import Moment
from configs.records import Scene
from configs.refresh import EventState


@dataclass(frozen=True)
class EventStatus:
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
        """Return the last day whose images are wanted: the age limit's, or the end of the post
        window.
        """
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


Decision = Refresh | Stop | Wait


def settled(status: EventStatus) -> Stop | None:
    """Return why an event is to be left alone whatever images there are; None where they decide."""
    state = status.state
    if status.review and state.closed_by != "operator":
        return None
    if state.state == "closed":
        return Stop(state.reason or "closed", state.closed_by or "operator")
    if state.observed_fraction is not None and state.observed_fraction >= state.coverage_target:
        seen, target = f"{state.observed_fraction:.1%}", f"{state.coverage_target:.0%}"
        return Stop(
            f"coverage target reached: {seen} of the area seen, {target} wanted", "coverage"
        )
    return None


def is_refresh_due(status: EventStatus, scenes: Iterable[Scene], now: datetime) -> Decision:
    """Return whether an event's inventory is to be refreshed now.

    Images that came before the age limit are still used when the look for them is late: a missed
    schedule is made up once.

    Args:
        status: the event's state and what its latest revision knew.
        scenes: what the source has to offer now for both windows.
        now: the clock; acquisitions after it do not exist.
    """
    if (stop := settled(status)) is not None:
        return stop
    if status.review:
        return Refresh("an analyst's review is to be taken up")
    fresh = [
        scene
        for scene in scenes
        if scene.id not in status.known
        and scene.acquired <= now
        and scene.acquired.date() <= status.last_day
        and scene.clear_fraction != 0
    ]
    if fresh and (status.as_of is None or status.as_of <= now):
        return Refresh(_in_words(fresh, status.known))
    end = datetime.combine(status.last_day, time.max, now.tzinfo)
    if now > end:
        age = (now - status.event_time).days
        return Stop(
            f"age limit reached: {age} days after the earthquake, images up to {end.date()} wanted",
            "age",
        )
    since = f" since revision {status.state.latest_revision}" if status.as_of else ""
    return Wait(f"no new image{since}")


def _in_words(fresh: list[Scene], known: Collection[str]) -> str:
    early = {name.rpartition("/")[2] for name in known if "_RT" in name.rpartition("/")[0]}
    final = sum(scene.id.rpartition("/")[2] in early for scene in fresh)
    if final == len(fresh):
        return f"{final} real-time {'image is' if final == 1 else 'images are'} final now"
    noun = "image" if len(fresh) == 1 else "images"
    days = sorted(
        {scene.acquired.date() for scene in fresh if scene.when is When.POST}
        or {fresh[0].acquired.date()}
    )
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"{len(fresh)} new {noun} ({span})"


def is_look_due(state: EventState, now: datetime) -> bool:
    """Return whether it is time to look for new images again; several missed looks are one."""
    if state.state == "closed":
        return False
    return state.checked is None or now >= state.checked + timedelta(hours=state.every_hours)
