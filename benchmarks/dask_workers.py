"""A Dask scheduler and its workers as an operator starts them: processes of their own on the
loopback, ended by their ids.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 120.0


class Workers:
    """A scheduler and one worker for each of `resources` (e.g. ``("", "GPU=1")``), one thread each,
    without a nanny.
    """

    def __init__(
        self, folder: Path, resources: Sequence[str] = ("", ""), **environment: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._environment = (
            folder,
            {**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self._file = folder / "scheduler.json"
        self._file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler",
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(self._file),
        )
        self._wait(self._file.exists)
        self.engine = "dask://" + json.loads(self._file.read_text())["address"].removeprefix(
            "tcp://"
        )
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        for offered in resources:
            self.add(offered)
        self._wait(lambda: all(self._registered(name) for name in self.workers))

    def add(self, resources: str = "") -> str:
        """Start one more worker and return its name."""
        name = f"worker{len(list(self._folder.glob('worker*.log'))) + 1}"
        more = ("--resources", resources) if resources else ()
        self.workers[name] = self._start(
            name,
            "worker",
            "--scheduler-file",
            str(self._file),
            "--name",
            name,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--local-directory",
            str(self._folder),
            *more,
        )
        return name

    def ready(self, name: str) -> None:
        """Wait until a worker has found the scheduler."""
        self._wait(lambda: self._registered(name))

    def kill(self, name: str) -> None:
        """SIGKILL a worker."""
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    def busy(self) -> str:
        """Return the name of a worker that has a task."""
        from distributed import Client

        with Client(self.engine.replace("dask", "tcp", 1), set_as_default=False) as client:  # type: ignore[no-untyped-call]
            names = {
                address: worker["name"]
                for address, worker in client.scheduler_info()["workers"].items()
            }
            return str(
                next(names[address] for address, tasks in client.processing().items() if tasks)
            )

    def close(self) -> None:
        """End all processes."""
        for process in (*self.workers.values(), self.scheduler):
            process.terminate()
        for process in (*self.workers.values(), self.scheduler):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{log}.log").open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                stdout=file,
                stderr=file,
                env=self._environment,
                cwd=self._folder,
            )

    def _registered(self, name: str) -> bool:
        return "Registered to" in (self._folder / f"{name}.log").read_text(errors="replace")

    def _wait(self, true: object) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while callable(true) and not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Dask did not start; see the logs in {self._folder}")
            time.sleep(0.05)
