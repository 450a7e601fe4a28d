"""Every network passes the same tester; then the few facts that belong to one network or block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_architectures import SMALL, on_meta
from torch import Tensor, nn

from configs.errors import RequestError
from models.architectures import ARCHITECTURES, build
from models.nets.blocks import (
    PooledBatchNorm,
    Segmenter,
    SqueezeExcite,
    landslide_logit,
    pad_to_multiple,
)
from models.nets.dfpenet import AttentionFilter
from models.nets.fcn8s import SeenTaps
from models.nets.lanet import PatchAttention
from models.nets.macu_net import ChannelAttention
from models.nets.multi_input_unet import AttentionGate
from models.nets.resnet import ResNetTrunk
from models.nets.resu_net_cbam import CBAM

BANDS = 4
ODD_SIZES = [(97, 131), (61, 67), (89, 85), (88, 88)]


def small(name: str, seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return build(name, BANDS, **SMALL[name])


def image(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def settle(network: Segmenter, batch: Tensor) -> None:
    """Give the norms the statistics of `batch`, as training would: deep residual sums saturate
    gates without.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # cumulative: the first batch counts whole
    with torch.no_grad():
        network.train()(batch)
    network.eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
class TestEveryNetwork:
    def test_keeps_any_size(self, name: str) -> None:
        network = small(name).eval()
        with torch.no_grad():
            for height, width in ODD_SIZES:
                logits = network(image(1, BANDS, height, width))
                assert logits.shape == (1, 1, height, width)
                assert logits.isfinite().all()

    def test_padding_is_cropped_back(self, name: str) -> None:
        network = small(name).eval()
        odd = image(1, BANDS, 61, 67)
        with torch.no_grad():
            padded = network(pad_to_multiple(odd, network.stride))
            assert torch.equal(network(odd), padded[..., :61, :67])

    def test_every_parameter_gets_a_gradient(self, name: str) -> None:
        """In eval mode, where a bias before a batch norm has one too; a squeezed ReLU may be dead
        by chance of one seed.
        """
        silent: set[str] | None = None
        for seed in range(4):
            network, batch = small(name, seed), image(2, BANDS, 64, 64, seed=seed)
            settle(network, batch)
            network(batch).square().mean().backward()
            gradients = {n: p.grad for n, p in network.named_parameters()}
            assert all(g is not None and g.isfinite().all() for g in gradients.values())
            dead = {n for n, g in gradients.items() if g is not None and not g.abs().sum() > 0}
            silent = dead if silent is None else silent & dead
            if not silent:
                break
        assert silent == set()

    def test_saved_and_loaded_it_answers_the_same(self, name: str, tmp_path: Path) -> None:
        network, other = small(name, seed=0).eval(), small(name, seed=1).eval()
        batch = image(1, BANDS, 64, 64)
        with torch.no_grad():
            before = network(batch)
            assert not torch.equal(other(batch), before)
            save_file(network.state_dict(), tmp_path / "weights.safetensors")
            other.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
            assert torch.equal(other(batch), before)

    def test_weights_follow_the_seed(self, name: str) -> None:
        first, again = small(name, seed=3).state_dict(), small(name, seed=3).state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)

    def test_trains_on_a_batch_of_one(self, name: str) -> None:
        network = small(name).train()
        logits = network(image(1, BANDS, 64, 64))
        logits.mean().backward()
        assert logits.isfinite().all()

    def test_refuses_other_bands(self, name: str) -> None:
        with pytest.raises(RequestError, match=r"reads \(B, 4, H, W\)"):
            small(name)(image(1, BANDS + 1, 64, 64))

    def test_names_its_last_decoder_block(self, name: str) -> None:
        network = small(name).eval()
        assert isinstance(network.get_submodule(network.cam_layer), nn.Module)


@pytest.mark.parametrize(
    ("gate", "shape"),
    [
        (SqueezeExcite(16).gate, (2, 16, 1, 1)),
        (CBAM(16).channel_gate, (2, 16, 1, 1)),
        (CBAM(16).spatial_gate, (2, 1, 12, 20)),
        (PatchAttention(16, reduction=8, window=4).eval().gate, (2, 16, 12, 20)),
        (PatchAttention(16, reduction=8, window=40).eval().gate, (2, 16, 12, 20)),
        (ChannelAttention(16, 16).gate, (2, 16, 1, 1)),
        (lambda x: AttentionGate(16).gate(x, x), (2, 1, 12, 20)),
        (lambda x: AttentionFilter(9, 16, 16).gates(x, x)[0], (2, 1, 12, 20)),
        (lambda x: AttentionFilter(9, 16, 16).gates(x, x)[1], (2, 1, 12, 20)),
    ],
)
def test_gates_stay_between_zero_and_one(gate: nn.Module, shape: tuple[int, ...]) -> None:
    values = gate(10 * image(2, 16, 12, 20))
    assert values.shape == shape
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.max() > values.min()


@pytest.mark.parametrize(
    "block", [SqueezeExcite(16), CBAM(16), PatchAttention(16, 8, 4), ChannelAttention(16, 16)]
)
def test_gated_blocks_keep_the_shape(block: nn.Module) -> None:
    assert block(image(2, 16, 12, 20)).shape == (2, 16, 12, 20)


def test_resu_senet_has_the_channels_of_its_table() -> None:
    network = on_meta("resu_senet", 10, {})
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str, of_input: bool) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = tuple((inputs[0] if of_input else output).shape[1:])

        network.get_submodule(name).register_forward_hook(hook)

    for row in range(3):
        note(f"gates.{row}", of_input=False)
        note(f"decoder.{row}", of_input=True)
    network(torch.empty(1, 10, 88, 88, device="meta"))
    attention, concat = (
        [seen[f"gates.{row}"] for row in (2, 1, 0)],
        [seen[f"decoder.{row}"] for row in range(3)],
    )
    assert attention == [(256, 22, 22), (128, 44, 44), (64, 88, 88)]
    assert concat == [(768, 22, 22), (384, 44, 44), (192, 88, 88)]


def test_two_softmax_classes_are_one_logit() -> None:
    scores = image(2, 2, 5, 7)
    assert torch.allclose(torch.sigmoid(landslide_logit(scores)), scores.softmax(dim=1)[:, 1:])
    many = image(2, 6, 5, 7)
    assert torch.allclose(
        torch.sigmoid(landslide_logit(many)), many.softmax(dim=1)[:, 1:2], atol=1e-6
    )
    assert torch.equal(landslide_logit(scores[:, :1]), scores[:, :1])


def test_pooled_norm_of_one_value_uses_running_statistics() -> None:
    norm, one = PooledBatchNorm(3).train(), image(1, 3, 1, 1)
    assert torch.allclose(norm(one), one, atol=1e-4)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    norm(image(2, 3, 1, 1))
    assert not torch.equal(norm.running_mean, torch.zeros(3))


def test_branches_read_only_their_own_channels() -> None:
    network = build("multi_input_unet", 4, width=4, groups=[[0, 3], [1, 2]])
    x = image(1, 4, 32, 32)
    read: list[Tensor] = []
    network.branches[1].register_forward_hook(lambda _m, inputs, _o: read.append(inputs[0]))
    network(x)
    assert torch.equal(read[0], x[:, [1, 2]])


class TestEncoderWeights:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> dict[str, Tensor]:
        torch.manual_seed(5)
        state = ResNetTrunk(BANDS, 50, width=16).state_dict()
        return {**state, "fc.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)}

    def build_with(self, path: Path, name: str = "lanet") -> Segmenter:
        return build(name, BANDS, width=16, encoder_weights=str(path))

    @pytest.mark.parametrize("name", ["lanet", "deeplabv3plus_resnet50"])
    def test_fill_the_encoder_and_skip_the_classifier(
        self, name: str, weights: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save_file(weights, tmp_path / "trunk.safetensors")
        encoder = self.build_with(tmp_path / "trunk.safetensors", name).get_submodule("encoder")
        assert all(torch.equal(value, weights[key]) for key, value in encoder.state_dict().items())

    @pytest.mark.parametrize("name", ["fcn8s", "deeplabv3plus_mobilenetv2", "dfpenet"])
    def test_every_encoder_takes_its_own(self, name: str, tmp_path: Path) -> None:
        given = small(name, seed=9).get_submodule("encoder")
        save_file(given.state_dict(), tmp_path / "trunk.safetensors")
        torch.manual_seed(0)
        network = build(
            name, BANDS, **SMALL[name], encoder_weights=str(tmp_path / "trunk.safetensors")
        )
        taken = network.get_submodule("encoder").state_dict()
        assert all(torch.equal(taken[key], value) for key, value in given.state_dict().items())

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda s: s.pop("layer1.0.conv1.weight"), r"1 missing \(layer1.0.conv1.weight\)"),
            (
                lambda s: s.update({"conv1.weight": torch.zeros(16, 3, 7, 7)}),
                r"conv1.weight \(16, 3, 7, 7\) instead",
            ),
            (lambda s: s.update({"head.weight": torch.zeros(1)}), r"1 unknown \(head.weight\)"),
        ],
    )
    def test_that_do_not_fit_are_refused(self, spoil, message, weights, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        spoil(weights)
        save_file(weights, tmp_path / "trunk.safetensors")
        with pytest.raises(RequestError, match=message):
            self.build_with(tmp_path / "trunk.safetensors")

    def test_must_exist_and_be_readable(self, tmp_path: Path) -> None:
        with pytest.raises(RequestError, match="no encoder weights at"):
            self.build_with(tmp_path / "nothing.safetensors")
        (tmp_path / "text.safetensors").write_text("not tensors")
        with pytest.raises(RequestError, match="not a readable safetensors file"):
            self.build_with(tmp_path / "text.safetensors")


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 3), (3, 8), (4, 4)])
def test_taps_that_see_nothing_change_nothing_and_learn_nothing(size: tuple[int, int]) -> None:
    torch.manual_seed(3)
    layer = SeenTaps(16, 16, 7, padding=3)
    plain = nn.Conv2d(16, 16, 7, padding=3)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 16, *size)
    assert torch.allclose(layer(x), plain(x), atol=1e-5)
    plain(x).square().sum().backward()
    for half in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            layer(x.contiguous(memory_format=torch.channels_last)).square().sum().backward()
        assert torch.allclose(
            layer.weight.grad,
            plain.weight.grad,
            rtol=0,
            atol=0.05 * float(plain.weight.grad.abs().max()),
        )
