"""Who works off a run's shards: this process (`plain`), or the workers of a Dask cluster
(`dask://…`).

The engine never decides what a shard is: that is the grid's business, so that every engine makes
the same pixels. One engine is open at a time in a process (a context variable, so that the threads
of a step inherit it by copy).

A task is a shard. Paths and small records travel, pixels go through the shared store. A worker that
dies costs its shard: the scheduler gives it to another one, which goes on behind the markers the
dead one left. Dask runs what its clients send: the scheduler must be reachable by its own machines
only (docs/operations.md). A plain run never imports it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from configs.errors import CoslideError, MachineError, RequestError, from_os_error
from configs.run import ModelConfig, RunConfig
from models.inference import runtime
from models.inference.predict import Device, Predictor, pick_device
from models.registry import Checkpoint

logger = logging.getLogger(__name__)

S = TypeVar("S")
PLAIN = "plain"
CONNECT_SECONDS = 30
"""How long a scheduler may take to answer."""
_PATIENCE_SECONDS = 120
"""How long a run waits without a single worker it can use; long enough for a machine to start
again.
"""
_RETRIES = 2
"""Further tries of a shard that failed for a reason that may pass (a GPU or a network file system
lost for a moment).
"""
_POLL_SECONDS = 2
_FIRST = "FIRST_COMPLETED"
_GPU = "GPU"
"""The worker resource that stands for a GPU: `dask worker --resources GPU=1`."""


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
        self,
        function: Callable[[S], Report],
        shards: Sequence[S],
        *,
        gpu: bool = False,
        at_once: int | None = None,
    ) -> Iterator[tuple[int, Report]]:
        """Yield (number of the shard, report) as shards are finished, in any order; a lost worker's
        are done again.
        """
        ...


_cluster: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


@contextmanager
def opened(engine: str) -> Iterator[None]:
    """Let the steps of the block work through an engine; Dask is imported for `dask://…` only, and
    reached when needed.
    """
    if engine == PLAIN:
        yield
        return
    with DaskCluster(engine) as cluster:
        token = _cluster.set(cluster)
        try:
            yield
        finally:
            _cluster.reset(token)


def current() -> Cluster | None:
    """Return the cluster to work with; None: this process does it itself."""
    return _cluster.get()


class DaskCluster:
    """The cluster at `dask://HOST:PORT` (or `dask+tls://…`), or processes of this machine at
    `dask://local?workers=N`.
    """

    def __init__(self, engine: str) -> None:
        self._url = urlsplit(engine)
        self._engine = engine
        self._client: Any = None
        self._local: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for what in (self._client, self._local):
            if what is not None:
                what.close()
        self._client = self._local = None

    @property
    def slots(self) -> int:
        """Return how many shards are worked on at once: all threads of all workers."""
        return sum(int(worker["nthreads"]) for worker in self._workers().values()) or 1

    def device(self, wanted: Device) -> Device:
        """Return `cuda` where a worker offers a GPU, else `cpu`: all shards of a run compute on one
        type of device.

        Raises:
            RequestError: `cuda` on a cluster without.
        """
        if wanted == "cpu" or self._offer_gpu():
            return "cpu" if wanted == "cpu" else "cuda"
        if wanted == "cuda":
            raise RequestError(
                f"no worker of {self._engine} offers a GPU",
                "Start some with `dask worker --resources GPU=1`, or set `model.device: auto`.",
            )
        return "cpu"

    def work(
        self,
        function: Callable[[S], Report],
        shards: Sequence[S],
        *,
        gpu: bool = False,
        at_once: int | None = None,
    ) -> Iterator[tuple[int, Report]]:
        """Yield (number of the shard, report) as shards are finished.

        Args:
            function: what a worker does with a shard; it must be importable there.
            shards: what it is called with, one each.
            gpu: only on workers that offer a GPU.
            at_once: at most so many shards at once, where a service must not be asked for more.

        Raises:
            MachineError: no worker is left, a shard kills every worker it is given to, or the
                scheduler is gone.
            CoslideError: what a shard failed with.
        """
        client = self._connected()
        waiting, running = iter(enumerate(shards)), dict[Any, int]()
        options = {"retries": _RETRIES, "pure": False, "resources": {_GPU: 1} if gpu else None}
        try:
            while True:
                while at_once is None or len(running) < at_once:
                    if (coming := next(waiting, None)) is None:
                        break
                    number, shard = coming
                    running[client.submit(_attempt, function, shard, **options)] = number
                if not running:
                    return
                for future in self._finished(set(running), gpu):
                    yield running.pop(future), self._result(future)
        finally:
            client.cancel(list(running), force=True) if client.status == "running" else None

    def _finished(self, running: set[Any], gpu: bool) -> list[Any]:
        """Return the futures that are done; wait for one, as long as there is anybody to do it."""
        import distributed

        alone_since: float | None = None
        while True:
            try:
                done = distributed.wait(running, timeout=_POLL_SECONDS, return_when=_FIRST).done  # type: ignore[no-untyped-call]
                return list(done)
            except TimeoutError:
                pass
            except CancelledError:
                raise self._gone("went away") from None
            if self._client.status != "running":
                raise self._gone("went away")
            if self._offer_gpu() if gpu else self._workers():
                alone_since = None
                continue
            alone_since = alone_since or time.monotonic()
            if time.monotonic() - alone_since > _PATIENCE_SECONDS:
                raise MachineError(
                    f"{self._engine} has had no worker for {_PATIENCE_SECONDS} s",
                    f"Start workers (`dask worker {self._url.netloc}`) and give the same "
                    "command again: it goes on.",
                )

    def _result(self, future: Any) -> Report:
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            answer = future.result()
        except KilledWorker as error:
            raise MachineError(
                f"a shard was given up: every worker that took it died ({error.last_worker})",
                "Look at that worker's log (memory?), then give the same command again: it "
                "goes on.",
            ) from None
        except (CancelledError, CommClosedError):
            raise self._gone("gave up the run's shards") from None
        except OSError as error:
            raise from_os_error(error) from error
        if isinstance(answer, CoslideError):
            raise answer
        assert isinstance(answer, Report)
        return answer

    def _gone(self, what: str) -> MachineError:
        return MachineError(
            f"the scheduler of {self._engine} {what}",
            "Start it, then give the same command again: it goes on.",
        )

    def _workers(self) -> dict[str, Any]:
        return dict(self._connected().scheduler_info(n_workers=-1)["workers"])

    def _offer_gpu(self) -> bool:
        return any(worker["resources"].get(_GPU, 0) >= 1 for worker in self._workers().values())

    def _connected(self) -> Any:
        """Return the client, connected when first needed."""
        if self._client is None:
            try:
                import distributed
            except ImportError as error:
                raise RequestError(
                    f"Dask is not installed: {error}", "pip install 'coslide[cluster]'"
                ) from error
            if self._url.hostname == "local":
                workers = int(parse_qs(self._url.query).get("workers", ["2"])[0])
                self._local = distributed.LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs=40,
                )
            scheme = "tls" if self._url.scheme.endswith("+tls") else "tcp"
            address = (
                self._local.scheduler_address if self._local else f"{scheme}://{self._url.netloc}"
            )
            try:
                self._client = distributed.Client(address, timeout=CONNECT_SECONDS)  # type: ignore[no-untyped-call]
            except (
                OSError,
                RuntimeError,
            ) as error:  # RuntimeError: TLS is required, and not spoken here
                raise MachineError(
                    f"the scheduler of {self._engine} does not answer: "
                    f"{' '.join(str(error).split())[:200]}",
                    "Start it (`dask scheduler`), or leave out --engine to go on in this process.",
                ) from error
            logger.info("%s: %d slots", self._engine, self.slots)
        return self._client


def _attempt(function: Callable[[S], Report], shard: S) -> Report | CoslideError:
    """Return a shard's report, or what no further try would mend; anything else is raised, and Dask
    tries again.
    """
    try:
        return function(shard)
    except MachineError:
        raise
    except CoslideError as error:
        return error


_: type[Cluster] = DaskCluster


def computable(run: RunConfig) -> None:
    """Make sure that this machine can compute as a run wants it, before anything is pulled.

    Raises:
        RequestError: there is no such device, or the runtime is not installed.
    """
    wanted = run.model.runtime
    here = run.engine == "plain"  # the workers' devices are the cluster's to tell
    device = pick_device(run.model.device if here else "cpu")
    runtime.check("torch" if wanted == "auto" else wanted, device)


def ready(
    found: Checkpoint, model: ModelConfig, device: Device, tiles: int, *, here: bool = True
) -> Predictor:
    """Return a checkpoint at work as the run wants it, for so many tiles; where workers compute on
    a GPU, its stand-in on this processor, by the same runtime.
    """
    runtime = "torch" if model.runtime == "auto" else model.runtime
    if not here and device == "cuda":
        return found.load("cpu", model.precision, runtime)
    predictor = found.load(device, model.precision, runtime)
    return predictor.fastest(tiles) if model.runtime == "auto" else predictor
