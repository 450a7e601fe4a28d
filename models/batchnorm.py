"""Batch-norm statistics estimated anew on a scene: what a network expects of its layers, taken from
the pixels it is used on.

No label and no gradient: weights stay, only running means and variances move, by a weight between
the card's and the scene's (Schneider et al. 2020, arXiv:2006.16971, eq. 3, with the weight given
instead of a prior's size).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from configs.errors import RequestError
from models.inference.predict import Predictor, machine_failures


def with_scene_statistics(
    predictor: Predictor, batches: Iterable[NDArray[np.float32]], alpha: float
) -> Predictor:
    """Return a card at work with batch-norm statistics of `alpha` parts scene and the rest its own;
    the card's stay untouched.

    The scene's are the mean over all batches, in order: the same batches give the same network.

    Args:
        predictor: the card, already `adapted` where it adapts to scenes.
        batches: physical tiles `(B, C, H, W)` of the scene, NaN where not known; two tiles or more
            each.
        alpha: 0 (the card's statistics) to 1 (the scene's).

    Raises:
        RequestError: alpha is no share, there are no tiles, or the network has no batch norm.
    """
    if not 0 <= alpha <= 1:
        raise RequestError(
            f"a weight of {alpha} is none",
            "Give `alpha` between 0 (the card's) and 1 (the scene's).",
        )
    network = copy.deepcopy(predictor.module)
    norms = [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    if not norms:
        raise RequestError(
            f"the network of card `{predictor.card.name}` has no batch norm",
            "Answer with the card as it is.",
        )
    own = [(_tensors(layer), layer.momentum) for layer in norms]
    network.eval()
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.train()
    seen = 0
    with torch.no_grad(), machine_failures():
        for batch in batches:
            predictor.run(network, torch.from_numpy(predictor.inputs(batch)))
            seen += len(batch)
        if not seen:
            raise RequestError(
                "there is no tile to take statistics of",
                "Give tiles that the scene was observed in.",
            )
        for layer, ((mean, variance), momentum) in zip(norms, own, strict=True):
            scene_mean, scene_variance = _tensors(layer)
            layer.running_mean.copy_(torch.lerp(mean, scene_mean, alpha))  # type: ignore[union-attr]  # filtered above
            layer.running_var.copy_(torch.lerp(variance, scene_variance, alpha))  # type: ignore[union-attr]
            layer.momentum = momentum
    return replace(predictor, module=network.eval())


def _tensors(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Return copies of a batch norm's running mean and variance."""
    return layer.get_buffer("running_mean").clone(), layer.get_buffer("running_var").clone()
