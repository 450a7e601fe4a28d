"""From a finished training to a checkpoint: stored weights, threshold, calibration, scores,
reference sample, card.

Everything a checkpoint says is measured on the weights as they are stored, in float16, not on those
training ended with.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import nn

from configs.checkpoint import (
    CARD,
    REFERENCE,
    WEIGHTS,
    CardTiles,
    CheckpointCard,
    Score,
    TrainingDomain,
)
from configs.errors import RequestError
from configs.files import replacing, sha256, write_text
from configs.records import Level, Requires
from configs.training import ENCODER_WEIGHTS
from models import weights
from models.architectures import build
from models.inference import calibration
from models.inference.adaptation import Adaptation
from models.inference.calibration import LogitCounts
from models.inference.predict import Device, Predictor
from models.metrics import Confusion, Sweep
from models.nets.external import is_external, package_of
from models.reference import Reference
from models.registry import Checkpoint
from models.training.batches import Chips, arrays
from models.training.loop import Trained

RECIPE = "training.yaml"
"""The recipe as it was used, default-filled, beside the card."""
_CORE_PX = 256
"""Side of the tiles of networks of finite reach: large enough that the halo is half the work or
less.
"""


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says that the weights do not know."""

    sensor: str
    level: Level
    resolution_m: float
    domains: tuple[TrainingDomain, ...]
    chip_px: int
    """Side of what the network saw while it was trained."""
    requires: Requires = Requires.CLEAR
    """What was seen of the training pixels."""
    attribution: tuple[str, ...] = ()
    record: dict[str, str | int | float | bool] = field(default_factory=dict)
    """For the training record, beside what is known here: the recipe's file, the sample sets'
    fingerprints, ...
    """


def write_checkpoint(
    trained: Trained,
    folder: Path,
    facts: Facts,
    reference: Reference,
    validation: Chips | None,
    *,
    score: Callable[[Predictor], Iterable[Score]] | None = None,
    measure: Callable[[Checkpoint], Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    device: Device = "auto",
) -> Checkpoint:
    """Return the checkpoint written to `folder`, whole or not at all.

    Args:
        trained: what `training.train` returned.
        folder: of the checkpoint, by custom called like it.
        facts: what else the checkpoint says.
        reference: MMD sample of the training areas (`models.reference`), bands as the checkpoint's.
        validation: chips that choose the threshold and fit the calibration; 0.5 and none without.
        score: measures the stored weights on test sets, each once; called with threshold and
            calibration in place.
        measure: returns further fields of the card, found with the checkpoint as it is stored so
            far; called last.
        overwrite: replace a checkpoint that is there already.
        device: where to measure.

    Raises:
        RequestError: there is a checkpoint already, or the reference has other bands.
    """
    if folder.exists() and not overwrite:
        raise RequestError(
            f"there is already a checkpoint at {folder}",
            "Delete it, or change `name` in the recipe.",
        )
    if reference.bands != trained.bands:
        raise RequestError(
            f"the reference sample has bands {', '.join(reference.bands)}",
            f"Draw it of {', '.join(trained.bands)}.",
        )
    with replacing(folder) as temporary:
        temporary.mkdir()
        card = _draft(
            trained,
            facts,
            weights.save(trained.module, temporary / WEIGHTS),
            reference.save(temporary / REFERENCE),
        )
        stored = Checkpoint(temporary, card).load(device)
        if validation is not None and len(validation):
            # The chips come as the training got them: already in the checkpoint's terms.
            card = _decide(replace(stored, adaptation=Adaptation()), validation, trained)
        predictor = Predictor(card, stored.module, device)
        scores = tuple(_without_nan(one) for one in score(predictor)) if score is not None else ()
        card = card.model_copy(update={"scores": scores})
        if measure is not None:
            card = card.model_copy(update=dict(measure(Checkpoint(temporary, card))))
        write_card(temporary, card)
        recipe = yaml.safe_dump(
            trained.config.portable.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )
        write_text(temporary / RECIPE, recipe)
        if folder.exists():
            shutil.rmtree(folder)
    return Checkpoint(folder, card)


def write_card(folder: Path, card: CheckpointCard) -> None:
    """Write a checkpoint into its folder."""
    write_text(
        folder / CARD,
        yaml.safe_dump(
            card.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110
        ),
    )


def _tiles_for(network: nn.Module, chip_px: int) -> CardTiles:
    """Return how to run a network: cores with its reach as halo, or blended tiles.

    Blended tiles are of the size the network was trained on where it pools over the tile, and large
    ones where it only reaches too far for a halo (SCDnn: 496 px): a trimmed halo would then be most
    of the work.
    """
    reach = getattr(network, "reach_px", None)
    if reach is not None and reach <= _CORE_PX // 2:
        return CardTiles(size=_CORE_PX, mode="core", halo=int(reach))
    size = min(1024, max(64, chip_px)) if reach is None else 2 * _CORE_PX
    return CardTiles(size=size, mode="blend", halo=size // 4)


def scored(test_set: str, counts: Confusion, *, simulated: bool, note: str = "") -> Score:
    """Return a checkpoint's score of a test set from its pooled counts."""
    return _without_nan(
        Score(test_set=test_set, simulated=simulated, values=counts.as_dict(), note=note)
    )


def _without_nan(score: Score) -> Score:
    return score.model_copy(
        update={"values": {k: v for k, v in score.values.items() if not math.isnan(v)}}
    )


def _draft(
    trained: Trained, facts: Facts, weights_sha256: str, reference_sha256: str
) -> CheckpointCard:
    config, progress = trained.config, trained.progress
    names = ", ".join(dict.fromkeys(domain.called for domain in facts.domains))
    record: dict[str, Any] = {
        "recipe": config.identity,
        "seed": config.seed,
        "steps": progress.step,
        "best_step": progress.best_step,
        "chips": trained.chips,
        "seconds": round(progress.seconds, 1),
        "device": trained.device,
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in trained.module.parameters()),
    }
    if is_external(config.architecture):
        record["network_package"] = package_of(config.architecture)
    if progress.best_loss is not None:
        record["best_validation_loss"] = round(progress.best_loss, 6)
    arguments = dict(config.arguments)
    if (
        config.encoder_weights is not None
    ):  # the checkpoint carries its own weights: it must not ask for that file again
        record["encoder_weights_sha256"] = sha256(config.encoder_weights)
        del arguments[ENCODER_WEIGHTS]
    return CheckpointCard(
        name=config.name,
        title=config.title or f"{config.architecture} trained on {names}",
        architecture=config.architecture,
        arguments=arguments,
        bands=tuple(name for name in trained.bands if name not in config.optional),
        optional=config.optional,
        sensor=facts.sensor,
        level=facts.level,
        resolution_m=facts.resolution_m,
        requires=facts.requires,
        tiles=config.tiles
        or _tiles_for(build(config.architecture, len(trained.bands), **arguments), facts.chip_px),
        normalisation=trained.normalisation,
        threshold=0.5,
        domains=facts.domains,
        training=record | facts.record,
        attribution=tuple(dict.fromkeys((*config.attribution, *facts.attribution))),
        licence=config.licence,
        weights_sha256=weights_sha256,
        reference_sha256=reference_sha256,
    )


def _held(trained: Trained, x: NDArray[np.float32]) -> tuple[str, ...]:
    """Return the bands that a chip `(C, H, W)` holds: all but optional ones without a value."""
    return tuple(
        name
        for name, band in zip(trained.bands, x, strict=True)
        if name not in trained.config.optional or np.isfinite(band).any()
    )


def _decide(stored: Predictor, validation: Chips, trained: Trained) -> CheckpointCard:
    """Return the checkpoint with calibration and threshold from the validation chips, and the F1
    they give there.
    """
    step = max(1, trained.config.batch)
    pairs = []
    for first in range(0, len(validation), step):
        groups = dict[tuple[str, ...], list[tuple[NDArray[np.float32], NDArray[Any]]]]()
        for i in range(first, min(first + step, len(validation))):
            x, y = arrays(validation, i, len(trained.bands))
            groups.setdefault(_held(trained, x), []).append((x, y))
        for bands, chips in groups.items():
            at = [trained.bands.index(name) for name in bands]
            logits = stored.fed(bands).logits(np.stack([x[at] for x, _ in chips]))
            pairs.append((logits, np.stack([y for _, y in chips])))
    empty = np.empty(0)
    counts = sum((LogitCounts.of(z, y) for z, y in pairs), LogitCounts.of(empty, empty))
    fitted = calibration.fit(counts, trained.config.calibration, "validation chips")
    sweep = sum((Sweep.of(calibration.apply(z, fitted), y) for z, y in pairs), Sweep.empty())
    threshold, found = sweep.best()
    f1 = None if math.isnan(found.f1) else found.f1
    return stored.card.model_copy(
        update={"calibration": fitted, "threshold": threshold, "validation_f1": f1}
    )
