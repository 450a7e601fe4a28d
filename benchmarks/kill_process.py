"""Kills of a run on the command line: its own process, or one of the Dask workers that map for
it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dask_workers import Workers
from benchmarks.kill_ground import checksums, command

PATIENCE_S = 300.0
Strike = Callable[[Path, float], "Struck | None"]
"""Kills at a moment, lets what comes next end, and tells; None where there was nothing left to
kill.
"""
Ground = tuple[float, dict[str, str], Strike]
"""Seconds and products of an undisturbed run, and how to strike one."""


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
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {
        "OMP_NUM_THREADS": "1"
    }


def run(arguments: list[str]) -> float:
    """Return how long a run took, seconds.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stdout}\n{done.stderr[-2000:]}")
    return time.monotonic() - begun


def last_step(out: Path) -> str:
    """Return the last step that the log of an unfinished run tells of."""
    lines = [
        line
        for log in (out / "quake").glob("**/log.jsonl")
        for line in log.read_text().splitlines()
    ]
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return next((step for step in reversed(steps) if step), "begin")


def _hit(
    arguments: list[str], moment: float, strike: Callable[[subprocess.Popen[bytes]], None]
) -> int | None:
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
def flow(folder: Path) -> Iterator[Ground]:
    """Yield (seconds, products) of an undisturbed run, and how to kill one: SIGKILL, then the same
    command again.
    """
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
def worker(folder: Path) -> Iterator[Ground]:
    """Yield the same for a run by two Dask workers: one is killed and replaced, the run itself must
    end well.
    """
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
            return Struck(
                moment, step, f"went on (exit {code})", code == 0 and checksums(out) == wanted
            )

        yield seconds, wanted, strike
    finally:
        dask.close()
        shutil.rmtree(folder / "plain", ignore_errors=True)
