"""Answering otherwise without labels: batch-norm statistics of the scene, learning from sure
answers, and how a study scores them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cards import make_card, make_network, save_card
from small_samples import BANDS, small_samples

from configs.checkpoint import Calibration
from configs.errors import RequestError
from configs.studying import Answering, Composition, StudyConfig
from flows.learning.adapting import scene_of, tiles_of
from flows.study import findings as study_ways
from flows.study.findings import ways, ways_table
from flows.study.pool import Answers, Job, Scene, logit_counts, predictor_of
from models.batchnorm import with_scene_statistics
from models.inference.predict import Predictor
from models.registry import Found
from models.selftrain import labelled, self_trained


def predictor(**changes: object) -> Predictor:
    card = make_card(BANDS, arguments={"width": 16}, **changes)
    return Predictor(card, make_network(card), "cpu", "float32")


def tiles(count: int = 4, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    found = [
        rng.normal((0.2, 0.1, 20), (0.05, 0.03, 8), (64, 64, 3)).transpose(2, 0, 1)
        for _ in range(count)
    ]
    found[0][:, :5, :5] = np.nan
    return [tile.astype(np.float32) for tile in found]


def state(of: Predictor) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in of.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_with_no_part_of_the_scene_the_card_is_what_it_was() -> None:
    plain, batches = predictor(), [np.stack(tiles())]
    assert np.array_equal(with_scene_statistics(plain, batches, 0.0)(batches[0]), plain(batches[0]))


def test_scene_statistics_are_the_scenes_and_the_card_stays_untouched() -> None:
    plain, batches = predictor(), [np.stack(tiles()), np.stack(tiles(2, 1))]
    before = state(plain)
    whole, again = (with_scene_statistics(plain, batches, 1.0) for _ in range(2))
    assert same(state(plain), before)
    assert same(state(whole), state(again)), "the same tiles give the same network"
    assert not same(state(whole), before)
    first = next(
        layer for layer in whole.module.modules() if isinstance(layer, torch.nn.BatchNorm2d)
    )
    seen: list[torch.Tensor] = []
    handle = first.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    for batch in batches:
        whole(batch)
    handle.remove()
    means = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    assert torch.allclose(first.running_mean, means, atol=1e-5)  # type: ignore[arg-type]  # it has statistics
    half = with_scene_statistics(plain, batches, 0.5)
    name = next(name for name in before if name.endswith("running_mean"))
    assert torch.allclose(state(half)[name], (before[name] + state(whole)[name]) / 2, atol=1e-6)
    weights = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(state(whole)[name], before[name]) for name in weights)


def test_batch_norm_needs_tiles_a_share_and_a_network_that_has_it() -> None:
    with pytest.raises(RequestError, match="tile"):
        with_scene_statistics(predictor(), [], 0.5)
    with pytest.raises(RequestError, match=r"1\.5"):
        with_scene_statistics(predictor(), [np.stack(tiles())], 1.5)
    card = make_card(BANDS, architecture="unet", arguments={"width": 16, "batch_norm": False})
    with pytest.raises(RequestError, match="batch norm"):
        with_scene_statistics(Predictor(card, make_network(card), "cpu"), [np.stack(tiles())], 0.5)


def test_a_card_is_sure_of_the_ends_and_learns_nothing_from_the_unseen() -> None:
    plain, tile = predictor(), tiles()[0]
    chance = plain(tile[None])[0]
    low, high = (float(v) for v in np.quantile(chance, [0.3, 0.8]))
    x, y = labelled(plain, tile, (low, high))
    seen = np.isfinite(tile).all(axis=0)
    assert (y[~seen] == 255).all()
    assert np.array_equal(y[seen] == 1, chance[seen] >= high)
    assert np.array_equal(y[seen] == 0, chance[seen] <= low)
    assert np.array_equal(x, tile, equal_nan=True)


def test_self_training_is_repeatable_and_leaves_the_teacher_alone() -> None:
    plain = predictor()
    before, scene = state(plain), tiles()
    sure = tuple(float(v) for v in np.quantile(plain(np.stack(scene)), [0.4, 0.9]))
    generator = torch.get_rng_state()
    made, again = (
        self_trained(plain, scene, sure=(sure[0], sure[1]), steps=2, learning_rate=1e-3)
        for _ in range(2)
    )
    assert same(state(plain), before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert same(state(made), state(again))
    assert not same(state(made), before)
    assert made.card == plain.card


def test_without_a_sure_landslide_nothing_is_learnt() -> None:
    plain = predictor(calibration=Calibration(method="platt", scale=1e-3))  # never far from a half
    assert self_trained(plain, tiles(), sure=(0.5, 0.9), steps=2, learning_rate=1e-3) is plain
    with pytest.raises(RequestError, match="limits"):
        self_trained(plain, tiles(), sure=(0.7, 0.3), steps=2, learning_rate=1e-3)


def test_tiles_cover_a_sample_set(tmp_path: Path) -> None:
    samples = small_samples(tmp_path / "scene")
    found = tiles_of(samples, BANDS, 80)
    assert len(found) == 9
    assert {tile.shape for tile in found} == {(3, 80, 80)}
    assert np.array_equal(found[0][0], samples.read(BANDS[0], slice(0, 80), slice(0, 80)))
    assert np.array_equal(found[-1][0], samples.read(BANDS[0], slice(112, 192), slice(112, 192)))
    assert tiles_of(samples, BANDS, 512) == [], "less than half of such a tile was observed"


WAYS = (
    Answering(name="own-light", adapt="scene", title="brought to the card"),
    Answering(
        name="all-three", adapt="match", batch_norm=0.5, learn_steps=1, sure=(0.4, 0.6), tile_px=64
    ),
    Answering(name="sure", learn_steps=1, sure=(0.4, 0.6), tile_px=64, of=("hills",)),
)


@pytest.fixture(scope="module")
def pool(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[StudyConfig, list[Answers], list[Scene], Path]:
    """Return a study of two domains, two untrained cards that have each seen one, and their plain
    answers.
    """
    folder = tmp_path_factory.mktemp("pool")
    every = []
    for number, domain in enumerate(("hills", "gorge")):
        small_samples(folder / domain, seed=number, name=domain)
        every.append(
            Scene(
                domain, small_samples(folder / f"{domain}-0", seed=5 + number, name=domain), False
            )
        )
    made = [Composition(name=one.domain, shares={one.domain: 1}) for one in every]
    config = StudyConfig.model_validate(
        {
            "name": "small",
            "title": "small",
            "total": 4,
            "recipe": {"bands": list(BANDS), "precision": "float32"},
            "domains": [{"name": one.domain, "sets": [one.domain]} for one in every],
            "compositions": made,
            "answering": WAYS,
            "tiles": {"size": 96, "mode": "blend", "halo": 16},
        }
    )
    done = []
    for number, composition in enumerate(made):
        card = make_card(BANDS, name=composition.name, arguments={"width": 16})
        reference = scene_of(every[number].samples, BANDS)
        found = Found(
            folder / "cards" / card.name,
            save_card(card, folder / "cards" / card.name, number, reference),
        )
        plain = predictor_of(config, found)
        counts = {scene.name: logit_counts(plain, scene, scene.truth(False)) for scene in every}
        done.append(Answers(Job(composition, 0), found, counts))
    return config, done, every, folder / "work"


def test_ways_are_scored_on_unseen_domains_against_the_plain_answer_and_asked_once(
    pool: tuple[StudyConfig, list[Answers], list[Scene], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, done, every, work = pool
    found = ways(config, done, every, work)
    assert {name: (way.cards, way.answers) for name, way in found.items()} == {
        "own-light": (2, 2),
        "all-three": (2, 2),
        "sure": (1, 1),
    }
    assert set(found["sure"].by_domain) == {"gorge"}, "the card of the hills has seen the hills"
    table = ways_table(found)
    assert "brought to the card" in table
    assert "nan" not in table
    assert ways_table({}) == ""

    def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(study_ways, "probability_of", never)
    assert ways(config, done, every, work) == found
    changed = config.model_copy(
        update={"answering": (WAYS[1].model_copy(update={"batch_norm": 0.6}),)}
    )
    with pytest.raises(AssertionError, match="asked again"):
        ways(changed, done, every, work)


def test_a_way_of_no_card_is_refused(
    pool: tuple[StudyConfig, list[Answers], list[Scene], Path],
) -> None:
    content = pool[0].model_dump(mode="json")
    content["answering"][0]["of"] = ["valley"]
    with pytest.raises(ValueError, match="valley"):
        StudyConfig.model_validate(content)
    with pytest.raises(ValueError, match="changes nothing"):
        Answering(name="idle")
