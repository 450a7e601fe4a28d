"""Weights on disk: what goes in comes out, half the size, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cards import make_card, make_network
from safetensors.torch import load_file
from torch import nn

from configs.errors import RequestError
from models import weights


@pytest.fixture
def network() -> nn.Module:
    return make_network(make_card())


def test_round_trip_is_exact_after_the_first_rounding(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    digest = weights.save(network, path)
    once = weights.load(make_network(make_card(), seed=1), path, digest, "tiny")
    for (name, a), b in zip(network.state_dict().items(), once.state_dict().values(), strict=True):
        assert b.dtype == a.dtype, name
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-7) or not a.is_floating_point(), name
    assert weights.save(once, tmp_path / "again.safetensors") == digest
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    # Weights are rounded to 11 bits, relatively 5e-4 at most; through a dozen layers of an
    # untrained network that adds up to a few thousandths of the largest logit.
    before, after = network.eval()(x), once(x)
    assert (after - before).abs().max() < 0.01 * before.abs().max()
    assert not once.training


def test_running_statistics_survive_where_float16_would_not(
    network: nn.Module, tmp_path: Path
) -> None:
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var[0], norm.running_var[1] = 1e-9, 3e8
    with torch.no_grad():
        norm.weight[0] = 1e5  # a parameter beyond float16
    path = tmp_path / "weights.safetensors"
    digest = weights.save(network, path)
    found = weights.load(make_network(make_card()), path, digest, "tiny").state_dict()
    for name, tensor in network.state_dict().items():
        if "running" in name:
            assert torch.equal(found[name], tensor), name
        assert torch.isfinite(found[name]).all(), name
    kinds = {t.dtype for n, t in load_file(path).items() if n.endswith("0.weight")}
    assert torch.float16 in kinds


def test_size_is_half(network: nn.Module, tmp_path: Path) -> None:
    weights.save(network, tmp_path / "w.safetensors")
    parameters = sum(p.numel() for p in network.parameters())
    stored = sum(
        t.numel() * t.element_size()
        for n, t in load_file(tmp_path / "w.safetensors").items()
        if "running" not in n
    )
    assert stored < 2.1 * parameters


def test_what_is_not_the_cards_own_is_refused(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    digest = weights.save(network, path)
    with pytest.raises(RequestError, match="`tiny` has no weights"):
        weights.load(network, tmp_path / "other", digest, "tiny")
    wide = make_network(make_card(arguments={"width": 8}))
    with pytest.raises(RequestError, match="`wide` do not fit"):
        weights.load(wide, path, digest, "wide")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RequestError, match="`tiny` are not those it was made with") as caught:
        weights.load(network, path, digest, "tiny")
    assert "coslide train" in caught.value.remedy
    network.register_parameter("broken", nn.Parameter(torch.tensor([float("nan")])))
    with pytest.raises(RequestError, match="broken"):
        weights.save(network, tmp_path / "nan.safetensors")
    assert not (tmp_path / "nan.safetensors").exists()
