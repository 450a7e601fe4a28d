"""`make verify-load`: fifty triggers in a minute, one run at a time; all finish, and the server answers quickly all the while.

Tiny simulated runs on a real server. What is measured: seconds of every trigger and of list calls as the UI makes them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.document import machine
from benchmarks.local_service import LocalService, local_server
from benchmarks.ui import PRESET, SETTINGS

LIMIT_S = 1.0
LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("flow_runs/filter", {"limit": 50, "sort": "EXPECTED_START_TIME_DESC"}),
    ("flow_runs/count", {}),
    ("deployments/filter", {}),
    ("artifacts/latest/count", {}),
)
"""What the pages of the UI ask for."""


def timed(service: LocalService, path: str, body: dict[str, Any]) -> float:
    """Return the seconds that a call took."""
    begun = time.perf_counter()
    status, answer = service.call(path, body, tries=1)
    assert status in (200, 201), (status, answer)
    return time.perf_counter() - begun


def trigger_all(service: LocalService, runs: int, within_s: float) -> list[float]:
    """Return the seconds of each of so many triggers, spread over a time."""
    path = f"deployments/{service.deployment('map-event')['id']}/create_flow_run"
    taken, begun = [], time.monotonic()
    for number in range(runs):
        time.sleep(max(0.0, begun + number * within_s / runs - time.monotonic()))
        request = {"latitude": 42.93, "longitude": 142.41, "date": "2024-09-14T03:21", "radius_km": 0.4}
        request |= {"as_of": "2024-11-20", "name": f"load-{number:03d}", "checkpoint": "sim-tephra"}
        taken.append(timed(service, path, {"parameters": {"request": request}}))
    return taken


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
    lists: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            lists.extend(timed(service, path, body) for path, body in LISTS)

    watcher = threading.Thread(target=look, daemon=True)
    begun, load = time.monotonic(), []
    watcher.start()
    triggers = trigger_all(service, runs, within_s)
    while (found := states(service)).get("COMPLETED", 0) + found.get("FAILED", 0) + found.get("CRASHED", 0) < runs:
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
        "trigger_p95_s": round(float(np.percentile(triggers, 95)), 3),
        "list_p50_s": round(float(np.median(lists)), 3),
        "list_p95_s": round(float(np.percentile(lists, 95)), 3),
        "list_calls": len(lists),
        "load_average": round(float(np.mean(load or [os.getloadavg()[0]])), 1),
        "machine": machine(),
    }


def main() -> None:
    """Measure, print one JSON object, and fail where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--within", type=float, default=60.0, help="seconds over which the triggers are spread")
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds until the last run must have ended")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_server(Path(folder), SETTINGS, PRESET) as service:
        service.serve()
        found = measure(service, given.runs, given.within, given.patience)
    print(json.dumps(found, indent=1))
    if found["completed"] < given.runs or max(found["trigger_p95_s"], found["list_p95_s"]) >= LIMIT_S:
        raise SystemExit(f"not every run finished, or an answer took {LIMIT_S:g} s and more at p95")


if __name__ == "__main__":
    main()
