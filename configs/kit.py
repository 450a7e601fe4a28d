"""One kit = one `KitConfig`: how checkpoints of several events are made from published inventories.

`coslide train --kit NAME|FILE.yaml` reads it: imagery of every inventory that is there, mixtures of
them, and the study that tells what the checkpoints are worth on an event they have not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from configs.checkpoint import CardTiles
from configs.complaints import read_model
from configs.event import NAME_PATTERN, Frozen
from configs.files import format_of, named_file
from configs.published import catalogue
from configs.run import SourceConfig
from configs.sampling import SplitConfig
from configs.studying import Composition, StudyConfig, StudyDomain

KITS = Path(__file__).resolve().parent / "kits"


class StandIn(Frozen):
    """A simulated event in the place of an inventory: same day, same place, another Earth."""

    landscape: str
    seed: int = Field(default=1, ge=0)
    radius_km: float = Field(gt=0, le=50)


class KitConfig(Frozen):
    """Everything that a set of checkpoints of several events depends on but the inventories."""

    format: str = format_of("kit")
    name: str = Field(pattern=NAME_PATTERN)
    title: str
    source: SourceConfig = SourceConfig(kind="earthengine")
    """Where the imagery comes from."""
    stand_ins: dict[str, StandIn] = Field(default_factory=dict)
    """Inventories of the catalogue that a simulated event stands in for: no file is needed."""
    largest_km2: float = Field(default=2500, gt=0)
    """Larger inventories are cut to a square of this area about their middle (Yang et al. 2024's
    Palu: 2488 km²)."""
    bands: tuple[str, ...] = Field(min_length=1)
    split: SplitConfig = SplitConfig()
    chip_px: int = Field(default=88, ge=32, le=512)
    stride_px: int = Field(default=44, ge=8)
    positive_share: float | None = Field(default=None, gt=0, le=1)
    total: int = Field(ge=1)
    """Training chips of every checkpoint."""
    seeds: tuple[int, ...] = Field(default=(0, 1), min_length=1)
    recipe: dict[str, Any]
    """Fields of a training recipe, the same for every checkpoint."""
    tiles: CardTiles | None = None
    compositions: tuple[Composition, ...] = ()
    """Mixtures of inventories; those that name one which is not there are left out."""
    leave_one_out: bool = True
    """Beside them, for every event a checkpoint of all the others in equal parts."""

    @model_validator(mode="after")
    def _known(self) -> KitConfig:
        named = {name for made in self.compositions for name in made.domains}
        if strange := sorted((named | set(self.stand_ins)) - set(catalogue())):
            raise ValueError(f"the catalogue has no inventory {', '.join(strange)}")
        if {"bands", "samples"} & set(self.recipe):
            raise ValueError("`recipe` leaves `bands` and `samples` to the kit")
        self.study(sorted(named) if len(named) > 1 else list(catalogue())[:2], simulated=False)
        return self

    def mixtures(
        self, events: Sequence[str], *, simulated: bool = False
    ) -> tuple[Composition, ...]:
        """Return the mixtures of the events that are there; none twice. What is trained on an
        inventory of doubtful terms says so in its licence.
        """
        made = [one for one in self.compositions if set(one.domains) <= set(events)]
        if self.leave_one_out:
            made += [
                Composition(
                    name=f"without-{left_out}-of-{len(events)}",
                    shares={name: 1.0 for name in events if name != left_out},
                )
                for left_out in events
                if len(events) > 1
            ]
        different: dict[tuple[tuple[str, int], ...], Composition] = {}
        for one in made:
            different.setdefault(tuple(sorted(one.chips(self.total).items())), one)
        if simulated or "licence" in self.recipe:
            return tuple(different.values())
        return tuple(_licensed(one) for one in different.values())

    def study(self, events: Sequence[str], *, simulated: bool) -> StudyConfig:
        """Return the study of these events; their sample sets lie in ``samples`` beside it."""
        return StudyConfig(
            name=self.name,
            title=self.title,
            total=self.total,
            seeds=self.seeds,
            recipe={**self.recipe, "bands": list(self.bands)},
            domains=tuple(StudyDomain(name=name, sets=(f"samples/{name}",)) for name in events),
            compositions=self.mixtures(events, simulated=simulated),
            tiles=self.tiles,
            family="simulated" if simulated else "real",
            writes_selection=True,
        )


def _licensed(made: Composition) -> Composition:
    """Return a mixture whose checkpoint says where terms stand against handing it on."""
    known = catalogue()
    doubtful = [one for one in made.domains if known[one].publication.weights.value != "yes"]
    if not doubtful or "licence" in made.changes:
        return made
    licence = f"for study: the terms of {', '.join(doubtful)} are to be settled before it is shared"
    return made.model_copy(update={"changes": {**made.changes, "licence": licence}})


def read_kit(name: str, settings: Sequence[str] = ()) -> KitConfig:
    """Return a kit: one of ours by its name, or a YAML file; `settings` (``section.key=value``) go
    before what it says.

    Raises:
        RequestError: no such kit or file, malformed, or of a newer format; the field is named.
    """
    return read_model(named_file(name, [KITS], "kit"), "kit", KitConfig, settings=settings)
