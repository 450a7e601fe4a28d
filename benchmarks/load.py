"""`make verify-load`: fifty triggers in a minute, one run at a time; all finish, and the server
answers quickly all the while.

Tiny simulated runs on a real server. What is measured: seconds of every trigger and of list calls
as the UI makes them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.local_service import LocalService, local_server
from benchmarks.results import machine
from benchmarks.ui import PRESET, SETTINGS

LIMIT_S = 1.0
LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("flow_runs/filter", {"limit": 50, "sort": "EXPECTED_START_TIME_DESC"}),
    ("flow_runs/count", {}),
    ("deployments/filter", {}),
    ("artifacts/latest/count", {}),
)
"""What the pages of the UI ask for."""


@dataclass
class Calls:
    """The seconds of every call, and how many the server put off (HTTP 503: its database was
    locked).
    """

    seconds: list[float] = field(default_factory=list)
    put_off: int = 0

    def make(self, service: LocalService, path: str, body: dict[str, Any]) -> None:
        """Make a call, again after a second where the server puts it off; one idempotency key is
        one run.
        """
        while True:
            begun = time.perf_counter()
            status, answer = service.call(path, body, tries=1)
            self.seconds.append(time.perf_counter() - begun)
            if status in (200, 201):
                return
            if status != 503:
                raise RuntimeError(f"HTTP {status}: {answer}")
            self.put_off += 1
            time.sleep(1)

    def p95(self) -> float:
        """Return the seconds within which 95 % of the calls were answered."""
        return round(float(np.percentile(self.seconds, 95)), 3)


def trigger_all(service: LocalService, runs: int, within_s: float) -> Calls:
    """Return the calls of so many triggers, spread over a time."""
    path = f"deployments/{service.deployment('map-event')['id']}/create_flow_run"
    calls, begun = Calls(), time.monotonic()
    for number in range(runs):
        time.sleep(max(0.0, begun + number * within_s / runs - time.monotonic()))
        request = {
            "latitude": 42.93,
            "longitude": 142.41,
            "date": "2024-09-14T03:21",
            "radius_km": 0.4,
        }
        request |= {"as_of": "2024-11-20", "name": f"load-{number:03d}", "checkpoint": "sim-tephra"}
        body = {"parameters": {"request": request}, "idempotency_key": request["name"]}
        calls.make(service, path, body)
    return calls


def states(service: LocalService) -> dict[str, int]:
    """Return how many triggered runs are in which state."""
    found: dict[str, int] = {}
    for offset in (0, 200):
        runs = service.call("flow_runs/filter", {"limit": 200, "offset": offset})[1]
        for run in runs:
            if not run["auto_scheduled"]:
                found[run["state_type"]] = found.get(run["state_type"], 0) + 1
    return found


def measure(service: LocalService, runs: int, within_s: float, patience_s: float) -> dict[str, Any]:
    """Return what was measured, from the first trigger to the end of the last run."""
    lists = Calls()
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            for path, body in LISTS:
                lists.make(service, path, body)

    watcher = threading.Thread(target=look, daemon=True)
    begun, load = time.monotonic(), []
    watcher.start()
    triggers = trigger_all(service, runs, within_s)
    while (found := states(service)).get("COMPLETED", 0) + found.get("FAILED", 0) + found.get(
        "CRASHED", 0
    ) < runs:
        if time.monotonic() - begun > patience_s:
            break
        load.append(os.getloadavg()[0])
        time.sleep(5)
    over.set()
    watcher.join()
    return {
        "runs": runs,
        "completed": found.get("COMPLETED", 0),
        "other_states": {name: count for name, count in found.items() if name != "COMPLETED"},
        "seconds": round(time.monotonic() - begun),
        "triggers_put_off": triggers.put_off,
        "trigger_p95_s": triggers.p95(),
        "list_p50_s": round(float(np.median(lists.seconds)), 3),
        "list_p95_s": lists.p95(),
        "list_calls": len(lists.seconds),
        "lists_put_off": lists.put_off,
        "load_average": round(float(np.mean(load or [os.getloadavg()[0]])), 1),
        "machine": machine(),
    }


def main() -> None:
    """Measure, print one JSON object, and fail where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument(
        "--within", type=float, default=60.0, help="seconds over which the triggers are spread"
    )
    parser.add_argument(
        "--patience", type=float, default=3600.0, help="seconds until the last run must have ended"
    )
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        local_server(Path(folder), SETTINGS, PRESET) as service,
    ):
        service.serve()
        found = measure(service, given.runs, given.within, given.patience)
    print(json.dumps(found, indent=1))
    if (
        found["completed"] < given.runs
        or max(found["trigger_p95_s"], found["list_p95_s"]) >= LIMIT_S
    ):
        raise SystemExit(f"not every run finished, or an answer took {LIMIT_S:g} s and more at p95")


if __name__ == "__main__":
    main()
