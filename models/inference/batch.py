"""How many tiles a device computes at once: tried before the map, on a GPU alone.

On a processor the number changes the last bits and hardly the time, so there it is fixed; a GPU is
idle between small batches, and how many tiles fill it hangs on the network and the card.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

CPU_BATCH: Final = 4
"""Tiles at once on a processor (chosen: four tiles of 256 px stay in its caches' reach)."""
_TRIED: Final = (4, 8, 16, 32, 64)
_WORTH: Final = 1.05
"""A larger batch is taken only where it is so many times as fast (chosen: less is noise)."""


def largest_that_helps(seconds: Callable[[int], float]) -> int:
    """Return the batch from which on more tiles at once bring nothing, or do not fit.

    `seconds` says how long a batch takes, and raises `torch.OutOfMemoryError` where it does not
    fit.
    """
    best, rate = _TRIED[0], 0.0
    for size in _TRIED:
        try:
            reached = size / seconds(size)
        except torch.OutOfMemoryError:
            break
        if reached < rate * _WORTH:
            break
        best, rate = size, reached
    return best
