"""The card of a checkpoint: everything about it but its weights. Nothing about a
checkpoint lives in code.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from configs.bands import RADAR, parse_band
from configs.complaints import read_model
from configs.event import NAME_PATTERN, Frozen
from configs.files import format_of
from configs.records import Level, Requires

WEIGHTS = "weights.safetensors"
REFERENCE = "reference.safetensors"
CARD = "card.yaml"
ELEVATION = "elevation"
"""Key of a card's training record: names of elevation models, with commas."""


class _Numbers(Frozen):
    """A record of numbers, all of them finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class BandStatistics(_Numbers):
    """Statistics of a band over the observed training pixels, in the band's unit."""

    minimum: float
    maximum: float
    mean: float
    std: float = Field(ge=0)

    @model_validator(mode="after")
    def _possible(self) -> BandStatistics:
        if self.minimum > self.maximum:
            raise ValueError("`minimum` lies above `maximum`")
        return self


Adapt = Literal["card", "scene", "match"]
"""What is done to a scene's imagery before the card's statistics (`models.inference.adaptation`).

card: nothing. scene: each band gets the reference's mean and spread. match: each band gets the
reference's distribution.
"""


class BandTarget(_Numbers):
    """What a band's values look like in the card's reference sample, in the band's unit: where a
    scene's are moved to.
    """

    mean: float
    std: float = Field(ge=0)
    quantiles: tuple[float, ...] = Field(min_length=2)
    """Ascending, at the shares of `models.inference.adaptation.SHARES`."""

    @field_validator("quantiles")
    @classmethod
    def _ascending(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        if any(a > b for a, b in pairwise(quantiles)):
            raise ValueError("must ascend")
        return quantiles


class Normalisation(_Numbers):
    """How physical values become network inputs; unobserved pixels become `fill` afterwards.

    minmax: (x - minimum) / (maximum - minimum), as Yang et al. 2024 §II-D. zscore: (x - mean) /
    std, as Gao et al. 2021 §III-A.
    """

    method: Literal["minmax", "zscore", "none"]
    statistics: dict[str, BandStatistics] = Field(default_factory=dict)
    fill: float = 0.0
    adapt: Adapt = "card"
    """Whether every scene is first adapted to the reference by the statistics of its own observed
    pixels.
    """
    toward: dict[str, BandTarget] = Field(default_factory=dict)
    """Imagery bands -> the reference's distribution, where `adapt` is not `card`."""

    @model_validator(mode="after")
    def _has_targets(self) -> Normalisation:
        if (self.adapt != "card") != bool(self.toward):
            raise ValueError("`toward` goes with `adapt: scene` or `match`, and only with them")
        return self

    @model_validator(mode="after")
    def _spread(self) -> Normalisation:
        for name, band in self.statistics.items():
            if band.std == 0 and band.minimum < band.maximum:
                raise ValueError(f"the `std` of {name}, which varies, must be above 0")
        return self


class CardTiles(Frozen):
    """How the card is run over a scene."""

    size: int = Field(ge=64, le=1024)
    mode: Literal["core", "blend"]
    halo: int = Field(ge=0, le=256)
    """Pixels of context on each side: trimmed in mode `core`, the overlap that is blended in mode
    `blend`.
    """
    flips: bool = False
    """Average the prediction with those of the flipped tile (test-time augmentation)."""


class Calibration(_Numbers):
    """Monotone map from network score to probability, fitted on held-out data."""

    method: Literal["none", "temperature", "platt", "isotonic"] = "none"
    scale: float = Field(default=1.0, gt=0)
    """p = sigmoid(scale * logit + shift); above 0, so that a higher score is never less likely."""
    shift: float = 0.0
    fitted_on: str = ""
    points: tuple[tuple[float, float], ...] = ()
    """Of isotonic: (logit, probability), both ascending; straight lines between them, level
    beyond.
    """

    @model_validator(mode="after")
    def _complete(self) -> Calibration:
        if (self.method == "isotonic") != (len(self.points) > 1):
            raise ValueError("`points`, two or more, go with method `isotonic`, and only with it")
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(self.points)):
            raise ValueError("`points` must ascend: a higher score is never less likely")
        if not all(0 <= probability <= 1 for _, probability in self.points):
            raise ValueError("the probabilities of `points` must lie in 0..1")
        return self


class TrainingDomain(_Numbers):
    """One event's share of the training samples."""

    name: str
    simulated: bool
    samples: int = Field(ge=0)
    weight: float = Field(default=1.0, ge=0)
    """Mixture weight of this domain in the MMD reference sample."""
    event: str = ""
    """What people call the event; `name` where empty. Sample sets of one event share it."""

    @property
    def called(self) -> str:
        """Return what people call it, and whether it is simulated."""
        return f"{self.event or self.name}{' (simulated)' if self.simulated else ''}"


class Confidence(_Numbers):
    """What high and medium promise of a checkpoint's landslides, measured on ground held out of its
    training.
    """

    high: float | None = Field(default=None, gt=0, le=1)
    """Mean probability from which at least 90 % are right, by the lower end of the 95 % interval
    between blocks of that ground; null where none are so sure."""
    medium: float | None = Field(default=None, gt=0, le=1)
    """From which at least 70 % are, likewise."""
    counts: dict[str, int]
    """Held-out landslides of each class."""
    right: dict[str, float]
    """Share of them that was right: at least a quarter on traced ground."""
    measured_on: str

    @model_validator(mode="after")
    def _ordered(self) -> Confidence:
        if self.high is not None and self.medium is not None and self.medium > self.high:
            raise ValueError("`medium` lies above `high`")
        if not all(0 <= share <= 1 for share in self.right.values()):
            raise ValueError("the shares of `right` must lie in 0..1")
        return self


class Stratum(Frozen):
    """How much of one class of a map is traced landslide."""

    share: float = Field(ge=0, le=1)
    """Of its ground."""
    units: float = Field(gt=1)
    """Independent samples that would tell the share as surely as the blocks did it was measured
    on: neighbouring pixels are none.
    """


class Accuracy(Frozen):
    """The error matrix of a checkpoint's maps by class of the map, measured on ground held out of
    its training: what total areas are adjusted by (Olofsson et al. 2014).
    """

    mapped: Stratum
    unmapped: Stratum
    mapped_fraction: float = Field(ge=0, le=1)
    """Share of that ground that was mapped: the errors hold for scenes like it."""
    measured_on: str


class Score(Frozen):
    """Metrics on one test set, measured on the stored weights."""

    test_set: str
    simulated: bool
    values: dict[str, float]
    note: str = ""


class CheckpointCard(Frozen):
    """A checkpoint's card, ``cards/NAME/card.yaml``."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    format: str = format_of("card")
    name: str = Field(pattern=NAME_PATTERN)
    title: str
    architecture: str
    arguments: dict[str, int | float | str | bool | list[list[int]]] = Field(default_factory=dict)
    bands: tuple[str, ...] = Field(min_length=1)
    """Ordered input bands, names of a stack: those that must be there, and of the optional ones
    those that are (`fed`).
    """
    optional: tuple[str, ...] = ()
    """Bands that it reads besides where a source has them, in the order of its channels."""
    sensor: str
    level: Level
    resolution_m: float = Field(gt=0)
    requires: Requires = Requires.CLEAR
    """What must be seen of a pixel: `clear`, or `radar` for a card that was trained on cloudy
    optical pixels beside radar.
    """
    tiles: CardTiles
    normalisation: Normalisation
    threshold: float = Field(gt=0, lt=1)
    """Probability from which a pixel is a landslide, chosen on validation data only."""
    calibration: Calibration = Calibration()
    confidence: Confidence | None = None
    """What high, medium and low promise; null where it was not measured."""
    accuracy: Accuracy | None = None
    """What total areas are adjusted by; null where it was not measured."""
    domains: tuple[TrainingDomain, ...]
    scores: tuple[Score, ...] = ()
    validation_f1: float | None = None
    unseen_advantage: float | None = None
    """Mean F1 beyond that of the study's other cards on scenes of domains that none of them had
    seen (docs/results.md).
    """
    training: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Configuration file, seed, steps, hardware, date: enough to train it again."""
    attribution: tuple[str, ...] = ()
    licence: str
    weights_sha256: str
    reference_sha256: str

    @model_validator(mode="after")
    def _consistent(self) -> CheckpointCard:
        for name in self.bands:
            parse_band(name)
        check_requires(self.requires, self.bands)
        check_optional(self.required, self.optional)
        missing = (
            {*self.bands, *self.optional} - set(self.normalisation.statistics)
            if self.normalisation.method != "none"
            else set()
        )
        if missing:
            raise ValueError(f"normalisation has no statistics for {', '.join(sorted(missing))}")
        return self

    @property
    def required(self) -> tuple[str, ...]:
        """Return the bands without which it cannot map."""
        return tuple(name for name in self.bands if name not in self.optional)

    def fed(self, bands: Collection[str]) -> CheckpointCard:
        """Return the card as it reads a source of these bands: with the optional ones among
        them.
        """
        present = tuple(name for name in self.optional if name in bands)
        return self.model_copy(update={"bands": (*self.required, *present)})

    @property
    def simulated(self) -> bool:
        """Return whether any of its training data is simulated."""
        return any(domain.simulated for domain in self.domains)

    @property
    def relative(self) -> bool:
        """Return whether it reads relative brightness, which imagery of any level and scale has:
        trained on pictures, each scene normalised by its own statistics.
        """
        return self.level is Level.DISPLAY and self.normalisation.adapt != "card"

    @property
    def elevation(self) -> tuple[str, ...]:
        """Return the elevation models that it learnt terrain from; empty where that is not
        known.
        """
        named = str(self.training.get(ELEVATION, ""))
        return tuple(named.split(", ")) if named else ()

    @property
    def needs_pre(self) -> bool:
        """Return whether it reads the image from before the event."""
        return any(name.startswith("pre_") for name in self.bands)

    @property
    def samples(self) -> int:
        """Return the number of training samples over all domains."""
        return sum(domain.samples for domain in self.domains)


def check_optional(required: Collection[str], optional: Collection[str]) -> None:
    """Refuse optional bands that are none: required as well, or of a window that no required band
    looks at, whose clouds would hide ground that can be mapped.

    Raises:
        ValueError: one of them is none.
    """
    windows = {parse_band(name).when for name in required} | {None}
    for name in optional:
        if name in required or parse_band(name).when not in windows:
            raise ValueError(
                f"{name} cannot be optional: optional bands are terrain and factors, or further "
                "bands of an image that is read anyway"
            )


def check_requires(requires: Requires, bands: tuple[str, ...]) -> None:
    """Refuse `requires: radar` for bands that hold no radar.

    Raises:
        ValueError: they hold none.
    """
    if requires is Requires.RADAR and not any(
        parse_band(name).band.name in RADAR for name in bands
    ):
        raise ValueError(
            f"`requires: radar` needs a band {' or '.join(RADAR)} among {', '.join(bands)}"
        )


def read_card(folder: Path) -> CheckpointCard:
    """Return the card in a checkpoint's folder.

    Raises:
        RequestError: missing, malformed, or of a newer format.
    """
    remedy = "Mend the card, or train it again with `coslide train`."
    return read_model(folder / CARD, "card", CheckpointCard, remedy)
