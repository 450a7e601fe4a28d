"""What is true of every shard: which code may work on it, and what a worker tells afterwards."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from configs.errors import RequestError
from configs.run import SourceConfig
from flows.run import journal
from flows.run.engine import Cluster, Report
from gee.source import Source
from gee.sources import make_source
from gee.stack import Fill, Filling, fill_blocks
from gee.store import Block, is_done

_MUST_AGREE = ("coslide", "torch", "numpy")
"""Packages whose version decides about pixels."""


def versions() -> dict[str, str]:
    """Return what must be the same wherever a run's shards are worked on."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _MUST_AGREE},
    }


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
            "Mount the output folder there at the same path, or set `store` to a URL that "
            "all machines reach.",
        )


class Begun(NamedTuple):
    """When a shard was begun."""

    clock: float

    @classmethod
    def now(cls) -> Begun:
        """Return this moment."""
        return cls(time.perf_counter())

    def report(
        self, units: int, device: str = "cpu", account: Mapping[str, int] | None = None
    ) -> Report:
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


logger = logging.getLogger(__name__)

BLOCKS = 8
"""Blocks of a shard: few, so that a lost worker costs little; enough that opening the source costs
little beside them.
"""


@dataclass(frozen=True)
class _PullShard:
    """Some blocks of a stack."""

    source: SourceConfig
    filling: Filling
    blocks: tuple[Block, ...]
    workers: int
    """Blocks at once: all shards together keep to what the source allows."""
    versions: Mapping[str, str]


def by_workers(cluster: Cluster, config: SourceConfig) -> Fill:
    """Return a way to fill blocks by the workers of a cluster, each opening the source by its
    configuration.
    """
    absolute = str(Path(config.archive).absolute()) if config.archive else None
    config = config.model_copy(
        update={"archive": absolute, "factors": config.factors.placed(Path.cwd())}
    )

    def fill(source: Source, filling: Filling, missing: Sequence[Block]) -> Iterator[Block]:
        at_once = max(1, min(cluster.slots, source.workers))
        each, here = max(1, source.workers // at_once), versions()
        groups = [tuple(missing[i : i + BLOCKS]) for i in range(0, len(missing), BLOCKS)]
        shards = [_PullShard(config, filling, blocks, each, here) for blocks in groups]
        reports = []
        for number, report in cluster.work(_pull_shard, shards, at_once=at_once):
            reports.append(report)
            source.add_usage(report.account)
            yield from groups[number]
        report_workers(reports)

    return fill


def _pull_shard(shard: _PullShard) -> Report:
    """Fill the blocks of a shard that are not done, in the shared store. What a worker runs."""
    begun, filling = Begun.now(), shard.filling
    check_worker(shard.versions, filling.path)
    missing = [
        block
        for block in shard.blocks
        if not is_done(filling.path, block, filling.key, filling.names)
    ]
    source = make_source(shard.source)
    done = sum(1 for _ in fill_blocks(source, filling, missing, shard.workers))
    return begun.report(done, account=_account(source))


def report_workers(reports: Sequence[Report]) -> None:
    """Keep who worked on a step in the journal, and warn where that may have moved the last
    digits.
    """
    kinds = sorted({f"{report.device} with {report.threads} threads" for report in reports})
    workers = Counter(report.worker for report in reports)
    journal.note(shards=len(reports), workers=dict(workers), computed_on=kinds)
    logger.info("%d shards by %d workers (%s)", len(reports), len(workers), ", ".join(kinds))
    if len(kinds) > 1:
        logger.warning(
            "workers differ (%s): probabilities may differ in their last digits", ", ".join(kinds)
        )


def _account(source: Source) -> dict[str, int]:
    return {what: count for what, count in source.usage().items() if isinstance(count, int)}
