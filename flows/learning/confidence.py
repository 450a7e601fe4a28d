"""What high, medium and low promise, measured: of the landslides that a checkpoint draws on ground
held out of its training, how many are right, by their mean probability.

Right is what lies on traced ground by a quarter or more. The share right is made monotone in the
mean probability (isotonic regression); a class begins where it reaches what the class promises and
the whole class keeps it by the lower end of its 95 % interval. Landslides of one slope are right or
wrong together, so the interval is that of a ratio over blocks of ground (Cochran 1977, ch. 6), by
Student's t of as many blocks; a class that the blocks do not bear out is not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import betaincinv, stdtrit

from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from configs.records import IGNORED
from configs.selection import read_selection
from flows.learning.accuracy import Counts, counted, in_words, ratio
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

_SURE = 0.975
"""One-sided: the lower end of a 95 % interval."""
_LEAST_BLOCKS = 3
"""Fewer do not tell how blocks differ."""
_STEP = 0.01
"""Of the mean probabilities that a class may begin at; finer ones would be noise."""


class Judgements(NamedTuple):
    """Landslides drawn on held-out ground."""

    mean: NDArray[np.float64]
    """Mean probability of each."""
    right: NDArray[np.bool_]
    block: NDArray[np.int64]
    """Number of the block of ground that each lies in."""


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
    seeds, each, pixels = np.unique(numbers, return_inverse=True, return_counts=True)
    resolution_m = samples.card.origin.resolution_m
    mean = np.bincount(each, weights=probability[called]) / pixels
    hit = np.bincount(each, weights=label[called] == 1)
    kept = pixels >= (rules.min_area_m2 or 0) / resolution_m**2
    called[called] = kept[each]
    side = block_px(resolution_m, read_selection().block_m)
    y, x = np.unravel_index(seeds[kept] - 1, called.shape)
    block = y // side * -(-called.shape[1] // side) + x // side
    judgements = Judgements(mean[kept], hit[kept] >= _RIGHT_SHARE * pixels[kept], block)
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
    if sum(len(part.mean) for part in parts.values()) < _LEAST_OBJECTS:
        return None
    every = together(parts.values())
    points = [_reached(every, least) for least in PROMISES.values()]
    high, medium = PROMISES.values()
    first = _begin(every, high, points[0], (np.inf, np.inf))
    second = _begin(every, medium, points[1], (points[0], first or np.inf))
    made = Confidence(high=first, medium=second, counts={}, right={}, measured_on=in_words(parts))
    return made.model_copy(update=kept(made, every))


def together(parts: Iterable[Judgements]) -> Judgements:
    """Return the landslides of several parts, none of whose blocks are another's."""
    mean, right, block = zip(*parts, strict=True)
    own = [np.full(len(one), number) for number, one in enumerate(block)]
    pairs = np.stack([np.concatenate(own), np.concatenate(block)])
    _, numbers = np.unique(pairs, axis=1, return_inverse=True)
    return Judgements(np.concatenate(mean), np.concatenate(right), numbers.ravel())


def _reached(every: Judgements, least: float) -> float:
    """Return from which mean probability on at least `least` are right, made monotone."""
    order = np.argsort(every.mean, kind="stable")
    share = isotonic_regression(every.right[order].astype(np.float64)).x
    return float(every.mean[order][share >= least].min(initial=np.inf))


def _begin(
    every: Judgements, least: float, earliest: float, ends: tuple[float, float]
) -> float | None:
    """Return from which mean probability on, not before `earliest`, a class keeps its promise of at
    least `least` right; None where it never does.

    It ends at the second of `ends`, where the class above begins. What lies between the first and
    that is as good as the class above and only too rarely seen: it cannot answer for worse ones.
    """
    for step in range(int(np.ceil(min(1.0, earliest) / _STEP)), round(1 / _STEP)):
        begin = round(step * _STEP, 4)
        end = ends[0] if begin < ends[0] else ends[1]
        inside = (every.mean >= begin) & (every.mean < end)
        if surely(every.right[inside], every.block[inside]) >= least:
            return begin
    return None


def surely(right: NDArray[np.bool_], block: NDArray[np.int64]) -> float:
    """Return the share right by the lower end of its 95 % interval: between blocks or, where that
    is lower (blocks that are all right do not differ), of independent landslides (Clopper and
    Pearson 1934).
    """
    count, hits = len(right), int(right.sum())
    _, numbers = np.unique(block, return_inverse=True)
    blocks = np.bincount(numbers)
    if hits == 0 or len(blocks) < _LEAST_BLOCKS:
        return 0.0
    share, variance = ratio(np.bincount(numbers, weights=right), blocks)
    between = share - float(stdtrit(len(blocks) - 1, _SURE)) * np.sqrt(variance)
    return float(min(between, betaincinv(hits, count - hits + 1, 1 - _SURE)))


def kept(made: Confidence, part: Judgements) -> dict[str, dict[str, Any]]:
    """Return how landslides fall into classes (`counts`), and the share of each that is `right`."""
    mean, right, _ = part
    names = confidence_of(mean, limits_of(CleanConfig(), made), False)
    counts = {name: int((names == name).sum()) for name in CONFIDENCES}
    shares = {name: round(float(right[names == name].mean()), 3) for name in counts if counts[name]}
    return {"counts": counts, "right": shares}
