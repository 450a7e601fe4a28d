"""What shook, and when we look: the event and its windows. All times are UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from configs.bands import When
from configs.errors import RequestError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Event names become folder names: nothing that could lead out of the output folder."""
_OURS = ("index.html", "catalog.json")
USGS_ID = r"^[A-Za-z0-9][A-Za-z0-9_]{1,63}$"
"""Event ids of the USGS: a network and its code, e.g. ``us2000h8ty``; those of the great historical
earthquakes hold an underscore (``official20100227063411530_30``)."""


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _as_written(value: Any) -> Any:
    """Return what stands in a file, a bare number as the day it means: pydantic would take it for
    seconds since 1970.
    """
    if isinstance(value, int | float):
        if re.fullmatch(r"(19|20)\d{6}", str(value)):
            return datetime.strptime(str(value), "%Y%m%d").replace(tzinfo=UTC)
        raise ValueError("is no date: write YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SSZ")
    return value


Moment = Annotated[datetime, BeforeValidator(_as_written), AfterValidator(_utc)]
"""A point in time, always aware and in UTC."""


_FIRST_YEAR, _LAST_YEAR = 1900, 2200
"""Far enough from the ends of the calendar that every window around a date exists."""


def parse_moment(text: str, what: str = "--date") -> tuple[datetime, bool]:
    """Return (moment in UTC, whether a time of day was given) from ``YYYY-MM-DD[THH:MM[:SS]][Z]``.

    Raises:
        RequestError: not such a date.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(
            f"{what}: `{text}` is not a date", "Write YYYY-MM-DD or YYYY-MM-DDTHH:MM (UTC)."
        ) from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise RequestError(
            f"{what}: `{text}` lies outside the years {_FIRST_YEAR} to {_LAST_YEAR}",
            "Satellites have looked since 1972; correct the year.",
        )
    return _utc(moment), len(text.strip()) > 10


def parse_range(text: str, what: str) -> DateRange:
    """Return the days ``FROM/TO``, both included.

    Raises:
        RequestError: not two dates, or the first after the second.
    """
    first, slash, last = text.partition("/")
    if not slash:
        raise RequestError(
            f"{what}: `{text}` is not a range of days",
            f"Write {what} YYYY-MM-DD/YYYY-MM-DD, both ends included.",
        )
    days = [parse_moment(part, what)[0].date() for part in (first, last)]
    if days[0] > days[1]:
        raise RequestError(
            f"{what}: {days[0]} is after {days[1]}",
            f"Write the earlier day first: {what} {days[1]}/{days[0]}.",
        )
    return DateRange(first=days[0], last=days[1])


class Frozen(BaseModel):
    """A record that cannot change and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Event(Frozen):
    """An earthquake."""

    name: str = Field(pattern=NAME_PATTERN)
    """Folder name of the event."""
    title: str = ""
    """Free text for people, e.g. the place; shown escaped."""
    time: Moment
    """Origin time, UTC."""
    time_of_day_known: bool = True
    """False when only the day was given: scenes of that day are then neither pre nor post
    (contract).
    """
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    magnitude: float | None = Field(default=None, ge=-2, le=10)
    depth_km: float | None = Field(default=None, ge=-10, le=800)
    usgs_id: str | None = None
    shakemap_url: str | None = None
    shakemap_doubt: str = Field(default="", exclude=True)
    """Why the ShakeMap that there is cannot be used; no part of what is asked or kept."""

    def is_before(self, acquired: datetime) -> bool:
        """Return whether an acquisition is surely before the shaking."""
        return (
            acquired < self.time if self.time_of_day_known else acquired.date() < self.time.date()
        )

    def is_after(self, acquired: datetime) -> bool:
        """Return whether an acquisition is surely after the shaking."""
        return (
            acquired > self.time if self.time_of_day_known else acquired.date() > self.time.date()
        )


class DateRange(Frozen):
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Accept ``FROM/TO`` as it is written on the command line."""
        if isinstance(value, str) and value.count("/") == 1:
            return dict(zip(("first", "last"), value.split("/"), strict=True))
        return value

    @model_validator(mode="after")
    def _ordered(self) -> DateRange:
        if self.first > self.last:
            raise ValueError(f"{self.first} is after {self.last}")
        return self

    def holds(self, moment: datetime) -> bool:
        """Return whether a moment lies in the range."""
        return self.first <= moment.date() <= self.last

    def __str__(self) -> str:
        return f"{self.first}/{self.last}"


class Windows(Frozen):
    """When we look, before and after, and how late it is now."""

    pre: DateRange
    post: DateRange
    as_of: Moment
    """Later acquisitions do not exist for this run: the one clock."""

    def holds(self, when: When, acquired: datetime, event: Event) -> bool:
        """Return whether an acquisition belongs to a window: inside it, on its side of the shaking,
        not after `as_of`.
        """
        if acquired > self.as_of:
            return False
        if when is When.PRE:
            return self.pre.holds(acquired) and event.is_before(acquired)
        return self.post.holds(acquired) and event.is_after(acquired)


def default_windows(event: Event, as_of: datetime, pre_days: int, post_days: int) -> Windows:
    """Return the windows used where none are given: up to `pre_days` before and `post_days` after
    the event.
    """
    day = event.time.date()
    return Windows(
        pre=DateRange(first=day - timedelta(days=pre_days), last=day),
        post=DateRange(
            first=day, last=max(day, min(day + timedelta(days=post_days), _utc(as_of).date()))
        ),
        as_of=as_of,
    )


def check_windows(event: Event, windows: Windows) -> None:
    """Refuse windows that cannot be meant.

    Raises:
        RequestError: the event lies in the future of `as_of`, the pre window begins after the
            event, or the post window ends before it.
    """
    day = event.time.date()
    if datetime.combine(day, time.min, UTC) > windows.as_of:
        raise RequestError(
            f"the event's date {day} is in the future (now: {windows.as_of.date()})",
            "Check --date; it is UTC.",
        )
    if windows.pre.first > windows.post.last or windows.pre.first > day:
        raise RequestError(
            f"the pre window {windows.pre} begins after the event ({day})",
            "Give --pre days before the event and --post days after it.",
        )
    if windows.post.last < day:
        raise RequestError(
            f"the post window {windows.post} ends before the event ({day})",
            "Give --post days after the event.",
        )


def default_name(moment: datetime, latitude: float, longitude: float) -> str:
    """Return a folder name for an event nobody named, e.g. ``eq-20180905T1808-42.69N-141.93E``."""
    ns, ew = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"eq-{moment:%Y%m%dT%H%M}-{abs(latitude):.2f}{ns}-{abs(longitude):.2f}{ew}"


def check_name(name: str) -> str:
    """Return an event name that is safe as a folder name.

    Raises:
        RequestError: anything else, such as ``../../x``.
    """
    if name.lower() in _OURS:
        raise RequestError(
            f"--name: `{name}` is a file of ours beside the events", "Choose another --name."
        )
    if not re.match(NAME_PATTERN, name) or name.endswith("."):
        raise RequestError(
            f"--name: `{name}` cannot be a folder name",
            "Use letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit.",
        )
    return name


def as_plain(record: BaseModel) -> dict[str, Any]:
    """Return a record as plain YAML/JSON types."""
    return record.model_dump(mode="json")
