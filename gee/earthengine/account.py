"""What a run cost the service and the network: counted, never estimated afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Account:
    """Requests, bytes and mishaps of one source, counted by all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.eecu_seconds: float | None = None
        """Compute as the service reports it; None: it did not."""

    def add(self, what: str, number: int = 1) -> None:
        """Count `number` more of something: requests, bytes, rate limited, tried again, split."""
        with self._lock:
            self._counts[what] += number

    def __getitem__(self, what: str) -> int:
        with self._lock:
            return self._counts[what]

    def as_plain(self) -> dict[str, Any]:
        """Return the counts for the provenance; ``eecu_seconds`` is "unknown" where the service did not say."""
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        return {**counts, "eecu_seconds": "unknown" if self.eecu_seconds is None else self.eecu_seconds}
