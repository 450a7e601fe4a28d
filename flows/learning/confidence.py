"""What high, medium and low promise, measured: of the landslides that a checkpoint draws on ground
held out of its training, how many are right, by their mean probability.

Right is what lies on traced ground by a quarter or more. The share right is made monotone in the
mean probability (isotonic regression); a class begins where it reaches what the class promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from configs.records import IGNORED
from configs.selection import read_selection
from flows.learning.accuracy import Counts, counted, in_words
from flows.learning.evaluate_cards import probability_of
from inventory.outline.attributes import CONFIDENCES, confidence_of, limits_of
from inventory.outline.split import split
from models.inference.predict import Predictor
from models.sampling import block_px
from tiles.samples import SampleSet

PROMISES = {"high": 0.9, "medium": 0.7}
"""Share of right landslides that a class promises at least."""
_RIGHT_SHARE = 0.25
_LEAST_OBJECTS = 30
"""Fewer tell nothing of a share of 0.9: its error would be above 0.05."""

_Floats = NDArray[np.float64]
Judgements = tuple[_Floats, NDArray[np.bool_]]
"""Of landslides: mean probability, and whether each is right."""


class HeldOut(NamedTuple):
    """What a checkpoint draws on ground held out of its training, beside what was traced there."""

    landslides: Judgements
    blocks: Counts


def held_out(predictor: Predictor, samples: SampleSet, splits: Sequence[str]) -> HeldOut:
    """Return what a checkpoint draws on some splits of a sample set, too small landslides left
    out as an inventory does.
    """
    label, rules = samples.label(samples.numbers(splits)), CleanConfig()
    probability = probability_of(predictor, samples, label != IGNORED)
    called = np.isfinite(probability) & (probability >= predictor.card.threshold)
    numbers = split(called, probability, rules.split_depth)[called]
    _, each, pixels = np.unique(numbers, return_inverse=True, return_counts=True)
    resolution_m = samples.card.origin.resolution_m
    mean = np.bincount(each, weights=probability[called]) / pixels
    hit = np.bincount(each, weights=label[called] == 1)
    kept = pixels >= (rules.min_area_m2 or 0) / resolution_m**2
    called[called] = kept[each]
    side = block_px(resolution_m, read_selection().block_m)
    judgements = mean[kept], hit[kept] >= _RIGHT_SHARE * pixels[kept]
    return HeldOut(judgements, counted(called, label, side))


def judged(
    predictor: Predictor, sets: Sequence[SampleSet], splits: Sequence[str]
) -> dict[tuple[str, str], HeldOut]:
    """Return (sample set, split) -> what is drawn there, of the splits that each set has."""
    return {
        (samples.name, name): held_out(predictor, samples, [name])
        for samples in sets
        for name in splits
        if name in samples.card.split_names.values()
    }


def promised(parts: Mapping[tuple[str, str], Judgements]) -> Confidence | None:
    """Return from which mean probability each class keeps its promise, and how it was kept on
    these parts; None where too few landslides were drawn on them to tell.
    """
    if sum(len(mean) for mean, _ in parts.values()) < _LEAST_OBJECTS:
        return None
    mean, right = (np.concatenate(column) for column in zip(*parts.values(), strict=True))
    order = np.argsort(mean, kind="stable")
    share = isotonic_regression(right[order].astype(np.float64)).x
    begins = [
        round(float(mean[order][share >= least][0]), 4) if (share >= least).any() else None
        for least in PROMISES.values()
    ]
    made = Confidence(
        high=begins[0], medium=begins[1], counts={}, right={}, measured_on=in_words(parts)
    )
    return made.model_copy(update=kept(made, (mean, right)))


def kept(made: Confidence, part: Judgements) -> dict[str, dict[str, Any]]:
    """Return how landslides fall into classes (`counts`), and the share of each that is `right`."""
    mean, right = part
    names = confidence_of(mean, limits_of(CleanConfig(), made), False)
    counts = {name: int((names == name).sum()) for name in CONFIDENCES}
    shares = {name: round(float(right[names == name].mean()), 3) for name in counts if counts[name]}
    return {"counts": counts, "right": shares}
