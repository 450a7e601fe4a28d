"""The pre/post card with the post-only card filling what has no clear pre image, scored on all imaged pixels of a band."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from configs.checkpoint import read_card
from flows.train import fold_of, probability_of
from models.metrics import Confusion
from models.registry import Found
from tiles.labels import IGNORED
from tiles.samples import SampleSet


def filled_counts(work: Path, card: str, fold: int, seed: int) -> Confusion:
    """Return the counts on a fold's test band: the card where it observes, `iburi-post` elsewhere."""
    whole = SampleSet.open(work / "samples" / "iburi-post")
    own = SampleSet.open(work / "samples" / card)
    label = whole.label(whole.numbers(fold_of(whole, fold).test))
    seen = own.label(own.numbers(fold_of(own, fold).test)) != IGNORED
    predicted = np.zeros(label.shape, np.bool_)
    for name, samples, where in ((card, own, seen), ("iburi-post", whole, (label != IGNORED) & ~seen)):
        folder = work / "cards" / f"{name}-f{fold}-s{seed}"
        found = Found(folder, read_card(folder))
        chance = probability_of(found.load(), samples, where)
        predicted[where] = chance[where] >= found.card.threshold
    return Confusion.from_masks(predicted, label == 1, label != IGNORED)
