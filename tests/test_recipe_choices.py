"""What a recipe may choose against shift: a network that reads change only, and dates of other
light and season.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from configs.checkpoint import Normalisation
from configs.errors import RequestError
from configs.training import AugmentationConfig, TrainingConfig
from models.architectures import ARCHITECTURES, build
from models.front import Change
from models.inference.normalise import Normaliser
from models.seasons import vary_seasons
from models.training.batches import Batches, Order

BOTH = ("slope", "pre_B4", "post_B4", "pre_NDVI", "post_NDVI", "post_B3")
PAIRS = [[1, 2], [3, 4]]


def test_change_hands_on_differences_and_what_has_no_pair() -> None:
    x = torch.arange(6.0)[None, :, None, None] ** 2 * torch.ones(1, 6, 2, 2)
    front = Change.of(PAIRS, 6)
    assert front.channels == 4
    assert front(x)[0, :, 0, 0].tolist() == [0.0, 4.0 - 1.0, 16.0 - 9.0, 25.0]


@pytest.mark.parametrize("name", ["resu_senet", "cgnet", "unet"])
def test_what_both_dates_share_changes_nothing_whatever_the_network(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, 6, width=16, change=PAIRS).eval()
    x = torch.randn(1, 6, 32, 32)
    brighter = x.clone()
    brighter[:, 1:5] += 0.7
    with torch.no_grad():
        assert torch.allclose(network(x), network(brighter), atol=1e-4)
        brighter[:, 2] += 0.7
        assert not torch.allclose(network(x), network(brighter), atol=1e-2)
    assert network.in_channels == 6
    assert network.state_dict().keys() == build(name, 4, width=16).state_dict().keys()


@pytest.mark.parametrize(
    "wrong", [[[1, 1]], [[1, 9]], [[1, 2], [2, 3]], [[1, 2, 3]], "12", [[1, -2]], [1, 2]]
)
def test_pairs_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(RequestError, match="change="):
        build("unet", 6, width=16, change=wrong)


def test_without_pairs_every_network_is_what_it_was() -> None:
    assert all("change" not in architecture.defaults for architecture in ARCHITECTURES.values())
    torch.manual_seed(0)
    plain = build("unet", 3, width=16)
    torch.manual_seed(0)
    same = build("unet", 3, width=16, change=[])
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(plain.eval()(x), same.eval()(x))


def chip(bands: tuple[str, ...] = BOTH) -> np.ndarray:
    rng = np.random.default_rng(3)
    values = {"slope": rng.uniform(0, 40, (8, 8)), "NDVI": rng.uniform(-0.2, 0.8, (8, 8))}
    x = np.stack(
        [values.get(b.split("_")[-1], rng.uniform(0.03, 0.3, (8, 8))) for b in bands]
    ).astype(np.float32)
    x[1:, 0, 0] = np.nan
    return x


def test_a_season_moves_the_dates_apart_and_leaves_terrain_and_the_unseen() -> None:
    x = chip()
    varied = vary_seasons(x, BOTH, 0.2, np.random.default_rng(0))
    assert np.array_equal(varied[0], x[0])
    assert np.array_equal(np.isnan(varied), np.isnan(x))
    ratio = varied[1:3, 4, 4] / x[1:3, 4, 4]
    assert abs(ratio[0] - ratio[1]) > 0.01, "before and after are drawn apart"
    assert np.nanmax(np.abs(varied[3:5] - x[3:5])) > 0.001
    assert np.nanmax(np.abs(varied[3:5])) <= 1


def test_an_index_stays_that_of_its_bands() -> None:
    bands = ("post_B8", "post_B4", "post_NDVI")
    x = chip(bands)
    x[2] = (x[0] - x[1]) / (x[0] + x[1])
    whole = vary_seasons(x, bands, 0.3, np.random.default_rng(1))
    assert whole[2] == pytest.approx((whole[0] - whole[1]) / (whole[0] + whole[1]), nan_ok=True)
    without = vary_seasons(x[1:], bands[1:], 0.3, np.random.default_rng(1))
    assert without[1] == pytest.approx(whole[2], abs=1e-4, nan_ok=True), (
        "near infrared follows from red and NDVI"
    )
    alone = vary_seasons(x[2:], bands[2:], 0.3, np.random.default_rng(1))
    assert np.array_equal(alone, x[2:], equal_nan=True)


def test_without_a_season_nothing_is_drawn_and_recipes_keep_their_identity() -> None:
    pairs = [(chip(), np.zeros((8, 8), np.uint8))] * 4
    normaliser = Normaliser.of(Normalisation(method="none"), BOTH)

    def first(season: float) -> np.ndarray:
        variation = AugmentationConfig(mirrors="none", jitter=0.1, season=season)
        return Batches(pairs, BOTH, Order(4, 2, 0), normaliser, variation).at(0)[0].numpy()

    assert not np.array_equal(first(0.0), first(0.2))
    plain = TrainingConfig(name="a", samples=[{"path": "x"}])
    off = plain.model_copy(update={"adapt": "card", "augmentation": AugmentationConfig(season=0.0)})
    assert off.identity == plain.identity == "ad1c3886e6596843"
    assert plain.model_copy(update={"adapt": "scene"}).identity != plain.identity
    assert (
        plain.model_copy(update={"augmentation": AugmentationConfig(season=0.1)}).identity
        != plain.identity
    )
