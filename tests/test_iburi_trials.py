"""The Iburi trials: every recipe is one, the choice is made on validation bands, and nothing
unmeasured is in the table.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import iburi_trials
from benchmarks.iburi import ROOT
from benchmarks.iburi_trials import PLAIN, TRIALS, Record, document, whole
from configs.training import TrainingConfig, read_training
from models.metrics import Confusion


def counted(tp: int) -> dict[str, float]:
    return {"threshold": 0.4, "tp": tp, "fp": 100 - tp, "fn": 100 - tp, "tn": 800}


def record(**trials: int) -> Record:
    """Return made-up counts of trials on all folds: F1 is a hundredth of the number."""
    return {name: {str(fold): counted(tp) for fold in range(5)} for name, tp in trials.items()}


@pytest.mark.parametrize("name", [name for name, trial in TRIALS.items() if trial.changes])
def test_every_trial_is_a_recipe_that_differs_from_the_plain_one(name: str) -> None:
    plain = read_training(ROOT / "configs" / "train" / "iburi-post.yaml")
    content: dict[str, Any] = (
        plain.model_dump(mode="json", exclude_unset=True) | TRIALS[name].changes
    )
    changed = TrainingConfig.model_validate(content)
    assert changed.identity != plain.identity
    assert changed.augmentation.mirrors == "none"  # no trial brings them back by leaving them out


def test_what_is_not_there_on_every_band_is_not_in_the_table() -> None:
    some = record(plain=60, light=70)
    del some["light"]["3"]
    assert whole(some) == {PLAIN: pytest.approx(0.6)}
    table, words = document(some)
    assert TRIALS["light"].words not in table
    assert TRIALS["light"].words in words


def test_the_best_on_validation_bands_is_chosen_whatever_the_test_bands_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, float]] = []

    def tested(name: str, fold: int, threshold: float) -> Confusion:
        asked.append((name, threshold))
        return Confusion(50, 50, 50, 850) if name == PLAIN else Confusion(10, 90, 90, 810)

    monkeypatch.setattr(iburi_trials, "tested", tested)
    table, words = document(record(plain=60, light=65, flips=64))
    assert len(table.splitlines()) == 2 + 3
    assert {name for name, _ in asked} == {
        "light",
        PLAIN,
    }  # no other trial's test bands are looked at
    assert {threshold for _, threshold in asked} == {0.4}
    assert "0.100" in words
    assert "0.500" in words
    asked.clear()
    assert "stays" in document(record(plain=66, light=65))[1]
    assert not asked
