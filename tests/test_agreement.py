"""Agreement between checkpoints: who sees what the others see comes first, whatever the windows,
and nobody is asked of what not all can see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import landscape, make_stack
from test_select import BOTH, POST, QUICK, card_of, chosen

from configs.bands import When
from configs.records import ObservationClass
from configs.selection import AGREEMENT, BandSetCalibration, SelectionConfig
from configs.stack import Stack
from models.inference.adaptation import adapting
from models.registry import Checkpoint
from models.selection.agreement import agreement, calls, seen_by_all, windows


def everything(rows: slice, columns: slice) -> NDArray[np.bool_]:
    return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)


def drawn(seed: int, cards: int = 5, pixels: int = 2000) -> list[NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    truth = rng.random(pixels) < 0.1
    return [truth ^ (rng.random(pixels) < share) for share in np.linspace(0.01, 0.3, cards)]


def test_agreement_is_the_dice_score_with_the_votes_of_the_others() -> None:
    every = drawn(0)
    found = agreement(every)
    for i, mine in enumerate(every):
        share = [
            sum(bool(other[k]) for j, other in enumerate(every) if j != i) / 4
            for k in range(len(mine))
        ]
        both = sum(s for s, m in zip(share, mine, strict=True) if m)
        assert found[i] == pytest.approx(2 * both / (mine.sum() + sum(share)), abs=1e-12)


def test_the_cards_that_err_least_agree_most() -> None:
    found = agreement(drawn(1))
    assert list(found) == sorted(found, reverse=True)
    turned = agreement([one.reshape(40, 50) for one in drawn(1)[::-1]])
    assert turned[::-1] == pytest.approx(found, abs=1e-12)


def test_one_who_calls_nothing_or_all_agrees_least_and_nothing_at_all_is_agreement() -> None:
    every = drawn(2, 30)[:4]
    alone = [*every, np.zeros(2000, bool), np.ones(2000, bool)]
    found = agreement(alone)
    assert found[4] == 0
    assert found[5] < found[:4].min()
    assert agreement([np.zeros(9, bool)] * 3) == pytest.approx([1, 1, 1])
    assert agreement([every[0]] * 3) == pytest.approx([1, 1, 1])


def test_windows_lie_where_something_is_seen_and_where_vegetation_was_lost(tmp_path: Path) -> None:
    world = landscape(1)
    world |= {
        "pre_NDVI": np.full((384, 384), 0.7, np.float32),
        "post_NDVI": np.full((384, 384), 0.7, np.float32),
    }
    world["post_NDVI"][200:230, 330:360] = 0.1
    world["post_NDVI"][:, :64] = 0.95  # gains are no losses
    stack = make_stack(tmp_path / "s.zarr", world)

    def east(rows: slice, columns: slice) -> NDArray[np.bool_]:
        return everything(rows, columns) & (np.arange(columns.start, columns.stop) >= 128)

    assert len(windows(stack, everything, 64, 100)) == 36
    assert len(windows(stack, east, 64, 100)) == 24
    few = windows(stack, everything, 64, 4)
    assert len(few) == 4
    assert (slice(192, 256), slice(320, 384)) in few
    assert windows(stack, everything, 64, 4) == few
    assert windows(stack, lambda rows, columns: ~everything(rows, columns), 64, 4) == []


@dataclass(frozen=True)
class Blurred:
    """A checkpoint whose answer at a pixel is the mean of a band over its neighbours: it needs
    context.
    """

    bands: tuple[str, ...]
    reach: int = 3

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert min(batch.shape[2:]) >= 64
        padded = np.pad(batch[:, 0], [(0, 0), (self.reach,) * 2, (self.reach,) * 2], mode="edge")
        side = 2 * self.reach + 1
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))
        return np.asarray(windows.mean(axis=(3, 4)), np.float32)


def test_windows_give_what_the_whole_scene_gives(tmp_path: Path) -> None:
    world = {
        name: band[:, :330] for name, band in landscape(3).items()
    }  # a last window of 10 columns
    stack = make_stack(tmp_path / "s.zarr", world)
    cards = [Blurred(("post_B4",)), Blurred(("slope", "post_B3"))]
    places = windows(stack, everything, 64, 100)
    limits = [float(np.median(stack.read(card.bands[0]))) for card in cards]
    found = calls(cards, limits, stack, places, everything, halo=8)
    for i, card in enumerate(cards):
        whole = card(stack.view(card.bands)[:, 0:384, 0:330][None])[0] >= limits[i]
        expected = np.concatenate([whole[place].ravel() for place in places])
        inside = np.concatenate(
            [np.full(whole[place].size, place[1].start < 320) for place in places]
        )
        assert (found[i] == expected)[inside].mean() > 0.99
        assert 0.2 < found[i].mean() < 0.8


def test_only_what_all_can_see_is_asked_of(tmp_path: Path) -> None:
    clouded = np.full((384, 384), ObservationClass.CLEAR, np.uint8)
    clouded[:200] = ObservationClass.CLOUD
    stack = make_stack(tmp_path / "s.zarr", landscape(1), {When.PRE: clouded})
    both = seen_by_all([everything, lambda rows, columns: clear(stack, rows, columns)])
    assert windows(stack, both, 64, 100)[0][0].start == 192


def clear(stack: Stack, rows: slice, columns: slice) -> NDArray[np.bool_]:
    return np.asarray(stack.observation(When.PRE, rows, columns) == ObservationClass.CLEAR)


def by_agreement(*bands: tuple[str, ...]) -> SelectionConfig:
    known = tuple(
        BandSetCalibration(
            bands=one,
            statistic=AGREEMENT,
            distances=(0.1, 0.5),
            expected_f1=((0.0, 0.8), (1.0, 0.1)),
        )
        for one in bands
    )
    return QUICK.model_copy(
        update={"calibrations": known, "windows": 4, "window_px": 64, "halo_px": 8}
    )


def test_the_choice_goes_by_agreement_where_the_study_says_so(tmp_path: Path) -> None:
    cards = [card_of(tmp_path, name, POST, landscape(i)) for i, name in enumerate("abcd")]
    stack = make_stack(tmp_path / "s.zarr", landscape(9))
    choice = chosen(cards, stack, settings=by_agreement(POST))
    scores = [one.agreement for one in choice.ranking]
    assert all(score is not None and 0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, key=lambda one: -(one or 0))
    assert choice.card == choice.ranking[0].card
    assert "first by agreement" in choice.reason
    assert choice.expected_f1 == pytest.approx(0.8 - 0.7 * (1 - (scores[0] or 0)), abs=1e-9)
    assert chosen(cards[::-1], stack, settings=by_agreement(POST)) == choice


def test_where_cards_agree_alike_the_nearer_one_comes_first(tmp_path: Path) -> None:
    world = landscape(9)
    cards = [
        card_of(tmp_path, name, POST, landscape(i, brightness=b))
        for i, (name, b) in enumerate([("a", 0.3), ("b", 0.2), ("c", 0.1)])
    ]
    stack = make_stack(tmp_path / "s.zarr", world)
    settings = by_agreement(POST)
    heavy = settings.calibrations[0].model_copy(update={"distance": 100.0})
    choice = chosen(cards, stack, settings=settings.model_copy(update={"calibrations": (heavy,)}))
    assert [one.card for one in choice.ranking] == ["c", "b", "a"]


def test_two_cards_cannot_outvote_one_another(tmp_path: Path) -> None:
    cards = [
        card_of(tmp_path, "dark", POST, landscape(0, brightness=0.08)),
        card_of(tmp_path, "bright", POST, landscape(1, brightness=0.3)),
    ]
    choice = chosen(
        cards,
        make_stack(tmp_path / "s.zarr", landscape(9, brightness=0.08)),
        settings=by_agreement(POST),
    )
    assert choice.card == "dark"
    assert [one.agreement for one in choice.ranking] == [None, None]
    assert choice.expected_f1 is None


def test_cards_of_different_bands_vote_together_on_what_both_see(tmp_path: Path) -> None:
    cards: list[Checkpoint] = [
        card_of(tmp_path, name, bands, landscape(i))
        for i, (name, bands) in enumerate([("a", POST), ("b", BOTH), ("c", POST)])
    ]
    covered = np.full((384, 384), ObservationClass.CLOUD, np.uint8)
    stack = make_stack(tmp_path / "s.zarr", landscape(9), {When.PRE: covered})
    choice = chosen(cards, stack, settings=by_agreement(POST, BOTH))
    assert {
        one.card for one in choice.ranking if one.agreement is not None
    } == set()  # `b` sees nothing: two are left
    assert {
        one.card
        for one in chosen(
            cards, make_stack(tmp_path / "t.zarr", landscape(9)), settings=by_agreement(POST, BOTH)
        ).ranking
        if one.agreement is not None
    } == {"a", "b", "c"}


def test_three_of_the_same_bands_vote_among_themselves(tmp_path: Path) -> None:
    post = [card_of(tmp_path, f"post{i}", POST, landscape(i)) for i in range(3)]
    both = [card_of(tmp_path, f"both{i}", BOTH, landscape(i)) for i in range(2)]
    stack = make_stack(tmp_path / "s.zarr", landscape(9))

    def agreed(cards: list[Checkpoint]) -> dict[str, float | None]:
        return {
            one.card: one.agreement
            for one in chosen(cards, stack, settings=by_agreement(POST, BOTH)).ranking
        }

    alone, beside = agreed(post), agreed(post + both)
    assert {
        name: beside[name] for name in alone
    } == alone  # what checkpoints of other bands call changes nothing
    assert (
        beside["both0"] != agreed([post[0], *both])["both0"]
    )  # two of a kind are too few: all vote


def test_a_card_that_adapts_votes_with_the_scene_brought_to_it(tmp_path: Path) -> None:
    made = [card_of(tmp_path, f"c{i}", POST, landscape(i)) for i in range(3)]
    cards = [Checkpoint(one.folder, adapting(one.card, one.reference(), "scene")) for one in made]
    world = landscape(9)
    bright = {key: 1.5 * band + 0.05 if key != "slope" else band for key, band in world.items()}
    plain = chosen(cards, make_stack(tmp_path / "s.zarr", world), settings=by_agreement(POST))
    moved = chosen(cards, make_stack(tmp_path / "t.zarr", bright), settings=by_agreement(POST))
    assert [one.agreement for one in moved.ranking] == pytest.approx(
        [one.agreement for one in plain.ranking], abs=0.03
    )
    for one, other in zip(moved.ranking, plain.ranking, strict=True):
        assert one.distance > other.distance + 0.1  # before: how far the scene is
        assert one.adapted_distance == pytest.approx(
            other.adapted_distance, abs=0.05
        )  # after: what the network sees
    assert all(
        one.adapted_distance is None
        for one in chosen(
            [card_of(tmp_path, "x", POST, world)], make_stack(tmp_path / "u.zarr", world)
        ).ranking
    )
