"""What high and medium promise: measured on held-out ground, kept in the card, said in products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_scene import about, small_scene

from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from flows.learning.confidence import PROMISES, Judgements, kept, promised, together
from inventory.outline.attributes import UNMEASURED, confidence_of, limits_of
from inventory.summary import count_seen, headline, summarise

MADE = Confidence(
    high=0.6,
    medium=0.5,
    counts={"high": 40, "medium": 20, "low": 60},
    right={"high": 0.95, "medium": 0.8, "low": 0.4},
    measured_on="iburi-2018",
)


def of(mean: NDArray[np.float64], right: NDArray[np.bool_], blocks: int = 20) -> Confidence:
    """Return what landslides promise that lie in so many blocks, dealt in turn."""
    made = promised({("there", "test"): Judgements(mean, right, np.arange(len(mean)) % blocks)})
    assert made is not None
    return made


def test_too_few_tell_nothing() -> None:
    few = np.linspace(0.2, 0.9, 29)
    assert promised({("there", "test"): Judgements(few, few > 0.5, np.arange(29))}) is None
    assert promised({}) is None


def test_classes_begin_where_the_promise_is_kept() -> None:
    rng = np.random.default_rng(3)
    mean = rng.uniform(0.2, 0.9, 4000)
    made = of(mean, rng.random(4000) < mean)  # right as often as it says
    assert made.high is None or made.high > 0.85
    assert made.medium == pytest.approx(0.7, abs=0.07)
    made = of(mean, rng.random(4000) < np.where(mean > 0.5, 0.97, 0.3))
    assert made.high == pytest.approx(0.5, abs=0.02)
    assert made.right["high"] >= PROMISES["high"]
    assert made.right["low"] < PROMISES["medium"]
    assert sum(made.counts.values()) == 4000


def test_promises_are_kept_on_other_ground() -> None:
    """Blocks differ in how easy they are, and a few of them stand for as many others: by what was
    right on the few alone a tenth of the classes would miss their promise by five points.
    """
    rng, well = np.random.default_rng(5), []
    for _ in range(60):
        easy, mean = rng.normal(0, 1, 16), rng.uniform(0.3, 0.9, 400)
        block = np.arange(400) % 16
        right = rng.random(400) < 1 / (1 + np.exp(-(12 * (mean - 0.55) + easy[block])))
        here, there = (Judgements(mean[at], right[at], block[at]) for at in (block < 8, block > 7))
        made = promised({("there", "test"): here})
        assert made is not None
        found = kept(made, there)
        given = [name for name in PROMISES if found["counts"][name]]
        well += [found["right"][name] >= PROMISES[name] - 0.05 for name in given]
    assert len(well) > 30
    assert np.mean(well) >= 0.95


def test_what_few_blocks_say_is_not_promised() -> None:
    sure = np.full(60, 0.8), np.ones(60, bool)
    assert of(*sure, blocks=12).high is not None
    assert of(*sure, blocks=2).high is None
    # Of twelve blocks one is all wrong: nine in ten are right, and a tenth of the ground is not.
    assert of(np.full(600, 0.8), np.arange(600) % 12 > 0, blocks=12).high is None


def test_blocks_of_two_parts_are_not_one() -> None:
    part = Judgements(np.full(4, 0.5), np.ones(4, bool), np.array([0, 0, 7, 7]))
    assert together([part, part]).block.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_where_nothing_is_so_sure_nothing_is_called_so() -> None:
    made = of(np.linspace(0.2, 0.9, 200), np.arange(200) % 2 == 0)
    assert made.high is None
    limits = limits_of(CleanConfig(), made)
    assert "high" not in confidence_of(np.array([0.99, 0.2]), limits, False)


def test_the_runs_own_numbers_win_and_unmeasured_checkpoints_are_never_sure() -> None:
    assert limits_of(CleanConfig(), MADE) == (0.6, 0.5)
    assert limits_of(CleanConfig(), None) == UNMEASURED
    assert set(confidence_of(np.array([0.99, 0.7]), UNMEASURED, False)) == {"low"}
    own = CleanConfig(confidence_high=0.9)
    assert limits_of(own, MADE) == (0.9, 0.5)


def test_the_promise_stands_in_the_headline_and_never_where_nothing_is_known(
    tmp_path: Path,
) -> None:
    scene = small_scene(tmp_path)
    found = scene.outline(confidence=MADE)
    assert set(found.landslides["confidence"]) == {"high", "medium"}
    seen = count_seen(scene.probability, scene.observation)

    def told(**more: object) -> str:
        return " ".join(headline(summarise(found, seen, about(**more))))

    assert "held out of the training (iburi-2018): right were 95 % of 40 high" in told(promise=MADE)
    assert "right was not measured" in told()
    unknown = replace(about().choice, out_of_domain="unknown", trained_on="Iburi")
    assert "right were" not in told(promise=MADE, choice=unknown)
