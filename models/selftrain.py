"""Self-training: a card goes on learning from its own sure answers on a scene that nobody has
labelled.

Pixels whose calibrated probability is high count as landslides, low ones as none, the middle is
left out (the teacher is the card as it was; it never changes). A few steps at a low rate, by the
same training as every card's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from configs.records import IGNORED
from configs.training import (
    AugmentationConfig,
    LossConfig,
    OptimiserConfig,
    SampleSource,
    TrainingConfig,
)
from models.inference.predict import Predictor
from models.training import loop
from models.training.finetune import Start

_BATCH = 4
_JITTER = 0.05
"""Light that the pupil has to bear and the teacher had not, as in the study's recipe."""


def self_trained(
    predictor: Predictor,
    tiles: Sequence[NDArray[np.float32]],
    *,
    sure: tuple[float, float],
    steps: int,
    learning_rate: float,
    seed: int = 0,
) -> Predictor:
    """Return a card at work after learning from its own sure answers; itself, where it is sure of
    no landslide.

    Args:
        predictor: the card, already `adapted` where it adapts to scenes.
        tiles: physical `(C, H, W)` of the scene, of one size, NaN where not known.
        sure: calibrated probability up to which a pixel is none, and from which it is a landslide.
        steps: optimiser steps of four tiles.
        learning_rate: of AdamW.
        seed: of the order of the tiles.

    Raises:
        RequestError: no tiles, or limits that are none.
    """
    if not tiles or not 0 < sure[0] < sure[1] < 1:
        raise RequestError(
            f"self-training needs tiles and two limits within 0-1, not {len(tiles)} and {sure}",
            "Give `sure: [0.05, 0.7]`.",
        )
    chips = [labelled(predictor, tile, sure) for tile in tiles]
    if not any((y == 1).any() for _, y in chips):
        return predictor
    card = predictor.card
    recipe = TrainingConfig(
        name=card.name,
        samples=(SampleSource(path="."),),
        architecture=card.architecture,
        arguments=card.arguments,
        loss=LossConfig(dice=1.0, bce=1.0),
        optimiser=OptimiserConfig(name="adamw", learning_rate=learning_rate),
        augmentation=AugmentationConfig(mirrors="none", jitter=_JITTER),
        batch=_BATCH,
        steps=steps,
        save_every=steps,
        keep="last",
        precision=predictor.precision,
        device=predictor.device,
        seed=seed,
    )
    start = Start(card, predictor.module.state_dict())
    with TemporaryDirectory() as folder:
        made = loop.train(
            recipe,
            chips,
            None,
            card.bands,
            Path(folder),
            normalisation=card.normalisation,
            start=start,
        )
    return replace(predictor, module=made.module)


def labelled(
    predictor: Predictor, tile: NDArray[np.float32], sure: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a tile in the card's terms and what the card is sure of: 1 landslide, 0 none, 255 the
    rest and the unseen.
    """
    chance = predictor(tile[None])[0]
    label = np.full(chance.shape, IGNORED, np.uint8)
    label[chance <= sure[0]] = 0
    label[chance >= sure[1]] = 1
    label[~np.isfinite(tile).all(axis=0)] = IGNORED
    return predictor.moved(tile[None])[0], label
