"""What a run cost the service and the network: counted, never estimated afterwards."""

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
        self.reported: Mapping[str, str] = {}
        """What the service says about itself in its replies' ``x-earth-engine-*`` headers: quota
        status, perhaps compute.
        """

    def add(self, what: str, number: int = 1) -> None:
        """Count `number` more of something: requests, bytes, rate limited, tried again, split."""
        with self._lock:
            self._counts[what] += number

    def __getitem__(self, what: str) -> int:
        with self._lock:
            return self._counts[what]

    def as_plain(self) -> dict[str, Any]:
        """Return the counts for the provenance, and what the service reported; compute it did not
        report is "unknown".
        """
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        reported = dict(self.reported)
        eecu = next((value for name, value in reported.items() if "eecu" in name), "unknown")
        return {**counts, "eecu": eecu, **({"reported": reported} if reported else {})}
