"""Work in forked processes: what each piece says, how it ended, what it took."""

from __future__ import annotations

import json
import logging
import os
import resource
import select
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import psutil

MOST_MB = 2048
_MOST_BYTES = 6 * 2**30
"""Address space of a process: what wants more is refused it, and told as more than 2 GB."""
Work = Callable[[], tuple[int, str]]
"""Returns (exit code, message)."""


class Ended(NamedTuple):
    """How work ended."""

    code: int
    """Exit code of the contract; 1 a defect; below 0 the signal that ended its process."""
    message: str
    mb: int
    """Memory at most of its process so far, as the system tells it."""


def apart(works: Sequence[Work], patience_s: float = 60) -> Iterator[Ended]:
    """Yield how each piece of work ended. They share a forked process as long as none ends it; one
    that takes longer than `patience_s` is killed.
    """
    at = 0
    while at < len(works):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            _work(works[at:], theirs)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            for ended in _told(pipe, child, patience_s, len(works) - at):
                at += 1
                yield ended
        _, status = os.waitpid(child, 0)
        if at < len(works) and (os.WIFSIGNALED(status) or os.WEXITSTATUS(status)):
            at += 1
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            yield Ended(-number or 1, "its process ended", 0)


def _told(pipe: IO[bytes], child: int, patience_s: float, most: int) -> Iterator[Ended]:
    """Yield what a process tells, line by line, until it ends."""
    for _ in range(most):
        if not select.select([pipe], [], [], patience_s)[0]:
            os.kill(child, signal.SIGKILL)
        line = pipe.readline()
        if not line.endswith(b"\n"):
            return
        code, message, mb = json.loads(line)
        yield Ended(code, message, MOST_MB + 1 if "out of memory" in message else mb)


def _work(works: Sequence[Work], pipe: int) -> NoReturn:
    """Do work and leave the process, with what came of each piece in the pipe."""
    try:
        logging.disable(logging.CRITICAL)
        began = psutil.Process().memory_info()  # what it has of the process that it came from
        most = began.vms + _MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for work in works:
            try:
                code, message = work()
            except BaseException as error:
                code, message = 1, f"{type(error).__name__}: {error} @ {place(error)}"
            mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - began.rss) >> 20
            os.write(pipe, json.dumps([code, message[:600], mb]).encode() + b"\n")
    finally:
        os._exit(0)  # never back into the process it came from


def place(error: BaseException) -> str:
    """Return where an error came from, the last calls."""
    frames = traceback.extract_tb(error.__traceback__)
    return " ".join(f"{Path(one.filename).name}:{one.lineno}" for one in frames[-4:])
