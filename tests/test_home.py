"""Home: a checkpoint knows its own ground, and flags what is not like it (`make verify-trust`)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cards import make_card

from benchmarks.trust import REAL, WITH_HOME, WRONG, at_home, wrong_scenes
from configs.checkpoint import CheckpointCard, TrainingDomain
from configs.records import Level, Ranked
from configs.selection import SelectionConfig
from models.reference import Reference
from models.registry import find, installed
from models.selection import choose
from models.selection.home import away_from_home, home_limits, trained_on

BANDS = ("post_B4", "slope")


@pytest.mark.parametrize("name", WITH_HOME)
def test_shipped_real_checkpoints_know_their_own_ground_and_nothing_else(name: str) -> None:
    checkpoint = installed(name)
    home, blocks = at_home(checkpoint)
    assert home >= 0.95 * blocks
    # A real city's colours are beside the repository, or they are not tried.
    here = REAL.is_dir()
    kinds = {name: change for name, change in WRONG.items() if here or "real" not in name}
    found = wrong_scenes(checkpoint, kinds)
    flagged, every = (sum(counts) for counts in zip(*found.values(), strict=True))
    assert flagged >= 0.95 * every, found


def ground(seed: int, shift: float = 0.0, blocks: int = 24) -> Reference:
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks, dtype=np.int32), 50)
    values = rng.normal(size=(len(block), 2)) + 0.3 * rng.normal(size=(blocks, 2))[block] + shift
    return Reference(
        BANDS, values.astype(np.float32), block, np.zeros(len(block), np.int32), ("here",), 0.0
    )


def test_farther_than_its_own_blocks_is_not_home_and_the_words_say_by_how_much() -> None:
    card, own = make_card(BANDS), ground(0)
    assert away_from_home(card, own, ground(1)) == ()
    beyond = away_from_home(card, own, ground(1, shift=3.0))
    assert beyond
    assert any("its own ground up to" in words for words in beyond)


def test_what_cannot_be_held_out_and_what_has_no_scale_has_no_home() -> None:
    card, own = make_card(BANDS), ground(0)
    assert home_limits(ground(0, blocks=1), BANDS) == {}
    assert away_from_home(card, ground(0, blocks=1), ground(1)) is None
    display = card.model_copy(update={"level": Level.DISPLAY})
    assert away_from_home(display, own, own) is None


def test_a_checkpoint_of_a_single_event_says_so() -> None:
    card = make_card(BANDS)
    one = (TrainingDomain(name="iburi-2018", simulated=False, samples=10),)
    alone = card.model_copy(update={"domains": one})
    assert trained_on(alone) == "a single event, iburi-2018"
    two = (*one, replace_domain(one[0], "tephra", simulated=True))
    assert trained_on(card.model_copy(update={"domains": two})) == (
        "2 domains: iburi-2018, tephra (simulated)"
    )


def test_headlines_name_events_and_sets_of_one_event_once() -> None:
    card = installed("iburi-rgb").card
    assert len(card.domains) == 2
    assert trained_on(card) == "a single event, Iburi 2018"
    assert trained_on(installed("world-rgb").card) == (
        "3 domains: Taiwan (Landslide4Sense S1), Iburi 2018, Kodagu (Landslide4Sense S4)"
    )
    domain = card.domains[0]
    named = [
        domain.model_copy(update={"event": event, "simulated": simulated})
        for event, simulated in (("Palu, Indonesia 2018", False), ("", True))
    ]
    assert trained_on(card.model_copy(update={"domains": tuple(named)})) == (
        "2 domains: Palu, Indonesia 2018; l4s-s2 (simulated)"
    )


@pytest.mark.parametrize(
    "card", [found for _, found in find() if not found.simulated], ids=lambda card: card.name
)
def test_no_real_checkpoint_speaks_of_sample_sets(card: CheckpointCard) -> None:
    assert all(domain.event for domain in card.domains)
    said = trained_on(card) + (card.confidence.measured_on if card.confidence else "")
    assert not [domain.name for domain in card.domains if domain.name in said]


def replace_domain(domain: TrainingDomain, name: str, simulated: bool) -> TrainingDomain:
    return domain.model_copy(update={"name": name, "simulated": simulated})


def test_references_stay_as_they_are() -> None:
    own = ground(0)
    before = own.values.copy()
    home_limits(own, BANDS)
    assert np.array_equal(before, own.values)


def test_who_is_at_home_goes_before_who_is_nearer_but_a_stranger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far, own = (Ranked(name, mmd, 0.01, {}) for name, mmd in (("a", 0), ("b", 0.2), ("c", 1)))
    ranking = (near, far, own)
    alike = SimpleNamespace(domain=np.zeros(3, np.int32)), SimpleNamespace(pixels=9)
    compared: Any = [
        SimpleNamespace(
            found=SimpleNamespace(card=SimpleNamespace(name=one.card)),
            reference=alike[0],
            scene=alike[1],
        )
        for one in ranking
    ]

    def best(*at_home: Ranked) -> Ranked:
        monkeypatch.setattr(choose, "_homes", lambda *_: lambda one: one in at_home)
        return choose._best(ranking, "mmd", compared, SelectionConfig())

    assert best(own) is own
    assert best(far, own) is far
    assert best() is near
