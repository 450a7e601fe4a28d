"""The choice of a checkpoint: nearest wins, ties go to validation, what was not seen never counts,
and nothing is claimed unknown.
"""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import make_card, save_card
from pyproj import Transformer
from scenes import landscape, make_stack

from configs.area import around
from configs.bands import When
from configs.errors import NothingToSeeError, RequestError
from configs.records import Choice, ObservationClass
from configs.selection import BandSetCalibration, SelectionConfig, read_selection
from configs.stack import Stack
from models import reference
from models.reference import Reference
from models.registry import Checkpoint
from models.selection import choose

POST = ("post_B4", "post_B3", "slope")
BOTH = ("pre_B4", "post_B4", "post_B3", "slope")
QUICK = SelectionConfig(pixels=600, bootstraps=60, permutations=60, block_m=320)


def sampled(stack: Stack, bands: tuple[str, ...], **changes: Any) -> Reference:
    options: dict[str, Any] = {
        "domain": "d",
        "resolution_m": 10,
        "count": 600,
        "block_m": 320,
        "slope_min_deg": 5,
        "usable": lambda rows, columns: np.ones(
            stack.observation(When.POST, rows, columns).shape, bool
        ),
    }
    return reference.sample(stack, bands, **(options | changes))


def card_of(
    folder: Path,
    name: str,
    bands: tuple[str, ...],
    world: dict[str, np.ndarray],
    f1: float | None = None,
) -> Checkpoint:
    stack = make_stack(folder / f"{name}.zarr", world)
    card = make_card(bands, name=name, validation_f1=f1)
    return Checkpoint(
        folder / name, save_card(card, folder / name, reference=sampled(stack, bands))
    )


@pytest.fixture
def cards(tmp_path: Path) -> list[Checkpoint]:
    """Return three post-event checkpoints: one of dark, one of middling, one of bright
    landscapes.
    """
    return [
        card_of(tmp_path, name, POST, landscape(i, brightness=b), f1)
        for i, (name, b, f1) in enumerate(
            [("dark", 0.08, 0.9), ("middle", 0.15, 0.5), ("bright", 0.3, 0.95)]
        )
    ]


def chosen(cards: list[Checkpoint], stack: Stack, **options: Any) -> Choice:
    """Return the choice: by the study's rule where settings with a calibration are given."""
    by = "study" if "settings" in options else "mmd"
    settings = options.pop("settings", QUICK)
    return choose.choose(cards, stack, settings=settings, by=by, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("brightness", "nearest"), [(0.08, "dark"), (0.15, "middle"), (0.3, "bright")]
)
def test_the_nearest_card_is_chosen(
    tmp_path: Path, cards: list[Checkpoint], brightness: float, nearest: str
) -> None:
    choice = chosen(cards, make_stack(tmp_path / "scene.zarr", landscape(9, brightness=brightness)))
    assert choice.card == nearest == choice.ranking[0].card
    assert [one.distance for one in choice.ranking] == sorted(
        one.distance for one in choice.ranking
    )
    best, last = choice.ranking[0], choice.ranking[-1]
    assert best.distance < last.distance - 2 * last.standard_error
    assert last.p_value is not None
    assert last.p_value < 0.05
    assert best.per_band["post_B4"] < last.per_band["post_B4"]
    assert nearest in choice.reason
    assert choice.fallback is None


def test_ties_within_the_error_go_to_the_better_validated(tmp_path: Path) -> None:
    world = landscape(1)
    twins = [card_of(tmp_path, "a", POST, world, 0.4), card_of(tmp_path, "b", POST, world, 0.8)]
    twins.append(card_of(tmp_path, "far", POST, landscape(2, brightness=0.4), 0.99))
    choice = chosen(twins, make_stack(tmp_path / "scene.zarr", landscape(9)))
    assert choice.card == "b"
    assert choice.ranking[-1].card == "far"
    assert choice.ranking[0].distance == choice.ranking[1].distance


def test_a_named_card_is_taken_and_the_ranking_computed_all_the_same(
    tmp_path: Path, cards: list[Checkpoint]
) -> None:
    choice = chosen(
        cards,
        make_stack(tmp_path / "scene.zarr", landscape(9, brightness=0.08)),
        checkpoint="bright",
    )
    assert choice.card == "bright"
    assert choice.ranking[0].card == "dark"
    assert "named by the user" in choice.reason
    assert "would take `dark`" in choice.reason


def test_the_order_of_the_cards_and_a_second_run_change_nothing(
    tmp_path: Path, cards: list[Checkpoint]
) -> None:
    stack = make_stack(tmp_path / "scene.zarr", landscape(9, brightness=0.11))
    first = chosen(cards, stack)
    assert chosen(cards, stack) == first
    again = chosen(cards[::-1], stack)
    assert [one.card for one in again.ranking] == [one.card for one in first.ranking]
    assert again.ranking[0].distance == pytest.approx(first.ranking[0].distance, abs=1e-9)


def test_pixels_that_were_not_observed_never_enter(tmp_path: Path, cards: list[Checkpoint]) -> None:
    world = landscape(9, brightness=0.15)
    covered = np.full((384, 384), ObservationClass.CLEAR, np.uint8)
    covered[:, :128] = ObservationClass.CLOUD
    spoilt = {name: v.copy() for name, v in world.items()}
    for name in ("post_B4", "post_B3"):
        spoilt[name][:, :128] = 0.9
    clouds = chosen(cards, make_stack(tmp_path / "clouds.zarr", spoilt, {When.POST: covered}))
    clean = chosen(cards, make_stack(tmp_path / "clean.zarr", world, {When.POST: covered}))
    assert clouds == clean
    seen = chosen(cards, make_stack(tmp_path / "seen.zarr", spoilt))
    assert seen.ranking[0].distance > clean.ranking[0].distance + 0.1
    flat = {name: v.copy() for name, v in spoilt.items()}
    flat["slope"] = np.where(np.arange(384) < 128, 0.0, np.maximum(flat["slope"], 0))
    level = chosen(cards, make_stack(tmp_path / "flat.zarr", flat))
    assert level.ranking[0].distance == pytest.approx(clean.ranking[0].distance, abs=0.05)


def test_an_area_leaves_out_the_rest(tmp_path: Path, cards: list[Checkpoint]) -> None:
    world = landscape(9, brightness=0.15)
    for name in ("post_B4", "post_B3"):
        world[name][:, 192:] = 0.9
    stack = make_stack(tmp_path / "scene.zarr", world)
    to_degrees = Transformer.from_crs(str(stack.geobox.crs), "EPSG:4326", always_xy=True)
    corner = stack.geobox.affine
    west = to_degrees.transform(corner.c + 960, corner.f - 1920)
    whole = chosen(cards, stack)
    part = chosen(cards, stack, area=around(west[1], west[0], 0.9))
    assert part.card == "middle"
    assert part.ranking[0].distance < whole.ranking[0].distance - 0.1


def test_a_fallback_at_home_goes_before_a_stranger(tmp_path: Path) -> None:
    home, scene = landscape(9), landscape(9)
    pair = card_of(tmp_path, "both", BOTH, home, 0.8)
    stranger = card_of(tmp_path, "stranger", POST, landscape(3, brightness=0.7), 0.1)
    own = card_of(tmp_path, "own", POST, home, 0.1)
    stack = make_stack(tmp_path / "scene.zarr", scene)
    found = chosen([pair, stranger, own], stack, checkpoint="both")
    assert (found.fallback, found.fallback_out_of_domain) == ("own", False)
    alone = chosen([pair, stranger], stack, checkpoint="both")
    assert (alone.fallback, alone.fallback_out_of_domain) == ("stranger", "unknown")


def test_post_only_fills_in_for_a_card_that_needs_the_pre_image(tmp_path: Path) -> None:
    pair = [
        card_of(tmp_path, "both", BOTH, landscape(1), 0.8),
        card_of(tmp_path, "post", POST, landscape(2), 0.1),
    ]
    stack = make_stack(tmp_path / "scene.zarr", landscape(9))
    choice = chosen(pair, stack, checkpoint="both")
    assert (choice.card, choice.fallback) == ("both", "post")
    assert chosen(pair, stack, checkpoint="both", fill=False).fallback is None
    assert chosen(pair, stack, checkpoint="post").fallback is None
    assert all("3 bands all candidates read" in one.note for one in choice.ranking)
    assert set(choice.ranking[0].per_band) in ({*BOTH}, {*POST})


def test_no_clear_pre_image_leaves_the_post_only_card(tmp_path: Path) -> None:
    pair = [
        card_of(tmp_path, "both", BOTH, landscape(1), 0.8),
        card_of(tmp_path, "post", POST, landscape(2), 0.1),
    ]
    none = np.zeros((384, 384), np.uint8)
    stack = make_stack(tmp_path / "scene.zarr", landscape(9), {When.PRE: none})
    choice = chosen(pair, stack)
    assert choice.card == "post"
    assert math.isnan(choice.ranking[-1].distance)
    with pytest.raises(NothingToSeeError, match="`both` could see nothing"):
        chosen(pair, stack, checkpoint="both")
    with pytest.raises(NothingToSeeError, match="single pixel"):
        chosen(
            pair,
            make_stack(tmp_path / "dark.zarr", landscape(9), {When.PRE: none, When.POST: none}),
        )
    with pytest.raises(RequestError, match="no checkpoint to choose"):
        chosen([], stack)


def test_alarm_and_expectation_only_where_they_were_measured(
    tmp_path: Path, cards: list[Checkpoint]
) -> None:
    near = make_stack(tmp_path / "near.zarr", landscape(9, brightness=0.08))
    far = make_stack(tmp_path / "far.zarr", landscape(9, brightness=0.7))
    silent = chosen(cards, far)
    assert silent.out_of_domain == "unknown"
    assert silent.expected_f1 is None
    assert "nothing is known of how" in silent.warnings[0]
    assert "its own ground up to" in silent.warnings[0]
    assert chosen(cards, near).out_of_domain is False, "as near as its own training areas"
    known = BandSetCalibration(bands=POST[::-1], alarm=0.8, expected_f1=((0.0, 0.7), (2.0, 0.1)))
    settings = QUICK.model_copy(update={"calibrations": (known,)})
    outside, inside = chosen(cards, far, settings=settings), chosen(cards, near, settings=settings)
    assert outside.out_of_domain
    assert "out of domain" in outside.warnings[0]
    assert not inside.out_of_domain
    assert inside.expected_f1 is not None
    assert outside.expected_f1 is not None
    assert outside.expected_f1 < inside.expected_f1 <= 0.7


def test_the_ranking_is_written_one_row_a_card_and_band(
    tmp_path: Path, cards: list[Checkpoint]
) -> None:
    choice = chosen(cards, make_stack(tmp_path / "scene.zarr", landscape(9)))
    choose.write_ranking(tmp_path / "selection.csv", choice)
    rows = list(csv.DictReader((tmp_path / "selection.csv").read_text().splitlines()))
    assert len(rows) == 3 * (3 + 1)
    assert [row["card"] for row in rows if row["band"] == "joint"] == [
        one.card for one in choice.ranking
    ]
    assert {row["card"] for row in rows if row["chosen"] == "1"} == {choice.card}
    for row in rows:
        assert float(row["mmd2"]) == pytest.approx(float(row["mmd"]) ** 2, rel=1e-3)
        assert (row["standard_error"] != "") == (row["band"] == "joint")


def test_the_ranking_says_what_a_card_did_elsewhere_where_it_is_known(tmp_path: Path) -> None:
    known = card_of(tmp_path, "known", POST, landscape(2))
    known = Checkpoint(known.folder, known.card.model_copy(update={"unseen_advantage": 0.125}))
    plain = card_of(tmp_path, "other", POST, landscape(1))
    choose.write_ranking(
        tmp_path / "s.csv", chosen([plain, known], make_stack(tmp_path / "s.zarr", landscape(9)))
    )
    rows = csv.DictReader((tmp_path / "s.csv").read_text().splitlines())
    assert {row["card"]: row["advantage"] for row in rows if row["band"] == "joint"} == {
        "other": "",
        "known": "0.125",
    }


def test_settings_default_where_no_study_has_been_made(tmp_path: Path) -> None:
    assert read_selection(tmp_path / "none.yaml") == SelectionConfig()
    (tmp_path / "s.yaml").write_text(
        "format: coslide/selection/1\ncalibrations:\n- bands: [slope]\n  alarm: 0.5\n"
    )
    found = read_selection(tmp_path / "s.yaml").calibration(("slope",))
    assert found is not None
    assert found.alarm == 0.5
    (tmp_path / "s.yaml").write_text("format: coslide/selection/1\npixels: 3\n")
    with pytest.raises(RequestError, match="pixels"):
        read_selection(tmp_path / "s.yaml")


def test_reference_samples_are_even_deterministic_and_stored_whole(tmp_path: Path) -> None:
    world = landscape(3, (600, 700))
    world["post_B4"][5:80, 5:90] = np.nan
    stack = make_stack(tmp_path / "scene.zarr", world)
    allowed = np.random.default_rng(0).random((600, 700)) < 0.7
    allowed[300:] = False
    drawn = sampled(stack, POST, usable=lambda r, c: allowed[r, c], count=2000)
    values, slope = np.stack([stack.read(name) for name in POST]), stack.read("slope")
    eligible = allowed & (slope >= 5) & np.isfinite(stack.read("post_B4"))
    assert drawn.pixels == eligible.sum()
    assert 1900 < len(drawn) <= 2000
    assert drawn.columns(("slope",)).min() >= 5
    found = {tuple(row) for row in values[:, eligible].T}
    assert all(tuple(row) in found for row in drawn.values)
    for name, column in zip(POST, drawn.values.T, strict=True):
        mean, std = drawn.band_histogram(name).moments()
        truth = stack.read(name)[eligible]
        assert (mean, std) == pytest.approx((truth.mean(), truth.std()), rel=1e-3)
        assert column.mean() == pytest.approx(mean, abs=4 * std / math.sqrt(len(drawn)))
    blocks, counts = np.unique(drawn.block, return_counts=True)
    assert len(blocks) > 100
    side = reference.block_px(10, 320)
    held = [
        eligible[i : i + side, j : j + side].sum()
        for i in range(0, 600, side)
        for j in range(0, 700, side)
    ]
    assert (
        np.abs(counts - np.array(held)[blocks] * 2000 / sum(held)).max() < 4
    )  # each block its share
    digest = drawn.save(tmp_path / "reference.safetensors")
    again = sampled(stack, POST, usable=lambda r, c: allowed[r, c], count=2000)
    assert {again.save(tmp_path / f"again{i}.safetensors") for i in range(5)} == {digest}
    loaded = Reference.load(tmp_path / "reference.safetensors")
    assert (loaded.values == drawn.values).all()
    assert (loaded.block == drawn.block).all()
    assert (loaded.bands, loaded.domains, loaded.slope_min_deg) == (POST, ("d",), 5)


def test_a_block_is_at_least_as_large_as_asked_and_fits_the_chunks() -> None:
    assert [reference.block_px(r, 1000) for r in (10, 30, 3, 20)] == [128, 64, 512, 64]


def test_mixtures_keep_shares_and_blocks_apart(tmp_path: Path) -> None:
    parts = [
        sampled(make_stack(tmp_path / f"{i}.zarr", landscape(i)), POST, domain=f"d{i}")
        for i in range(2)
    ]
    mixed = reference.mixture([(parts[0], 3), (parts[1], 1)], 400)
    assert (len(mixed), mixed.domains) == (400, ("d0", "d1"))
    assert np.bincount(mixed.domain).tolist() == [300, 100]
    assert not set(mixed.block[mixed.domain == 0]) & set(mixed.block[mixed.domain == 1])
    scarce = reference.mixture([(parts[0], 1), (parts[1], 1)], 5000)
    assert np.bincount(scarce.domain).tolist() == [min(map(len, parts))] * 2
    with pytest.raises(RequestError, match="cannot be mixed"):
        reference.mixture(
            [(parts[0], 1), (sampled(make_stack(tmp_path / "x.zarr", landscape(5)), BOTH), 1)], 10
        )


def test_chips_give_the_same_kind_of_sample() -> None:
    rng = np.random.default_rng(0)
    chips = []
    for number in range(5):
        x = np.stack([rng.uniform(0, 0.3, (40, 40)), np.full((40, 40), 10.0 * number)]).astype(
            np.float32
        )
        x[0, :10] = np.nan
        y = np.zeros((40, 40), np.uint8)
        y[30:] = 255
        chips.append((x, y))
    drawn = reference.from_chips(
        chips, ("post_B4", "slope"), domain="d", count=1000, slope_min_deg=5, blocks=[0, 1, 1, 2, 2]
    )
    assert len(drawn) == 1000
    assert set(drawn.block) == {1, 2}  # chip 0 is flat
    assert drawn.columns(("slope",)).min() >= 5
    assert np.bincount(drawn.block)[1] == pytest.approx(500, abs=80)
    with pytest.raises(RequestError, match="no pixel is observed"):
        reference.from_chips(chips[:1], ("post_B4", "slope"), domain="d", count=10, slope_min_deg=5)


def studied(**changes: Any) -> SelectionConfig:
    known = BandSetCalibration(bands=POST, **changes)
    return QUICK.model_copy(update={"calibrations": (known,)})


def recorded(found: Checkpoint, advantage: float) -> Checkpoint:
    """Return a checkpoint with what it did on domains it had not seen."""
    card = found.card.model_copy(update={"unseen_advantage": advantage})
    return Checkpoint(found.folder, card)


def test_by_a_study_the_best_elsewhere_is_taken(tmp_path: Path, cards: list[Checkpoint]) -> None:
    stack = make_stack(tmp_path / "scene.zarr", landscape(9, brightness=0.15))
    dark, middle, bright = cards
    known = [recorded(dark, 0.05), recorded(middle, -0.02), recorded(bright, 0.1)]
    made = chosen(known, stack, settings=studied())
    assert [one.card for one in made.ranking] == ["bright", "dark", "middle"]
    assert made.card == "bright"
    assert "did best on domains it had not seen" in made.reason
    assert chosen(known, stack).card == "middle"  # unasked, the nearest
    stranger = card_of(tmp_path, "both", BOTH, landscape(3))
    # Where a study does not cover every checkpoint, distance alone is told of all.
    assert chosen([*known, stranger], stack, settings=studied()).ranking[0].card != "bright"


def test_ties_go_to_the_record_then_to_the_more_various_training(tmp_path: Path) -> None:
    world = landscape(1)
    one = card_of(tmp_path, "one", POST, world, 0.9)
    part = sampled(make_stack(tmp_path / "p.zarr", world), POST)
    halves = (np.arange(len(part)) % 2).astype(part.domain.dtype)
    mixed = replace(part, domain=halves, domains=("north", "south"))
    folder = tmp_path / "several"
    several = Checkpoint(
        folder, save_card(make_card(POST, name="several"), folder, reference=mixed)
    )
    stack = make_stack(tmp_path / "scene.zarr", landscape(9))
    assert chosen([one, several], stack).card == "several"
    assert chosen([recorded(one, 0.1), several], stack).card == "one"


def test_ties_go_first_to_what_sees_more_of_the_area(tmp_path: Path) -> None:
    world = landscape(1)
    pair = [
        card_of(tmp_path, "both", BOTH, world, 0.9),
        card_of(tmp_path, "post", POST, world, 0.1),
    ]
    covered = np.full((384, 384), ObservationClass.CLEAR, np.uint8)
    covered[:, :64] = ObservationClass.CLOUD
    stack = make_stack(tmp_path / "scene.zarr", landscape(1), {When.PRE: covered})
    assert chosen(pair, stack).card == "post"


def test_any_signal_beyond_its_limit_raises_the_alarm(
    tmp_path: Path, cards: list[Checkpoint]
) -> None:
    near = make_stack(tmp_path / "near.zarr", landscape(9, brightness=0.08))
    far = make_stack(tmp_path / "far.zarr", landscape(9, brightness=0.7))
    limits = {"whitened/mmd": 5.0, "novelty": 0.5}
    settings = studied(limits=limits, expected_f1=((0.0, 0.6), (1.0, 0.2)))
    inside, outside = chosen(cards, near, settings=settings), chosen(cards, far, settings=settings)
    assert not inside.out_of_domain
    assert outside.out_of_domain
    assert "novelty" in outside.warnings[0]
    assert "whitened" not in outside.warnings[0]
    assert outside.expected_f1 is not None
    assert f"F1 {outside.expected_f1:.2f}" in outside.warnings[0]
    real_only = settings.model_copy(
        update={"calibrations": (settings.calibrations[0].model_copy(update={"simulated": True}),)}
    )
    # What simulated checkpoints taught holds for them alone.
    assert chosen(cards, far, settings=real_only).out_of_domain == "unknown"


def test_cards_of_different_bands_are_ordered_by_the_f1_to_be_expected(tmp_path: Path) -> None:
    pair = [
        card_of(tmp_path, "both", BOTH, landscape(1), 0.8),
        card_of(tmp_path, "post", POST, landscape(2), 0.1),
    ]
    stack = make_stack(tmp_path / "scene.zarr", landscape(9, brightness=0.16))

    def choice(both: float, post: float) -> Choice:
        known = tuple(
            BandSetCalibration(bands=bands, expected_f1=((0.0, f1), (9.0, f1 / 2)))
            for bands, f1 in ((BOTH, both), (POST, post))
        )
        return chosen(pair, stack, settings=QUICK.model_copy(update={"calibrations": known}))

    for made, first in ((choice(0.9, 0.2), "both"), (choice(0.2, 0.9), "post")):
        assert made.card == first  # however near the other is to what it knows
        assert made.expected_f1 == pytest.approx(made.ranking[0].expected_f1)


def test_the_average_takes_the_near_equal_best_of_the_same_bands(
    tmp_path: Path, cards: list[Checkpoint]
) -> None:
    stack = make_stack(tmp_path / "scene.zarr", landscape(9, brightness=0.11))
    alone = chosen(cards, stack, checkpoint="average", settings=studied(near=1e-6))
    assert alone.members == (alone.card,)
    choice = chosen(cards, stack, checkpoint="average", settings=studied(near=0.7))
    assert choice.members[0] == choice.card == alone.card
    assert set(choice.members) == {"dark", "middle"}
    assert "mean of" in choice.reason
    assert chosen(cards, stack, settings=studied(near=0.7)).members == ()
    everything = chosen(
        [*cards, card_of(tmp_path, "more", POST, landscape(5), 0.1)],
        stack,
        checkpoint="average",
        settings=studied(near=9),
    )
    assert len(everything.members) == choose.MEMBERS
