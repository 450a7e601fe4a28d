"""The gate: halves, comes back, honours Retry-After in both forms, and keeps close to what the
quota allows.
"""

from __future__ import annotations

import threading
import time
from email.utils import formatdate

import pytest

from configs.errors import SourceError
from gee.earthengine.rate_limit import STARTS_PER_SECOND, Gate, gate_for
from gee.fetch import retry_after_s


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def never() -> None:
    return None


def test_retry_after_in_both_forms() -> None:
    assert retry_after_s("2.5") == 2.5
    assert retry_after_s(formatdate(1_000_030, usegmt=True), lambda: 1_000_000.0) == pytest.approx(
        30
    )
    assert retry_after_s(formatdate(999_000, usegmt=True), lambda: 1_000_000.0) == 0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None


def test_a_burst_of_refusals_halves_once() -> None:
    clock = Clock()
    gate = Gate(16, clock)
    tickets = []
    for _ in range(16):
        clock.now += 0.02
        tickets.append(gate.enter(40, never))
    for ticket in tickets[:10]:
        gate.refused(ticket, 1.0)
    assert gate.limit == 8
    assert gate.closed_for_s == pytest.approx(1.0)


def test_a_failed_probe_costs_one_refusal_and_waits_longer_each_time() -> None:
    clock = Clock()
    gate = Gate(8, clock)

    def one_round(refuse: bool) -> None:
        clock.now += 5
        tickets = []
        for _ in range(gate.limit):
            clock.now += 0.02
            tickets.append(gate.enter(40, never))
        for number, ticket in enumerate(tickets):
            gate.refused(ticket, 0.5) if refuse and number == 0 else gate.served(ticket)
            gate.leave()

    one_round(refuse=True)
    assert gate.limit == 4
    refusals = 0
    for _ in range(40):  # the service allows four
        before = gate.limit
        one_round(refuse=before > 4)
        refusals += before > 4
        assert gate.limit in (4, 5)
    assert refusals <= 5


def test_who_waits_is_told_when_the_run_stops() -> None:
    gate = Gate(1)
    gate.enter(1, never)
    stopped: list[SourceError] = []
    caught: list[SourceError] = []

    def wait() -> None:
        try:
            gate.enter(1, lambda: stopped[0] if stopped else None)
        except SourceError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    stopped.append(SourceError("over"))
    gate.wake()
    thread.join(2)
    assert [error.message for error in caught] == ["over"]


def test_a_project_has_one_gate() -> None:
    assert gate_for("p", "u") is gate_for("p", "u")
    assert gate_for("p", "u") is not gate_for("p", "v")


def test_few_requests_are_wasted_against_a_cap() -> None:
    """Sixteen workers, a service that serves four at a time: after the first burst hardly anything
    is refused.
    """
    gate, lock, active, served, refused = Gate(), threading.Lock(), [0], [0], [0]
    total = 200

    def work() -> None:
        while served[0] < total:
            ticket = gate.enter(16, never)
            with lock:
                active[0] += 1
                crowded = active[0] > 4
            if crowded:
                gate.refused(ticket, 0.02)
            else:
                time.sleep(0.05)
                gate.served(ticket)
            with lock:
                active[0] -= 1
                served[0] += not crowded
                refused[0] += crowded
            gate.leave()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused[0] <= 0.15 * total
    assert 2 <= gate.limit <= 5


def test_a_burst_may_start_at_once_but_no_second_sees_more_than_the_quota() -> None:
    clock = Clock()
    gate = Gate(1000, clock)
    starts = []
    for _ in range(STARTS_PER_SECOND):
        gate.enter(1000, never)
        starts.append(clock.now)
    assert starts[0] == starts[-1]  # a full round of connections does not wait for one another
    waited: list[float] = []

    class Waiting(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waited.append(timeout)
            clock.now += timeout
            return True

    gate._free = Waiting()
    for _ in range(2 * STARTS_PER_SECOND):
        gate.enter(1000, never)
        starts.append(clock.now)
    for start in starts:
        assert sum(start <= other < start + 1 for other in starts) <= STARTS_PER_SECOND
    assert starts[-1] - starts[0] == pytest.approx(2.0, abs=0.1)
