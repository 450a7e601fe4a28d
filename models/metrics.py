"""How good a mask is: counts of agreement and the ratios the papers report. numpy only, landslide =
positive.

Counts are whole numbers and add up over tiles, bands and scenes; every ratio is computed from the
sums in float64. Conventions (the papers are silent): 0/0 is NaN and left out of means over classes
or patches; MCC with an empty row or column is 0. Yang et al. 2024 averages over patches, Gao et al.
2021-004 count globally: `mean_over_patches` gives the former.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from configs.records import IGNORED

RATIOS = ("precision", "recall", "f1", "iou", "mcc", "oa", "kappa", "miou", "mpa", "fwiou")
"""Every metric, in the order of `Confusion.as_dict`."""


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


@dataclass(frozen=True)
class Confusion:
    """Counts of a binary confusion matrix. Sums of counts are counts: `a + b`, `sum(parts,
    Confusion())`.
    """

    tp: int = 0
    """Landslide, and called so."""
    fp: int = 0
    """Called landslide, but none."""
    fn: int = 0
    """Landslide, but missed."""
    tn: int = 0
    """None, and called so."""

    def __post_init__(self) -> None:
        for name in ("tp", "fp", "fn", "tn"):
            count = int(getattr(self, name))
            if count < 0:
                raise RequestError(
                    f"a confusion matrix cannot hold {name} = {count}", "Counts are 0 or more."
                )
            object.__setattr__(
                self, name, count
            )  # Python integers: numpy's would overflow in the products below

    @classmethod
    def from_masks(
        cls,
        predicted: NDArray[np.generic],
        reference: NDArray[np.generic],
        valid: NDArray[np.bool_] | None = None,
    ) -> Confusion:
        """Return the counts of two masks of one shape, non-zero = landslide; 255 in either one is
        not counted.

        Raises:
            RequestError: the masks, or `valid` (True = counted), differ in shape.
        """
        shapes = {
            np.shape(predicted),
            np.shape(reference),
            np.shape(reference if valid is None else valid),
        }
        if len(shapes) > 1:
            raise RequestError(
                f"masks of different shapes: {sorted(shapes)}", "Bring them to one grid first."
            )
        counted = _known(predicted) & _known(reference)
        if valid is not None:
            counted &= np.asarray(valid, dtype=bool)
        p, r = (
            np.asarray(predicted).astype(bool)[counted],
            np.asarray(reference).astype(bool)[counted],
        )
        both, called, true = int(np.sum(p & r)), int(np.sum(p)), int(np.sum(r))
        return cls(both, called - both, true - both, p.size - called - true + both)

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    @property
    def total(self) -> int:
        """Return the number of counted pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float:
        """Return TP / (TP + FP)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Return TP / (TP + FN)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Return 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """Return TP / (TP + FP + FN), of the landslide class (Yang et al. 2024 eq. 5; Xu et al.
        (preprint) calls it mIoU).
        """
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def _iou_background(self) -> float:
        return _ratio(self.tn, self.tn + self.fp + self.fn)

    @property
    def mcc(self) -> float:
        """Return Matthews' correlation; 0 where a row or column is empty. (Yang et al. 2024 eq. 7
        is misprinted.)
        """
        tp, fp, fn, tn = (float(count) for count in (self.tp, self.fp, self.fn, self.tn))
        # Factor by factor: the product of four sums of a large scene leaves the range where float64
        # is exact.
        scale = math.sqrt(tp + fp) * math.sqrt(tp + fn) * math.sqrt(tn + fp) * math.sqrt(tn + fn)
        return float(self.tp * self.tn - self.fp * self.fn) / scale if scale else 0.0

    @property
    def oa(self) -> float:
        """Return overall (pixel) accuracy."""
        return _ratio(self.tp + self.tn, self.total)

    @property
    def kappa(self) -> float:
        """Return Cohen's kappa (Gao et al. 2021 eqs. 6, 7); NaN where chance alone would agree
        always.
        """
        n = self.total
        by_chance = (self.tp + self.fn) * (self.tp + self.fp) + (self.fp + self.tn) * (
            self.fn + self.tn
        )
        return _ratio(n * (self.tp + self.tn) - by_chance, n * n - by_chance)

    @property
    def miou(self) -> float:
        """Return the mean IoU of both classes (Gao et al. 2021 eq. 8, Li et al. 2024 eq. 23); a
        class that never occurs is left out.
        """
        return _mean((self.iou, self._iou_background))

    @property
    def mpa(self) -> float:
        """Return the mean of both classes' recall (Li et al. 2024 eq. 21); a class absent from the
        reference is left out.
        """
        return _mean((self.recall, _ratio(self.tn, self.tn + self.fp)))

    @property
    def fwiou(self) -> float:
        """Return IoU weighted by the classes' share of the reference (Li et al. 2024 eq. 24)."""
        parts = ((self.tp + self.fn, self.iou), (self.tn + self.fp, self._iou_background))
        return _ratio(math.fsum(count * iou for count, iou in parts if count), self.total)

    def as_dict(self) -> dict[str, float]:
        """Return the counts and all ratios by name; undefined ratios are NaN."""
        counts: dict[str, float] = {"tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn}
        return counts | {name: float(getattr(self, name)) for name in RATIOS}


def _known(mask: NDArray[np.generic]) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.dtype == bool:
        return np.ones(array.shape, dtype=bool)
    return np.asarray((array != IGNORED) & (array == array), dtype=bool)  # NaN differs from itself


def mean_over_patches(patches: Iterable[Confusion]) -> dict[str, float]:
    """Return each ratio's mean over patches, those where it is undefined left out (Yang et al.
    2024's averaging).

    The mean F1 lies below the F1 of the mean precision and recall; never compare it with a global
    one.
    """
    rows: list[Mapping[str, float]] = [patch.as_dict() for patch in patches]
    return {name: _mean(row[name] for row in rows) for name in RATIOS}


@dataclass(frozen=True)
class Sweep:
    """Confusion matrices at every threshold at once: histograms of the probability of both classes,
    additive.

    A threshold `k / bins` calls landslide every pixel whose probability is at least that.
    """

    positives: NDArray[np.int64]
    """Landslide pixels by probability, `(bins + 1,)`; the last holds probability 1."""
    negatives: NDArray[np.int64]

    @classmethod
    def empty(cls, bins: int = 1000) -> Sweep:
        """Return a sweep of nothing, thresholds in steps of 1 / `bins`."""
        return cls(np.zeros(bins + 1, np.int64), np.zeros(bins + 1, np.int64))

    @classmethod
    def of(
        cls, probability: NDArray[np.floating], labels: NDArray[np.generic], bins: int = 1000
    ) -> Sweep:
        """Return the sweep of probabilities 0-1 against labels of the same shape; label 255 and NaN
        are not counted.
        """
        known = _known(labels) & np.isfinite(probability)
        # The small push keeps a probability that *is* k / bins in bin k despite rounding.
        level = np.clip(
            np.asarray(probability)[known].astype(np.float64) * bins + 1e-6, 0, bins
        ).astype(np.int64)
        truth = np.asarray(labels)[known].astype(bool)
        return cls(
            np.bincount(level[truth], minlength=bins + 1),
            np.bincount(level[~truth], minlength=bins + 1),
        )

    def __add__(self, other: Sweep) -> Sweep:
        return Sweep(self.positives + other.positives, self.negatives + other.negatives)

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Return the thresholds, ascending, `(bins + 1,)`."""
        bins = len(self.positives) - 1
        return np.arange(bins + 1) / bins

    def at(self, threshold: float) -> Confusion:
        """Return the counts at a threshold, rounded to the nearest step."""
        k = round(threshold * (len(self.positives) - 1))
        tp, fp = int(self.positives[k:].sum()), int(self.negatives[k:].sum())
        return Confusion(tp, fp, int(self.positives.sum()) - tp, int(self.negatives.sum()) - fp)

    def best(self, low: float = 0.02, high: float = 0.98) -> tuple[float, Confusion]:
        """Return (threshold, counts) of the highest F1 within `[low, high]`; 0.5 where there is no
        landslide at all.

        The middle of the plateau where several thresholds are equally good, so that rounding
        decides nothing.
        """
        tp, fp = np.cumsum(self.positives[::-1])[::-1], np.cumsum(self.negatives[::-1])[::-1]
        true = int(self.positives.sum())
        if true == 0:
            return 0.5, self.at(0.5)
        f1 = 2 * tp / (tp + fp + true)
        allowed = np.flatnonzero((self.thresholds >= low) & (self.thresholds <= high))
        top = allowed[f1[allowed] >= f1[allowed].max() - 1e-12]
        threshold = float(self.thresholds[top[(len(top) - 1) // 2]])
        return threshold, self.at(threshold)

    def agreeing(self, low: float = 0.001, high: float = 0.98) -> tuple[float, float]:
        """Return (threshold, Cohen's kappa) of the best agreement within `[low, high]`; 0.5 and 0
        where one of the classes is missing.
        """
        tp, fp = np.cumsum(self.positives[::-1])[::-1], np.cumsum(self.negatives[::-1])[::-1]
        true, false = float(self.positives.sum()), float(self.negatives.sum())
        if not true or not false:
            return 0.5, 0.0
        fn, tn = true - tp, false - fp
        kappa = 2 * (tp * tn - fp * fn) / ((tp + fp) * false + true * (fn + tn))
        allowed = np.flatnonzero((self.thresholds >= low) & (self.thresholds <= high))
        first = allowed[int(np.argmax(kappa[allowed]))]
        return float(self.thresholds[first]), float(kappa[first])
