"""Samples that lie on the device: the same batches as from memory, and a training on them ends with
the same weights twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cards import statistics
from numpy.typing import NDArray

from configs.checkpoint import Normalisation
from configs.errors import RequestError
from configs.records import IGNORED
from configs.training import AugmentationConfig, TrainingConfig
from models.inference.normalise import Normaliser
from models.training.batches import Batches, Order
from models.training.held import Held, fits, held
from models.training.loop import train
from tiles.augment import Augment, Geometry

BANDS = ("post_B4", "post_B3", "aspect_sin", "aspect_cos")
PLAIN = ("post_B4", "post_B3")
CPU = torch.device("cpu")


class Chips:
    """Some chips with unobserved corners."""

    def __init__(self, bands: int, count: int = 7, side: int = 40) -> None:
        rng = np.random.default_rng(3)
        self.x = rng.uniform(0.02, 0.3, (count, bands, side, side)).astype(np.float32)
        self.x[:, :, :5, :7] = np.nan
        self.y = (rng.random((count, side, side)) < 0.3).astype(np.uint8)
        self.y[:, :, -3:] = IGNORED

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return self.x[index], self.y[index]


class Turned:
    """The augmentation as the training calls it."""

    def __init__(self, augment: Augment) -> None:
        self._augment = augment

    def draw(self, names: Any, rng: np.random.Generator) -> Geometry:
        return self._augment.draw(names, rng)

    def __call__(self, pixels: Any, label: Any, names: Any, rng: np.random.Generator) -> Any:
        return self._augment(pixels, label, names, rng)


def made(
    bands: tuple[str, ...], augment: Augment | None, crop: int | None, **light: float
) -> Batches:
    chips = Chips(len(bands))
    normaliser = Normaliser.of(Normalisation(method="zscore", statistics=statistics(bands)), bands)
    return Batches(
        chips, bands, Order(len(chips), 5, seed=11), normaliser, AugmentationConfig(**light), crop,
        Turned(augment) if augment else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bands", "augment", "crop", "jitter"),
    [
        (BANDS, None, None, 0.0),
        (BANDS, Augment("all"), 24, 0.1),
        (BANDS, Augment("paper"), None, 0.05),
        (PLAIN, Augment("all", scale=0.2, aspect=0.15, rotate=True), None, 0.3),
        (PLAIN, Augment("flips", scale=0.3), 32, 0.0),
    ],
)
def test_a_batch_is_the_same_from_memory_and_from_the_device(
    bands: tuple[str, ...], augment: Augment | None, crop: int | None, jitter: float
) -> None:
    batches = made(bands, augment, crop, jitter=jitter)
    there = Held.of(batches, CPU)
    for step in (0, 1, 6):
        (x, y), (x_there, y_there) = batches.at(step), there.at(step)
        same = (y == y_there).float().mean()
        # The nearest pixel may be another one where two are equally near, to rounding.
        assert same == 1 if augment is None or not augment.scale else same > 0.999
        torch.testing.assert_close(x_there, x, rtol=0, atol=2e-4)


def test_noise_and_blur_are_of_the_same_kind_and_repeat() -> None:
    batches = made(PLAIN, None, None, noise=0.2, blur_px=1.5)
    there = Held.of(batches, CPU)
    x, again = there.at(3)[0], there.at(3)[0]
    torch.testing.assert_close(x, again, rtol=0, atol=0)
    assert not torch.equal(x, there.at(4)[0])
    sharp = [Held.of(made(PLAIN, None, None, noise=0.2), CPU).at(step)[0] for step in range(8)]
    plain = Held.of(made(PLAIN, None, None), CPU)
    apart = torch.stack([one - plain.at(step)[0] for step, one in enumerate(sharp)])
    seen = apart[apart != 0]
    assert float(seen.std()) == pytest.approx(0.2, rel=0.03)
    soft = there.at(3)[0].diff(dim=-1).std()
    assert soft < sharp[3].diff(dim=-1).std()


def test_a_training_on_held_samples_repeats_and_learns_as_from_memory(tmp_path: Path) -> None:
    chips = Chips(2, count=6, side=32)

    def weights(name: str, where: str) -> list[torch.Tensor]:
        config = TrainingConfig.model_validate(
            {
                "name": "tiny", "samples": [{"path": "here"}], "bands": PLAIN, "seed": 5,
                "architecture": "index", "steps": 3, "batch": 2,
                "precision": "float32", "device": "cpu", "samples_on": where,
                "augmentation": {"mirrors": "all", "jitter": 0.05},
            }
        )  # fmt: skip
        turned = Turned(Augment("all"))
        done = train(config, chips, None, PLAIN, tmp_path / name, augment=turned)
        return list(done.module.parameters())

    one, two, memory = weights("a", "device"), weights("b", "device"), weights("c", "auto")
    for first, second, third in zip(one, two, memory, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, third, rtol=0, atol=2e-3)


def test_only_samples_that_stay_lie_on_a_device_and_a_processor_has_them_near() -> None:
    batches = made(PLAIN, None, None)
    assert not fits(batches, CPU)

    class Changing(Chips):
        def set_epoch(self, epoch: int) -> None: ...

    config = TrainingConfig.model_validate(
        {"name": "tiny", "samples": [{"path": "here"}], "samples_on": "device"}
    )
    assert isinstance(held(config, batches, CPU), Held)
    auto = config.model_copy(update={"samples_on": "auto"})
    assert held(auto, batches, CPU) is batches
    batches.chips = Changing(2)
    with pytest.raises(RequestError, match="change from pass to pass"):
        held(config, batches, CPU)
