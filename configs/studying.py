"""One study = one `StudyConfig`: which domains, which mixtures of them, and the one recipe every
checkpoint is trained by.

`coslide study NAME|CONFIG.yaml` reads it. Domains are sample sets (`coslide samples`), anyone's own
as well as simulated ones; a mixture is given in shares of one total or in counts that add up to it,
so that every checkpoint has seen equally much.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from configs.checkpoint import CardTiles
from configs.complaints import checked
from configs.errors import RequestError
from configs.event import NAME_PATTERN, Frozen
from configs.files import format_of, named_file, read_yaml
from configs.mixing import apportioned
from configs.overrides import overlaid
from configs.spelling import file_meant
from configs.training import SampleSource, Splits, TrainingConfig

PRESETS = Path(__file__).resolve().parent / "study"


class SimulatedScenes(Frozen):
    """Seeded epicentres of a landscape of the simulated Earth, none of them that of a training."""

    landscape: str
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    """Epicentres are drawn within half a degree of here, each in an Earth of its own (seed 1000 and
    up).
    """
    count: int = Field(ge=1, le=100)
    days: tuple[int, ...] = ()
    """Days of the year around which (20 days either way) the earthquakes happen, in turn: a domain
    is a season as well as a landscape. Any day where empty."""
    radius_km: float = Field(default=3.0, gt=0, le=50)


class StudyDomain(Frozen):
    """One event's (or landscape's) data: what may train, and what is mapped to judge cards."""

    name: str = Field(pattern=NAME_PATTERN)
    sets: tuple[str, ...] = Field(min_length=1)
    """Folders of sample sets, relative to the study's own file unless absolute. One that is missing
    is cut from ``configs/samples/NAME.yaml`` where there is such a file."""
    scenes: tuple[str, ...] = ()
    """Folders of sample sets that no checkpoint trains on. Without any (and without `simulated`),
    the domain's own sets: whole for checkpoints that never saw the domain, their test split for the
    others."""
    simulated: SimulatedScenes | None = None
    """Scenes of the simulated Earth, made as they are needed."""


class Composition(Frozen):
    """What a checkpoint is trained on."""

    name: str = Field(pattern=NAME_PATTERN)
    shares: dict[str, float] = Field(default_factory=dict)
    """Domain -> share of the total; they need not add up to one."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Domain -> training chips, instead of shares; they add up to the study's total."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Fields of the recipe that are different for this checkpoint (a trial of its own)."""
    trial: bool = False
    """A trial is scored beside the others, but is never a candidate of the choice."""
    kind: str = ""
    """What is tried; trials of one kind stand in one row of the table."""

    @model_validator(mode="after")
    def _one_way(self) -> Composition:
        if bool(self.shares) == bool(self.counts):
            raise ValueError("give `shares` or `counts`, one of them")
        if min([*self.shares.values(), *self.counts.values()]) <= 0:
            raise ValueError("shares and counts are above 0; leave out a domain that gives nothing")
        return self

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the domains it has seen, in their order here."""
        return tuple(self.shares or self.counts)

    def chips(self, total: int) -> dict[str, int]:
        """Return how many training chips each domain gives, adding up to `total`."""
        if self.counts:
            return dict(self.counts)
        return dict(zip(self.shares, apportioned(total, list(self.shares.values())), strict=True))


class StudyConfig(Frozen):
    """A leave-one-domain-out study."""

    format: str = format_of("study")
    name: str = Field(pattern=NAME_PATTERN)
    title: str
    total: int = Field(ge=1)
    """Training chips of every checkpoint: equal totals (Yang et al. 2024, Table V: 700)."""
    seeds: tuple[int, ...] = Field(default=(0, 1), min_length=1)
    recipe: dict[str, Any]
    """Fields of a training recipe (configs/training.py), the same for every card."""
    domains: tuple[StudyDomain, ...] = Field(min_length=2)
    compositions: tuple[Composition, ...] = Field(min_length=1)
    tiles: CardTiles | None = None
    """How scenes are run through the checkpoints of the study; as each checkpoint says where null.
    Large tiles are cheap.
    """
    family: Literal["simulated", "real"] = "simulated"
    """What the pixels are; every table says so."""
    writes_selection: bool = False
    """Whether `coslide study --write` puts what it found into configs/selection.yaml."""

    @model_validator(mode="after")
    def _consistent(self) -> StudyConfig:
        known = {domain.name for domain in self.domains}
        for made in self.compositions:
            strange = set(made.domains) - known
            if strange:
                raise ValueError(
                    f"composition `{made.name}` names {', '.join(sorted(strange))}, which "
                    "is no domain"
                )
            if made.counts and sum(made.counts.values()) != self.total:
                raise ValueError(
                    f"the counts of `{made.name}` add up to {sum(made.counts.values())}, "
                    f"not {self.total}"
                )
        named = (self.domains, self.compositions)
        for kind in ([one.name for one in some] for some in named):
            if len(set(kind)) < len(kind):
                raise ValueError("domains and compositions each need names of their own")
        self.training(self.compositions[0], self.seeds[0])
        return self

    def domain(self, name: str) -> StudyDomain:
        """Return a domain by its name."""
        return next(one for one in self.domains if one.name == name)

    def training(self, made: Composition, seed: int) -> TrainingConfig:
        """Return the recipe of one card. A domain's chips come evenly from its sets; its weight in
        the reference sample is its share of the chips."""
        sources = []
        for name, chips in made.chips(self.total).items():
            paths = self.domain(name).sets
            for number, path in enumerate(paths):
                count = chips // len(paths) + (number < chips % len(paths))
                sources.append(SampleSource(path=path, count=count))
        fields = {"splits": Splits(test=()), **self.recipe, **made.changes}
        return TrainingConfig.model_validate(
            {**fields, "name": f"{made.name}-s{seed}", "seed": seed, "samples": sources}
        )


def read_study(name: str, settings: Sequence[str] = ()) -> tuple[StudyConfig, Path]:
    """Return a study and the folder its paths are relative to: a preset by name, or a YAML file;
    `settings` (``section.key=value``) go before what it says.

    Raises:
        RequestError: no such preset or file, malformed, or of a newer format; the field is named.
    """
    path = named_file(name, [PRESETS], "study")
    content = read_yaml(path, "study")
    if "like" in content:
        content = _like(content, path)
    content = overlaid(content, settings)
    return checked(content, str(path), StudyConfig), path.resolve().parent


def _like(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a study that names another in its folder with what it takes from it: everything it
    does not give itself, its recipe field by field, but no trials.

    Raises:
        RequestError: the other is missing or malformed, or is like another itself.
    """
    beside = path.parent / f"{content['like']}.yaml"
    if not beside.is_file():
        raise RequestError(
            f"{path}: like: there is no {beside.name} beside it",
            " ".join((file_meant(beside), "Name a study of the same folder.")).strip(),
        )
    other = read_yaml(beside, "study")
    if not isinstance(content.get("recipe", {}), dict):
        raise RequestError(
            f"{path}: recipe: not a mapping", "Give fields of a training recipe, `name: value`."
        )
    if "like" in other:
        raise RequestError(
            f"{path}: like: `{content['like']}` is like another study itself", "Name that one."
        )
    candidates = [made for made in other.get("compositions", ()) if not made.get("trial")]
    recipe = {**other.get("recipe", {}), **content.get("recipe", {})}
    taken = {**other, "compositions": candidates, **content, "recipe": recipe}
    return {name: value for name, value in taken.items() if name != "like"}
