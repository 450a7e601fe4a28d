"""What runs a checkpoint's network on a processor: plain PyTorch, PyTorch with batch norms folded
into convolutions, compiled by PyTorch, or OpenVINO.

Each runtime gives the same numbers every time, and other last bits than the others. So `auto`
leaves plain PyTorch only for what was measured to be faster (docs/results.md#speed), where enough
tiles pay for the conversion, and only after the two have answered the same on this machine.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from configs.errors import RequestError

logger = logging.getLogger(__name__)

Runtime = Literal["torch", "fused", "compile", "openvino"]
Network = Callable[[Tensor], Tensor]
"""`(B, C, H, W)` -> logits `(B, 1, H, W)`."""

WORTHWHILE: Final = 64
"""Tiles from which on converting pays: seven processor seconds once, a fifth of a second saved on
each tile of 256 px (measured: docs/results.md#speed).
"""
FASTER: Final = ("resu_senet",)
"""Networks that were measured to be faster with OpenVINO."""
EQUAL: Final = 1e-4
"""Largest difference of probability that counts as the same: a tenth of what a map may differ by
between a processor and a GPU."""


def installed() -> bool:
    """Return whether OpenVINO is here."""
    return importlib.util.find_spec("openvino") is not None


def worthwhile(architecture: str, device: torch.device, tiles: int) -> bool:
    """Return whether `auto` should try OpenVINO."""
    return device.type == "cpu" and tiles >= WORTHWHILE and architecture in FASTER and installed()


def check(runtime: Runtime, device: torch.device) -> None:
    """Make sure that a runtime can be had, without loading it.

    Raises:
        RequestError: it is not installed, lacks its compiler, or does not run on this device.
    """
    if runtime == "openvino" and device.type != "cpu":
        raise RequestError(
            "OpenVINO computes on the processor", "Set `model.device: cpu`, or leave `runtime`."
        )
    if runtime == "openvino" and not installed():
        raise RequestError(
            "OpenVINO is not installed",
            "Install it (`pip install coslide[openvino]`), or leave `model.runtime: auto`.",
        )
    if runtime == "compile" and device.type == "cpu" and not _compiler():
        raise RequestError(
            "`model.runtime: compile` needs a C++ compiler, and none was found",
            "Install one (`apt install g++`), or leave `model.runtime: auto`.",
        )


def _compiler() -> bool:
    """Return whether there is a C++ compiler: the one that `CXX` names, else a usual one."""
    named = os.environ.get("CXX")
    return any(shutil.which(name) for name in ((named,) if named else ("g++", "clang++", "c++")))


def prepared(network: nn.Module, runtime: Runtime, device: torch.device) -> Network:
    """Return a network as a runtime runs it; `network` itself stays as it is.

    Raises:
        RequestError: the runtime is not installed, or does not run on this device.
    """
    check(runtime, device)
    if runtime == "fused":
        return fused(network)
    if runtime == "compile":
        compiled: Network = torch.compile(network)
        return compiled
    if runtime == "openvino":
        return OpenVino(network)
    return network


def fused(network: nn.Module) -> nn.Module:
    """Return a copy whose batch norms that directly follow a convolution are part of it."""
    whole = copy.deepcopy(network).eval()
    for module in whole.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for (first, one), (second, two) in pairwise(list(module.named_children())):
            if isinstance(one, nn.Conv2d) and isinstance(two, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(one, two))
                setattr(module, second, nn.Identity())
    return whole


class OpenVino:
    """A network converted to OpenVINO, once for each size of tile, in float32."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._made: dict[tuple[int, ...], Any] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits `(B, 1, H, W)` of inputs `(B, C, H, W)`."""
        size = tuple(x.shape[1:])
        if size not in self._made:
            self._made[size] = _converted(self._network, x[:1])
        return torch.from_numpy(self._made[size](x.contiguous().numpy())[0].copy())


def _converted(network: nn.Module, example: Tensor) -> Any:
    # The front end itself, not `openvino.convert_model`, which would report its use to its makers.
    from openvino import Core
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, as they should: one model a size
        decoder = TorchScriptPythonDecoder(network, example_input=(example.contiguous(),))
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, *example.shape[1:]])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return Core().compile_model(model, "CPU", settings)


def agree(one: Network, other: Network, example: Tensor) -> bool:
    """Return whether two runtimes give the same probability, within `EQUAL`, of inputs `(B, C, H,
    W)`.
    """
    with torch.inference_mode():
        first, second = (torch.sigmoid(network(example).float()) for network in (one, other))
    apart = float((first - second).abs().max())
    if apart > EQUAL:
        logger.warning("OpenVINO answers differently here, by up to %.2g: PyTorch maps", apart)
    return apart <= EQUAL
