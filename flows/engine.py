"""Who works off a run's shards: this process (`plain`), or the workers of a Dask cluster (`dask://…`).

The engine never decides what a shard is: that is the grid's business, so that every engine makes the same pixels. One engine
is open at a time in a process (a context variable, so that the threads of a step inherit it by copy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from models.inference.predict import Device

S = TypeVar("S", contravariant=True)
PLAIN = "plain"


@dataclass(frozen=True)
class Report:
    """What a worker tells of a shard: small, and never a pixel."""

    units: int
    """Blocks or strips it wrote; those that were there already are not counted."""
    seconds: float
    worker: str
    """Host and process."""
    threads: int
    device: str
    peak_memory_bytes: int
    account: dict[str, int] = field(default_factory=dict)
    """What the shard cost a service: requests, bytes."""


class Cluster(Protocol):
    """Workers that see the same stores."""

    @property
    def slots(self) -> int:
        """Return how many shards are worked on at once."""
        ...

    def device(self, wanted: Device) -> Device:
        """Return the one type of device that all workers are to compute on."""
        ...

    def work(
        self, function: Callable[[S], Report], shards: Sequence[S], *, gpu: bool = False, at_once: int | None = None
    ) -> Iterator[tuple[int, Report]]:
        """Yield (number of the shard, report) as shards are finished, in any order; a lost worker's are done again."""
        ...


_cluster: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


@contextmanager
def opened(engine: str) -> Iterator[None]:
    """Let the steps of the block work through an engine; Dask is imported for `dask://…` only, and reached when needed."""
    if engine == PLAIN:
        yield
        return
    from flows.cluster import DaskCluster

    with DaskCluster(engine) as cluster:
        token = _cluster.set(cluster)
        try:
            yield
        finally:
            _cluster.reset(token)


def current() -> Cluster | None:
    """Return the cluster to work with; None: this process does it itself."""
    return _cluster.get()
