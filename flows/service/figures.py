"""What a service looks like from outside, as Prometheus reads it: how its runs stand, what they
have cost, when the feed last answered. Costs are those of the revisions on disk, so that a restart
forgets none; no Prefect here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from configs.errors import CoslideError
from configs.service import ServiceConfig
from flows.events.listing import listed
from flows.watch.watch import feed_of


@dataclass(frozen=True)
class Standing:
    """How the runs of a service stand on its Prefect server."""

    answers: bool
    """False where the server does not answer: nothing is known of the runs then."""
    runs: Mapping[str, int]
    """State, in small letters, to number of runs."""
    queue: int = 0
    """Runs that are due and have not begun."""


Ask = Callable[[], Standing]


class Figures:
    """A collector of `prometheus_client`: asked anew at each scrape."""

    def __init__(self, settings: ServiceConfig, out: Path, ask: Ask) -> None:
        self._settings, self._out, self._ask = settings, out, ask
        self._read: dict[Path, tuple[float, dict[str, Any]]] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield every figure as it is now."""
        standing = self._ask()
        yield GaugeMetricFamily(
            "coslide_server_answers", "1 where the Prefect server answers.", float(standing.answers)
        )
        if standing.answers:
            runs = GaugeMetricFamily("coslide_runs", "Flow runs, by state.", labels=["state"])
            for state, count in standing.runs.items():
                runs.add_metric([state], count)
            yield runs
            yield GaugeMetricFamily(
                "coslide_queue", "Runs that are due and wait to begin.", standing.queue
            )
        yield self._events()
        yield from self._feed()
        yield from self._costs()

    def _events(self) -> Metric:
        found = listed(self._out) if self._out.is_dir() else []
        events = GaugeMetricFamily("coslide_events", "Events on disk, by state.", labels=["state"])
        for state, count in sorted(Counter(one.state for one in found).items()):
            events.add_metric([state], count)
        return events

    def _feed(self) -> Iterator[Metric]:
        try:
            feed = feed_of(self._settings, str(self._out))
        except CoslideError:  # a damaged book: the other figures stand
            return
        if feed is None:
            return
        yield GaugeMetricFamily(
            "coslide_feed_failures",
            "Requests to the earthquake feed that failed in a row.",
            feed.failures,
        )
        if feed.success is not None:
            yield GaugeMetricFamily(
                "coslide_feed_success_timestamp_seconds",
                "When the feed was last read, seconds since 1970.",
                feed.success.timestamp(),
            )

    def _costs(self) -> Iterator[Metric]:
        seconds: dict[str, float] = {}
        totals: Counter[str] = Counter()
        for content in self._provenances():
            for name, step in dict(content.get("steps", {})).items():
                seconds[name] = seconds.get(name, 0.0) + float(step.get("seconds", 0.0))
                if name == "map":
                    totals["pixels"] += int(step.get("pixels", 0))
            account = content.get("account", {})
            totals["requests"] += int(account.get("requests", 0))
            totals["refusals"] += int(account.get("rate_limited", 0))
            totals["revisions"] += 1
        steps = CounterMetricFamily(
            "coslide_step_seconds", "Seconds that steps took, all revisions.", labels=["step"]
        )
        for name, value in sorted(seconds.items()):
            steps.add_metric([name], value)
        yield steps
        for name, words in _TOTALS.items():
            yield CounterMetricFamily(f"coslide_{name}", words, totals[name])

    def _provenances(self) -> Iterator[dict[str, Any]]:
        """Yield what each revision has cost, each file read once; damaged ones are left out."""
        for path in sorted(self._out.glob("*/r[0-9]*/provenance.json")):
            try:
                changed = path.stat().st_mtime
                if self._read.get(path, (0.0, {}))[0] != changed:
                    content = json.loads(path.read_text(encoding="utf-8"))
                    self._read[path] = (changed, content if isinstance(content, dict) else {})
            except (OSError, ValueError):
                continue
            yield self._read[path][1]


_TOTALS = {
    "revisions": "Revisions that were published.",
    "pixels": "Pixels that were mapped, all revisions.",
    "requests": "Requests to Earth Engine, all revisions.",
    "refusals": "Requests that Earth Engine refused for their number, all revisions.",
}


def health(settings: ServiceConfig, out: Path, standing: Standing) -> dict[str, Any]:
    """Return whether the service does its work, and what its feed said last.

    Args:
        settings: the operator's.
        out: the output folder.
        standing: how its runs stand.
    """
    answer: dict[str, Any] = {
        "status": "ok" if standing.answers else "the Prefect server does not answer",
        "runs": dict(standing.runs),
        "queue": standing.queue,
        "feed": None,
    }
    try:
        feed = feed_of(settings, str(out))
    except CoslideError as error:
        return answer | {"feed": {"error": error.message}}
    if feed is not None:
        answer["feed"] = {
            "last": _text(feed.success),
            "failures": feed.failures,
            "error": feed.error,
            "next": _text(feed.next),
        }
    return answer


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
