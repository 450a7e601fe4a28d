"""How the watch starts a run on this machine, so that a run begun before a crash is never made twice."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ValidationError

from configs.errors import CoslideError
from configs.layout import EventFolder
from configs.run import RunConfig, read_run
from flows.watching.watchbook import Run

logger = logging.getLogger(__name__)

KINDS: dict[int, Literal["done", "nothing", "again", "failed"]] = {
    0: "done",
    3: "nothing",
    4: "again",
    5: "again",
    130: "again",
    143: "again",
    -2: "again",
    -9: "again",
    -15: "again",
}
"""What an exit code of `coslide respond` means for the watch (contract); all others are failures."""
_PATIENCE_S = 10


@dataclass(frozen=True)
class Outcome:
    """How a run stands."""

    kind: Literal["running", "done", "nothing", "again", "failed"]
    """nothing: no imagery yet; again: source or machine failed for now."""
    message: str = ""
    handle: str | None = None


class Launcher(Protocol):
    """Whoever makes runs. Both calls are safe to repeat: one key and attempt is one run."""

    def start(self, run: Run) -> Outcome:
        """Begin a run, or find that it was begun."""
        ...

    def look(self, run: Run) -> Outcome:
        """Return how a run stands that was begun before."""
        ...


class LocalRuns:
    """Runs as child processes, one at a time. Their configuration was written down before, clock included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, run: Run) -> Outcome:
        """Run to the end and return the outcome; a revision made from this very configuration is not made again."""
        config = RunConfig.model_validate_json(run.config or "{}")
        path = self._folder / f"{run.key}.yaml"
        config.write(path)
        # The child inherits the lock: as long as one of an earlier, killed watch lives, nobody begins the run again.
        with path.with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Outcome("running", "a run that an earlier watch began is still going")
            if (folder := published(config)) is not None:
                return Outcome("done", f"{folder.name} was there already", str(folder))
            code, out = _respond(path, lock.fileno())
        return _outcome(code, out)

    def look(self, run: Run) -> Outcome:
        """Return the outcome of a run that an earlier watch began: what is unfinished goes on."""
        return self.start(run)


def published(config: RunConfig) -> Path | None:
    """Return the revision that was made from this very configuration, its clock included; None where there is none."""
    for layout in reversed(EventFolder(Path(config.out) / config.event.name).revisions().values()):
        try:
            made = read_run(layout.config)
        except (CoslideError, ValidationError):
            continue
        if made.request_id == config.request_id and made.windows.as_of == config.windows.as_of:
            return layout.folder
    return None


def _respond(path: Path, lock: int) -> tuple[int, str]:
    """Return (exit code, standard output) of `coslide respond` on a run file. Interrupted, it stops the child first."""
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    command = [sys.executable, "-m", "flows.cli", "--quiet", "respond", "--config", str(path), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, pass_fds=(lock,))
    try:
        out, _ = child.communicate()
    except BaseException:
        child.terminate()
        try:
            child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
        raise
    return child.returncode, out


def _outcome(code: int, out: str) -> Outcome:
    try:
        answer = json.loads(out)
    except ValueError:
        answer = {}
    kind = KINDS.get(code, "failed")
    if kind == "done":
        folder = Path(next(iter(answer["products"].values()))).parent
        words = f"revision {answer['revision']}: {answer['landslide_count']} landslides, {answer['observed_fraction']:.0%} seen"
        return Outcome("done", words, str(folder))
    message = f"{answer.get('message', f'ended with {code}')}. {answer.get('remedy', '')}".strip()
    return Outcome(kind, message)
