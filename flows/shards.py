"""What is true of every shard: which code may work on it, and what a worker tells afterwards."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from configs.errors import RequestError
from flows.engine import Report

MUST_AGREE = ("coslide", "torch", "numpy")
"""Packages whose version decides about pixels."""


def versions() -> dict[str, str]:
    """Return what must be the same wherever a run's shards are worked on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in MUST_AGREE}}


def check_worker(theirs: Mapping[str, str], stores: Path) -> None:
    """Refuse work that would come out differently here, or nowhere that anybody could find it.

    Raises:
        RequestError: other versions than the run's, or a store that this machine does not see.
    """
    for name, ours in versions().items():
        if theirs[name] != ours:
            raise RequestError(
                f"the worker on {socket.gethostname()} has {name} {ours}, the run {theirs[name]}",
                "Install the same pinned environment on all machines (`constraints.txt`).",
            )
    if not stores.exists():
        raise RequestError(
            f"the worker on {socket.gethostname()} does not see {stores}",
            "Mount the output folder there at the same path, or set `store` to a URL that all machines reach.",
        )


class Begun(NamedTuple):
    """When a shard was begun."""

    clock: float

    @classmethod
    def now(cls) -> Begun:
        """Return this moment."""
        return cls(time.perf_counter())

    def report(self, units: int, device: str = "cpu", account: Mapping[str, int] | None = None) -> Report:
        """Return the report of a shard that is done now."""
        return Report(
            units=units,
            seconds=round(time.perf_counter() - self.clock, 3),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            threads=torch.get_num_threads(),
            device=device,
            peak_memory_bytes=int(psutil.Process().memory_info().rss),
            account=dict(account or {}),
        )
