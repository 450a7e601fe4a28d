"""Metrics: agreement with scikit-learn and with the papers' own tables, and the conventions where
they are silent.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from configs.errors import RequestError
from models.metrics import RATIOS, Confusion, Sweep, mean_over_patches

RANDOM = [tuple(row) for row in np.random.default_rng(7).integers(0, 60, (40, 4))]
EMPTY = [
    (0, 0, 0, 9),
    (9, 0, 0, 0),
    (0, 5, 0, 3),
    (0, 0, 5, 3),
    (4, 3, 0, 0),
    (0, 3, 4, 0),
    (0, 9, 0, 0),
    (0, 0, 9, 0),
]


def masks(tp: int, fp: int, fn: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    predicted = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    return predicted, np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])


def by_scikit_learn(p: np.ndarray, r: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # jaccard_score takes no NaN: a class that occurs in neither mask is told apart by hand.
        iou = [sk.jaccard_score(r, p, pos_label=c) if c in r or c in p else np.nan for c in (1, 0)]
        share = [np.mean(r == c) for c in (1, 0)]
        return {
            "precision": sk.precision_score(r, p, zero_division=np.nan),
            "recall": sk.recall_score(r, p, zero_division=np.nan),
            "f1": sk.f1_score(r, p, zero_division=np.nan),
            "iou": iou[0],
            "mcc": sk.matthews_corrcoef(r, p),
            "oa": sk.accuracy_score(r, p),
            "kappa": sk.cohen_kappa_score(r, p, labels=[0, 1]),
            "miou": float(np.nanmean(iou)),
            "mpa": sk.balanced_accuracy_score(r, p),
            "fwiou": float(np.nansum(np.multiply(share, iou))),
        }


@pytest.mark.parametrize("counts", RANDOM + EMPTY, ids=str)
def test_agrees_with_scikit_learn(counts: tuple[int, int, int, int]) -> None:
    p, r = masks(*counts)
    ours = Confusion.from_masks(p, r)
    assert (ours.tp, ours.fp, ours.fn, ours.tn) == counts
    expected = by_scikit_learn(p, r)
    for name in RATIOS:
        assert getattr(ours, name) == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name


def test_nothing_counted_is_undefined_and_mcc_zero() -> None:
    values = Confusion().as_dict()
    assert values["mcc"] == 0.0
    assert all(math.isnan(values[name]) for name in RATIOS if name != "mcc")


def test_counts_add_and_ignored_pixels_never_count() -> None:
    rng = np.random.default_rng(0)
    p, r = rng.integers(0, 2, (2, 40, 50)).astype(np.uint8)
    whole = Confusion.from_masks(p, r)
    assert Confusion.from_masks(p[:13], r[:13]) + Confusion.from_masks(p[13:], r[13:]) == whole
    assert (
        sum((Confusion.from_masks(a, b) for a, b in zip(p, r, strict=True)), Confusion()) == whole
    )
    valid = rng.random((40, 50)) < 0.6
    hidden = np.where(valid, r, np.uint8(255))
    assert Confusion.from_masks(p, hidden) == Confusion.from_masks(p, r, valid)
    assert Confusion.from_masks(np.where(valid, p, np.uint8(255)), r) == Confusion.from_masks(
        p, r, valid
    )
    assert Confusion.from_masks(p, r, valid).total == valid.sum()


def test_a_planet_of_pixels_does_not_overflow() -> None:
    small, factor = Confusion(30, 10, 20, 400), 10**12
    large = Confusion(*(np.int64(n) * factor for n in (30, 10, 20, 400)))
    for name in RATIOS:
        assert getattr(large, name) == pytest.approx(getattr(small, name), abs=1e-12)


def test_published_rows_follow_from_one_another() -> None:
    # Yang et al. 2024 averages over patches: the mean F1 lies below that of the mean P and R (Table
    # VI: .8936, .7775 -> .8246).
    patches = [Confusion(50, 5, 10, 200), Confusion(5, 0, 20, 200), Confusion(0, 0, 0, 225)]
    mean = mean_over_patches(patches)
    assert mean["f1"] == pytest.approx((patches[0].f1 + patches[1].f1) / 2)
    assert mean["f1"] < 2 * mean["precision"] * mean["recall"] / (
        mean["precision"] + mean["recall"]
    )
    assert mean["mcc"] == pytest.approx((patches[0].mcc + patches[1].mcc + 0) / 3)
    assert math.isnan(mean_over_patches([])["f1"])


def test_refuses_nonsense() -> None:
    with pytest.raises(RequestError, match="different shapes"):
        Confusion.from_masks(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(RequestError, match="different shapes"):
        Confusion.from_masks(np.zeros((2, 3)), np.zeros((2, 3)), np.ones((3, 2), bool))
    with pytest.raises(RequestError, match="fn = -1"):
        Confusion(1, 1, -1, 1)


def test_sweep_equals_thresholding_one_by_one() -> None:
    rng = np.random.default_rng(3)
    probability = rng.random((30, 40)).round(3).astype(np.float32)
    labels = np.where(
        rng.random((30, 40)) < 0.1, 255, probability + rng.normal(0, 0.3, (30, 40)) > 0.6
    ).astype(np.uint8)
    sweep = Sweep.of(probability[:11], labels[:11]) + Sweep.of(probability[11:], labels[11:])
    for threshold in (0.0, 0.25, 0.5, 0.731, 1.0):
        assert sweep.at(threshold) == Confusion.from_masks(
            probability >= np.float32(threshold), labels
        )
    threshold, counts = sweep.best()
    every = [sweep.at(t).f1 for t in np.linspace(0.02, 0.98, 961)]
    assert counts.f1 == pytest.approx(max(every)) == pytest.approx(sweep.at(threshold).f1)
    assert Sweep.of(probability, np.zeros_like(labels)).best()[0] == 0.5


# Gao et al. 2021, tables VII and VIII, %: OA, P, R, F1, kappa, MIoU.
PAPER_001 = [
    (95.83, 82.87, 37.74, 51.86, 50.00, 65.37),
    (95.52, 79.11, 33.62, 47.19, 45.24, 63.15),
    (98.82, 95.49, 84.19, 89.48, 88.87, 89.87),
    (98.97, 96.84, 85.45, 90.79, 90.25, 91.02),
    (99.08, 92.72, 91.82, 92.27, 91.78, 92.34),
    (99.42, 96.34, 93.77, 95.04, 94.72, 94.96),
    (90.99, 76.60, 49.56, 60.18, 55.36, 66.69),
    (91.65, 75.84, 57.61, 65.48, 60.83, 69.81),
    (97.45, 96.91, 84.14, 90.07, 88.62, 89.53),
    (98.10, 96.46, 89.49, 92.85, 91.76, 92.24),
    (98.11, 93.69, 92.51, 93.09, 92.00, 92.46),
    (98.71, 94.91, 95.72, 95.31, 94.56, 94.78),
]


@pytest.mark.parametrize("row", PAPER_001, ids=str)
def test_paper_001_rows_come_from_one_confusion_matrix(row: tuple[float, ...]) -> None:
    oa, p, r, *rest = (value / 100 for value in row)
    tp = (1 - oa) / (
        (1 - r) / r + (1 - p) / p
    )  # share of all pixels that makes P and R give this accuracy
    shares = (tp, tp * (1 - p) / p, tp * (1 - r) / r, oa - tp)
    counts = Confusion(*(round(share * 10**9) for share in shares))
    assert (counts.f1, counts.kappa, counts.miou) == pytest.approx(
        rest, abs=2e-4
    )  # the table's own rounding


def test_paper_003_table_4_from_its_counts() -> None:
    counts = Confusion(915698, 55853, 20753)
    assert (100 * counts.precision, 100 * counts.recall, 100 * counts.iou) == pytest.approx(
        (94.25, 97.78, 92.28), abs=5e-3
    )


# Li et al. 2024, table 2 (PA, MPA, MIoU, FWIoU, %) beside table 3 (recall and IoU of landslide and
# background, %).
PAPER_002 = [
    ((88.75, 53.08, 47.64, 79.46), (7.02, 99.14)),
    ((82.60, 70.98, 54.00, 75.26), (55.99, 85.97)),
    ((94.13, 86.11, 76.41, 89.72), (75.75, 96.46)),
    ((94.71, 84.38, 77.22, 90.42), (71.06, 97.71)),
    ((96.16, 86.54, 82.14, 92.74), (74.11, 98.96)),
]


@pytest.mark.parametrize(("published", "recalls"), PAPER_002, ids=str)
def test_paper_002_table_2_follows_from_table_3(
    published: tuple[float, ...], recalls: tuple[float, float]
) -> None:
    landslide, background = (recall / 100 for recall in recalls)
    share = (
        0.113  # of landslide among the test pixels, the one number that makes all five rows agree
    )
    parts = (
        share * landslide,
        (1 - share) * (1 - background),
        share * (1 - landslide),
        (1 - share) * background,
    )
    counts = Confusion(*(round(part * 10**9) for part in parts))
    found = (counts.oa, counts.mpa, counts.miou, counts.fwiou)
    assert tuple(100 * value for value in found) == pytest.approx(published, abs=0.15)


@pytest.mark.parametrize(
    ("recall", "precision", "f1"),
    [(50.56, 46.95, 48.69), (53.77, 56.88, 55.28), (57.45, 47.49, 52.00), (69.74, 62.96, 66.18)],
)
def test_paper_004_f1_follows_from_precision_and_recall(
    recall: float, precision: float, f1: float
) -> None:
    tp = 10**9
    counts = Confusion(tp, round(tp * (100 / precision - 1)), round(tp * (100 / recall - 1)))
    assert 100 * counts.f1 == pytest.approx(f1, abs=0.01)
