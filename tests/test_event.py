"""Events and windows: who is before, who is after, and what cannot be meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.bands import When
from configs.errors import RequestError
from configs.event import (
    Event,
    Windows,
    check_name,
    check_windows,
    default_windows,
    parse_moment,
    parse_range,
)

NOON = datetime(2018, 9, 5, 12, tzinfo=UTC)


def event(*, time_of_day_known: bool = True) -> Event:
    return Event(
        name="x", time=NOON, time_of_day_known=time_of_day_known, latitude=42.7, longitude=141.9
    )


def test_with_a_time_of_day_the_event_day_has_two_halves() -> None:
    quake = event()
    assert quake.is_before(NOON - timedelta(hours=1))
    assert quake.is_after(NOON + timedelta(hours=1))


def test_without_a_time_of_day_the_event_day_is_neither_pre_nor_post() -> None:
    quake = event(time_of_day_known=False)
    for hours in (-1, 1):
        moment = NOON + timedelta(hours=hours)
        assert not quake.is_before(moment)
        assert not quake.is_after(moment)
    assert quake.is_before(NOON - timedelta(days=1))
    assert quake.is_after(NOON + timedelta(days=1))


@given(st.integers(-400, 400), st.integers(1, 300))
def test_a_moment_is_never_in_both_windows_and_never_later_than_as_of(
    days: int, as_of_days: int
) -> None:
    quake, as_of = event(), NOON + timedelta(days=as_of_days)
    windows = default_windows(quake, as_of, 365, 90)
    moment = NOON + timedelta(days=days)
    held = [windows.holds(when, moment, quake) for when in When]
    assert sum(held) <= 1
    if moment > as_of:
        assert not any(held)
    if 0 < days <= min(90, as_of_days):
        assert held == [False, True]
    if -365 <= days < 0:
        assert held == [True, False]


def test_windows_that_cannot_be_meant_are_refused_with_the_option_to_change() -> None:
    quake = event()
    good = default_windows(quake, NOON + timedelta(days=30), 365, 90)
    check_windows(quake, good)
    late = Windows(
        pre=parse_range("2018-10-01/2018-10-09", "--pre"), post=good.post, as_of=good.as_of
    )
    with pytest.raises(RequestError, match="--pre"):
        check_windows(quake, late)
    early = Windows(
        pre=good.pre, post=parse_range("2018-01-01/2018-02-01", "--post"), as_of=good.as_of
    )
    with pytest.raises(RequestError, match="--post"):
        check_windows(quake, early)
    with pytest.raises(RequestError, match="future"):
        check_windows(quake, Windows(pre=good.pre, post=good.post, as_of=NOON - timedelta(days=3)))


@pytest.mark.parametrize("text", ["yesterday", "2018-13-01", "2018-09-31", ""])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--date"):
        parse_moment(text)


@pytest.mark.parametrize("text", ["2018-09-05", "2018-02-01/2018-01-01", "a/b"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--pre"):
        parse_range(text, "--pre")


def test_times_with_an_offset_become_utc() -> None:
    assert parse_moment("2018-09-06T03:08+09:00") == (datetime(2018, 9, 5, 18, 8, tzinfo=UTC), True)
    assert parse_moment("2018-09-05") == (datetime(2018, 9, 5, tzinfo=UTC), False)


@pytest.mark.parametrize(
    "name", ["../../x", "..", "a/b", "", ".hidden", "x" * 65, "a b", "nul\0", "x."]
)
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="--name"):
        check_name(name)


@pytest.mark.parametrize("name", ["iburi-2018", "us2000h8ty", "eq-20180905T1808-42.69N-141.93E"])
def test_ordinary_names_pass(name: str) -> None:
    assert check_name(name) == name
