"""A checkpoint as `map_tiles` calls it: on a CUDA device it answers there, where its answers are
added up; on a processor it is the predictor itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.checkpoint import Calibration
from models.inference.adaptation import Matching
from models.inference.batch import CPU_BATCH, largest_that_helps
from models.inference.canvas import DeviceCanvas
from models.inference.predict import Mapper, Predictor

_PASSES = 3
"""Forward passes that a batch is timed by, after one to warm up."""


@dataclass(frozen=True)
class OnDevice:
    """A checkpoint whose answers stay on its device."""

    predictor: Predictor
    canvas: DeviceCanvas

    @property
    def bands(self) -> tuple[str, ...]:
        """Return the stack bands, in the order of the channels."""
        return self.predictor.bands

    def __call__(self, batch: NDArray[Any]) -> Any:
        """Return calibrated landslide probability `(B, H, W)`, a float32 tensor on the device."""
        return probability(self.predictor.logits_there(batch), self.predictor.card.calibration)


def for_tiles(predictor: Predictor) -> Mapper:
    """Return what `map_tiles` should call."""
    if predictor.torch_device.type != "cuda":
        return predictor
    return OnDevice(predictor, DeviceCanvas(predictor.torch_device))


def probability(logits: Tensor, calibration: Calibration) -> Tensor:
    """Return calibrated probability, 0-1, of log-odds of any shape, on their device."""
    if calibration.method == "isotonic":
        at, reached = np.ascontiguousarray(np.array(calibration.points, np.float64).T)
        return Matching(at, reached, gain=0.0).tensor(logits)
    return torch.sigmoid(calibration.scale * logits + calibration.shift)


def tiles_at_once(predictor: Predictor, wanted: int | None) -> int:
    """Return how many tiles a forward pass takes: what is wanted; else `CPU_BATCH` on a processor,
    and on a GPU the largest number tried that still helps.
    """
    if wanted is not None or predictor.torch_device.type != "cuda":
        return wanted or CPU_BATCH
    side = predictor.card.tiles.size

    def seconds(size: int) -> float:
        tiles = torch.zeros(size, len(predictor.bands), side, side, device=predictor.torch_device)
        predictor.forward(tiles)
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(_PASSES):
            predictor.forward(tiles)
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / _PASSES

    found = largest_that_helps(seconds)
    torch.cuda.empty_cache()
    return found
