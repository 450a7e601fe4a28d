"""Is a refresh due? Every answer of the one function that decides it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from configs.bands import When
from configs.records import Scene
from configs.refresh import EventState
from flows.events.decision import (
    EventStatus,
    Refresh,
    Stop,
    Wait,
    is_look_due,
    is_refresh_due,
    settled,
)

QUAKE = datetime(2018, 9, 5, 18, tzinfo=UTC)
OPEN = EventState(coverage_target=0.9, age_limit_days=60, latest_revision=1, observed_fraction=0.5)
STANDING = EventStatus(
    state=OPEN,
    name="quake",
    event_time=QUAKE,
    as_of=QUAKE + timedelta(days=10),
    post_last=date(2018, 12, 1),
    known=frozenset({"S-5"}),
)


def scene(day: int, clear: float | None = 0.4) -> Scene:
    return Scene(f"S-{day}", When.POST, QUAKE + timedelta(days=day), "L1C", clear)


def on(day: float) -> datetime:
    return QUAKE + timedelta(days=day)


def state(**changes: object) -> EventStatus:
    return replace(STANDING, state=OPEN.model_copy(update=changes))


def test_a_new_image_makes_it_due_and_is_named() -> None:
    decision = is_refresh_due(STANDING, [scene(5), scene(15), scene(20)], on(21))
    assert decision == Refresh("2 new images (2018-09-20 to 2018-09-25)")


def test_nothing_new_waits() -> None:
    assert is_refresh_due(STANDING, [scene(5)], on(21)) == Wait("no new image since revision 1")
    assert isinstance(is_refresh_due(STANDING, [], on(21)), Wait)


def test_an_image_of_tomorrow_does_not_exist_yet() -> None:
    assert isinstance(is_refresh_due(STANDING, [scene(22)], on(21)), Wait)


def test_an_image_that_shows_nothing_is_not_news_one_of_unknown_share_is() -> None:
    assert isinstance(is_refresh_due(STANDING, [scene(15, 0.0)], on(21)), Wait)
    assert isinstance(is_refresh_due(STANDING, [scene(15, None)], on(21)), Refresh)


def test_the_coverage_target_stops_it_whatever_is_on_offer() -> None:
    decision = is_refresh_due(state(observed_fraction=0.9), [scene(15)], on(21))
    assert decision == Stop(
        "coverage target reached: 90.0% of the area seen, 90% wanted", "coverage"
    )
    assert isinstance(is_refresh_due(state(observed_fraction=0.899), [scene(15)], on(21)), Refresh)


def test_an_event_that_was_closed_says_why() -> None:
    closed = state(state="closed", closed_by="operator", reason="the field team has it")
    assert is_refresh_due(closed, [scene(15)], on(21)) == Stop("the field team has it", "operator")
    assert settled(closed) is not None
    assert settled(STANDING) is None


def test_the_age_limit_stops_it_the_day_after() -> None:
    last = datetime(
        2018, 11, 4, 23, 59, tzinfo=UTC
    )  # 60 days after the earthquake's day, the whole day through
    assert isinstance(is_refresh_due(STANDING, [], last), Wait)
    decision = is_refresh_due(STANDING, [], last + timedelta(minutes=2))
    assert isinstance(decision, Stop)
    assert decision.closed_by == "age"
    assert "2018-11-04" in decision.reason


def test_images_beyond_the_age_limit_are_not_wanted() -> None:
    assert isinstance(is_refresh_due(STANDING, [scene(61)], on(70)), Stop)


def test_a_look_that_comes_too_late_is_made_up_once() -> None:
    late = on(200)
    assert isinstance(is_refresh_due(STANDING, [scene(15), scene(61)], late), Refresh)
    made_up = replace(STANDING, as_of=late, known=frozenset({"S-5", "S-15", "S-61"}))
    assert isinstance(is_refresh_due(made_up, [scene(15), scene(61)], late), Stop)


def test_the_end_of_the_post_window_is_a_limit_too() -> None:
    narrow = replace(STANDING, post_last=date(2018, 9, 20))
    assert isinstance(is_refresh_due(narrow, [scene(15)], on(16)), Refresh)
    assert isinstance(is_refresh_due(narrow, [scene(16)], on(16.5)), Stop)


def test_without_a_revision_any_image_is_new() -> None:
    none = replace(
        STANDING,
        state=OPEN.model_copy(update={"latest_revision": 0, "observed_fraction": None}),
        as_of=None,
    )
    none = replace(none, known=frozenset())
    assert isinstance(is_refresh_due(none, [scene(5)], on(6)), Refresh)
    assert is_refresh_due(none, [], on(6)) == Wait("no new image")


def test_a_review_makes_it_due_without_images_but_not_against_the_operators_will() -> None:
    covered = replace(state(observed_fraction=0.99), review=True)
    assert isinstance(is_refresh_due(covered, [], on(300)), Refresh)
    aged = replace(state(state="closed", closed_by="age", reason="old"), review=True)
    assert isinstance(is_refresh_due(aged, [], on(300)), Refresh)
    closed = replace(state(state="closed", closed_by="operator", reason="enough"), review=True)
    assert isinstance(is_refresh_due(closed, [scene(15)], on(21)), Stop)


@pytest.mark.parametrize(("hours", "due"), [(23.9, False), (24, True), (24 * 30, True)])
def test_a_look_is_due_every_so_often_however_many_were_missed(hours: float, due: bool) -> None:
    checked = OPEN.model_copy(update={"checked": QUAKE})
    assert is_look_due(checked, QUAKE + timedelta(hours=hours)) is due
    assert is_look_due(OPEN, QUAKE)
    assert not is_look_due(
        checked.model_copy(update={"state": "closed"}), QUAKE + timedelta(hours=hours)
    )
