"""Real data sets beside each other: one scale, one pixel, no overlap unsaid, and a table of what is
on record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import cross_real
from benchmarks.comparison import CROP_PX, Pair, Scale
from benchmarks.cross_real import BIJIE, CARDS, FINE, IBURI, L4S, Drawn, coarser, matched, shown
from benchmarks.cross_real_table import Scored, rows, verdict
from benchmarks.iburi import samples_of
from configs.records import IGNORED
from models.architectures import build

torch.set_num_threads(1)


def pair(height: int, width: int, seed: int = 0) -> Pair:
    rng = np.random.default_rng(seed)
    y = np.zeros((height, width), np.uint8)
    y[height // 3 : 2 * height // 3] = 1
    return rng.integers(20, 200, (3, height, width), dtype=np.uint8), y


def test_reflectance_is_shown_as_the_true_colour_image_shows_it() -> None:
    given = np.array([0.0, 0.1779, 0.3558, 0.9, -0.1, np.nan], np.float32)
    assert shown(given).tolist() == [1, 128, 255, 255, 1, 0]


def test_a_coarser_image_keeps_means_and_calls_a_pixel_by_half() -> None:
    x, y = pair(100, 150)
    pixels, label = coarser((x, y), 0.8, 8.0)
    assert pixels.shape == (3, 10, 15)
    assert pixels == pytest.approx(x.reshape(3, 10, 10, 15, 10).mean(axis=(2, 4)), abs=0.51)
    assert (label == (y.reshape(10, 10, 15, 10).mean(axis=(1, 3)) >= 0.5)).all()
    tiny, _ = coarser(pair(5, 7), 0.8, 10.0)
    assert tiny.shape == (3, 1, 1)


def test_matched_light_gives_the_test_images_the_training_mean_and_spread() -> None:
    training, test = [pair(40, 40, 1)], [pair(30, 50, 2)]
    test = [((0.5 * x + 10).astype(np.uint8), y) for x, y in test]
    scale = Scale.of(training)
    moved = matched(scale, training, test)
    there, here = scale(training[0][0]), moved(test[0][0])
    assert here.mean(axis=(1, 2)) == pytest.approx(there.mean(axis=(1, 2)), abs=0.02)
    assert here.std(axis=(1, 2)) == pytest.approx(there.std(axis=(1, 2)), abs=0.02)


def test_small_images_are_seen_as_they_were_in_training_and_come_back_in_their_size() -> None:
    torch.manual_seed(0)
    network = build("resu_senet", 3, width=16)
    x = np.random.default_rng(0).normal(size=(3, 11, 23)).astype(np.float32)
    probability = cross_real.predicted(network, x)
    assert probability.shape == (11, 23)
    filled = np.zeros((3, CROP_PX, CROP_PX), np.float32)
    filled[:, :11, :23] = x
    assert (cross_real.predicted(network, filled)[:11, :23] == probability).all()


def test_pixels_are_drawn_from_labelled_ground_with_their_blocks() -> None:
    images = [pair(200, 300, 1), pair(20, 20, 2)]
    images[0][1][:150] = IGNORED
    drawn = Drawn.of(images, count=10**6)
    assert len(drawn.values) == 50 * 300 + 400
    assert len(np.unique(drawn.block)) == 3 * 1 + 1  # of the large image, the lower blocks alone


def scored(seeds: int = 1) -> Scored:
    """Return made-up scores: 0.6 in the checkpoint's own domain, 0.2 elsewhere."""
    tests = (BIJIE, IBURI, L4S, FINE)

    def scores(card: str) -> dict[str, Any]:
        made = {
            t: {"f1": 0.6 if t in CARDS[card] else 0.2, "precision": 0.5, "recall": 0.5}
            for t in tests
        }
        return {
            t: {**one, "best": one["f1"] + 0.1, "matched": one["f1"] + 0.05}
            for t, one in made.items()
        }

    measured = {
        f"{card}/{seed}": {"scores": scores(card)} for card in CARDS for seed in range(seeds)
    }
    near = dict.fromkeys(tests, (0.5, 0.1))
    return Scored(
        CARDS, measured, dict.fromkeys(CARDS, near), dict.fromkeys(tests, 0.3), L4S, IBURI
    )


def test_ground_that_a_card_may_know_is_called_overlapping() -> None:
    kind = scored().kind
    assert (
        kind(L4S, IBURI) == kind(IBURI, L4S) == kind(f"{BIJIE} + {IBURI}", L4S) == "*overlapping*"
    )
    assert (
        kind(BIJIE, IBURI) == kind(BIJIE, L4S) == kind(IBURI, BIJIE) == kind(L4S, FINE) == "unseen"
    )
    assert kind(FINE, BIJIE) == kind(BIJIE, FINE) == "in-domain, other pixel size"
    assert kind(f"{BIJIE} + {IBURI}", BIJIE) == "in-domain"
    # no patch of the collection trains what is called unseen on the region, or the other way round
    for card in CARDS:
        for test in (BIJIE, IBURI, L4S, FINE):
            if kind(card, test) == "unseen":
                assert not {L4S, IBURI} <= {test, *CARDS[card]}


def test_the_table_shows_every_pair_on_record_and_the_words_come_from_it() -> None:
    lines = rows(scored(2)).splitlines()
    assert len(lines) == 2 + len(CARDS) * 4
    assert "0.600, 0.600" in lines[2]
    assert "F1 0.600 in the mean" in verdict(scored())
    assert "0 of the" in verdict(scored())
    empty = Scored(CARDS, {}, {}, dict.fromkeys((BIJIE, IBURI), 0.3), L4S, IBURI)
    assert len(rows(empty).splitlines()) == 2
    assert "Nothing is on record" in verdict(empty)


def test_no_part_of_iburi_shows_a_pixel_of_another(real: Path) -> None:
    folder = cross_real.ROOT / "runs" / "verify" / "iburi" / "samples" / "iburi-post"
    if not folder.exists():
        pytest.skip("the Iburi sample set is not cut: `make verify-iburi`")
    split = cross_real.iburi(samples_of("iburi-post"))
    parts = [split.training[0], split.validation[0], split.test[0]]
    for pixels, label in parts:
        assert pixels.shape[1:] == label.shape
        assert (label != IGNORED).any(axis=0)[[0, -1]].all()
    columns = sum(label.shape[1] for _, label in parts)
    assert (
        columns <= samples_of("iburi-post").shape[1] - 2 * 8
    )  # guards between them belong to none
