"""Where a map comes together: in this machine's memory, or on the device that computes it.

A device adds its tiles up itself and hands back sums of many columns at once, so that nothing but
integers goes there and nothing but finished pixels comes back. What is written is written behind,
in a thread, while the next tiles are computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

_WAITING = 4
"""Pieces that may wait to be written: the map never runs far ahead of the disk, or of its
memory.
"""


class Canvas(Protocol):
    """What tiles are read into, and what their answers are added up on."""

    chunks: int
    """Chunks of columns that are handed back at once."""

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return memory for a batch of tiles, its values arbitrary."""
        ...

    def zeros(self, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        """Return sums `(y, x)` to add to, as the model's answers are: numpy or a device's."""
        ...

    def weights(self, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Any:
        """Return the products `(y, x)` of a tile's weights by row and by column."""
        ...

    def back(self, sums: Any) -> Callable[[], NDArray[Any]]:
        """Return what gives the sums in memory once they are there; called in another thread."""
        ...


class _Memory:
    """Sums in this machine's memory."""

    chunks = 1

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def zeros(self, shape: tuple[int, int], dtype: DTypeLike) -> NDArray[Any]:
        return np.zeros(shape, dtype)

    def weights(
        self, rows: NDArray[np.float32], columns: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return rows[:, None] * columns

    def back(self, sums: Any) -> Callable[[], NDArray[Any]]:
        return lambda: np.array(sums)


MEMORY: Final[Canvas] = _Memory()


def canvas_of(fn: object) -> Canvas:
    """Return what a model's answers are added up on: its own `canvas`, or memory."""
    canvas: Canvas = getattr(fn, "canvas", MEMORY)
    return canvas


class Behind:
    """Work done in order, in one thread, while the caller goes on; its first error is raised there.

    Leaving waits for all of it, or after an error for what is running.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiles-writer")
        self._waiting: deque[Future[None]] = deque()

    def do(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have something done after all that was given before."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work, *arguments))

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
