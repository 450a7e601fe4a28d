"""How far a checkpoint's own ground lies from itself: the distance that a scene may have and still
be at home.

The strategy: a checkpoint carries a sample of its training areas with the blocks they came from. A
twelfth of the blocks is held out and compared with the rest just as a scene would be, again and
again; a one-sided tolerance limit of these distances is what home looks like. Nothing but the
reference sample is needed, so every checkpoint has a limit, a user's own too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs.checkpoint import CheckpointCard
from configs.records import Level
from models.reference import Reference
from models.selection.domain_check import limits
from models.selection.signals import NOVELTY, SIGNALS, Comparison, Sample, Scaling, signal

_PARTS = 12
"""Parts that are held out in turn: enough for a tolerance limit, few enough for a second's work."""
_WORDS = {
    "all/mmd": "MMD",
    "whitened/mmd": "MMD of whitened bands",
    "whitened/coverage": "distance to the nearest known pixel",
    NOVELTY: "share of pixels unlike any known",
}
_FEWEST = 20
"""Pixels of a part below which it tells nothing."""


def home_limits(reference: Reference, bands: Sequence[str]) -> dict[str, float]:
    """Return the value of each signal up to which a scene is as near as the checkpoint's own
    training areas; empty where the areas are too small to hold anything out.
    """
    numbers = np.unique(reference.block)
    values = reference.columns(bands)
    found = []
    for part in np.array_split(numbers, min(_PARTS, len(numbers))):
        held = np.isin(reference.block, part)
        if held.sum() < _FEWEST or (~held).sum() < _FEWEST:
            continue
        away, rest = (
            Sample.thinned(bands, values[at], reference.block[at], reference.domain[at])
            for at in (held, ~held)
        )
        found.append(_signals(away, rest))
    return limits(found) if len(found) > 2 else {}


def _signals(scene: Sample, card: Sample) -> dict[str, float]:
    compared = Comparison(scene, card, Scaling.of(scene, [card]))
    return {name: signal(compared, name) for name in SIGNALS}


def away_from_home(
    card: CheckpointCard, reference: Reference, scene: Reference
) -> tuple[str, ...] | None:
    """Return, in words, what of a scene lies beyond a checkpoint's own ground; empty where nothing
    does, None where that cannot be told.

    Checkpoints of relative brightness have no home: what a scene's own scale is was taken away.
    """
    if card.level is Level.DISPLAY:
        return None
    known = home_limits(reference, card.bands)
    if not known:
        return None
    here, own = (
        Sample.thinned(card.bands, part.columns(card.bands), part.block, part.domain)
        for part in (scene, reference)
    )
    values = _signals(here, own)
    return tuple(
        f"{_WORDS[name]} {values[name]:.2f}, its own ground up to {limit:.2f}"
        for name, limit in known.items()
        if values[name] > limit
    )


def trained_on(card: CheckpointCard) -> str:
    """Return what a checkpoint knows, in words."""
    names = list(dict.fromkeys(domain.called for domain in card.domains if domain.weight))
    if len(names) == 1:
        return f"a single event, {names[0]}"
    between = "; " if any("," in name for name in names) else ", "
    return f"{len(names)} domains: {between.join(names)}"
