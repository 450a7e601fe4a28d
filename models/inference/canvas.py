"""Adding tiles up on the device that computes them (`tiles.canvas.Canvas`): sums stay there until
many columns are finished, and travel while the next tiles are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

_WEIGHTS = 64
"""Weights kept on the device: a grid's inner tiles share one, its rims have a few more."""


class DeviceCanvas:
    """Sums on a torch device; on a CUDA device copies go through pinned memory, on their own."""

    chunks = 8

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pinned = device.type == "cuda"
        self._kept = lru_cache(_WEIGHTS)(self._product)

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return memory for a batch of tiles that the device reads without a detour."""
        made: NDArray[Any] = torch.empty(
            shape, dtype=_torch(dtype), pin_memory=self._pinned
        ).numpy()
        return made

    def zeros(self, shape: tuple[int, int], dtype: DTypeLike) -> Tensor:
        """Return sums `(y, x)` on the device."""
        return torch.zeros(shape, dtype=_torch(dtype), device=self._device)

    def weights(self, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Tensor:
        """Return the products `(y, x)` of weights by row and by column, on the device."""
        return self._kept(rows.tobytes(), columns.tobytes())

    def _product(self, rows: bytes, columns: bytes) -> Tensor:
        down, across = (np.frombuffer(part, np.float32) for part in (rows, columns))
        return torch.from_numpy(down[:, None] * across).to(self._device)

    def back(self, sums: Tensor) -> Callable[[], NDArray[Any]]:
        """Return what waits for the sums and gives them in memory."""
        if not self._pinned:
            return lambda: sums.cpu().numpy().copy()
        here = torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True)
        here.copy_(sums, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # missing in PyTorch's types
        done.record()

        def arrived() -> NDArray[Any]:
            done.synchronize()
            return np.array(here.numpy())

        return arrived


def _torch(dtype: DTypeLike) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
