"""The comparisons' parts: a budget is a budget, crops keep pixel and label together, a table shows
what is on record and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import comparison, simulated_comparison
from benchmarks.budget import UNNORMED_RATE, probability, rate_for, train_for
from benchmarks.comparison import CROP_PX, IGNORED, ORDER, Scale, Split, drawn
from models.architectures import ARCHITECTURES, build
from models.metrics import RATIOS


def pair(height: int, width: int, seed: int = 0) -> comparison.Pair:
    """Return an image whose red says landslide."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 120, (3, height, width), dtype=np.uint8)
    y = np.zeros((height, width), np.uint8)
    y[height // 3 : 2 * height // 3, width // 4 : width // 2] = 1
    x[0] += 100 * y
    return x, y


def test_a_budget_of_processor_time_is_kept_and_used_to_learn() -> None:
    torch.manual_seed(0)
    network = build("resu_net", 3, width=16)
    images = [pair(CROP_PX, CROP_PX, seed) for seed in range(4)]
    scale = Scale.of(images)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        made = [drawn(images[int(rng.integers(4))], scale, rng) for _ in range(2)]
        return np.stack([x for x, _ in made]), np.stack([y for _, y in made])

    spent = train_for(network, draw, 2.0, seed=0)
    assert spent.steps > 1
    assert 2.0 <= spent.cpu_seconds < 5.0
    assert np.isfinite(spent.loss)
    mapped = probability(network, scale(images[0][0])[None])[0]
    assert mapped[images[0][1] == 1].mean() > mapped[images[0][1] == 0].mean()


def test_networks_without_batch_norm_learn_more_slowly() -> None:
    assert rate_for(build("unet_s1", 3, width=8)) == UNNORMED_RATE
    assert rate_for(build("resu_net", 3, width=8)) > UNNORMED_RATE


@pytest.mark.parametrize("size", [(96, 96), (61, 140), (200, 97)])
def test_a_crop_keeps_pixel_and_label_together_and_fills_with_nothing(
    size: tuple[int, int],
) -> None:
    image = pair(*size)
    plain = Scale(np.zeros((3, 1, 1), np.float32), np.ones((3, 1, 1), np.float32))
    for seed in range(8):
        x, y = drawn(image, plain, np.random.default_rng(seed))
        assert x.shape == (3, CROP_PX, CROP_PX)
        assert y.shape == (CROP_PX, CROP_PX)
        assert (x[0][y == 1] >= 100).all()
        assert (y == IGNORED).sum() >= CROP_PX**2 - min(size[0], CROP_PX) * min(size[1], CROP_PX)


def test_the_scale_is_that_of_the_training_images() -> None:
    images = [pair(64, 64, seed) for seed in range(3)]
    scale = Scale.of(images)
    scaled = np.stack([scale(x) for x, _ in images])
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, atol=1e-3)


def test_the_table_shows_what_is_on_record_and_says_what_is_not() -> None:
    parts = {"A": Split([], [], [pair(64, 64)])}
    score = dict.fromkeys((*RATIOS, "s_per_mpx"), 0.25)
    row: dict[str, Any] = {
        "parameters": 1000,
        "steps": 7,
        "cpu_seconds": 300.0,
        "scores": {"A": score},
    }
    text = comparison.table({"unet": row}, parts)
    lines = text.splitlines()
    assert len(lines) == 4
    assert "| U-Net | A (0) | 1,000 | 7 | 300 |" in lines[2]
    assert "predict all" in lines[3]
    nothing = comparison.missing({})
    assert nothing.startswith("Not measured yet: ResU-SENet, U-Net, ResU-Net, ")
    assert comparison.missing({"unet": row}) == nothing.replace(" U-Net, ResU-Net,", " ResU-Net,")
    assert comparison.missing(dict.fromkeys(ORDER, row)) == "All networks are there."
    assert set(ORDER) == set(ARCHITECTURES)


def test_the_verdict_says_when_richer_inputs_do_not_win() -> None:
    def done(*f1: tuple[float, float]) -> dict[str, dict[str, Any]]:
        return {
            simulated_comparison.key(row, seed): {"f1": values[seed]}
            for row, values in zip(simulated_comparison.FACTORS, f1, strict=True)
            for seed in simulated_comparison.SEEDS
        }

    assert " beats FC-DenseNet, 7 bands (+0.200 F1" in simulated_comparison.verdict(
        done((0.5, 0.52), (0.7, 0.72))
    )
    assert "within the spread" in simulated_comparison.verdict(done((0.5, 0.6), (0.55, 0.62)))
    assert "does not beat" in simulated_comparison.verdict(done((0.5, 0.6), (0.4, 0.5)))
    one = {key: value for key, value in done((0.5, 0.5), (0.7, 0.7)).items() if " seed 0 " in key}
    assert " is ahead of FC-DenseNet, 7 bands (+0.200 F1" in simulated_comparison.verdict(one)
    assert "one seed so far" in simulated_comparison.verdict(one)
    assert simulated_comparison.verdict({}) == ""
