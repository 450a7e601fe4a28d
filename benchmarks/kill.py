"""`make verify-kill`: SIGKILL at seeded random moments; whatever runs next must end with the products of an undisturbed run.

Killed are the flow's process (on the command line, and under `coslide serve`), a Dask worker, and the Prefect server (on SQLite
and on PostgreSQL). Every moment is one line of a file, so that the work goes on where it stopped. `--write` fills docs/kill.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.dask_workers import Workers
from benchmarks.document import fill
from benchmarks.kill_ground import checksums, command, preset, request
from benchmarks.local_service import BIN, LocalService, local_server, wait_for
from benchmarks.postgres import postgres, programs

FOLDER = Path("runs/kill")
SETTINGS: dict[str, Any] = {
    "watch_every": {"cron": "*/5 * * * *", "active": False},
    "tend_every": {"cron": "*/5 * * * *", "active": False},
    "refresh": {"cron": "0 6 * * *", "active": False},
    "runs": {"retries": 1, "heartbeat_seconds": 1, "silent_minutes": 0.25},
}
PATIENCE_S = 300.0
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
Strike = Callable[[Path, float], "Struck | None"]


@dataclass(frozen=True)
class Struck:
    """What a kill hit, and what it took to end well."""

    at_s: float
    step: str
    """The last step that the run's log had told of."""
    state: str
    """What became of the run that was hit."""
    same: bool
    """Whether the products of the next run are those of an undisturbed one."""
    left_running: int = 0
    """Flow runs that the server still took for running at the end."""


def environment() -> dict[str, str]:
    """Return an environment of one thread and no server."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {"OMP_NUM_THREADS": "1"}


def run(arguments: list[str]) -> float:
    """Return how long a run took, seconds.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stdout}\n{done.stderr[-2000:]}")
    return time.monotonic() - begun


def last_step(out: Path) -> str:
    """Return the last step that the log of an unfinished run tells of."""
    lines = [line for log in (out / "quake").glob("**/log.jsonl") for line in log.read_text().splitlines()]
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return next((step for step in reversed(steps) if step), "begin")


def _hit(arguments: list[str], moment: float, strike: Callable[[subprocess.Popen[bytes]], None]) -> int | None:
    """Return the exit code of a command that was struck; None where it had ended before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    time.sleep(moment)
    if process.poll() is not None:
        return None
    strike(process)
    return process.wait(PATIENCE_S)


@contextmanager
def flow(folder: Path) -> Iterator[tuple[float, dict[str, str], Strike]]:
    """Yield (seconds, products) of an undisturbed run, and how to kill one: SIGKILL, then the same command again."""
    shutil.rmtree(folder / "whole", ignore_errors=True)
    seconds = run(command(folder, folder / "whole"))
    wanted = checksums(folder / "whole")

    def strike(out: Path, moment: float) -> Struck | None:
        arguments = command(folder, out)
        if _hit(arguments, moment, lambda process: process.kill()) is None:
            return None
        step = last_step(out)
        run(arguments)
        return Struck(moment, step, "killed; the same command went on", checksums(out) == wanted)

    yield seconds, wanted, strike


@contextmanager
def worker(folder: Path) -> Iterator[tuple[float, dict[str, str], Strike]]:
    """Yield the same for a run by two Dask workers: one is killed and replaced, the run itself must end well."""
    shutil.rmtree(folder / "whole", ignore_errors=True)
    dask = Workers(folder / "dask")
    try:
        run(command(folder, folder / "plain"))
        seconds = run(command(folder, folder / "whole", "--engine", dask.engine))
        wanted = checksums(folder / "plain")
        if checksums(folder / "whole") != wanted:
            raise RuntimeError("the cluster's products differ from those of one process")

        def strike(out: Path, moment: float) -> Struck | None:
            victim, step = random.Random(moment).choice(sorted(dask.workers)), ""

            def kill(process: subprocess.Popen[bytes]) -> None:
                nonlocal step
                dask.kill(victim)
                step = last_step(out)

            code = _hit(command(folder, out, "--engine", dask.engine), moment, kill)
            if len(dask.workers) < 2:
                dask.ready(dask.add())
            if code is None:
                return None
            return Struck(moment, step, f"went on (exit {code})", code == 0 and checksums(out) == wanted)

        yield seconds, wanted, strike
    finally:
        dask.close()
        shutil.rmtree(folder / "plain", ignore_errors=True)


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
    """SIGKILL the server and whatever it started, and start it again a second later, as systemd would."""
    server = service.processes[0]
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    service.processes.remove(server)
    time.sleep(1)
    port = service.url.rpartition(":")[2]
    again = service.start(str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", port, log="server")
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
    code = "from flows.service.served import service; from flows.service.tending import tend; tend(service())"
    settings = {"COSLIDE_SERVICE": str(service.folder / "service.yaml")}
    subprocess.run([sys.executable, "-c", code], env=service.environment | settings, check=True, capture_output=True)


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
def served(
    folder: Path, kill: Callable[[LocalService], None], **more: str
) -> Iterator[tuple[float, dict[str, str], Strike]]:
    """Yield the same for runs that are triggered on a Prefect server; the next trigger must end well."""
    shutil.rmtree(folder / "service", ignore_errors=True)
    with local_server(folder / "service", SETTINGS, preset(folder), auth="kill:only-for-a-test", **more) as service:
        service.serve()

        def triggered() -> str:
            def accepted() -> str | None:
                code, answer = service.trigger("map-event", {"request": request()})
                return str(answer["id"]) if code in (200, 201) else None  # 503: a database that was busy for a moment

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
def on_postgres(folder: Path) -> Iterator[tuple[float, dict[str, str], Strike]]:
    """Yield the same for the server on PostgreSQL."""
    with ExitStack() as stack:
        url = stack.enter_context(postgres())
        yield stack.enter_context(served(folder, kill_server, PREFECT_SERVER_DATABASE_CONNECTION_URL=url))


KINDS: dict[str, Callable[[Path], Any]] = {
    "flow on the command line": flow,
    "flow under serve": lambda folder: served(folder, kill_flow),
    "Dask worker": worker,
    "server on SQLite": lambda folder: served(folder, kill_server),
    "server on PostgreSQL": on_postgres,
}


def strike_all(folder: Path, kinds: list[str], moments: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return what became of `moments` kills of each kind, those of earlier calls included; one line each in a file."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    book = folder / "moments.jsonl"
    told = _read(book)
    for kind in kinds:
        todo = [n for n in range(moments) if not any((one["kind"], one["number"]) == (kind, n) for one in told)]
        if not todo:
            continue
        with KINDS[kind](folder / kind.replace(" ", "-")) as (seconds, _, strike):
            for number in todo:
                draw = random.Random(f"{seed} {kind} {number}")
                out, struck = folder / "out", None
                while struck is None:  # a run that had ended before is no kill: draw again
                    shutil.rmtree(out, ignore_errors=True)
                    struck = strike(out, round(draw.uniform(0.02, 1.0) * seconds, 2))
                told.append({"kind": kind, "number": number, "of_s": round(seconds, 1), **asdict(struck)})
                with book.open("a") as file:
                    file.write(json.dumps(told[-1]) + "\n")
                print(told[-1], flush=True)
    return [one for one in told if one["kind"] in kinds and one["number"] < moments]


def _read(book: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


def table(told: list[dict[str, Any]]) -> str:
    """Return the moments as a Markdown table."""
    lines = [
        "| killed | at, s of | during | what became of the run | same products | left running |",
        "|---|---|---|---|---|---|",
    ]
    for one in told:
        same = "yes" if one["same"] else "**no**"
        lines.append(
            f"| {one['kind']} | {one['at_s']:.1f} of {one['of_s']:.0f} | {one['step']} | {one['state']} | {same} "
            f"| {one['left_running']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Strike, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=5, help="kills of each kind")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--told", action="store_true", help="strike no more; tell of what has been struck")
    parser.add_argument("--write", action="store_true", help="fill docs/kill.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends what it started
    kinds = [kind for kind in options.kinds if programs() or "PostgreSQL" not in kind]
    told = _read(options.folder / "moments.jsonl")
    if not options.told:
        told = strike_all(options.folder, kinds, options.moments, options.seed)
    print(table(told))
    good = sum(one["same"] and not one["left_running"] for one in told)
    if options.write:
        fill("kill", table=table(told), moments=str(len(told)), good=str(good), seed=str(options.seed))
    sys.exit(0 if good == len(told) else 1)


if __name__ == "__main__":
    main()
