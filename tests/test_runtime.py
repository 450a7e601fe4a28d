"""What runs the network: every runtime answers the same, and `auto` leaves plain PyTorch only for
one that is worth it, installed and equal.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cards import make_card, make_network
from torch import nn

from configs.checkpoint import CardTiles
from configs.errors import RequestError
from models.architectures import ARCHITECTURES, build
from models.inference import runtime
from models.inference.predict import Predictor
from models.inference.runtime import EQUAL, WORTHWHILE, agree, fused, prepared

CPU = torch.device("cpu")
BANDS = ("post_B2", "post_B3", "post_B4", "slope", "hillshade")


def stirred(network: nn.Module) -> nn.Module:
    """Return a network whose batch norms say something."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", ["resu_senet", "unet", "fcn8s", "fc_densenet"])
def test_folded_batch_norms_answer_the_same(name: str) -> None:
    network = stirred(build(name, 5, **({"width": 8} if name == "resu_senet" else {})))
    before = norms(network)
    folded = fused(network)
    x = torch.randn(1, 5, 64, 64)
    assert norms(network) == before
    assert agree(network, folded, x)
    if name == "resu_senet":  # the norm within a unit and the shortcut's, but no pre-activation
        assert 0 < norms(folded) < before


def test_runtimes_that_differ_are_told_apart() -> None:
    network = nn.Conv2d(5, 1, 3, padding=1)
    x = torch.randn(1, 5, 16, 16)
    assert agree(network, network, x)
    assert not agree(network, lambda x: network(x) + 10 * EQUAL, x)


def test_auto_is_plain_pytorch_unless_another_is_worth_it_installed_and_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = make_card(BANDS).model_copy(update={"tiles": CardTiles(size=64, mode="blend", halo=16)})
    predictor = Predictor(card, make_network(card), "cpu")
    assert card.architecture in ARCHITECTURES
    monkeypatch.setattr(runtime, "installed", lambda: False)
    assert predictor.fastest(10_000) is predictor
    monkeypatch.setattr(runtime, "installed", lambda: True)
    monkeypatch.setattr(runtime, "FASTER", (card.architecture,))
    assert predictor.fastest(WORTHWHILE - 1) is predictor
    asked = Predictor(card, make_network(card), "cpu", "bfloat16")
    assert asked.fastest(10_000) is asked
    for off, expected in ((0.0, "openvino"), (1.0, "torch")):
        monkeypatch.setattr(
            runtime, "OpenVino", lambda network, off=off: lambda x: network(x) + off
        )
        found = predictor.fastest(WORTHWHILE)
        assert found.runtime == expected
        assert found.manner == {"runtime": expected, "device": "cpu", "precision": "float32"}


def test_what_is_not_installed_or_of_another_device_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "installed", lambda: False)
    with pytest.raises(RequestError, match="not installed"):
        prepared(nn.Identity(), "openvino", CPU)
    with pytest.raises(RequestError, match="on the processor"):
        prepared(nn.Identity(), "openvino", torch.device("cuda"))


def test_openvino_answers_as_pytorch_does_for_tiles_of_any_size() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an extra")
    card = make_card(BANDS)
    network = stirred(make_network(card))
    plain, other = (Predictor(card, network, "cpu", runtime=how) for how in ("torch", "openvino"))
    rng = np.random.default_rng(0)
    for batch, height, width in ((1, 64, 64), (3, 64, 64), (2, 61, 50)):
        tiles = rng.random((batch, len(BANDS), height, width), dtype=np.float32)
        tiles[:, :, :5, :9] = np.nan
        first, second = plain(tiles), other(tiles)
        assert np.abs(first - second).max() <= EQUAL
        assert second.tobytes() == other(tiles).tobytes()
