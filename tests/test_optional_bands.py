"""Optional bands: one network learns from sets that have them and sets that have not, and reads
what a source delivers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_samples import small_samples

from configs.checkpoint import CheckpointCard, read_card
from configs.errors import RequestError
from configs.records import Level, Offer
from configs.training import AugmentationConfig, TrainingConfig
from flows.learning.evaluate_cards import probability_of
from flows.learning.train import Overrides, train
from models import registry
from models.architectures import build
from models.inference.normalise import Normaliser
from models.nets.partial import Partial
from models.reference import Reference
from models.registry import Checkpoint
from models.training import curves
from models.training.batches import Batches, Order
from models.training.held import Held
from tiles.samples import SampleSet

RGB = ("post_B4", "post_B3")


def without_slope(folder: Path, seed: int) -> SampleSet:
    """Return a sample set whose third band is another one, so that it has no slope."""
    return small_samples(folder, seed=seed, name=folder.name, bands=(*RGB, "post_B2"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, SampleSet, SampleSet]:
    """Return a checkpoint of a set with slope and one without, and the two sets."""
    folder = tmp_path_factory.mktemp("optional")
    with_slope = small_samples(folder / "with", seed=1, name="with")
    bare = without_slope(folder / "without", 2)
    recipe = {
        "format": "coslide/training/1",
        "name": "either",
        "samples": [{"path": "with"}, {"path": "without"}],
        "bands": list(RGB),
        "optional": ["slope"],
        "normalisation": "zscore",
        "adapt": "scene",
        "arguments": {"width": 8},
        "optimiser": {"learning_rate": 0.01},
        "augmentation": {"mirrors": "all", "drop": 0.5, "jitter": 0.1},
        "batch": 4,
        "steps": 8,
        "calibration": "platt",
        "reference_pixels": 400,
        "device": "cpu",
        "tiles": {"size": 64, "mode": "blend", "halo": 16},
    }
    (folder / "either.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "draw", lambda folder, title: folder)
        train(str(folder / "either.yaml"), str(folder / "cards"))
    place = folder / "cards" / "either"
    return Checkpoint(place, read_card(place)), with_slope, bare


def test_what_is_absent_is_zero_and_said_so() -> None:
    network = build("resu_senet", 2 + 2 * 2, width=4).eval()
    bands, optional = ("post_B4", "post_B3"), ("slope", "post_NDVI")
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    none, one = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    some = Partial(network, (*bands, "post_NDVI"), optional).eval()
    bare = Partial(network, bands, optional).eval()
    with torch.no_grad():
        here = network(torch.cat([x[:, :2], none, x[:, 2:], none, one], dim=1))
        assert torch.equal(some(x), here)
        assert torch.equal(bare(x[:, :2]), network(torch.cat([x[:, :2]] + [none] * 4, dim=1)))


def test_one_checkpoint_reads_what_each_set_has(
    made: tuple[Checkpoint, SampleSet, SampleSet], tmp_path: Path
) -> None:
    found, with_slope, bare = made
    assert found.card.bands == RGB
    assert found.card.optional == ("slope",)
    assert found.fed(with_slope.card.bands).card.bands == (*RGB, "slope")
    where = np.ones(with_slope.shape, bool)
    full, same_without = (
        probability_of(found.fed(bands).load("cpu"), with_slope, where)
        for bands in (with_slope.card.bands, RGB)
    )
    # `probability_of` gives a checkpoint all that the set has, whatever it was fed before.
    assert np.array_equal(full, same_without)
    narrow = without_slope(tmp_path / "twin", 1)
    assert not np.array_equal(full, probability_of(found.load("cpu"), narrow, where))
    assert np.isfinite(probability_of(found.load("cpu"), bare, where)).all()
    assert {score.test_set for score in found.card.scores} == {"with/test", "without/test"}


def test_the_reference_is_of_the_domains_that_have_the_bands(
    made: tuple[Checkpoint, SampleSet, SampleSet],
) -> None:
    found, with_slope, _ = made
    both, steep = found.reference(), found.fed(with_slope.card.bands).reference()
    assert both.bands == RGB
    assert set(both.domain) == {0, 1}
    assert steep.bands == (*RGB, "slope")
    assert set(steep.domain) == {0}
    assert np.isfinite(both.values).all()
    assert np.isfinite(steep.values).all()


def test_candidates_read_what_the_source_offers(
    made: tuple[Checkpoint, SampleSet, SampleSet],
) -> None:
    found = made[0]
    for bands, expected in (((*RGB, "slope"), (*RGB, "slope")), (RGB, RGB)):
        offer = Offer("archive", "sentinel-2", Level.TOA, 10, frozenset(bands), False)
        named = registry.candidates("either", offer, [found.folder.parent])
        assert named.by_name("either").card.bands == expected
    both = registry.Candidates((found.fed((*RGB, "slope")),))
    able, lacking = registry.read_from(both, RGB)
    assert able.bands == RGB
    assert not lacking


def test_chips_on_the_device_are_those_in_memory() -> None:
    rng = np.random.default_rng(0)
    chips = [(rng.normal(size=(3, 24, 24)).astype(np.float32), np.zeros((24, 24), np.uint8))] * 6
    chips[1:3] = [(np.where(np.arange(3)[:, None, None] == 2, np.nan, x), y) for x, y in chips[1:3]]
    bands = (*RGB, "slope")
    normaliser = Normaliser(np.zeros((3, 1, 1), np.float32), np.ones((3, 1, 1), np.float32), 0.0)
    variation = AugmentationConfig(mirrors="none", jitter=0.2, drop=0.5)
    order = Order(len(chips), 4, seed=3)
    batches = Batches(chips, bands, order, normaliser, variation, 16, optional=("slope",))
    there = Held.of(batches, torch.device("cpu"))
    presence = set()
    for step in range(6):
        x, _ = batches.at(step)
        torch.testing.assert_close(there.at(step)[0], x, rtol=0, atol=1e-6)  # float32 and float64
        assert (x[:, 2][x[:, 3] == 0] == 0).all()
        presence |= set(x[:, 3].unique().tolist())
    assert presence == {0.0, 1.0}


def test_a_chip_may_lack_only_what_is_optional(tmp_path: Path) -> None:
    without_slope(tmp_path / "bare", 3)
    recipe = {"name": "needy", "samples": [{"path": "bare"}], "bands": [*RGB, "slope"], "steps": 1}
    (tmp_path / "needy.yaml").write_text(yaml.safe_dump({"format": "coslide/training/1", **recipe}))
    with pytest.raises(RequestError, match="`bare` has no slope"):
        train(str(tmp_path / "needy.yaml"), str(tmp_path / "cards"), Overrides())


@pytest.mark.parametrize("optional", ["post_B4", "pre_B4"])
def test_what_cannot_be_optional_is_refused(
    optional: str, made: tuple[Checkpoint, SampleSet, SampleSet]
) -> None:
    sets = [{"path": "valley"}]
    with pytest.raises(ValueError, match=f"{optional} cannot be optional"):
        TrainingConfig.model_validate(
            {"name": "one", "samples": sets, "bands": list(RGB), "optional": [optional]}
        )
    content = made[0].card.model_dump() | {"optional": [optional], "bands": list(RGB)}
    if optional not in RGB:
        with pytest.raises(ValueError, match=f"{optional} cannot be optional"):
            CheckpointCard.model_validate(content)


def test_a_wider_sample_knows_what_it_lacks() -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    zeros = np.zeros(3, np.int32)
    sample = Reference(RGB, values, zeros, zeros, ("one",), 0.0)
    wide = sample.widened((*RGB, "slope"))
    assert np.isnan(wide.columns(("slope",))).all()
    assert np.array_equal(wide.of(RGB).values, values)
    assert len(wide.of(wide.bands)) == 0
