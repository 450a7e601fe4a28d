"""The predictor: probabilities of the right shape, holes filled, flips and calibration as the
checkpoint says, machine errors.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cards import make_card, make_network
from torch import nn

from configs.checkpoint import Calibration, CardTiles
from configs.errors import MachineError, RequestError
from models.inference.normalise import Normaliser
from models.inference.predict import Predictor, machine_failures, mirrored, pick_device

BANDS = ("post_B4", "post_B3", "aspect_sin", "aspect_cos")


@pytest.fixture
def batch() -> np.ndarray:
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 0.3, (2, 4, 40, 48)).astype(np.float32)
    x[:, 2:] = rng.uniform(-1, 1, (2, 2, 40, 48))
    x[0, :, 5:9, 7:20] = np.nan
    return x


def test_probability_is_the_sigmoid_of_the_network(batch: np.ndarray) -> None:
    card = make_card(BANDS)
    predictor = Predictor(card, make_network(card), "cpu")
    p = predictor(batch)
    assert p.shape == (2, 40, 48)
    assert p.dtype == np.float32
    assert p.min() >= 0
    assert p.max() <= 1
    assert p.std() > 0.01
    with torch.no_grad():
        z = make_network(card)(
            torch.from_numpy(Normaliser.of(card.normalisation, BANDS).array(batch))
        )
    assert p == pytest.approx(torch.sigmoid(z[:, 0]).numpy(), abs=1e-5)
    assert (predictor(batch) == p).all()  # the same numbers every time
    assert Predictor(card, make_network(card), "cpu")(batch[1:]) == pytest.approx(p[1:], abs=1e-5)


def test_calibration_scales_and_shifts_the_logit(batch: np.ndarray) -> None:
    plain = make_card(BANDS)
    card = make_card(BANDS, calibration=Calibration(method="platt", scale=0.5, shift=-1.0))
    z = Predictor(plain, make_network(plain), "cpu").logits(batch)
    assert Predictor(card, make_network(card), "cpu")(batch) == pytest.approx(
        1 / (1 + np.exp(1 - 0.5 * z)), abs=1e-6
    )
    wild = make_card(BANDS, calibration=Calibration(method="platt", scale=1e6, shift=0))
    assert np.isfinite(Predictor(wild, make_network(wild), "cpu")(batch)).all()


def test_flips_make_the_answer_symmetric(batch: np.ndarray) -> None:
    card = make_card(BANDS, tiles=CardTiles(size=64, mode="core", halo=56, flips=True))
    predictor = Predictor(card, make_network(card), "cpu")
    p = predictor.logits(batch)
    for axes in ((-1,), (-2,), (-2, -1)):
        other = mirrored(torch.from_numpy(batch), BANDS, axes).numpy()
        assert predictor.logits(other) == pytest.approx(np.flip(p, axes), abs=1e-4)
    once = Predictor(make_card(BANDS), make_network(card), "cpu").logits(batch)
    assert abs(once - p).max() > 1e-3


def test_a_mirror_turns_directions_but_not_reflectance(batch: np.ndarray) -> None:
    x = torch.from_numpy(np.nan_to_num(batch))
    east, north = mirrored(x, BANDS, (-1,)), mirrored(x, BANDS, (-2,))
    assert torch.equal(east[:, :2], x[:, :2].flip(-1))
    assert torch.equal(east[:, 2], -x[:, 2].flip(-1))
    assert torch.equal(east[:, 3], x[:, 3].flip(-1))
    assert torch.equal(north[:, 2], x[:, 2].flip(-2))
    assert torch.equal(north[:, 3], -x[:, 3].flip(-2))
    assert torch.equal(mirrored(mirrored(x, BANDS, (-1,)), BANDS, (-1,)), x)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (MemoryError(), "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "out of memory",
        ),
        (torch.AcceleratorError("CUDA error: device lost"), "GPU failed"),
        (RuntimeError("CUDA error: unspecified launch failure"), "GPU failed"),
    ],
)
def test_a_failing_machine_is_a_machine_error(
    error: Exception, says: str, batch: np.ndarray
) -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise error

    with pytest.raises(MachineError, match=says):
        Predictor(make_card(BANDS), Failing(), "cpu")(batch)
    with pytest.raises(RuntimeError, match="a defect"), machine_failures():
        raise RuntimeError("a defect")


def test_refuses_tiles_of_other_bands(batch: np.ndarray) -> None:
    with pytest.raises(RequestError, match=r"reads tiles \(B, 3, H, W\)"):
        Predictor(make_card(), make_network(make_card()), "cpu")(batch)
    if not torch.cuda.is_available():
        with pytest.raises(RequestError, match="no CUDA GPU"):
            pick_device("cuda")
        assert pick_device("auto").type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_a_gpu_says_what_the_cpu_says(batch: np.ndarray) -> None:
    card = make_card(BANDS)
    here, there = (
        Predictor(card, make_network(card), device, "float32")(batch) for device in ("cpu", "auto")
    )
    np.testing.assert_allclose(there, here, atol=1e-3)
