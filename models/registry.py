"""Which checkpoints there are, and which of them a source can feed. Checkpoints are folders:
shipped ones and users' own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import configs
from configs.bands import When, parse_band
from configs.checkpoint import CARD, REFERENCE, WEIGHTS, CheckpointCard, read_card
from configs.errors import RequestError
from configs.records import Level, Offer
from configs.spelling import instead
from models import weights
from models.architectures import INDEX, network_of
from models.inference.predict import Device, Precision, Predictor
from models.inference.runtime import Runtime
from models.nets.partial import whole
from models.reference import Reference

SHIPPED = Path(configs.__file__).resolve().parent / "cards"
"""Folder of the checkpoints that come with coslide."""

AUTO = "auto"
AVERAGE = "average"
"""As `auto`, but the near-equal best checkpoints map the scene together, by their mean
probability.
"""


class Checkpoint(NamedTuple):
    """A checkpoint on disk: where it is and what its checkpoint says. Its weights are read by
    `load`.
    """

    folder: Path
    card: CheckpointCard

    def load(
        self, device: Device = "auto", precision: Precision = "auto", runtime: Runtime = "torch"
    ) -> Predictor:
        """Return the checkpoint's network, ready to map.

        Raises:
            RequestError: the weights are missing, fail their checksum, or do not fit the network.
        """
        card, module = self.card, network_of(self.card)
        weights.load(whole(module), self.folder / WEIGHTS, card.weights_sha256, card.name)
        return Predictor(card, module, device, precision, runtime)

    def fed(self, bands: Collection[str]) -> Checkpoint:
        """Return the checkpoint as it reads a source of these bands."""
        return self._replace(card=self.card.fed(bands))

    def reference(self) -> Reference:
        """Return the checkpoint's MMD reference sample in the bands that it reads here: of the
        domains that have them.

        Raises:
            RequestError: it is missing or fails its checksum.
        """
        path = self.folder / REFERENCE
        weights.verify_file(path, self.card.reference_sha256, self.card.name, "reference sample")
        sample = Reference.load(path)
        return sample.of(self.card.bands) if self.card.optional else sample


@dataclass(frozen=True)
class Candidates:
    """Cards of one input family (sensor, level, resolution) that one source can feed: one stack
    serves them all.
    """

    cards: tuple[Checkpoint, ...]
    named: str | None = None
    """The checkpoint the user asked for (the others then only stand beside it in the ranking), or
    `average`.
    """
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Checkpoint]:
        return iter(self.cards)

    def __len__(self) -> int:
        return len(self.cards)

    @property
    def bands(self) -> tuple[str, ...]:
        """Return every band that any of the checkpoints reads, in order of first use."""
        return tuple(dict.fromkeys(band for found in self.cards for band in found.card.bands))

    @property
    def resolution_m(self) -> float:
        """Return the pixel size of the family, metres."""
        return self.cards[0].card.resolution_m

    @property
    def sensor(self) -> str:
        """Return the family's sensor."""
        return self.cards[0].card.sensor

    @property
    def level(self) -> Level:
        """Return the family's product level."""
        return self.cards[0].card.level

    def by_name(self, name: str) -> Checkpoint:
        """Return one of the cards.

        Raises:
            RequestError: there is none of that name.
        """
        for found in self.cards:
            if found.card.name == name:
                return found
        raise RequestError(
            f"`{name}` is not among the candidates",
            instead(name, _names(self.cards), f"They are: {', '.join(_names(self.cards))}."),
        )


def fed_by(candidates: Candidates, bands: Iterable[str]) -> Candidates:
    """Return the candidates that read no window beyond those of some stack bands, and a warning
    for each that is left out; all of them where none would be left.

    The one that the user asked for by name is never left out.
    """
    windows = {parse_band(name).when for name in bands} | {None}
    able, warnings = [], []
    for found in candidates:
        missing = {parse_band(name).when for name in found.card.bands} - windows
        if missing and found.card.name != candidates.named:
            words = " and ".join(_WINDOWS[when] for when in When if when in missing)
            warnings.append(
                f"checkpoint `{found.card.name}` is left out: there is no image {words}"
            )
        else:
            able.append(found)
    if not able or not warnings:
        return candidates
    return replace(candidates, cards=tuple(able), warnings=(*candidates.warnings, *warnings))


def read_from(
    candidates: Candidates, bands: Iterable[str]
) -> tuple[Candidates, dict[str, tuple[str, ...]]]:
    """Return the candidates that the bands of a stack feed, and of each other one what it lacks.

    Raises:
        RequestError: none of them is left.
    """
    known = set(bands)
    candidates = replace(candidates, cards=tuple(found.fed(known) for found in candidates))
    lacking = {
        found.card.name: tuple(band for band in found.card.bands if band not in known)
        for found in candidates
    }
    able = tuple(found for found in candidates if not lacking[found.card.name])
    if not able:
        raise RequestError(
            f"no checkpoint reads what the stack holds: {', '.join(sorted(known))}",
            "Run the event again with the checkpoints that are to be ranked.",
        )
    return replace(candidates, cards=able), {name: some for name, some in lacking.items() if some}


_WINDOWS = {When.PRE: "from before the event", When.POST: "from after the event"}


def find(card_dirs: Iterable[str | Path] = ()) -> tuple[Checkpoint, ...]:
    """Return every checkpoint, shipped and in `card_dirs`, by name. A user's checkpoint hides a
    shipped one of its name.

    Raises:
        RequestError: a folder of `card_dirs` does not exist, a checkpoint is malformed, or two user
            folders share a name.
    """
    found = {card.name: Checkpoint(folder, card) for folder, card in _cards_in(SHIPPED)}
    own: dict[str, Path] = {}
    for directory in map(Path, card_dirs):
        if not directory.is_dir():
            raise RequestError(
                f"no such folder of checkpoints: {directory}", "Correct `model.card_dirs`."
            )
        for folder, card in _cards_in(directory):
            if card.name in own and own[card.name].resolve() != folder.resolve():
                raise RequestError(
                    f"two checkpoints are called `{card.name}`: {own[card.name]} and {folder}",
                    "Rename one of them.",
                )
            own[card.name] = folder
            found[card.name] = Checkpoint(folder, card)
    return tuple(found[name] for name in sorted(found))


def installed(name: str, card_dirs: Iterable[str | Path] = ()) -> Checkpoint:
    """Return a checkpoint by its name.

    Raises:
        RequestError: there is none of that name.
    """
    every = {found.card.name: found for found in find(card_dirs)}
    if name not in every:
        raise RequestError(
            f"there is no checkpoint `{name}`",
            instead(
                name,
                every,
                "Give the folder of a checkpoint, add its parent to the checkpoint folders, or "
                f"choose one of: {', '.join(every)}.",
            ),
        )
    return every[name]


def _cards_in(directory: Path) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a folder of checkpoints; a folder that is itself a checkpoint counts
    as one.
    """
    folders = (
        [directory, *sorted(p for p in directory.iterdir() if p.is_dir())]
        if directory.is_dir()
        else []
    )
    for folder in folders:
        if (folder / CARD).is_file():
            yield Checkpoint(folder, read_card(folder))


def candidates(
    checkpoint: str, offer: Offer, card_dirs: Iterable[str | Path] = (), *, adapts: bool = False
) -> Candidates:
    """Return the checkpoints that may map what a source offers: all of one family for `auto` and
    `average`.

    For a named checkpoint: itself first, then those of its family that need no band beyond its own,
    to rank beside it.

    A real event never gets a simulated checkpoint by `auto` unless nothing else fits, and then with
    a warning; the index maps only where no network fits, or by its name.

    Args:
        checkpoint: a name, `auto` or `average`.
        offer: what the source has.
        card_dirs: where users' checkpoints are.
        adapts: whether the run adapts scenes to whichever checkpoint, so that the level of their
            numbers matters to none.

    Raises:
        RequestError: no checkpoint of that name, a band the checkpoint needs is not offered, or
            (`auto`) no checkpoint fits at all.
    """
    every = tuple(found.fed(offer.bands) for found in find(card_dirs))
    if checkpoint not in (AUTO, AVERAGE):
        return _named(checkpoint, every, offer, adapts)
    fitting = [found for found in every if not _obstacles(found.card, offer, adapts)]
    if not fitting:
        raise RequestError(
            f"no checkpoint fits what {offer.source} offers ({offer.sensor} {offer.level}, "
            f"{offer.resolution_m:g} m): "
            + (
                "; ".join(f"{f.card.name}: {_obstacles(f.card, offer, adapts)[0]}" for f in every)
                or "none is installed"
            ),
            "Offer the missing bands, train a checkpoint of your own (`coslide train`), or name "
            "one with --checkpoint.",
        )
    alike = [found for found in fitting if found.card.simulated == offer.simulated]
    warnings = () if alike else (_stranger(offer, fitting),)
    able = alike or fitting
    # The index sees what every network trained on its events sees: no distance tells them apart.
    networks = [found for found in able if found.card.architecture != INDEX] or able
    return Candidates(
        _one_family(networks, offer), AVERAGE if checkpoint == AVERAGE else None, warnings
    )


def _named(name: str, every: tuple[Checkpoint, ...], offer: Offer, adapts: bool) -> Candidates:
    chosen = next((found for found in every if found.card.name == name), None)
    if chosen is None:
        raise RequestError(
            f"there is no checkpoint `{name}`",
            instead(
                name,
                ("auto", AVERAGE, *_names(every)),
                f"Choose one of: {', '.join(_names(every)) or '(none is installed)'}; further "
                "folders go into `model.card_dirs`.",
            ),
        )
    card = chosen.card
    missing = [band for band in card.bands if band not in offer.bands]
    if missing:
        raise RequestError(
            f"checkpoint `{name}` needs {', '.join(missing)}, which {offer.source} does not offer",
            f"Add {'it' if len(missing) == 1 else 'them'} to the source, or choose a "
            "checkpoint without (see `coslide cards`).",
        )
    doubts = [f"checkpoint `{name}`: {obstacle}" for obstacle in _obstacles(card, offer, adapts)]
    if card.simulated and not offer.simulated:
        doubts.append(
            f"checkpoint `{name}` was trained on simulated imagery: its map of a real "
            "event is an experiment"
        )
    beside = (
        f
        for f in every
        if f.card.name != name and set(f.card.required) <= set(card.bands) and _kin(f.card, card)
    )
    return Candidates((chosen, *(f.fed(card.bands) for f in beside)), name, tuple(doubts))


def _kin(a: CheckpointCard, b: CheckpointCard) -> bool:
    return (a.sensor, a.level, a.resolution_m, a.simulated) == (
        b.sensor,
        b.level,
        b.resolution_m,
        b.simulated,
    )


def _obstacles(card: CheckpointCard, offer: Offer, adapts: bool = False) -> list[str]:
    """Return why a checkpoint does not fit an offer, in words; empty where it does.

    Reflectance of another level is no obstacle to a checkpoint that scenes are adapted to by their
    own statistics, as its card or the run says (`flows.publishing.other_level` says what is known
    of the cost).
    """
    missing = [band for band in card.bands if band not in offer.bands]
    found = [f"needs {', '.join(missing)}"] if missing else []
    if card.sensor != offer.sensor:
        found.append(f"made for {card.sensor}, the source has {offer.sensor}")
    reflectance = {Level.TOA, Level.SURFACE} >= {card.level, offer.level}
    adapted = reflectance and (adapts or card.normalisation.adapt != "card")
    if card.level != offer.level and not card.relative and not adapted:
        hint = " (`--set model.adapt=scene` adapts it)" if reflectance else ""
        found.append(f"made for level {card.level}, the source has {offer.level}{hint}")
    if card.resolution_m < 0.99 * offer.resolution_m:
        found.append(
            f"made for {card.resolution_m:g} m pixels, the source has {offer.resolution_m:g} m"
        )
    return found


def _stranger(offer: Offer, fitting: list[Checkpoint]) -> str:
    names = ", ".join(_names(fitting))
    if offer.simulated:
        return (
            "no simulated checkpoint fits; the simulated scene is mapped with one of real "
            f"imagery ({names})"
        )
    return (
        f"no checkpoint of real imagery fits; only simulated ones do ({names}): the map is "
        "an experiment"
    )


def _one_family(fitting: list[Checkpoint], offer: Offer) -> tuple[Checkpoint, ...]:
    """Return the checkpoints of the pixel size nearest the offer's: one stack has one grid."""
    nearest = min(
        (f.card.resolution_m for f in fitting),
        key=lambda metres: (abs(metres - offer.resolution_m), metres),
    )
    return tuple(found for found in fitting if found.card.resolution_m == nearest)


def _names(every: Iterable[Checkpoint]) -> list[str]:
    return [found.card.name for found in every]
