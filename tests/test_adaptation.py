"""Scene adapted to the checkpoint: what the maps promise, that training and use agree, and that a
run maps with one set of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from calls import answered, on_archive
from cards import make_card, make_network
from hypothesis import given, settings
from hypothesis import strategies as st
from small_archive import make_archive, make_cards, make_preset
from small_samples import BANDS, small_samples
from strips import strips_mapped
from test_difference import mapped, probability

from configs.checkpoint import CARD, CheckpointCard, Normalisation, read_card
from configs.errors import NothingToSeeError, RequestError
from configs.layout import RunLayout
from configs.records import ObservationClass, silent
from configs.run import ModelConfig
from configs.stack import Stack
from configs.training import TrainingConfig
from flows.cli import main
from flows.learning.adapting import Adapting, on, scene_of
from flows.learning.finetuning import like_parent
from flows.learning.train import probability_of, train_card
from flows.probability import map_card
from flows.run import engine
from gee.observation import Observed
from models.inference.adaptation import Adaptation, adapted, adapting, targets
from models.inference.predict import Predictor
from models.reference import Reference
from models.registry import Checkpoint
from models.selection.adaptation import adaptation_of
from tiles.chips import ChipDataset, Share

ROUNDING = 5e-3
"""What the integers that values are counted by may change of a probability."""


def pixels(seed: int, count: int = 4000, slope: bool = True) -> np.ndarray:
    """Return `(n, bands)` plausible pixels of `BANDS`."""
    rng = np.random.default_rng(seed)
    imagery = [rng.gamma(9, 0.012, count), 0.04 + rng.gamma(5, 0.01, count)]
    return np.stack([*imagery, rng.uniform(5, 50, count)], axis=1).astype(np.float32)


def reference(values: np.ndarray, domains: int = 1) -> Reference:
    """Return a reference sample of pixels, their domains in turn."""
    domain = (np.arange(len(values)) % domains).astype(np.int32)
    names = tuple(f"domain-{i}" for i in range(domains))
    return Reference(BANDS, values, np.zeros(len(values), np.int32), domain, names, 5.0)


def card_that(adapt: Any) -> CheckpointCard:
    """Return a checkpoint that adapts to scenes, towards the pixels of seed 0."""
    return adapting(make_card(BANDS), reference(pixels(0)), adapt)


def answer(card: CheckpointCard, values: np.ndarray) -> np.ndarray:
    """Return a checkpoint's probability of a scene of 64×64 of the pixels, and some not seen."""
    tile = values[: 64 * 64].reshape(64, 64, len(BANDS)).transpose(2, 0, 1)[None].copy()
    tile[:, :2, 10:20, 10:20] = np.nan
    return Predictor(card, make_network(card), "cpu").adapted(reference(values))(tile)


@pytest.mark.parametrize("adapt", ["scene", "match"])
def test_a_scene_that_is_the_reference_is_left_as_it_is(adapt: str) -> None:
    values = pixels(0, 4096)
    card = adapting(make_card(BANDS), reference(values), adapt)  # type: ignore[arg-type]
    assert answer(card, values) == pytest.approx(answer(make_card(BANDS), values), abs=ROUNDING)


@settings(max_examples=10, deadline=None)
@given(
    gain=st.floats(0.5, 2.0), haze=st.floats(0.0, 0.2), adapt=st.sampled_from(["scene", "match"])
)
def test_no_light_and_no_haze_changes_what_is_mapped(gain: float, haze: float, adapt: str) -> None:
    card, values = card_that(adapt), pixels(1, 4096)
    other = values * np.array([gain, gain, 1], np.float32) + np.array(
        [haze, haze / 2, 0], np.float32
    )
    # A darker image spans fewer of the integers that values are counted by: they round more of it.
    # Matching has 34 quantiles, each rounded; where two lie close, the map between them is steep
    # and a single pixel there moves by twice as much.
    rounding = ROUNDING / min(gain, 1.0) * (2 if adapt == "match" else 1)
    assert answer(card, other) == pytest.approx(answer(card, values), abs=rounding)


def test_any_monotone_change_of_a_band_leaves_a_matched_scene_as_it_was() -> None:
    values, other = pixels(1, 4096), pixels(1, 4096)
    other[:, 0] = 0.5 * np.sqrt(values[:, 0])
    other[:, 1] = 0.1 + 4 * values[:, 1] ** 2
    matched, scaled, plain = (
        np.abs(answer(card, other) - answer(card, values)).mean()
        for card in (card_that("match"), card_that("scene"), make_card(BANDS))
    )
    assert matched < 0.01
    assert 3 * matched < scaled < plain, (matched, scaled, plain)


@pytest.mark.parametrize("adapt", ["scene", "match"])
def test_terrain_and_what_is_not_known_stay(adapt: str) -> None:
    card, values = card_that(adapt), pixels(1)
    tile = values[:400].reshape(20, 20, 3).transpose(2, 0, 1)[None].copy()
    tile[0, 0, 3] = np.nan
    moved = Adaptation.of(card.normalisation, BANDS, reference(values))(tile, BANDS)
    assert np.array_equal(moved[0, 2], tile[0, 2])
    assert np.array_equal(np.isnan(moved), np.isnan(tile))
    assert not np.allclose(moved[0, 1], tile[0, 1])
    assert set(card.normalisation.toward) == {"post_B4", "post_B3"}


def test_after_it_a_scene_has_the_references_mean_and_spread_and_every_domain_of_a_card_too() -> (
    None
):
    other = pixels(2) * np.float32(1.7)
    other[1::2] += np.float32(0.1)  # the second domain is another one
    found = adapted(reference(other, 2), card_that("scene").normalisation)
    wanted = targets(reference(pixels(0)), BANDS)
    for i, band in enumerate(BANDS[:2]):
        for domain in (0, 1):
            seen = found.values[found.domain == domain, i]
            assert (seen.mean(), seen.std()) == pytest.approx(
                (wanted[band].mean, wanted[band].std), rel=0.01
            )
    assert np.array_equal(found.values[:, 2], other[:, 2])


@pytest.mark.parametrize("adapt", ["scene", "match"])
def test_maps_are_read_back_to_the_last_bit(adapt: str) -> None:
    maps = Adaptation.of(card_that(adapt).normalisation, BANDS, reference(pixels(3)))
    tile = pixels(4)[:400].reshape(20, 20, 3).transpose(2, 0, 1)[None]
    assert np.array_equal(Adaptation.read(maps.as_text())(tile, BANDS), maps(tile, BANDS))


def test_a_scene_must_be_given_and_must_have_pixels() -> None:
    card = card_that("scene")
    predictor = Predictor(card, make_network(card), "cpu")
    with pytest.raises(RequestError, match="own statistics"):
        predictor(np.zeros((1, 3, 64, 64), np.float32))
    with pytest.raises(NothingToSeeError, match="post_B4"):
        predictor.adapted(reference(pixels(0)[:0]))
    plain = Predictor(make_card(BANDS), make_network(card), "cpu")
    assert plain.adapted(reference(pixels(0))) is plain
    with pytest.raises(ValueError, match="toward"):
        Normalisation(method="zscore", adapt="match")


@pytest.fixture(scope="module", params=["scene", "match"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkpoint, list[Path]]:
    """Return a checkpoint trained on two domains of other light, in four steps, and its sample
    sets.
    """
    folder = tmp_path_factory.mktemp(request.param)
    sets = [folder / name for name in ("dull", "bright")]
    for number, path in enumerate(sets):
        small_samples(path, seed=number, name=path.name)
    recipe = {
        "name": "adapted",
        "samples": [{"path": str(path)} for path in sets],
        "adapt": request.param,
        "architecture": "resu_net",
        "arguments": {"width": 16},
        "normalisation": "zscore",
        "batch": 4,
        "steps": 4,
        "reference_pixels": 400,
        "keep": "last",
        "augmentation": {"mirrors": "none"},
    }
    return train_card(
        TrainingConfig.model_validate(recipe), sets, "recipe.yaml", folder / "cards"
    ), sets


def test_training_and_use_give_a_scene_the_same_numbers(
    trained: tuple[Checkpoint, list[Path]], tmp_path: Path
) -> None:
    found, _ = trained
    samples = small_samples(tmp_path / "scene", seed=7, name="scene")
    chips = ChipDataset([Share(samples, ("train",))], BANDS, crop_px=32, shuffle=False)
    of_training = Adapting(found.card.normalisation, True).chips(chips)
    predictor = on(found.load("cpu"), samples)
    assert predictor.adaptation is not None
    normaliser = Predictor(found.card, predictor.module, "cpu", adaptation=Adaptation())
    for index in range(len(chips)):
        used = predictor.inputs(chips[index][0].numpy()[None])
        assert np.array_equal(used, normaliser.inputs(np.asarray(of_training[index][0])[None]))
    statistics = found.card.normalisation.statistics["post_B4"]
    assert statistics.mean == pytest.approx(
        found.card.normalisation.toward["post_B4"].mean, rel=0.2
    )
    assert [score.test_set for score in found.card.scores] == ["dull/test", "bright/test"]


def test_a_whole_sample_set_is_adapted_once_and_by_itself(
    trained: tuple[Checkpoint, list[Path]], tmp_path: Path
) -> None:
    found, _ = trained
    samples = small_samples(tmp_path / "scene", seed=7, name="scene")
    predictor, where = found.load("cpu"), np.ones(samples.shape, bool)
    by_hand = predictor.adapted(scene_of(samples, found.card.bands))
    assert np.array_equal(
        probability_of(predictor, samples, where), probability_of(by_hand, samples, where)
    )


def test_a_fine_tuned_card_moves_scenes_to_where_its_parent_does(
    trained: tuple[Checkpoint, list[Path]], tmp_path: Path
) -> None:
    parent, _ = trained
    small_samples(tmp_path / "scene", seed=7, name="scene")
    recipe = {
        "name": "tuned",
        "samples": [{"path": "scene"}],
        "start_from": "adapted",
        "batch": 2,
        "steps": 1,
        "reference_pixels": 400,
        "keep": "last",
        "augmentation": {"mirrors": "none"},
    }
    config = like_parent(TrainingConfig.model_validate(recipe), parent.card)
    torn = tmp_path / "cards" / ".tuned.999999999.part"  # of a process that is dead
    torn.mkdir(parents=True)
    tuned = train_card(config, [tmp_path / "scene"], "recipe.yaml", tmp_path / "cards", parent)
    assert not torn.exists()
    assert tuned.card == read_card(tuned.folder)
    assert tuned.card.normalisation == parent.card.normalisation
    assert tuned.card.weights_sha256 != parent.card.weights_sha256


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive and checkpoints that adapt to scenes."""
    folder = tmp_path_factory.mktemp("ground")
    make_archive(folder / "archive")
    make_cards(folder / "cards")
    make_preset(folder / "preset.yaml", folder / "cards")
    for name, adapt in (("both", "scene"), ("post", "match")):
        found = Checkpoint(folder / "cards" / name, read_card(folder / "cards" / name))
        content = adapting(found.card, found.reference(), adapt).model_dump(mode="json")  # type: ignore[arg-type]
        (found.folder / CARD).write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def run(ground: Path) -> RunLayout:
    """Return a run with a checkpoint that adapts, published."""
    make_preset(ground / "run.yaml", ground / "cards", "both")
    with pytest.raises(SystemExit) as left:
        main(["-q", *on_archive(ground, ground / "run.yaml", "--name", "quake")])
    assert left.value.code == 0
    return RunLayout(ground / "out" / "quake" / "r001")


class Backwards:
    """A cluster of this process that works from the last shard to the first."""

    slots = 2

    def device(self, wanted: Any) -> Any:
        return "cpu"

    def work(
        self, function: Any, shards: Any, *, gpu: bool = False, at_once: int | None = None
    ) -> Iterator[Any]:
        for number in reversed(range(len(shards))):
            yield number, function(shards[number])


def test_a_run_is_adapted_once_and_workers_and_resumed_runs_map_the_same_pixels(
    ground: Path, run: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Checkpoint(ground / "cards" / "both", read_card(ground / "cards" / "both"))
    stack, observed = Stack(run.stack), Observed(run.observed, {}, 0, 0)
    assert run.adaptation("both").exists()
    stored = adaptation_of(found, stack, None, run)
    anew = adaptation_of(found, stack, None, RunLayout(tmp_path / "elsewhere"))
    assert stored is not None
    assert anew is not None
    model, clear, whole = (
        ModelConfig(device="cpu"),
        ObservationClass.CLEAR,
        zarr.open_array(run.probability)[:],
    )
    token = engine._cluster.set(Backwards())
    try:
        path = tmp_path / "shards.zarr"
        shards = map_card(found, model, stack, observed, clear, path, silent, stored)[:]
        np.testing.assert_array_equal(shards, whole)
    finally:
        engine._cluster.reset(token)
    mapped = strips_mapped(monkeypatch)
    again = map_card(found, model, stack, observed, clear, path, silent, stored)[:]
    np.testing.assert_array_equal(again, whole)
    assert not mapped, "nothing is done twice"
    others = Adaptation.of(found.card.normalisation, found.card.bands, found.reference())
    changed = map_card(found, model, stack, observed, clear, path, silent, others)[:]
    assert np.isfinite(changed).any()
    assert not np.array_equal(changed, whole), "another adaptation is another map"
    np.testing.assert_array_equal(
        map_card(found, model, stack, observed, clear, path, silent, stored)[:], whole
    )


def test_a_run_may_adapt_any_card(
    ground: Path, run: RunLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cards(ground / "plain")
    stored, adapting_one = (
        read_card(ground / folder / "both").normalisation for folder in ("plain", "cards")
    )
    assert stored == adapting_one.model_copy(update={"adapt": "card", "toward": {}}), (
        "the same, but for the adaptation"
    )
    preset = make_preset(ground / "asked.yaml", ground / "plain", "both")
    content = yaml.safe_load(preset.read_text())
    preset.write_text(yaml.safe_dump({**content, "model": {**content["model"], "adapt": "scene"}}))
    asked = probability(answered(capsys, *on_archive(ground, preset, "--name", "asked")))
    trained = probability({"products": {"probability.tif": run.folder / "probability.tif"}})
    np.testing.assert_array_equal(asked, trained)


def test_subtracting_brings_the_earlier_image_to_the_card_by_its_own_statistics(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = mapped(ground, capsys, "once", threshold=0.5)
    less = mapped(ground, capsys, "less", threshold=0.5, subtract_pre=True)
    matched = mapped(
        ground, capsys, "matched", threshold=0.5, subtract_pre=True, match_histograms=True
    )
    for made in (less, matched):
        assert (np.nan_to_num(probability(made)) <= np.nan_to_num(probability(once))).all()
        assert (probability(made) == 0).any()
