"""Which card for this scene: the nearest by MMD, ties by validation score, and whether it is near enough at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from configs.area import Area
from configs.errors import NothingToSeeError, RequestError
from configs.files import write_text
from configs.records import Advance, Choice, Ranked, silent
from configs.selection import SelectionConfig, read_selection
from configs.stack import Stack
from models.ranking import compare, rank
from models.registry import AUTO, Found


def choose(
    cards: Iterable[Found],
    stack: Stack,
    area: Area | None = None,
    *,
    checkpoint: str | None = None,
    fill: bool = True,
    settings: SelectionConfig | None = None,
    advance: Advance = silent,
) -> Choice:
    """Return which card maps the scene, with the ranking of all.

    Args:
        cards: `registry.candidates`; the card they were asked for by name is taken, and ranked with the others.
        stack: the scene; pixels are compared where it was observed.
        area: leaves out the rest of the stack.
        checkpoint: a name overrules the ranking; the candidates' own `named` where None.
        fill: name a post-only card for what has no clear pre-event pixel.
        settings: how to compare; with the study's calibration, where there is one, if None.
        advance: told cards done and in all.

    Raises:
        NothingToSeeError: no card could see a single pixel.
        RequestError: no candidate, or a card's reference sample is missing or broken.
    """
    settings = settings or read_selection()
    found = list(cards)
    if not found:
        raise RequestError(
            "there is no checkpoint to choose from", "Train one (`coslide train`) or set `model.card_dirs`."
        )
    named = checkpoint or getattr(cards, "named", None)
    compared = compare(found, stack, area, settings)
    if not compared:
        raise NothingToSeeError(
            "no checkpoint could see a single pixel of the scene",
            "Give a longer --post (and --pre), or wait for a clear image.",
        )
    ranking = _in_order(rank(compared, settings, advance))
    unseen = tuple(_unseen(one) for one in found if one.card.name not in {r.card for r in ranking})
    chosen = named if named not in (None, AUTO) else _break_ties(ranking).card
    if chosen is None or chosen in {one.card for one in unseen}:
        raise NothingToSeeError(
            f"checkpoint `{chosen}` could see nothing of the scene",
            "Choose one that needs no pre-event image, or wait.",
        )
    return _verdict(chosen, named not in (None, AUTO), found, ranking + unseen, settings, fill)


def _in_order(ranked: Iterable[Ranked]) -> tuple[Ranked, ...]:
    return tuple(sorted(ranked, key=lambda one: (one.distance, one.card)))


def _unseen(found: Found) -> Ranked:
    card = found.card
    return Ranked(
        card.name, math.nan, math.nan, {}, None, card.validation_f1, "no pixel is clear in every window it reads"
    )


def _break_ties(ranking: Sequence[Ranked]) -> Ranked:
    """Return the nearest card; among those within the standard error of it, the one of the best validation F1."""
    nearest = ranking[0]

    def within(one: Ranked) -> bool:
        error = max(e for e in (one.standard_error, nearest.standard_error, 0.0) if not math.isnan(e))
        return one.distance - nearest.distance <= error

    return max(filter(within, ranking), key=lambda one: (one.validation_f1 or 0.0, -one.distance))


def _verdict(
    chosen: str,
    by_name: bool,
    found: Sequence[Found],
    ranking: tuple[Ranked, ...],
    settings: SelectionConfig,
    fill: bool,
) -> Choice:
    cards = {one.card.name: one.card for one in found}
    mine = next(one for one in ranking if one.card == chosen)
    known = settings.calibration(cards[chosen].bands)
    alarm = known.alarm if known else None
    outside = alarm is not None and mine.distance > alarm
    expected = _expected(known.expected_f1, mine.distance) if known else None
    fallback = None
    if fill and cards[chosen].needs_pre:
        fallback = next((r.card for r in ranking if not cards[r.card].needs_pre and not math.isnan(r.distance)), None)
    warnings = []
    if outside:
        warnings.append(
            f"out of domain: `{chosen}` is {mine.distance:.2f} (MMD) from this scene, beyond the {alarm:.2f} known to work"
        )
    reason = _reason(mine, by_name, ranking)
    if alarm is None:
        reason += "; how far is too far is not known for these bands"
    return Choice(chosen, fallback, ranking, outside, expected, reason, tuple(warnings))


def _reason(mine: Ranked, by_name: bool, ranking: Sequence[Ranked]) -> str:
    seen = [one for one in ranking if not math.isnan(one.distance)]
    words = f"`{mine.card}`, MMD {mine.distance:.2f} ± {mine.standard_error:.2f}"
    if len(seen) == 1:
        return f"{words}: {'named by the user' if by_name else 'the only candidate'}"
    best = seen[0]
    nearer = sum(
        all(mine.per_band[b] <= other.per_band[b] for other in seen if b in other.per_band) for b in mine.per_band
    )
    words += f", the nearest in {nearer} of {len(mine.per_band)} bands"
    if by_name:
        return f"{words}: named by the user; by distance `{_break_ties(seen).card}` would be taken"
    if mine is not best:
        return f"{words}: `{best.card}` ({best.distance:.2f}) is as near within the error, and validated worse"
    return f"{words}: nearest of {len(seen)}, next `{seen[1].card}` ({seen[1].distance:.2f})"


def _expected(points: Sequence[tuple[float, float]], distance: float) -> float | None:
    if not points:
        return None
    return float(np.interp(distance, [d for d, _ in points], [f1 for _, f1 in points]))


FIELDS = ("rank", "card", "chosen", "band", "mmd", "mmd2", "standard_error", "p_value", "validation_f1", "note")
"""Columns of ``selection.csv``."""


def write_ranking(path: Path, choice: Choice) -> None:
    """Write ``selection.csv``: one row a card and band, and the joint one (which alone has an error and a p-value)."""
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, lineterminator="\n")
    table.writeheader()
    for place, one in enumerate(choice.ranking, 1):
        shared = {"rank": place, "card": one.card, "chosen": int(one.card == choice.card)}
        joint = {"band": "joint", "standard_error": _written(one.standard_error), "p_value": _written(one.p_value)}
        last = {"validation_f1": _written(one.validation_f1), "note": one.note}
        table.writerow(shared | joint | last | _distances(one.distance))
        for band, distance in one.per_band.items():
            table.writerow(shared | {"band": band} | _distances(distance))
    write_text(path, text.getvalue())


def _distances(mmd: float) -> dict[str, str]:
    return {"mmd": _written(mmd), "mmd2": _written(mmd * mmd)}


def _written(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"
