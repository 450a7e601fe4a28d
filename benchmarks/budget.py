"""A network trained for a budget of processor time rather than for a number of steps: what a
comparison on one CPU can afford.

Processor time of one thread is fair on a busy machine. The learning rate follows the share of the
budget that is used, so the number of steps, and with it the last digits, depend on the machine; the
draws depend on the seed alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.training import OptimiserConfig, ScheduleConfig
from models.inference.predict import channels_last
from models.training.loop import learning_rate
from models.training.losses import Objective

SCHEDULE = ScheduleConfig(name="cosine", warmup=0.1)
OPTIMISER = OptimiserConfig(name="adamw", learning_rate=1e-3, weight_decay=1e-4, clip=1.0)
OBJECTIVE = Objective(dice=1.0, bce=1.0)
_TICKS = 1_000_000
"""The schedule counts whole steps; here a step is a millionth of the budget."""

UNNORMED_RATE = 1e-4
"""Learning rate of networks without batch norm: at 1e-3 their ReLUs die (U-Net of Gao et al. 2021:
IoU 0 after 300 steps).
"""

Draw = Callable[[np.random.Generator], tuple[NDArray[np.float32], NDArray[np.uint8]]]
"""Gives a batch: normalised `(B, C, H, W)` and labels `(B, H, W)`."""


def rate_for(network: nn.Module) -> float:
    """Return the peak learning rate: one for all networks with batch norm, one for those
    without.
    """
    normed = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    return OPTIMISER.learning_rate if normed else UNNORMED_RATE


@dataclass(frozen=True)
class Spent:
    """What a training used."""

    steps: int
    cpu_seconds: float
    loss: float
    """Mean of the last ten steps."""


def train_for(network: nn.Module, draw: Draw, cpu_seconds: float, seed: int) -> Spent:
    """Train `network` in place until the budget is used, and return what that took. bfloat16, one
    thread, deterministic draws.
    """
    torch.manual_seed(seed)
    channels_last(network).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), weight_decay=OPTIMISER.weight_decay, fused=True
    )
    losses: list[float] = []
    peak = rate_for(network)
    since = time.process_time()
    while (used := time.process_time() - since) < cpu_seconds:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(SCHEDULE, peak, int(used / cpu_seconds * _TICKS), _TICKS)
        x, labels = draw(np.random.default_rng([seed, len(losses)]))
        loss = OBJECTIVE(forward(network, torch.from_numpy(x)), torch.from_numpy(labels))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), OPTIMISER.clip or float("inf"))
        optimiser.step()
        losses.append(float(loss.detach()))
    return Spent(len(losses), time.process_time() - since, float(np.mean(losses[-10:])))


def forward(network: nn.Module, x: Tensor) -> Tensor:
    """Return the logits `(B, 1, H, W)` in bfloat16 arithmetic."""
    with torch.autocast("cpu", torch.bfloat16):
        logits: Tensor = network(x.contiguous(memory_format=torch.channels_last))
    return logits.float()


@torch.no_grad()
def probability(network: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return landslide probability `(B, H, W)` of normalised images `(B, C, H, W)` in evaluation
    mode.
    """
    network.eval()
    found: NDArray[np.float32] = torch.sigmoid(forward(network, torch.from_numpy(x))[:, 0]).numpy()
    return found
