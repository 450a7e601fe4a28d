"""Which checkpoint for this scene, and whether any is near enough.

By joint MMD: the nearest that is at home here, else the nearest of all; within the error of it the
one that sees more of the area, then the one that did better elsewhere, then the one of more various
training. By a study, where the run asks for it: what checkpoints reached on domains they had not
seen (`configs/selection.yaml`), which no look at the scene has bettered (docs/results.md#order).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from configs.area import Area
from configs.errors import NothingToSeeError, RequestError
from configs.files import write_text
from configs.records import Advance, Choice, Domain, Ranked, silent
from configs.selection import BandSetCalibration, SelectionConfig, read_selection
from configs.stack import Stack
from models.registry import AUTO, AVERAGE, Checkpoint
from models.selection.home import trained_on
from models.selection.ranking import Compared, compare, rank
from models.selection.signals import diversity

SAME_RECORD = 0.02
"""Records of F1 that are the same to this go by distance: less than what seeds differ by, and on
unseen domains no worse than the record to its last digit (docs/results.md#order)."""


def choose(
    cards: Iterable[Checkpoint],
    stack: Stack,
    area: Area | None = None,
    *,
    checkpoint: str | None = None,
    fill: bool = True,
    by: Literal["mmd", "study"] = "mmd",
    settings: SelectionConfig | None = None,
    advance: Advance = silent,
) -> Choice:
    """Return which checkpoint maps the scene, with the ranking of all.

    Args:
        checkpoints: `registry.candidates`; the checkpoint they were asked for by name is taken, and
            ranked with the others.
        stack: the scene; pixels are compared where it was observed.
        area: leaves out the rest of the stack.
        checkpoint: a name overrules the ranking; the candidates' own `named` where None.
        fill: name a post-only checkpoint for what has no clear pre-event pixel.
        by: what orders them: joint MMD, or what a study that covers their bands saw them reach.
        settings: how to compare; with the study's calibration, where there is one, if None.
        advance: called with checkpoints done and in all.

    Raises:
        NothingToSeeError: no checkpoint could see a single pixel.
        RequestError: no candidate, or a checkpoint's reference sample is missing or broken.
    """
    settings = settings or read_selection()
    found = list(cards)
    if not found:
        raise RequestError(
            "there is no checkpoint to choose from",
            "Train one (`coslide train`) or set `model.card_dirs`.",
        )
    named = checkpoint or getattr(cards, "named", None)
    compared = compare(found, stack, area, settings)
    if not compared:
        raise NothingToSeeError(
            "no checkpoint could see a single pixel of the scene",
            "Give a longer --post (and --pre), or wait for a clear image.",
        )
    ranking = _ordered(rank(compared, settings, advance), compared, by, settings)
    unseen = tuple(_unseen(one) for one in found if one.card.name not in {r.card for r in ranking})
    by_name = named not in (None, AUTO, AVERAGE)
    best = _best(ranking, by, compared, settings)
    chosen = named if by_name else best.card
    if chosen is None or chosen in {one.card for one in unseen}:
        raise NothingToSeeError(
            f"checkpoint `{chosen}` could see nothing of the scene",
            "Choose one that needs no pre-event image, or wait.",
        )
    simulated = bool(stack.attributes.get("simulated", False))
    judged = _judged(chosen, by_name, best, found, ranking + unseen, settings, simulated)
    by_card = {one.found.card.name: one for one in compared}
    if judged.out_of_domain == "unknown":
        judged = _at_home(judged, by_card[judged.card])
    if fill and by_card[judged.card].found.card.needs_pre:
        judged = _filled(judged, by_card, settings, simulated)
    return _averaged(judged, found, settings) if named == AVERAGE else judged


def _at_home(choice: Choice, mine: Compared) -> Choice:
    """Return the choice with what is known where no study covers the checkpoint: whether the scene
    is as near as its own training areas.
    """
    beyond = mine.away
    if beyond == ():
        words = "as near as its own training areas"
        return replace(choice, out_of_domain=False, reason=f"{choice.reason}; {words}")
    why = "; ".join(beyond) if beyond else "how far is too far cannot be told of it"
    warning = (
        f"nothing is known of how `{choice.card}` does here: it was trained on "
        f"{choice.trained_on} ({why})"
    )
    return replace(choice, warnings=(*choice.warnings, warning))


def _filled(
    choice: Choice, compared: Mapping[str, Compared], settings: SelectionConfig, simulated: bool
) -> Choice:
    """Return the choice with the nearest fallback that is known to work here, or else the nearest
    of all; and what is known of it, for it draws landslides of its own.
    """

    def domain(one: Ranked) -> Domain:
        mine, known = compared[one.card], _known(compared[one.card].found, settings)
        if known is not None and _knows(known) and mine.found.card.simulated == simulated:
            return bool(beyond_known(one, known))
        return False if mine.away == () else "unknown"

    ranked = (one for one in choice.ranking if one.card in compared)
    judged = {r.card: domain(r) for r in ranked if not compared[r.card].found.card.needs_pre}
    if not judged:
        return choice
    name = min(judged, key=lambda card: judged[card] is not False)  # the first of equals: nearest
    return replace(choice, fallback=name, fallback_out_of_domain=judged[name])


def _ordered(
    ranked: Sequence[Ranked], compared: Sequence[Compared], by: str, settings: SelectionConfig
) -> tuple[Ranked, ...]:
    """Return the checkpoints by distance; or, where a study covers all of them, by what they did on
    domains they had not seen: of different bands, by the F1 to be expected.
    """
    sets = {(frozenset(one.found.card.bands), one.found.card.simulated) for one in compared}

    def key(one: Ranked) -> tuple[float, float, str]:
        if by == "mmd" or not _covered(ranked):
            return one.distance, one.distance, one.card
        reached = one.advantage if len(sets) == 1 else one.expected_f1
        return -round((reached or 0.0) / SAME_RECORD), one.distance, one.card

    return tuple(sorted(ranked, key=key))


def _covered(ranking: Iterable[Ranked]) -> bool:
    """Return whether a study covers every checkpoint."""
    return all(one.signals for one in ranking)


def _unseen(found: Checkpoint) -> Ranked:
    card = found.card
    return Ranked(
        card.name,
        math.nan,
        math.nan,
        {},
        None,
        card.validation_f1,
        "no pixel is clear in every window it reads",
    )


def _best(
    ranking: Sequence[Ranked], by: str, compared: Sequence[Compared], settings: SelectionConfig
) -> Ranked:
    """Return the first of the ranking where a study says how to order; else the nearest of those at
    home here, because the others are only hoped to work; else the nearest of all, ties broken.
    """
    if by == "study" and _covered(ranking):
        return ranking[0]
    at_home = _homes(compared, settings)
    return _break_ties(list(filter(at_home, ranking)) or ranking, compared)


def _homes(compared: Sequence[Compared], settings: SelectionConfig) -> Callable[[Ranked], bool]:
    """Return what tells whether a scene is on a checkpoint's own ground; never of one that a study
    covers, which knows more.
    """
    mine = {one.found.card.name: one for one in compared}

    def at_home(ranked: Ranked) -> bool:
        one = mine[ranked.card]
        if _known(one.found, settings):
            return False
        return one.away == ()

    return at_home


def _known(found: Checkpoint, settings: SelectionConfig) -> BandSetCalibration | None:
    return settings.calibration(found.card.bands, found.card.simulated)


def _break_ties(ranking: Sequence[Ranked], compared: Sequence[Compared]) -> Ranked:
    """Return the nearest checkpoint; among those within the standard error of it, the one that sees
    most of the area (to a hundredth), then the one that did best on unseen domains, then the one of
    the most various training.

    Validation F1 decides only where all that is equal: it says nothing about unseen domains
    (docs/results.md).
    """
    nearest, beside = ranking[0], {one.found.card.name: one for one in compared}
    most = max(one.scene.pixels for one in compared)

    def within(one: Ranked) -> bool:
        error = max(
            e for e in (one.standard_error, nearest.standard_error, 0.0) if not math.isnan(e)
        )
        return one.distance - nearest.distance <= error

    def worth(one: Ranked) -> tuple[float, ...]:
        mine = beside[one.card]
        various = diversity(np.bincount(mine.reference.domain).tolist())
        sees = round(mine.scene.pixels / most, 2)
        return sees, one.advantage or 0.0, round(various, 2), -one.distance, one.validation_f1 or 0

    return max(filter(within, ranking), key=worth)


def _judged(
    chosen: str,
    by_name: bool,
    best: Ranked,
    found: Sequence[Checkpoint],
    ranking: tuple[Ranked, ...],
    settings: SelectionConfig,
    simulated: bool,
) -> Choice:
    """Return the choice, `unknown` where no study of such imagery covers the checkpoint."""
    cards = {one.card.name: one for one in found}
    mine = next(one for one in ranking if one.card == chosen)
    known = _known(cards[chosen], settings)
    beyond = (
        beyond_known(mine if by_name else _nearest(mine, ranking, cards), known) if known else []
    )
    expected = mine.expected_f1
    reason = _reason(mine, by_name, ranking, best)
    # What a study of simulated imagery found holds for simulated scenes alone.
    alike = cards[chosen].card.simulated == simulated
    covered = alike and known is not None and _knows(known)
    warnings = (_alarmed(chosen, beyond, expected),) if beyond and covered else ()
    return Choice(
        chosen,
        None,
        ranking,
        bool(beyond) if covered else "unknown",
        expected if alike else None,
        reason,
        warnings,
        trained_on=trained_on(cards[chosen].card),
    )


def _knows(known: BandSetCalibration) -> bool:
    """Return whether a study has seen where checkpoints stop to work."""
    return known.alarm is not None or bool(known.limits)


def _nearest(mine: Ranked, ranking: Sequence[Ranked], cards: Mapping[str, Checkpoint]) -> Ranked:
    """Return the nearest of the checkpoints that read what the chosen one reads: where even that
    one is far, none can be trusted.
    """

    def family(one: Ranked) -> tuple[frozenset[str], bool]:
        return frozenset(cards[one.card].card.bands), cards[one.card].card.simulated

    alike = [one for one in ranking if family(one) == family(mine) and not math.isnan(one.distance)]
    return min(alike, key=lambda one: (one.distance, one.card))


def beyond_known(mine: Ranked, known: BandSetCalibration) -> list[str]:
    """Return, in words, each signal that lies beyond what is known to work."""
    found = []
    if known.alarm is not None and mine.distance > known.alarm:
        found.append(f"MMD {mine.distance:.2f}, beyond {known.alarm:.2f}")
    for name, limit in known.limits.items():
        if name in mine.signals and mine.signals[name] > limit:
            found.append(f"{name} {mine.signals[name]:.2f}, beyond {limit:.2f}")
    return found


def _alarmed(chosen: str, beyond: Sequence[str], expected: float | None) -> str:
    words = (
        f"out of domain: this scene is farther from what `{chosen}` and its like were "
        "trained on than any checkpoint is known to work at"
    )
    tail = "" if expected is None else f"; at best F1 {expected:.2f} is to be expected"
    return f"{words} ({'; '.join(beyond)}){tail}"


def _averaged(choice: Choice, found: Sequence[Checkpoint], settings: SelectionConfig) -> Choice:
    """Return the choice with the near-equal best of the chosen checkpoint's bands beside it, at
    most `MEMBERS`.
    """
    cards = {one.card.name: one for one in found}
    mine = next(one for one in choice.ranking if one.card == choice.card)
    known = _known(cards[choice.card], settings)
    near = known.near if known and known.near else mine.standard_error
    alike = [
        one.card
        for one in choice.ranking
        if set(cards[one.card].card.bands) == set(cards[choice.card].card.bands)
        and one.distance - mine.distance <= near
    ]
    members = (choice.card, *(name for name in alike if name != choice.card))[:MEMBERS]
    reason = f"{choice.reason}; mapped by the mean of {', '.join(f'`{name}`' for name in members)}"
    return replace(choice, members=members, reason=reason)


def _reason(mine: Ranked, by_name: bool, ranking: Sequence[Ranked], best: Ranked) -> str:
    seen = [one for one in ranking if not math.isnan(one.distance)]
    words = f"`{mine.card}`, MMD {mine.distance:.2f} ± {mine.standard_error:.2f}"
    if len(seen) == 1:
        return f"{words}: {'named by the user' if by_name else 'the only candidate'}"
    nearest = seen[0]
    nearer = sum(
        all(mine.per_band[b] <= other.per_band[b] for other in seen if b in other.per_band)
        for b in mine.per_band
    )
    words += f", the nearest in {nearer} of {len(mine.per_band)} bands"
    if by_name:
        return f"{words}: named by the user; by itself coslide would take `{best.card}`"
    after = next(one for one in seen if one is not mine)
    if any(one.distance < mine.distance for one in seen) and mine is seen[0]:
        return f"{words}: did best on domains it had not seen, next `{after.card}`"
    error = max(mine.standard_error, nearest.standard_error)
    if mine.distance - nearest.distance > error:
        return f"{words}: the nearest that is at home here; `{nearest.card}` is not"
    if mine is not nearest:
        return (
            f"{words}: `{nearest.card}` ({nearest.distance:.2f}) is as near within the error, and "
            "sees less of the area or did worse or knows less elsewhere"
        )
    return f"{words}: nearest of {len(seen)}, next `{after.card}` ({after.distance:.2f})"


MEMBERS = 3
"""Cards that are averaged at most: each one more costs a whole mapping."""


FIELDS = (
    "rank",
    "card",
    "chosen",
    "band",
    "mmd",
    "mmd2",
    "standard_error",
    "p_value",
    "expected_f1",
    "advantage",
    "validation_f1",
    "note",
)
"""Columns of ``selection.csv``."""


def write_ranking(path: Path, choice: Choice) -> None:
    """Write ``selection.csv``: one row a checkpoint and band, and the joint one (which alone has an
    error and a p-value).

    A checkpoint that adapt scenes has a second joint row, of the distance after it.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, lineterminator="\n")
    table.writeheader()
    for place, one in enumerate(choice.ranking, 1):
        shared = {"rank": place, "card": one.card, "chosen": int(one.card == choice.card)}
        joint = {
            "band": "joint",
            "standard_error": _written(one.standard_error),
            "p_value": _written(one.p_value),
        }
        scored = ("expected_f1", "advantage", "validation_f1")
        last = {name: _written(getattr(one, name)) for name in scored} | {"note": one.note}
        table.writerow(shared | joint | last | _distances(one.distance))
        if one.adapted_distance is not None:
            table.writerow(shared | {"band": "joint, adapted"} | _distances(one.adapted_distance))
        for band, distance in one.per_band.items():
            table.writerow(shared | {"band": band} | _distances(distance))
    write_text(path, text.getvalue())


def _distances(mmd: float) -> dict[str, str]:
    return {"mmd": _written(mmd), "mmd2": _written(mmd * mmd)}


def _written(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"
