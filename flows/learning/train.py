"""Sample sets and a recipe to a checkpoint: `tiles` gives the chips, `models` the network, the test
split its scores.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.bands import RADAR, TERRAIN, parse_band
from configs.checkpoint import ELEVATION, TrainingDomain
from configs.errors import RequestError
from configs.files import sweep_dead
from configs.records import Level, Requires
from configs.training import SampleLayout, Splits, TrainingConfig, read_training, recipe_file
from flows.learning.accuracy import accuracy_of
from flows.learning.adapting import Adapting
from flows.learning.confidence import judged, promised
from flows.learning.evaluate_cards import probability_of, scores
from flows.run.journal import Step, plain, progress
from models.nets.partial import whole
from models.registry import Checkpoint
from models.training import curves, loop, state
from models.training.finetune import Start
from models.training.write_card import Facts, write_checkpoint
from tiles.augment import Augment, Geometry
from tiles.chips import ChipDataset, Share
from tiles.samples import Origin, SampleSet

__all__ = [
    "Overrides",
    "fold_of",
    "probability_of",
    "reference_of",
    "sample_folders",
    "train",
    "train_card",
    "with_overrides",
]

from flows.learning.finetuning import inherited, like_parent, parent_of, tuned
from flows.learning.mixture import check_total, count_of, kept_apart, reference_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overrides:
    """What one training of a series changes in the recipe."""

    name: str | None = None
    seed: int | None = None
    fold: int | None = None
    """Of sample sets split into bands: this band tests, the next one validates, the others
    train.
    """
    samples: tuple[str, ...] = ()
    """Folders of the sample sets, in the order of the recipe's."""
    quick: bool = False
    """Train the recipe's quick variant."""
    steps: int | None = None
    """Length in optimiser steps."""
    start_from: str | None = None
    """Fine-tune this checkpoint."""
    share: float | None = None
    """Share of the training chips that are used."""
    settings: tuple[str, ...] = ()
    """``section.key=value``, before what the recipe says."""
    tensorboard: bool = False
    """Write event files for TensorBoard, whatever the recipe says."""


def train(
    path: str, out: str | None = None, overrides: Overrides = Overrides(), step: Step = plain
) -> dict[str, Any]:
    """Return what a training made: the checkpoint's folder and its scores.

    An interrupted training goes on. `out` is the folder the checkpoint's own folder is made in,
    default ``cards``.

    Raises:
        RequestError: a recipe or a sample set that cannot be used, or the checkpoint exists.
    """
    recipe, cards = recipe_file(path), Path(out or "cards")
    config = read_training(recipe, overrides.settings).anchored(recipe.parent)
    config = config.quickened(overrides.settings) if overrides.quick else config
    folders = sample_folders(config, overrides, recipe.parent)
    config = with_overrides(config, overrides, folders)
    kept_apart(config, folders, recipe.parent)
    parent = parent_of(config, [recipe.parent, cards]) if config.start_from else None
    config = like_parent(config, parent.card) if parent else config
    found = step(train_card, name="train")(config, folders, recipe.name, cards, parent)
    card = found.card
    return {
        "status": "ok",
        "checkpoint": card.name,
        "folder": str(found.folder),
        "curves": str(working_folder(config, cards) / curves.TABLE),
        "threshold": card.threshold,
        "validation_f1": card.validation_f1,
        "scores": [score.model_dump(mode="json") for score in card.scores],
    }


def working_folder(config: TrainingConfig, cards: Path) -> Path:
    """Return where a training keeps its state and its curves, beside its checkpoint."""
    return cards / f".{config.name}.training"


def sample_folders(config: TrainingConfig, overrides: Overrides, folder: Path) -> list[Path]:
    """Return where the sample sets are: those given, or the recipe's, relative to the recipe's
    folder.
    """
    if not overrides.samples:
        return [(folder / source.path).resolve() for source in config.samples]
    if len(overrides.samples) != len(config.samples):
        raise RequestError(
            f"the recipe has {len(config.samples)} sample sets, {len(overrides.samples)} are given",
            "Give --samples once for each.",
        )
    return [Path(path) for path in overrides.samples]


def with_overrides(
    config: TrainingConfig, overrides: Overrides, folders: list[Path]
) -> TrainingConfig:
    """Return the recipe of one training of a series."""
    changes: dict[str, Any] = {}
    for field in ("seed", "name", "start_from", "share", "steps"):
        if (value := getattr(overrides, field)) is not None:
            changes[field] = value
    if overrides.steps is not None:
        changes["epochs"] = None
    if overrides.tensorboard:
        changes["tensorboard"] = True
    if not 0 < changes.get("share", 1) <= 1 or changes.get("steps", 1) < 1:
        raise RequestError(
            "--share must be above 0 and at most 1, --steps at least 1", "Correct the option."
        )
    if overrides.fold is not None:
        changes["splits"] = fold_of(SampleSet.open(folders[0]), overrides.fold)
    return config.model_copy(update=changes)


def fold_of(samples: SampleSet, fold: int) -> Splits:
    """Return which bands train, validate and test when band `fold` is the test band.

    Raises:
        RequestError: there is no such band.
    """
    names = list(samples.card.split_names.values())
    if not 0 <= fold < len(names):
        raise RequestError(
            f"--fold {fold}: the samples have {len(names)} splits", f"Choose 0 to {len(names) - 1}."
        )
    validation = names[(fold + 1) % len(names)]
    rest = tuple(name for name in names if name not in (names[fold], validation))
    return Splits(training=rest, validation=(validation,), test=(names[fold],))


def train_card(
    config: TrainingConfig,
    folders: list[Path],
    recipe: str,
    out: Path,
    parent: Checkpoint | None = None,
) -> Checkpoint:
    """Return the checkpoint of a recipe, trained, finished and scored; its working files lie beside
    it until then.
    """
    folder = out / config.name
    if folder.exists():
        raise RequestError(
            f"there is already a checkpoint at {folder}", "Delete it, or give another --name."
        )
    for torn in (out, working_folder(config, out)):
        sweep_dead(torn)
    sets = [SampleSet.open(path) for path in folders]
    required = config.bands or sets[0].card.bands
    _check(sets, required, config.adapt)
    bands = (*required, *config.optional)
    _warn_of_layout(config.cut_as, sets)
    reference = reference_of(config, sets, bands)
    adapting = Adapting.of(config, reference, parent)
    chips, validation = (
        adapting.chips(_chips(config, sets, bands, splits))
        for splits in (config.splits.training, config.splits.validation)
    )
    with progress(f"training {config.name}", "step") as advance:
        trained = loop.train(
            config,
            chips,
            validation,
            bands,
            working_folder(config, out),
            augment=_augment(config, sets),
            normalisation=adapting.fitted(chips, bands),
            start=Start(parent.card, whole(parent.load("cpu").module).state_dict())
            if parent
            else None,
            advance=advance,
        )
    held_out = (*config.splits.validation, *config.splits.test)
    found = write_checkpoint(
        trained,
        folder,
        _facts(config, sets, recipe, parent),
        reference,
        validation,
        score=lambda predictor: scores(predictor, config, sets),
        measure=lambda draft: _measured(draft, sets, held_out),
    )
    state.forget(working_folder(config, out))
    return found


def _measured(
    found: Checkpoint, sets: list[SampleSet], held_out: tuple[str, ...]
) -> dict[str, Any]:
    """Return what held-out ground says of a checkpoint's landslides and of the area it maps."""
    parts = judged(found.load("cpu"), sets, held_out)
    judging = [one for one in sets if {*held_out} & {*one.card.split_names.values()}]
    names = dict.fromkeys(one.card.origin.event or one.name for one in judging)
    made = {
        "confidence": promised({key: part.landslides for key, part in parts.items()}),
        "accuracy": accuracy_of({key: part.blocks for key, part in parts.items()}),
    }
    on = {"measured_on": ", ".join(names)}
    return {name: one and one.model_copy(update=on) for name, one in made.items()}


def _check(sets: list[SampleSet], bands: tuple[str, ...], adapt: str) -> None:
    kinds = {(s.card.origin.sensor, s.card.origin.resolution_m) for s in sets}
    levels = {s.card.origin.level for s in sets}
    if len(kinds) > 1 or (len(levels) > 1 and adapt == "card"):
        raise RequestError(
            "the sample sets differ in sensor, processing level or pixel size",
            "Train on sets of one kind: one checkpoint reads one. With `adapt: scene` levels may "
            "differ.",
        )
    for samples in sets:
        missing = [band for band in bands if band not in samples.card.bands]
        if missing:
            raise RequestError(
                f"sample set `{samples.name}` has no {', '.join(missing)}",
                "Cut it again with these bands.",
            )


def _level(sets: list[SampleSet], adapt: str) -> Level:
    """Return the processing level a checkpoint is of. Sets of several have relative brightness in
    common: each scene by its own mean and spread.
    """
    levels = {s.card.origin.level for s in sets}
    return Level.DISPLAY if len(levels) > 1 and adapt != "card" else sets[0].card.origin.level


def _warn_of_layout(wanted: SampleLayout | None, sets: list[SampleSet]) -> None:
    """Warn of sample sets that are cut otherwise than the recipe means."""
    for card in (samples.card for samples in sets):
        if wanted is not None and (card.chip_px, card.stride_px) != (
            wanted.chip_px,
            wanted.stride_px,
        ):
            logger.warning(
                "sample set `%s` has chips of %d px every %d px; the recipe means %d px "
                "every %d px",
                *(card.origin.name, card.chip_px, card.stride_px, wanted.chip_px, wanted.stride_px),
            )


def _chips(
    config: TrainingConfig, sets: list[SampleSet], bands: tuple[str, ...], splits: tuple[str, ...]
) -> ChipDataset:
    limited = splits == config.splits.training
    shares = [
        Share(
            samples,
            splits,
            max_chips=source.count if limited else None,
            part=config.share if limited else 1.0,
            alone=limited,
        )
        for samples, source in zip(sets, config.samples, strict=True)
        if not (limited and source.count == 0)
    ]
    chip_px = min(samples.card.chip_px for samples in sets)
    chips = ChipDataset(
        shares, bands, crop_px=chip_px, shuffle=False, seed=config.seed, optional=config.optional
    )
    if limited:
        check_total(config, sets, chips)
    return chips


class _Augment:
    """`tiles.augment` in the shape that `models.training.loop` calls."""

    def __init__(self, augment: Augment, azimuth_deg: float | None) -> None:
        self._augment, self._azimuth_deg = augment, azimuth_deg

    def draw(self, names: Any, rng: np.random.Generator) -> Geometry:
        """Return what becomes of a chip's ground this time."""
        return self._augment.draw(names, rng, self._azimuth_deg)

    def __call__(
        self,
        pixels: NDArray[np.float32],
        label: NDArray[np.uint8],
        names: Any,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return self._augment(pixels, label, names, rng, self._azimuth_deg)


def _augment(config: TrainingConfig, sets: list[SampleSet]) -> _Augment | None:
    wanted = config.augmentation
    warped = wanted.scale or wanted.aspect or wanted.rotate
    if wanted.mirrors == "none" and not warped:
        return None
    augment = Augment(
        wanted.mirrors,
        wanted.hillshade,
        scale=wanted.scale,
        aspect=wanted.aspect,
        rotate=wanted.rotate,
    )
    return _Augment(augment, sets[0].card.origin.hillshade_azimuth_deg)


def _facts(
    config: TrainingConfig, sets: list[SampleSet], recipe: str, parent: Checkpoint | None
) -> Facts:
    origins = [samples.card.origin for samples in sets]
    domains = tuple(
        TrainingDomain(
            name=samples.name,
            simulated=samples.card.origin.simulated,
            samples=_used(samples, config, source.count),
            weight=source.weight,
            event=samples.card.origin.event,
        )
        for samples, source in zip(sets, config.samples, strict=True)
    )
    bands = config.bands or sets[0].card.bands
    through = all(samples.card.requires is Requires.RADAR for samples in sets)
    radar = any(parse_band(name).band.name in RADAR for name in bands)
    return Facts(
        requires=Requires.RADAR if through and radar else Requires.CLEAR,
        sensor=origins[0].sensor,
        level=_level(sets, config.adapt),
        resolution_m=origins[0].resolution_m,
        domains=(*domains, *inherited(parent)),
        chip_px=config.crop_px or min(samples.card.chip_px for samples in sets),
        attribution=tuple(dict.fromkeys(line for origin in origins for line in origin.attribution)),
        record={
            "configuration": recipe,
            **{f"samples_{s.name}": s.card.fingerprint[:16] for s in sets},
            **tuned(config, parent),
            **_elevation(origins, bands, parent),
        },
    )


def _elevation(
    origins: Sequence[Origin], bands: Iterable[str], parent: Checkpoint | None
) -> dict[str, str]:
    """Return the elevation models that a checkpoint learnt terrain from, for its training record;
    nothing where it reads none, or where a set does not say.
    """
    models = {origin.elevation for origin in origins}
    models |= set(parent.card.elevation or ("",)) if parent else set()
    if not set(bands) & TERRAIN or "" in models:
        return {}
    return {ELEVATION: ", ".join(sorted(models))}


def _used(samples: SampleSet, config: TrainingConfig, count: int | None) -> int:
    """Return how many chips of a set the recipe draws from, at most."""
    part = max(1, round(config.share * count_of(samples, config.splits.training)))
    return part if count is None else min(part, count)
