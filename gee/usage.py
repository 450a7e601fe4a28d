"""What a run cost a service and the network: counted, never estimated afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any


class Account:
    """Requests, bytes and mishaps of one source, counted by all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, what: str, number: int = 1) -> None:
        """Count `number` more of something: requests, bytes, rate limited, tried again, split."""
        with self._lock:
            self._counts[what] += number

    def __getitem__(self, what: str) -> int:
        with self._lock:
            return self._counts[what]

    def as_plain(self) -> dict[str, Any]:
        """Return the counts for the provenance."""
        with self._lock:
            return dict(sorted(self._counts.items()))


class Counting:
    """A source that asks a service, and counts what that takes."""

    account: Account
    """What it has cost so far."""

    def usage(self) -> dict[str, Any]:
        """Return requests, bytes and mishaps so far, and what the service reported."""
        return self.account.as_plain()

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Add what a worker elsewhere has asked for."""
        for what, count in counts.items():
            self.account.add(what, count)
