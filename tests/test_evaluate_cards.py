"""Checkpoints × test sets: the table repeats the checkpoint's own score, counts as scikit-learn
does, and refuses what does not fit.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from calls import call
from cards import make_card, make_network, save_card
from sklearn import metrics as theirs
from small_samples import BANDS, small_samples

from configs.checkpoint import TrainingDomain
from flows.learning.evaluate_cards import (
    SHOWN,
    card_named,
    megaflops_per_pixel,
    probability_of,
    seconds_per_megapixel,
)
from flows.learning.evaluate_cards import ground as told
from models.metrics import RATIOS


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two checkpoints and two sample sets, one of them simulated."""
    folder = tmp_path_factory.mktemp("ground")
    for seed, name in enumerate(("one", "two")):
        save_card(make_card(BANDS, name=name, threshold=0.4), folder / "cards" / name, seed)
    small_samples(folder / "valley")
    small_samples(folder / "hills", seed=3, name="hills", simulated=True)
    return folder


def test_every_checkpoint_on_every_set_as_scikit_learn_counts(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ground / "table"
    code, answer = call(
        capsys,
        "-q",
        "evaluate",
        "--checkpoint",
        "one",
        "--checkpoint",
        str(ground / "cards" / "two"),
        "--card-dir",
        str(ground / "cards"),
        "--samples",
        str(ground / "valley"),
        "--samples",
        str(ground / "hills"),
        "--out",
        str(out),
    )
    assert code == 0
    rows = {(row["checkpoint"], row["test set"]): row for row in answer["rows"]}
    assert set(rows) == {
        (c, s) for c in ("one", "two") for s in ("valley/test", "hills/test (simulated)")
    }
    assert {row["ground"] for row in answer["rows"]} == {"not trained here"}
    samples = small_samples(ground / "again")
    for name in ("one", "two"):
        found = card_named(str(ground / "cards" / name))
        truth = samples.label(samples.numbers(("test",)))
        known = truth != 255
        called = (probability_of(found.load(), samples, known) >= 0.4)[known]
        row = rows[name, "valley/test"]
        assert row["f1"] == pytest.approx(theirs.f1_score(truth[known], called), abs=1e-12)
        assert row["kappa"] == pytest.approx(
            theirs.cohen_kappa_score(truth[known], called), abs=1e-12
        )
        assert row["mcc"] == pytest.approx(
            theirs.matthews_corrcoef(truth[known], called), abs=1e-12
        )
        assert row["parameters"] == sum(p.numel() for p in make_network(found.card).parameters())
    with (out / "scores.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 4
    assert set(RATIOS) | {"landslide recall", "boundary f1 1 px", "iou, mean over patches"} <= set(
        table[0]
    )
    text = (out / "scores.md").read_text().splitlines()
    assert text[0] == "| " + " | ".join(SHOWN) + " |"
    assert set(RATIOS) <= set(SHOWN), "the metrics of all five papers stand in one table"
    assert len(text) == 2 + 4
    assert all(line.count("|") == text[0].count("|") for line in text)


def test_ground_that_a_checkpoint_was_trained_on_is_told(ground: Path) -> None:
    samples = small_samples(ground / "told")
    card = card_named(str(ground / "cards" / "two")).card
    assert told(card, samples) == "not trained here"
    own = TrainingDomain(name=samples.name, simulated=False, samples=1)
    assert told(card.model_copy(update={"domains": (own,)}), samples) == "trained here"
    copied = {"samples_elsewhere": samples.card.fingerprint[:16]}  # under another name
    assert told(card.model_copy(update={"training": copied}), samples) == "trained here"


def test_costs_are_the_networks(ground: Path) -> None:
    card = card_named(str(ground / "cards" / "one")).card
    small = megaflops_per_pixel(card)
    assert small > 0
    wide = megaflops_per_pixel(card.model_copy(update={"arguments": {"width": 8}}))
    assert 3 < wide / small <= 4, "twice the width is nearly four times the work"
    full = megaflops_per_pixel(
        card.model_copy(update={"arguments": {}, "bands": tuple("abcdefghij")})
    )
    assert full == pytest.approx(
        2 * 0.695, abs=0.002
    )  # the sheet's million multiply-accumulates a pixel
    assert np.isfinite(seconds_per_megapixel(card_named(str(ground / "cards" / "one")).load("cpu")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to evaluate"),
        (("--checkpoint", "one"), "go together"),
        (
            ("--checkpoint", "one", "--samples", "{0}/valley", "--reference", "simulated"),
            "do not go with",
        ),
        (("--checkpoint", "none", "--samples", "{0}/valley"), "no checkpoint `none`"),
        (("--checkpoint", "{0}/cards/one", "--samples", "{0}/nowhere"), "no sample set"),
        (
            ("--checkpoint", "{0}/cards/one", "--samples", "{0}/valley", "--split", "exam"),
            "no split exam",
        ),
        (("--checkpoint", "sim-mixed", "--samples", "{0}/valley"), "which `sim-mixed` reads"),
    ],
)
def test_what_cannot_be_is_refused(
    ground: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, answer = call(capsys, "-q", "evaluate", *(part.format(ground) for part in arguments))
    assert code == 2
    assert message in answer["message"]
    assert answer["remedy"]
