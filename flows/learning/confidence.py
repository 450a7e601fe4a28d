"""What high, medium and low promise, measured: of the landslides that a checkpoint draws on ground
held out of its training, how many are right, by their mean probability.

Right is what lies on traced ground by a quarter or more. The share right is made monotone in the
mean probability (isotonic regression); a class begins where it reaches what the class promises.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from configs.records import IGNORED
from flows.learning.adapting import on
from flows.learning.evaluate_cards import probability_of
from inventory.outline.split import split
from models.inference.predict import Predictor
from tiles.samples import SampleSet

PROMISES = {"high": 0.9, "medium": 0.7}
"""Share of right landslides that a class promises at least."""
_RIGHT_SHARE = 0.25
_LEAST_OBJECTS = 30
"""Fewer tell nothing of a share of 0.9: its error would be above 0.05."""

_Floats = NDArray[np.float64]
Judgements = tuple[_Floats, NDArray[np.bool_]]
"""Of landslides: mean probability, and whether each is right."""


def objects_of(predictor: Predictor, samples: SampleSet, splits: Sequence[str]) -> Judgements:
    """Return (mean probability, whether it is right) of each landslide that a checkpoint draws on
    some splits of a sample set.
    """
    label = samples.label(samples.numbers(splits))
    judged = label != IGNORED
    probability = probability_of(on(predictor, samples), samples, judged)
    called = np.isfinite(probability) & (probability >= predictor.card.threshold)
    rules = CleanConfig()
    numbers = split(called, probability, rules.split_depth or 1.0)
    _, names = np.unique(numbers, return_inverse=True)
    names = names.reshape(numbers.shape)
    if numbers.min() > 0:
        names = names + 1
    count = int(names.max()) + 1
    pixels = np.bincount(names.ravel(), minlength=count)
    hit = np.bincount(names[label == 1], minlength=count)
    total = np.bincount(names[called], weights=probability[called], minlength=count)
    least = (rules.min_area_m2 or 0) / samples.card.origin.resolution_m**2
    kept = (np.arange(count) > 0) & (pixels >= least)
    return total[kept] / pixels[kept], hit[kept] >= _RIGHT_SHARE * pixels[kept]


def measure(
    predictor: Predictor, sets: Sequence[SampleSet], splits: Sequence[str]
) -> Confidence | None:
    """Return from which mean probability each class keeps its promise; None where too few
    landslides were drawn on held-out ground to tell.
    """
    parts = []
    for samples in sets:
        known = [name for name in splits if name in samples.card.split_names.values()]
        if known:
            parts.append(objects_of(predictor, samples, known))
    if not parts:
        return None
    mean, right = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(mean) < _LEAST_OBJECTS:
        return None
    return promised(mean, right, ", ".join(samples.name for samples in sets))


def promised(mean: _Floats, right: NDArray[np.bool_], where: str) -> Confidence:
    """Return the classes of landslides by mean probability `(n,)` and whether each is right."""
    order = np.argsort(mean, kind="stable")
    share = isotonic_regression(right[order].astype(np.float64)).x
    high, medium = (
        float(mean[order][share >= least][0]) if (share >= least).any() else np.inf
        for least in PROMISES.values()
    )
    classes = np.where(mean >= high, 0, np.where(mean >= medium, 1, 2))
    counts = {name: int((classes == i).sum()) for i, name in enumerate((*PROMISES, "low"))}
    shares = {
        name: round(float(right[classes == i].mean()), 3)
        for i, name in enumerate(counts)
        if counts[name]
    }
    return Confidence(
        high=round(high, 4) if high < np.inf else None,
        medium=round(medium, 4) if medium < np.inf else None,
        counts=counts,
        right=shares,
        measured_on=where,
    )
