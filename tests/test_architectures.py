"""The table of networks: counts and costs equal to the fact sheet's, arguments checked, reach
proven.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from configs.errors import RequestError
from models.architectures import ARCHITECTURES, build
from models.nets.blocks import Segmenter

torch.set_num_threads(1)

TWO_BRANCHES = [list(range(14)), [14, 15]]

# network, bands, arguments, trainable, with running statistics ("Keras total") where the sheet
# prints it
COUNTS: list[tuple[str, int, dict[str, object], int, int | None]] = [
    ("resu_senet", 10, {}, 8_239_517, 8_248_733),
    ("resu_senet", 10, {"reduction": 8}, 8_250_297, None),
    ("resu_net", 10, {}, 8_228_289, 8_237_505),
    ("resu_net", 7, {}, 8_226_369, 8_235_585),
    ("resu_net", 3, {}, 8_223_809, None),
    ("resu_net_cbam", 10, {}, 8_239_811, None),
    ("fc_densenet", 7, {}, 2_934_049, 2_958_849),
    ("fc_densenet", 16, {}, 2_934_049 + 5_184, 2_964_033),
    ("fc_densenet", 7, {"reading": "B"}, 2_939_764, 2_961_676),
    ("fc_densenet", 16, {"reading": "B"}, 2_939_764 + 1_296, 2_962_972),
    ("scdnn", 3, {}, 26_867_108, 26_884_228),
    ("scdnn", 3, {"blocks": 1}, 20_596_388, None),
    ("dfpenet", 3, {}, 63_075_306, 63_187_030),
    ("dfpenet", 3, {"classes": 6}, 63_076_334, None),
    ("multi_input_unet", 16, {}, 35_002_885, 35_014_917),
    ("multi_input_unet", 16, {"groups": TWO_BRANCHES, "batch_norm": False}, 34_990_853, None),
    ("multi_input_unet", 16, {"width": 32}, 8_758_533, None),
    ("multi_input_unet", 12, {"groups": [list(range(12))]}, 34_881_349, None),
    ("unet", 1, {"classes": 2, "batch_norm": False}, 31_030_658, None),
    ("unet", 3, {}, 31_043_521, None),
    ("unet", 16, {"batch_norm": False}, 31_039_233, None),
    ("unet", 16, {}, 31_051_009, None),
    ("unet_s1", 7, {}, 7_700_741, 7_700_741),
    ("segnet", 7, {}, 29_445_379, 29_461_253),
    ("segnet", 3, {"head_batch_norm": False, "classes": 2}, 29_443_138, None),
    ("fcn8s", 3, {"classes": 21}, 134_489_759, None),
    ("fcn8s", 7, {}, 134_268_003, None),
    ("deeplabv3plus_resnet50", 3, {}, 40_347_298, None),
    ("deeplabv3plus_mobilenetv2", 3, {}, 5_811_170, None),
    ("cgnet", 3, {"classes": 19}, 496_306, None),
    ("cgnet", 10, {}, 505_852, None),
    ("lanet", 3, {"classes": 2}, 23_792_332, None),
    ("lanet", 10, {}, 23_814_090, None),
    ("macu_net", 3, {"classes": 2}, 5_151_666, None),
    ("macu_net", 10, {}, 5_153_329, None),
]

# network: bands, the paper's patch, millions of multiply-accumulates per pixel (the sheet's
# decimals set the tolerance)
COSTS = {
    "resu_senet": (10, 88, 0.695, 0.0006),
    "resu_net": (10, 88, 0.695, 0.0006),
    "resu_net_cbam": (10, 88, 0.695, 0.0006),
    "fc_densenet": (7, 64, 0.880, 0.0006),
    "scdnn": (3, 256, 0.323, 0.0006),
    "dfpenet": (3, 512, 0.970, 0.0006),
    "multi_input_unet": (16, 256, 0.986, 0.0006),
    "unet": (3, 256, 0.735, 0.0006),
    "unet_s1": (7, 64, 0.564, 0.0006),
    "segnet": (7, 64, 0.612, 0.0006),
    "fcn8s": (3, 256, 0.425, 0.0006),
    "deeplabv3plus_resnet50": (3, 256, 0.264, 0.0006),
    "deeplabv3plus_mobilenetv2": (3, 256, 0.100, 0.0006),
    "cgnet": (3, 256, 0.013, 0.0006),
    "lanet": (10, 256, 0.14, 0.011),
    "macu_net": (10, 256, 0.125, 0.016),
}

# Quarter width or less: every layer is there, none is wide.
SMALL: dict[str, dict[str, object]] = {
    "fc_densenet": {"growth": 8},
    "fcn8s": {"width": 16, "fully_connected": 64},
    "deeplabv3plus_mobilenetv2": {"width": 8},
    "cgnet": {"width": 8},
    "macu_net": {"width": 8},
}
SMALL = {name: SMALL.get(name, {"width": 16}) for name in ARCHITECTURES}
FINITE = [name for name, architecture in ARCHITECTURES.items() if architecture.reach_px is not None]


def on_meta(name: str, bands: int, arguments: dict[str, object]) -> Segmenter:
    with torch.device("meta"):
        return build(name, bands, **arguments)


def count(network: nn.Module) -> tuple[int, int]:
    trainable = sum(p.numel() for p in network.parameters())
    running = sum(b.numel() for name, b in network.named_buffers() if "running_" in name)
    return trainable, trainable + running


@pytest.mark.parametrize(("name", "bands", "arguments", "trainable", "total"), COUNTS)
def test_parameters_equal_the_sheets(
    name: str, bands: int, arguments: dict[str, object], trainable: int, total: int | None
) -> None:
    counted = count(on_meta(name, bands, arguments))
    assert counted[0] == trainable
    assert total is None or counted[1] == total


def test_every_network_is_counted_and_costed() -> None:
    assert {row[0] for row in COUNTS} == set(COSTS) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_full_width_keeps_the_papers_patch_at_the_sheets_cost(name: str) -> None:
    bands, side, mmac, tolerance = COSTS[name]
    network = on_meta(name, bands, {"classes": 21} if name == "fcn8s" else {}).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = network(torch.empty(1, bands, side, side, device="meta"))
    assert logits.shape == (1, 1, side, side)
    assert counter.get_total_flops() / 2 / side**2 / 1e6 == pytest.approx(mmac, abs=tolerance)


@pytest.mark.parametrize(
    ("name", "arguments"), [(n, {}) for n in FINITE] + [("fc_densenet", {"reading": "B"})]
)
@pytest.mark.parametrize("axis", [2, 3])
def test_nothing_beyond_the_reach_matters(
    name: str, arguments: dict[str, object], axis: int
) -> None:
    """Along one axis of a strip: gradients stay within the reach of a stride-sized block, new
    values beyond change nothing.

    That something beyond half the reach still matters shows that the test can fail.
    """
    torch.manual_seed(7)
    network = build(
        name,
        2,
        **(SMALL[name] | {"width": 8} if "width" in SMALL[name] else SMALL[name]),
        **arguments,
    )
    network = network.double().eval()
    stride, reach = network.stride, network.reach_px
    assert reach is not None
    assert reach % stride == 0
    start = math.ceil((reach + 64) / stride) * stride
    length, block = 2 * start + stride, slice(start, start + stride)
    shape = [1, 2, 2 * stride, 2 * stride]
    shape[axis] = length
    image = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    logits = network(image).movedim(axis, -1)[..., block]
    (gradient,) = torch.autograd.grad(logits.sum(), image)
    touched = gradient.movedim(axis, -1).abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    assert touched.min() >= start - reach
    assert touched.max() < start + stride + reach
    assert touched.max() - touched.min() > reach

    with torch.no_grad():
        other = torch.randn_like(image).movedim(axis, -1)
        near = slice(start - reach, start + stride + reach)
        other[..., near] = image.movedim(axis, -1)[..., near]
        again = network(other.movedim(-1, axis)).movedim(axis, -1)[..., block]
    assert torch.equal(again, logits)


def test_unknown_names_and_arguments_list_what_there_is() -> None:
    with pytest.raises(RequestError, match="no network 'resunet'") as unknown:
        build("resunet", 3)
    assert all(name in unknown.value.remedy for name in ARCHITECTURES)
    with pytest.raises(RequestError, match="no argument 'depth'") as argument:
        build("resu_senet", 3, depth=4)
    assert "reduction=16" in argument.value.remedy
    assert "width=64" in argument.value.remedy
    with pytest.raises(RequestError, match="no argument 'gate'"):
        build("resu_net", 3, gate=None)
    with pytest.raises(RequestError, match="0 input channels"):
        build("unet", 0)
    with pytest.raises(RequestError, match="reading 'C'"):
        build("fc_densenet", 3, reading="C")


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("resu_senet", {"width": 0}),
        ("resu_senet", {"width": "wide"}),
        ("resu_senet", {"width": True}),
        ("unet", {"batch_norm": 1}),
        ("fc_densenet", {"dropout": 1.0}),
        ("fc_densenet", {"reading": 2}),
        ("dfpenet", {"dilations": [1, 2]}),
        ("dfpenet", {"dropout": [0.5, -0.1]}),
    ],
)
def test_impossible_values_are_refused(name: str, argument: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=f"network '{name}' cannot have") as refused:
        build(name, 4, **argument)
    assert f"{next(iter(argument))}=" in refused.value.remedy


def test_lists_of_a_card_do_for_tuples() -> None:
    assert (
        on_meta("dfpenet", 3, {"dilations": [2, 4, 8], "dropout": [0, 0.1], "width": 8}).stride
        == 16
    )


@pytest.mark.parametrize(
    "groups", [[[0, 1]], [[0, 1], [1, 2, 3]], [[0, 1, 2, 3], []], [[0, 1, 2], [4]]]
)
def test_groups_must_share_out_the_channels(groups: list[list[int]]) -> None:
    with pytest.raises(RequestError, match="do not share out 4 channels"):
        build("multi_input_unet", 4, groups=groups)


def test_the_table_says_what_tiles_need() -> None:
    assert ARCHITECTURES["resu_senet"].reach_px is None
    assert ARCHITECTURES["resu_net"].reach_px == 56
    assert [n for n, a in ARCHITECTURES.items() if a.multi_input] == ["multi_input_unet"]
    for name, architecture in ARCHITECTURES.items():
        assert on_meta(name, 4, SMALL[name]).stride == architecture.stride
        assert architecture.defaults["classes"] in (1, 2)
