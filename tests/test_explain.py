"""`coslide explain`: pictures of every chip, shares of bands that add up, factors in their
order.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from calls import call
from cards import make_card, save_card
from small_samples import BANDS, small_samples

from configs.checkpoint import CardTiles
from configs.errors import RequestError
from flows.learning.evaluate_cards import card_named
from flows.learning.explain import look_at
from models.explain.heatmaps import visible
from models.explain.importance import gini_importance


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a plain checkpoint, one with two branches, and a sample set whose third
    band says nothing.
    """
    folder = tmp_path_factory.mktemp("ground")
    save_card(make_card(BANDS, name="plain"), folder / "plain")
    branches = {
        "architecture": "multi_input_unet",
        "arguments": {"width": 8, "groups": [[0, 1], [2]]},
    }
    save_card(
        make_card(
            BANDS, name="branched", tiles=CardTiles(size=64, mode="core", halo=112), **branches
        ),
        folder / "branched",
    )
    small_samples(folder / "valley", simulated=True)
    return folder


@pytest.mark.parametrize("card", ["plain", "branched"])
def test_pictures_and_tables_of_a_checkpoint(
    ground: Path, capsys: pytest.CaptureFixture[str], card: str
) -> None:
    out = ground / f"out-{card}"
    given = (
        "--samples",
        str(ground / "valley"),
        "--checkpoint",
        str(ground / card),
        "--chips",
        "1",
        "--out",
        str(out),
    )
    code, answer = call(capsys, "-q", "explain", *given)
    assert code == 0
    assert answer["pictures"] == ["chip-01.png", "factors.png"]
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for name in answer["pictures"])
    for column in ("occlusion", "gradient_x_input"):
        assert sum(of[column] for of in answer["bands"].values()) == pytest.approx(1)
    with (out / "bands.csv").open() as file:
        assert [row["band"] for row in csv.DictReader(file)] == list(BANDS)


def test_one_map_a_branch_and_one_a_band(ground: Path) -> None:
    samples = small_samples(ground / "more")
    window = slice(0, 32), slice(0, 32)
    branched, gradients = look_at(
        card_named(str(ground / "branched")).load("cpu"), samples, (0,), *window
    )
    assert branched.branch_names == ("branch A: post_B4, post_B3", "branch B: slope")
    assert branched.branch_cams.shape == (2, 32, 32)
    assert branched.occlusion.shape == gradients.shape == (3, 32, 32)
    assert 0 <= branched.cam.min() <= branched.cam.max() <= 1
    plain, _ = look_at(card_named(str(ground / "plain")).load("cpu"), samples, (0,), *window)
    assert plain.branch_cams.shape == (0, 32, 32)


def test_factors_alone_and_in_their_order(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = call(
        capsys,
        "-q",
        "explain",
        "--samples",
        str(ground / "valley"),
        "--split",
        "train",
        "--out",
        str(ground / "factors"),
    )
    assert code == 0
    ranked = answer["gini_importance"]
    assert set(ranked) == set(BANDS)
    assert sum(ranked.values()) == pytest.approx(1)
    assert ranked["slope"] < 0.1 < min(ranked["post_B4"], ranked["post_B3"]), (
        "slope is noise in this valley"
    )
    assert (ground / "factors" / "factors.csv").read_text().startswith("factor,gini_importance\n")
    assert not (ground / "factors" / "bands.csv").exists()


def test_importance_follows_the_one_factor_that_decides() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 4))
    found = gini_importance(values, values[:, 2] > 0.5)
    assert found.argmax() == 2
    assert found[2] > 0.8
    assert np.array_equal(found, gini_importance(values, values[:, 2] > 0.5))
    with pytest.raises(RequestError, match="all landslide or all not"):
        gini_importance(values, np.ones(400, bool))


def test_the_picture_takes_the_image_after_the_event() -> None:
    bands = ("post_B2", "post_B3", "post_B4", "slope")
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels = np.stack([ramp, ramp.T, ramp[::-1], ramp])
    picture = visible(bands, pixels)
    assert picture.shape == (8, 8, 3)
    assert np.corrcoef(picture[..., 0].ravel(), pixels[2].ravel())[0, 1] > 0.99
    grey = visible(("slope",), np.full((1, 4, 4), np.nan, np.float32))
    assert np.array_equal(grey, np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--samples", "{0}/nowhere"), "no sample set"),
        (("--samples", "{0}/valley", "--checkpoint", "none"), "no checkpoint `none`"),
        (("--samples", "{0}/valley", "--checkpoint", "sim-mixed"), "which `sim-mixed` reads"),
        (("--samples", "{0}/valley", "--split", "exam"), "no split exam"),
        (("--samples", "{0}/valley", "--chips", "0"), "chips"),
    ],
)
def test_what_cannot_be_is_refused(
    ground: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, answer = call(
        capsys,
        "-q",
        "explain",
        *(part.format(ground) for part in arguments),
        "--out",
        str(ground / "refused"),
    )
    assert code == 2
    assert message in answer["message"]
