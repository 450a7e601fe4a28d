"""The gate: how many requests may be in flight, and not before when. One per project, shared by
every thread.

The quota (40 concurrent, 100 a second) belongs to the project, not to a thread or a source.
The limit halves when the service refuses (429) and creeps back; a limit that was tried and refused
is remembered, so that probing costs a single refusal now and then instead of a saw-tooth.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from configs.errors import SourceError

_PROJECT_CONCURRENT: Final = 40
"""https://developers.google.com/earth-engine/guides/usage: concurrent requests of a project, per
endpoint.
"""
_PROJECT_PER_SECOND: Final = 100
STARTS_PER_SECOND: Final = 90
"""Requests that may start within any second: the quota, less those that crowd together on the
way.
"""
_FIRST_PROBE_S: Final = 20.0
"""Time before a refused limit is tried again, doubled after every failure (chosen: a probe costs
about one second).
"""
_LONGEST_PROBE_S: Final = 600.0
UNSAID_RETRY_S: Final = 1.0
"""Pause after a refusal that names no Retry-After; doubled by every further one in a row, up to a
minute.
"""


@dataclass(frozen=True)
class _Ticket:
    """A request's leave to go."""

    epoch: int
    """How often the limit had been cut when it started: one burst of refusals cuts once."""


class Gate:
    """Concurrency and pace of one project's requests."""

    def __init__(
        self, most: int = _PROJECT_CONCURRENT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._limit = float(most)
        self._good = 0.0  # the highest limit that a full round went through
        self._in_flight = self._busiest = self._epoch = self._row = self._served = 0
        self._not_before = 0.0
        self._starts: deque[float] = deque(maxlen=STARTS_PER_SECOND)
        self._probe_at, self._probe_s = 0.0, _FIRST_PROBE_S
        self._refused_since: float | None = None
        self._free = threading.Condition()

    @property
    def limit(self) -> int:
        """Return how many requests may be in flight now."""
        return max(1, int(self._limit))

    @property
    def refused_for_s(self) -> float:
        """Return for how long every request has been refused; 0 where the last one was served."""
        with self._free:
            return 0.0 if self._refused_since is None else self._clock() - self._refused_since

    @property
    def closed_for_s(self) -> float:
        """Return how long the service has asked everybody to wait from now on, seconds."""
        with self._free:
            return max(0.0, self._not_before - self._clock())

    def enter(self, most: int, stopped: Callable[[], SourceError | None]) -> _Ticket:
        """Return leave for one request, waiting for it.

        Args:
            most: what the caller itself will have in flight at most.
            stopped: asked while waiting; the error it returns is raised.
        """
        with self._free:
            while True:
                if error := stopped():
                    raise error
                now = self._clock()
                wait = max(self._not_before - now, self._pace_s(now))
                if wait <= 0 and self._in_flight < min(self.limit, most):
                    break
                self._free.wait(min(max(wait, 0.001), 0.5) if wait > 0 else 0.5)
            self._in_flight += 1
            self._busiest = max(self._busiest, self._in_flight)
            self._starts.append(now)
            return _Ticket(self._epoch)

    def _pace_s(self, now: float) -> float:
        """Return how long the next start must wait for the quota of starts; a burst after a pause
        need not.
        """
        return self._starts[0] + 1.0 - now if len(self._starts) == STARTS_PER_SECOND else 0.0

    def leave(self) -> None:
        """Give the place back, whatever came of the request."""
        with self._free:
            self._in_flight -= 1
            self._free.notify()

    def served(self, ticket: _Ticket) -> None:
        """Note a request that was answered: a full round of them raises the limit, slowly."""
        with self._free:
            self._refused_since, self._row = None, 0
            if ticket.epoch != self._epoch:
                return
            self._served += 1
            if self._served < self.limit:
                return
            self._served = 0
            if self.limit > self._good:
                self._good, self._probe_s = float(self.limit), _FIRST_PROBE_S
            if self._limit < self._most and self._clock() >= self._probe_at:
                self._limit = min(self._most, self.limit + 1)
                self._free.notify()

    def refused(self, ticket: _Ticket, retry_after: float | None) -> None:
        """Note a refusal for the rate limit: cut the limit once per burst and let nobody start
        before the time named.
        """
        with self._free:
            now = self._clock()
            self._refused_since = now if self._refused_since is None else self._refused_since
            if ticket.epoch == self._epoch:
                self._cut(now)
            pause = (
                retry_after
                if retry_after is not None
                else min(60.0, UNSAID_RETRY_S * 2 ** max(0, self._row - 1))
            )
            self._not_before = max(self._not_before, now + pause)
            self._free.notify_all()

    def _cut(self, now: float) -> None:
        if 0 < self._good < self.limit:  # a probe above what is known to work only undoes itself
            self._limit = self._good
            self._probe_at, self._probe_s = (
                now + self._probe_s,
                min(2 * self._probe_s, _LONGEST_PROBE_S),
            )
        else:
            self._limit = max(1.0, min(self._limit, self._busiest) / 2)
            self._good = 0.0
        self._busiest = self._served = 0
        self._epoch += 1
        self._row += 1

    def wake(self) -> None:
        """Wake everybody who waits, to look at whether the run was stopped."""
        with self._free:
            self._free.notify_all()


_GATES: dict[tuple[str, str], Gate] = {}
_GATES_LOCK = threading.Lock()


def gate_for(project: str, url: str) -> Gate:
    """Return the one gate of a project at an endpoint, the same for every source in this
    process.
    """
    with _GATES_LOCK:
        return _GATES.setdefault((project, url), Gate())
