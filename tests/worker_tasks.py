"""What the tests give to Dask workers: it must be importable over there."""

from __future__ import annotations

from pathlib import Path

from configs.errors import RequestError
from flows.run.engine import Report
from flows.run.shards import Begun


def who(number: int) -> Report:
    """Return who worked."""
    return Begun.now().report(number)


def refuse(diary: Path) -> Report:
    """Write down the attempt and refuse."""
    with diary.open("a") as file:
        file.write("x")
    raise RequestError("this will never do", "Ask for something else.")


def stumble(diary: Path) -> Report:
    """Write down the attempt; fail the first time."""
    first = not diary.exists()
    with diary.open("a") as file:
        file.write("x")
    if first:
        raise OSError("a network file system was away")
    return Begun.now().report(1)
