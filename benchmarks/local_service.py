"""A Prefect server and `coslide serve` of one's own: loopback, a random port, a home of its own,
ended by their process ids.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flows.service.settings import DATABASE_PATIENCE

PATIENCE_S = 600.0
BIN = Path(sys.executable).parent


@dataclass
class LocalService:
    """A server that runs, and what is served to it."""

    folder: Path
    url: str
    """Without a slash at the end; the API is under `/api`."""
    environment: dict[str, str]
    auth: str | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """Return the folder that events are written to."""
        return self.folder / "out"

    def call(
        self, path: str, body: Any = None, *, auth: str | None = "own", tries: int = 5
    ) -> tuple[int, Any]:
        """Return (HTTP status, answer) of an API call; `auth` goes before the service's own, None
        for none.

        SQLite on a busy machine is locked now and then: server errors and silence are asked again.
        """
        for number in range(1, tries + 1):
            try:
                status, answer = self._call(path, body, self.auth if auth == "own" else auth)
            except (TimeoutError, urllib.error.URLError):
                if number == tries:
                    raise
                continue
            if status < 500 or number == tries:
                break
            time.sleep(2)
        return status, answer

    def _call(self, path: str, body: Any, secret: str | None) -> tuple[int, Any]:
        request = urllib.request.Request(f"{self.url}/api/{path}")
        request.add_header("content-type", "application/json")
        if secret:
            request.add_header("authorization", "Basic " + b64encode(secret.encode()).decode())
        try:
            with urllib.request.urlopen(
                request, None if body is None else json.dumps(body).encode(), 60
            ) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def deployment(self, name: str) -> dict[str, Any]:
        """Return a deployment, waiting until it is registered."""

        def look() -> dict[str, Any] | None:
            if any(process.poll() is not None for process in self.processes):
                raise RuntimeError(f"a process of the service ended: see the logs in {self.folder}")
            status, answer = self.call(f"deployments/name/{name}/{name}")
            return dict(answer) if status == 200 else None

        return dict(wait_for(look, f"deployment {name}"))

    def trigger(self, name: str, parameters: dict[str, Any], **more: Any) -> tuple[int, Any]:
        """Return (HTTP status, flow run or refusal) of a trigger, as `curl` would send it; asked
        again it is the same run.
        """
        body = {"parameters": parameters, "idempotency_key": uuid.uuid4().hex, **more}
        return self.call(f"deployments/{self.deployment(name)['id']}/create_flow_run", body)

    def run(self, identity: str) -> dict[str, Any]:
        """Return a flow run."""
        return dict(self.call(f"flow_runs/{identity}")[1])

    def finished(self, identity: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Return a flow run when it has ended."""
        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

        def look() -> dict[str, Any] | None:
            run = self.run(identity)
            return run if run["state_type"] in ends else None

        return dict(wait_for(look, f"flow run {identity}", seconds))

    def start(self, *arguments: str, log: str) -> subprocess.Popen[bytes]:
        """Return a process of this service, its output in a log of the folder."""
        with (self.folder / f"{log}.log").open("ab") as file:
            process = subprocess.Popen(
                arguments,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        """Return `coslide serve`, started; its deployments follow within seconds."""
        settings = str(self.folder / "service.yaml")
        return self.start(
            sys.executable, "-m", "flows.cli", "serve", "--config", settings, log="serve"
        )

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and whatever it started."""
        if process in self.processes:
            self.processes.remove(process)
        for number, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
            try:
                os.killpg(process.pid, number)
                process.wait(patience)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue


def wait_for(look: Any, what: str, seconds: float = PATIENCE_S) -> Any:
    """Return what `look` gives as soon as it gives anything."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def local_server(
    folder: Path,
    settings: dict[str, Any],
    preset: dict[str, Any],
    *,
    auth: str | None = None,
    **environment: str,
) -> Iterator[LocalService]:
    """Yield a Prefect server that answers, with a service file and a preset written; nothing is
    served to it yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preset = {"format": "coslide/run/1", "out": str(folder / "out"), **preset}
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
    settings = {"format": "coslide/service/1", "preset": "preset.yaml", **settings}
    (folder / "service.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **DATABASE_PATIENCE,
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the older pages ask no foreign host
        "OMP_NUM_THREADS": "1",
    }
    if auth:
        own |= {"PREFECT_SERVER_API_AUTH_STRING": auth, "PREFECT_API_AUTH_STRING": auth}
    service = LocalService(folder, url, os.environ | own | environment, auth)
    try:
        service.start(
            str(BIN / "prefect"),
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            log="server",
        )
        wait_for(lambda: _health(url), "the server")
        yield service
    finally:
        for process in reversed(list(service.processes)):
            service.stop(process)


def _health(url: str) -> bool | None:
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=5) as answer:
            return True if answer.status == 200 else None
    except OSError:
        return None
