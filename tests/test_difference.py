"""Pre/post differencing and histogram matching: what was there before is no new landslide, and
nothing else changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from calls import answered, call, on_archive
from hypothesis import given, settings
from hypothesis import strategies as st
from small_archive import make_archive, make_cards, make_preset

from configs.checkpoint import CARD
from configs.clean import CleanConfig
from configs.errors import RequestError
from configs.run import ModelConfig
from flows.difference import earlier
from models.histogram import BandHistogram
from models.inference.adaptation import Matching
from tiles.views import Without

CLOSE = 2e-3
"""What the rounding of the product's raster may change."""


def mapped(
    ground: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    card: str = "post",
    threshold: float | None = None,
    **model: Any,
) -> dict[str, Any]:
    preset = ground / f"{name}.yaml"
    make_preset(preset, ground / "cards", card)
    content = yaml.safe_load(preset.read_text())
    content["clean"]["threshold"] = threshold
    preset.write_text(yaml.safe_dump({**content, "model": content["model"] | model}))
    return call(capsys, "-q", *on_archive(ground, preset, "--name", name))[1]


def probability(answer: dict[str, Any]) -> np.ndarray:
    with rasterio.open(answer["products"]["probability.tif"]) as file:
        return np.asarray(file.read(1, masked=True).filled(np.nan))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive whose pre image lacks its north, and checkpoints for one and
    for both dates.
    """
    folder = tmp_path_factory.mktemp("ground")
    make_archive(folder / "archive", gap=True)
    make_cards(folder / "cards")
    card = folder / "cards" / "post" / CARD
    soft = {
        "calibration": {"method": "platt", "scale": 0.02, "shift": 0.0}
    }  # an untrained network shouts otherwise
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), **soft}))
    return folder


def test_what_the_earlier_image_shows_already_is_taken_away(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = probability(mapped(ground, capsys, "plain"))
    half = float(np.nanmedian(plain))  # an untrained network says about as much of either image
    less = probability(mapped(ground, capsys, "less", threshold=half, subtract_pre=True))
    assert np.array_equal(np.isnan(plain), np.isnan(less))
    seen = np.isfinite(plain)
    gone = seen & (np.abs(less - plain) > CLOSE)
    assert gone.any()
    assert (less[gone] == 0).all()
    assert not gone[:40].any(), "without an earlier image nothing is taken away"
    assert gone[-80:].any()
    matched = probability(
        mapped(ground, capsys, "matched", threshold=half, subtract_pre=True, match_histograms=True)
    )
    assert not np.array_equal(np.nan_to_num(matched), np.nan_to_num(less)), (
        "matching changes the earlier image"
    )
    assert ((matched == 0) | (np.abs(matched - plain) <= CLOSE))[seen].all()


def test_a_card_that_reads_both_dates_cannot_subtract(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = mapped(ground, capsys, "both", card="both", subtract_pre=True)
    assert (answer["code"], answer["error"]) == (2, "request")
    assert "`both` reads the image from before the event" in answer["message"]
    chosen = mapped(ground, capsys, "auto", card="auto", subtract_pre=True)["checkpoint"]
    assert chosen not in ("both", "iburi-prepost")


def test_the_earlier_bands_stand_for_the_later_ones() -> None:
    assert earlier(("post_B4", "slope", "post_NDVI")) == ("pre_B4", "slope", "pre_NDVI")


def test_zero_where_the_other_reaches_the_threshold_only() -> None:
    probability = np.array([[0.9, 0.9, 0.9, np.nan]], np.float32)
    other = np.array([[0.5, 0.4, np.nan, 0.9]], np.float32)
    np.testing.assert_array_equal(
        Without(probability, other, 0.5)[:, :], np.array([[0, 0.9, 0.9, np.nan]], np.float32)
    )


def histogram(values: np.ndarray, name: str) -> BandHistogram:
    return BandHistogram.of(values.astype(np.float32), name)


def test_an_image_matched_to_itself_stays_and_a_changed_one_comes_back() -> None:
    rng = np.random.default_rng(0)
    later = rng.gamma(4, 0.03, 20_000)
    same = Matching.between(histogram(later, "pre_B4"), histogram(later, "post_B4"))
    np.testing.assert_allclose(same(later.astype(np.float32)), later, atol=2e-4)
    brighter = Matching.between(
        histogram(later * 1.5 + 0.02, "pre_B4"), histogram(later, "post_B4")
    )
    back = brighter((later * 1.5 + 0.02).astype(np.float32))
    inner = (later > np.quantile(later, 0.01)) & (later < np.quantile(later, 0.99))
    np.testing.assert_allclose(back[inner], later[inner], atol=1e-3)
    assert np.isnan(brighter(np.array([np.nan], np.float32)))[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 3), st.floats(-0.05, 0.05))
def test_matching_never_turns_the_order_around(seed: int, gain: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    image, like = rng.gamma(3, 0.04, 500), rng.gamma(3, 0.04, 500) * gain + offset
    matching = Matching.between(histogram(image, "pre_B3"), histogram(like, "post_B3"))
    assert (np.diff(matching(np.sort(image).astype(np.float32))) >= -1e-6).all()


def test_nothing_to_match_is_refused() -> None:
    empty = BandHistogram.empty("pre_B4")
    with pytest.raises(RequestError, match="no pixel is clear in both"):
        Matching.between(empty, histogram(np.array([0.1]), "post_B4"))


def test_the_geology_preset_is_one_word_away(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = Path(__file__).resolve().parent.parent / "configs" / "presets" / "geology.yaml"
    content = yaml.safe_load(preset.read_text())
    assert ModelConfig.model_validate(content["model"]).subtract_pre
    assert CleanConfig.model_validate(content["clean"]).max_length_width_ratio == 10
    answered(capsys, *on_archive(ground, preset, "--checkpoint", "iburi-post", "--dry-run"))
