"""Kills of a run that is triggered on a Prefect server: the process of the flow, or the server on
SQLite or PostgreSQL.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.kill_ground import checksums, preset, request
from benchmarks.kill_process import PATIENCE_S, Ground, Struck, last_step
from benchmarks.local_service import BIN, LocalService, local_server, wait_for
from benchmarks.postgres import postgres

SETTINGS: dict[str, Any] = {
    "watch_every": {"cron": "*/5 * * * *", "active": False},
    "tend_every": {"cron": "*/5 * * * *", "active": False},
    "refresh": {"cron": "0 6 * * *", "active": False},
    "runs": {"retries": 1, "heartbeat_seconds": 1, "silent_minutes": 0.25},
}
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def _flow_process(service: LocalService) -> psutil.Process | None:
    """Return the process that executes a flow run."""
    for process in service.processes:
        for child in psutil.Process(process.pid).children(recursive=True):
            words = " ".join(child.cmdline())
            if "prefect.engine" in words or "flow-run execute" in words:
                return child
    return None


def kill_flow(service: LocalService) -> None:
    """SIGKILL the process of the flow run."""
    process = _flow_process(service)
    if process is not None:
        process.kill()


def kill_server(service: LocalService) -> None:
    """SIGKILL the server and whatever it started, and start it again a second later, as systemd
    would.
    """
    server = service.processes[0]
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    service.processes.remove(server)
    time.sleep(1)
    port = service.url.rpartition(":")[2]
    again = service.start(
        str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", port, log="server"
    )
    service.processes.remove(again)
    service.processes.insert(0, again)
    wait_for(lambda: _answers(service), "the server after its restart")


def _answers(service: LocalService) -> bool | None:
    try:
        return True if service.call("health")[0] == 200 else None
    except OSError:
        return None


def _tend(service: LocalService) -> None:
    """Look for silent runs now: what the deployment `tend` does every five minutes."""
    code = (
        "from flows.service.settings import service; from flows.service.tending import "
        "tend; tend(service())"
    )
    settings = {"COSLIDE_SERVICE": str(service.folder / "service.yaml")}
    subprocess.run(
        [sys.executable, "-c", code],
        env=service.environment | settings,
        check=True,
        capture_output=True,
    )


def _ended(service: LocalService, identity: str) -> dict[str, Any]:
    """Return a flow run when it has ended, silent ones looked after meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            return service.finished(identity, 10)
        except TimeoutError:
            _tend(service)
    raise TimeoutError(f"flow run {identity} is still {service.run(identity)['state_name']}")


def _busy(service: LocalService) -> int:
    states = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    return len(service.call("flow_runs/filter", states)[1])


@contextmanager
def served(folder: Path, kill: Callable[[LocalService], None], **more: str) -> Iterator[Ground]:
    """Yield the same for runs that are triggered on a Prefect server; the next trigger must end
    well.
    """
    shutil.rmtree(folder / "service", ignore_errors=True)
    with local_server(
        folder / "service", SETTINGS, preset(folder), auth="kill:only-for-a-test", **more
    ) as service:
        service.serve()

        def triggered() -> str:
            def accepted() -> str | None:
                code, answer = service.trigger("map-event", {"request": request()})
                return (
                    str(answer["id"]) if code in (200, 201) else None
                )  # 503: a database that was busy for a moment

            return str(wait_for(accepted, "a trigger"))

        def working() -> bool | None:
            return True if list((service.out / "quake" / ".work").glob("*/run.yaml")) else None

        begun = triggered()
        wait_for(working, "the first run")
        first = time.monotonic()
        if (end := service.finished(begun))["state_type"] != "COMPLETED":
            raise RuntimeError(f"the undisturbed run ended as {end['state_name']}")
        seconds, wanted = time.monotonic() - first, checksums(service.out)
        shutil.rmtree(service.out / "quake")

        def strike(out: Path, moment: float) -> Struck | None:
            identity = triggered()
            wait_for(working, "the run")
            time.sleep(moment)
            if service.run(identity)["state_type"] in ENDS:
                shutil.rmtree(service.out / "quake")
                return None
            step = last_step(service.out)
            kill(service)
            end = _ended(service, identity)
            if end["state_type"] != "COMPLETED":
                _ended(service, triggered())
            same = checksums(service.out) == wanted
            shutil.rmtree(service.out / "quake")
            state = f"{end['state_name']}" + (" in a further try" if end["run_count"] > 1 else "")
            return Struck(moment, step, state, same, _busy(service))

        yield seconds, wanted, strike


@contextmanager
def on_postgres(folder: Path) -> Iterator[Ground]:
    """Yield the same for the server on PostgreSQL."""
    with (
        postgres() as url,
        served(folder, kill_server, PREFECT_SERVER_DATABASE_CONNECTION_URL=url) as ground,
    ):
        yield ground
