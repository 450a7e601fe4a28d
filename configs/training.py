"""One recipe = one `TrainingConfig`: what `coslide train CONFIG.yaml` reads. Every default of a
training stands here once.

The defaults are Yang et al. 2024's: Dice, Adam at 1e-4, batch 5, the weights of the lowest
validation loss (§IV-A).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from configs.checkpoint import Adapt, CardTiles, check_optional
from configs.complaints import checked, read_model
from configs.errors import RequestError
from configs.event import NAME_PATTERN, Frozen
from configs.files import format_of, named_file
from configs.mixing import apportioned
from configs.overrides import overlaid

SHIPPED = tuple(Path(__file__).resolve().parent / name for name in ("train", "recipes", "mixtures"))
"""Folders of the recipes that come with coslide."""

ENCODER_WEIGHTS = "encoder_weights"
"""Argument of networks with a known encoder: a safetensors state dict that a training starts from,
relative to the recipe's folder.
"""


class SampleSource(Frozen):
    """One domain's share of the training samples."""

    path: str
    """Folder of a sample set (`coslide samples`), relative to the recipe's own folder unless
    absolute.
    """
    count: int | None = Field(default=None, ge=0)
    """Training chips to draw from it, at random by the seed; all of them where null."""
    share: float | None = Field(default=None, gt=0)
    """Instead of `count`: its part of the recipe's `total`. Shares need not add up to one."""
    weight: float = Field(default=1.0, ge=0)
    """Mixture weight of the domain in the checkpoint's MMD reference sample."""


class SampleLayout(Frozen):
    """How a recipe's sample sets are meant to be cut: what `coslide samples` is told, kept beside
    the recipe that needs it.
    """

    chip_px: int = Field(ge=32, le=512)
    stride_px: int = Field(ge=8)
    positive_share: float | None = Field(default=None, gt=0, le=1)
    shares: tuple[float, float, float] | None = None
    """Of blocks of ground: train, validation, test."""


class Splits(Frozen):
    """Which splits of the sample sets play which part, by name."""

    training: tuple[str, ...] = ("train",)
    validation: tuple[str, ...] = ("validation",)
    """Chooses the weights and the threshold."""
    test: tuple[str, ...] = ("test",)
    """Scored once, on the stored weights."""


class LossConfig(Frozen):
    """What is minimised: `dice` * Dice + `bce` * binary cross-entropy."""

    dice: float = Field(default=1.0, ge=0)
    bce: float = Field(default=0.0, ge=0)
    epsilon: float = Field(default=1.0, gt=0)
    """ε of Yang et al. 2024 eq. 2 ("tiny"); 1 pixel keeps batches without landslides calm."""
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share by which labels are pulled towards one half in the cross-entropy."""

    @model_validator(mode="after")
    def _something(self) -> LossConfig:
        if self.dice + self.bce <= 0:
            raise ValueError("one of `dice` and `bce` must be above 0")
        return self


class OptimiserConfig(Frozen):
    """How the weights move."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    """adam and adamw with PyTorch's own betas; sgd with Nesterov momentum (Xu et al.
    (preprint)).
    """
    learning_rate: float = Field(default=1e-4, gt=0)
    """The largest of the schedule."""
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd."""
    clip: float | None = Field(default=None, gt=0)
    """Largest norm of a step's gradient; null does not clip."""


class ScheduleConfig(Frozen):
    """How the learning rate changes over the training."""

    name: Literal["constant", "cosine", "onecycle", "poly"] = "constant"
    """constant; cosine to 0; onecycle (from 1/25 up, then down to 0, both cosine); poly (1 -
    t)^power (Xu et al. (preprint)).
    """
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps on which the rate rises linearly from 0; for onecycle its rising part (0
    there means 0.3).
    """
    power: float = Field(default=0.9, gt=0)
    """Of poly."""


class AugmentationConfig(Frozen):
    """How a chip is varied each time it is drawn; physical truth stays (aspect turns with the
    picture).
    """

    mirrors: Literal["none", "flips", "paper", "all"] = "paper"
    """paper: the chip or one of its three mirror images (Yang et al. 2024 §II-D); flips: west-east
    and north-south, each or both (Xu et al. (preprint)); all: any combination of the three, quarter
    turns included (Chen et al. 2023)."""
    hillshade: Literal["as_is", "safe"] = "as_is"
    """safe: only mirrors that leave the light of a hillshade band where it is."""
    shift_px: int = Field(default=0, ge=0)
    """Move each chip by up to this much, both ways along both axes, within its own split's
    labels.
    """
    scale: float = Field(default=0.0, ge=0, le=0.5)
    """Spread of the logarithm of a random zoom of each chip."""
    aspect: float = Field(default=0.0, ge=0, le=0.5)
    """Spread of the logarithm of a random stretch along one axis."""
    rotate: bool = False
    """Turn each chip, half of them by any angle, half by quarter turns. Not for bands that know
    where north or the light is (aspect, hillshade).
    """
    jitter: float = Field(default=0.0, ge=0, le=1)
    """Spread of a random gain and offset of the optical bands after normalisation, common to all
    and half as much per band.
    """
    noise: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of noise added per pixel to the optical bands after normalisation."""
    blur_px: float = Field(default=0.0, ge=0, le=5)
    """Largest standard deviation of a Gaussian blur of the optical bands, drawn anew for every chip
    (Xu et al. (preprint)).
    """

    drop: float = Field(default=0.0, ge=0, lt=1)
    """Share of the chips that are shown without the optional bands they have, so that the network
    learns to do without.
    """

    @model_validator(mode="before")
    @classmethod
    def _without_season(cls, content: Any) -> Any:
        """Accept recipes that name the variation of seasons, which is gone, where it was off."""
        if isinstance(content, dict) and content.get("season") == 0:
            return {name: value for name, value in content.items() if name != "season"}
        return content


class TrainingConfig(Frozen):
    """Everything a checkpoint depends on but the pixels."""

    format: str = format_of("training")
    name: str = Field(pattern=NAME_PATTERN)
    """Name of the checkpoint that comes out."""
    title: str = ""
    """One line for people; made from the network and the domains where empty."""
    samples: tuple[SampleSource, ...] = Field(min_length=1)
    total: int | None = Field(default=None, ge=1)
    """Training chips of all sets together, divided by their shares: mixtures of one total have seen
    equally much (Yang et al. 2024, Table V). A set that cannot give its part is refused."""
    held_out: tuple[str, ...] = ()
    """Folders of sample sets that the checkpoint must never see, so that they can judge it as a new
    domain; relative to the recipe's.
    """
    splits: Splits = Splits()
    cut_as: SampleLayout | None = None
    """How the sample sets are meant to be cut; others are used with a warning."""
    bands: tuple[str, ...] | None = None
    """Ordered input bands; all of the sample sets' where null."""
    optional: tuple[str, ...] = ()
    """Bands that the network reads besides, where a sample set (a source) has them: each comes with
    a channel that says whether it is there. See `augmentation.drop`."""
    architecture: str = "resu_senet"
    """A network of coslide, `package.module:factory` of your own, or `smp:Unet/resnet18`."""
    arguments: dict[str, int | float | str | bool | list[list[int]]] = Field(default_factory=dict)
    """Arguments of the network, e.g. `width: 32`."""
    normalisation: Literal["minmax", "zscore", "none"] = "minmax"
    adapt: Adapt = "card"
    """Before that: checkpoint, values as they are; scene, every sample set and scene brought to the
    mean and spread of all together by its own; match, to their distribution. Imagery bands only
    (`models.inference.adaptation`)."""
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    batch: int = Field(default=5, ge=1, le=4096)
    steps: int | None = Field(default=None, ge=1)
    """Length in optimiser steps; or give `epochs`."""
    epochs: float | None = Field(default=None, gt=0)
    """Length in passes over the chips; 50 where neither is given (Yang et al. 2024 does not
    say).
    """
    crop_px: int | None = Field(default=None, ge=16)
    """Random square cut from each chip; the whole chip where null."""
    balance: float | None = Field(default=None, gt=0, le=1)
    """Share of chips with a landslide among those drawn; as they come where null."""
    start_from: str | None = None
    """Fine-tune this checkpoint: a checkpoint's name, or its folder relative to the recipe's. Its
    network, bands and normalisation are kept.
    """
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of the training chips that are used, drawn by the seed: 0.05 to 1 in Xu et al.
    (preprint)'s study of a new event.
    """
    freeze: tuple[str, ...] = ()
    """Layers that stay as they are, statistics included: dotted names as in the network, e.g.
    `encoder`.
    """
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the running average of the weights (EMA), which is then kept; 0: plain weights."""
    keep: Literal["best", "last"] = "best"
    """best: weights of the lowest validation loss (Yang et al. 2024); last: those at the end."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between validations; once a pass over the chips where null."""
    save_every: int = Field(default=50, ge=1)
    """Steps between states on disk: what a killed training loses at most."""
    calibration: Literal["none", "temperature", "platt"] = "none"
    """Fitted on the validation chips after training."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: half precision on a GPU, bfloat16 on a CPU with instructions for it, else float32
    (docs/results.md).
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    samples_on: Literal["auto", "memory", "device"] = "auto"
    """Where samples lie and are varied; auto: on the GPU where they fit, else in memory. Draws are
    the same but for noise and blur, rounding is not.
    """
    tensorboard: bool = False
    """Write event files for TensorBoard beside `curves.csv` (needs `coslide[tensorboard]`)."""
    seed: int = Field(default=0, ge=0)
    tiles: CardTiles | None = None
    """How the checkpoint is to be run; by the network's reach and the chip size where null."""
    reference_pixels: int = Field(default=4000, ge=100, le=100_000)
    """Size of the MMD reference sample."""
    licence: str = "Apache-2.0"
    attribution: tuple[str, ...] = ()
    quick: dict[str, Any] = Field(default_factory=dict)
    """Fields that the quick variant has instead (`coslide train --quick`): a training that a laptop
    finishes.
    """

    @model_validator(mode="before")
    @classmethod
    def _divided(cls, content: Any) -> Any:
        """Turn shares of a total into counts."""
        sources = content.get("samples") if isinstance(content, dict) else None
        if not isinstance(sources, list | tuple) or not all(
            isinstance(one, dict) for one in sources
        ):
            return content
        shares, total = [one.get("share") for one in sources], content.get("total")
        if total is None and all(share is None for share in shares):
            return content
        if not isinstance(total, int) or any(
            not isinstance(share, int | float) or share <= 0 for share in shares
        ):
            raise ValueError(
                "`total` and a `share` above 0 for every sample set go together, or give "
                "each a `count`"
            )
        counts = apportioned(total, shares)
        if any(
            one.get("count") not in (None, count)
            for one, count in zip(sources, counts, strict=True)
        ):
            raise ValueError("give a sample set its `share` of `total` or a `count`, not both")
        divided = [one | {"count": count} for one, count in zip(sources, counts, strict=True)]
        return content | {"samples": divided}

    @model_validator(mode="after")
    def _optional(self) -> TrainingConfig:
        if self.optional and self.bands is None:
            raise ValueError("`optional` goes with `bands`: name those that must be there")
        check_optional(self.bands or (), self.optional)
        return self

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give `steps` or `epochs`, not both")
        return self

    def length(self, chips: int) -> int:
        """Return the number of optimiser steps for so many training chips."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 50) * chips / self.batch))

    @property
    def identity(self) -> str:
        """Return the hash of all that changes the weights: a state on disk is only continued by the
        same recipe.
        """
        words = {"title", "licence", "attribution", "save_every", "tiles", "reference_pixels"}
        words |= {"calibration", "quick", "cut_as", "total", "held_out", "tensorboard"}
        content = self.portable.model_dump(mode="json", exclude=words)
        # recipes older than these fields keep their identity
        for later in ("start_from", "share", "freeze", "adapt", "samples_on", "optional"):
            if getattr(self, later) == type(self).model_fields[later].default:
                del content[later]
        for source in content["samples"]:  # the count says what it comes to
            del source["share"]
        for later in ("blur_px", "scale", "aspect", "rotate", "drop"):
            if not getattr(self.augmentation, later):
                del content["augmentation"][later]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def encoder_weights(self) -> Path | None:
        """Return the file that the network's encoder starts from, if any."""
        value = self.arguments.get(ENCODER_WEIGHTS)
        return Path(value) if isinstance(value, str) else None

    def anchored(self, folder: Path) -> TrainingConfig:
        """Return the recipe with its encoder's weights found from the recipe's own folder, as its
        sample sets are.
        """
        return (
            self._encoder_from(str((folder / self.encoder_weights).resolve()))
            if self.encoder_weights
            else self
        )

    @property
    def portable(self) -> TrainingConfig:
        """Return the recipe without folders of this machine: its encoder's weights by the name of
        their file.
        """
        return self._encoder_from(self.encoder_weights.name) if self.encoder_weights else self

    def _encoder_from(self, path: str) -> TrainingConfig:
        return self.model_copy(update={"arguments": {**self.arguments, ENCODER_WEIGHTS: path}})

    def quickened(self, settings: Sequence[str] = ()) -> TrainingConfig:
        """Return the quick variant: the same recipe with the fields of `quick`, under a name of its
        own; `settings` (``section.key=value``) go before both.

        Raises:
            RequestError: there is none, or a field of it cannot be.
        """
        if not self.quick:
            raise RequestError(
                f"recipe `{self.name}` has no quick variant",
                "Give it a `quick` section, or train it whole.",
            )
        content = self.model_dump(mode="json", exclude={"quick"}, exclude_unset=True)
        for name, value in self.quick.items():
            content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
        if "steps" in self.quick:
            content.pop("epochs", None)
        content = overlaid({**content, "name": f"{self.name}-quick"}, settings)
        content.pop("quick", None)
        return checked(content, f"recipe `{self.name}`, quick", TrainingConfig)


def recipe_file(name: str) -> Path:
    """Return the YAML file of a recipe: a file, or a recipe that comes with coslide by its name.

    Raises:
        RequestError: there is neither.
    """
    return named_file(name, SHIPPED, "recipe")


def read_training(path: Path, settings: Sequence[str] = ()) -> TrainingConfig:
    """Return the recipe in a YAML file; `settings` (``section.key=value``) go before what it says.

    Raises:
        RequestError: missing, malformed, or of a newer format; the field is named.
    """
    return read_model(path, "training", TrainingConfig, settings=settings)
