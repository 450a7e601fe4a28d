"""Fine-tuning: which checkpoint a recipe goes on from, what it takes over from it, and what its own
card says of it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from configs.checkpoint import CARD, CheckpointCard, TrainingDomain, read_card
from configs.errors import RequestError
from configs.training import TrainingConfig
from models.registry import Checkpoint, installed

logger = logging.getLogger(__name__)


def parent_of(config: TrainingConfig, places: list[Path]) -> Checkpoint:
    """Return the checkpoint that a recipe goes on from: a folder, or a checkpoint's name among
    those installed.

    Raises:
        RequestError: there is none.
    """
    wanted = str(config.start_from)
    for folder in (place / wanted for place in places):
        if (folder / CARD).is_file():
            return Checkpoint(folder, read_card(folder))
    return installed(wanted)


def like_parent(config: TrainingConfig, parent: CheckpointCard) -> TrainingConfig:
    """Return the recipe with the network and bands of the checkpoint it goes on from.

    Raises:
        RequestError: the recipe asks for others.
    """
    kept = {
        "architecture": parent.architecture,
        "arguments": dict(parent.arguments),
        "bands": parent.required,
        "optional": parent.optional,
    }
    for field, value in kept.items():
        if field in config.model_fields_set and getattr(config, field) not in (value, None):
            raise RequestError(
                f"`{field}` of the recipe differs from that of `{parent.name}`, which it "
                "goes on from",
                f"Leave `{field}` out, or train from scratch.",
            )
    inputs = {"normalisation": parent.normalisation.method, "adapt": parent.normalisation.adapt}
    return config.model_copy(update={**kept, **inputs})


def inherited(parent: Checkpoint | None) -> tuple[TrainingDomain, ...]:
    """Return the domains a fine-tuned network has seen before; they have no part in its reference
    sample.
    """
    return (
        tuple(one.model_copy(update={"weight": 0.0}) for one in parent.card.domains)
        if parent
        else ()
    )


def tuned(config: TrainingConfig, parent: Checkpoint | None) -> dict[str, str | int | float | bool]:
    """Return what the training record says about a fine-tuning; nothing for a training from
    scratch.
    """
    if parent is None:
        return {}
    record: dict[str, str | int | float | bool] = {
        "parent": parent.card.name,
        "parent_weights": parent.card.weights_sha256[:16],
        "share": config.share,
    }
    return record | ({"frozen": ", ".join(config.freeze)} if config.freeze else {})
