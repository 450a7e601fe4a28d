"""Networks from outside coslide: ``package.module:factory`` of the user's own, and
``smp:Unet/resnet18`` of segmentation_models_pytorch, with the encoders of timm as
``smp:Unet/tu-NAME``.

A card holds the name and the weights, never code: whoever loads it needs the package.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Final

import torch
from torch import Tensor, nn

from configs.errors import RequestError
from models.nets.blocks import Segmenter

SMP: Final = "smp"
_SMP_MODULE: Final = "segmentation_models_pytorch"
_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_SMP_NAME: Final = re.compile(r"smp:[A-Za-z0-9_]+/[A-Za-z0-9_.-]+", re.ASCII)
_TRIED_PX: Final = 64
FORMS: Final = "`package.module:factory`, or `smp:Unet/resnet18`"


class ExternalNetwork(Segmenter):
    """A network from outside in the frame of ours: padded to 32 px, one logit a pixel."""

    stride = 32
    """What encoders of five poolings ask for; the deepest that are customary."""
    reach_px = None
    """Nobody knows it: tiles are blended."""

    def __init__(self, in_channels: int, network: nn.Module, name: str) -> None:
        """Frame `network`, called `name`."""
        super().__init__(in_channels)
        self.network = network
        self.name = name
        self.cam_layer = f"network.{named}" if (named := _last_features(network)) else "network"

    def scores(self, x: Tensor) -> Tensor:
        """Return its logits `(B, 1, H, W)`.

        Raises:
            RequestError: it answers something else.
        """
        found = self.network(x)
        wanted = (x.shape[0], 1, *x.shape[-2:])
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            shape = tuple(found.shape) if isinstance(found, Tensor) else "no tensor"
            raise RequestError(
                f"network `{self.name}` answers {shape} to {tuple(x.shape)}, not {wanted}",
                "It must give one logit a pixel: a tensor (B, 1, H, W).",
            )
        return found


def is_external(name: str) -> bool:
    """Return whether a network's name is one from outside."""
    return ":" in name


def load(name: str, in_channels: int, arguments: Mapping[str, object]) -> ExternalNetwork:
    """Return a network from outside with fresh weights, tried once on an empty image.

    Args:
        name: ``package.module:factory``, a callable that takes the number of channels and the
            arguments and gives an `nn.Module`; or ``smp:ARCHITECTURE/ENCODER``.
        in_channels: number of bands.
        arguments: of the factory, by name.

    Raises:
        RequestError: its package cannot be imported, it refuses, or it gives no logits.
    """
    if _SMP_NAME.fullmatch(name):
        make = _of_smp(name)
    elif _FACTORY.fullmatch(name):
        make = _factory(name)
    else:
        raise RequestError(f"`{name}` names no network", f"Write {FORMS}.")
    try:
        network = make(in_channels, **arguments)
    except Exception as error:  # whatever a stranger's code raises is the stranger's
        raise RequestError(
            f"network `{name}` cannot be built with {in_channels} channels"
            f"{_given(arguments)}: {_words(error)}",
            "Correct the name or `arguments` in the recipe, or the function itself.",
        ) from error
    if not isinstance(network, nn.Module):
        raise RequestError(
            f"`{name}` gives something that is no network", "It must return a torch.nn.Module."
        )
    framed = ExternalNetwork(in_channels, network, name)
    _try(framed)
    return framed


def package_of(name: str) -> str:
    """Return which package, in which version, a network from outside comes from; the version is
    left out where it says none.
    """
    package = _SMP_MODULE if name.startswith(f"{SMP}:") else name.partition(":")[0].split(".")[0]
    version = getattr(importlib.import_module(package), "__version__", None)
    if version is None:
        try:
            version = metadata.version(package.replace("_", "-"))
        except metadata.PackageNotFoundError:
            version = ""
    return f"{package} {version}".strip()


def _factory(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise RequestError(
            f"network `{name}` needs `{module}`, which cannot be imported: {_words(error)}",
            "Install the package that holds it, or put its folder on PYTHONPATH "
            "(`PYTHONPATH=. coslide …`).",
        ) from error
    make = getattr(found, attribute, None)
    if not callable(make):
        raise RequestError(
            f"network `{name}`: `{module}` has no function `{attribute}`", "Correct the name."
        )
    return make  # type: ignore[no-any-return]  # whatever the user wrote


def _of_smp(name: str) -> Callable[..., Any]:
    try:
        smp = importlib.import_module(_SMP_MODULE)
    except Exception as error:  # a torchvision of another build raises RuntimeError
        raise RequestError(
            f"network `{name}` needs {_SMP_MODULE}, which cannot be imported: {_words(error)}",
            "Install it, `pip install -c constraints-smp.txt 'coslide[smp]'`, with torchvision "
            "from where torch is from.",
        ) from error
    architecture, _, encoder = name.partition(":")[2].partition("/")

    def make(in_channels: int, **arguments: Any) -> Any:
        # No weights are fetched from anywhere: a training starts afresh or from a checkpoint.
        fixed = {"encoder_weights": None, "in_channels": in_channels, "classes": 1}
        if taken := sorted(fixed.keys() & arguments.keys()):
            raise ValueError(f"{', '.join(taken)} cannot be chosen")
        return smp.create_model(architecture, encoder, **fixed, **arguments)

    return make


def _try(network: ExternalNetwork) -> None:
    """Ask a network once, so that what is wrong with it is said before a training begins.

    Raises:
        RequestError: it cannot read the bands, or gives no logits.
    """
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, network.in_channels, _TRIED_PX, _TRIED_PX))
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(
            f"network `{network.name}` cannot read {network.in_channels} channels of "
            f"{_TRIED_PX} px: {_words(error)}",
            "It must read (B, C, H, W) with H and W multiples of 32.",
        ) from error
    finally:
        network.train(training)


def _last_features(network: nn.Module) -> str:
    """Return the name of the layer that Grad-CAM looks at: what the network says itself
    (`cam_layer`), else its last convolution of more than one channel; empty where it has none.
    """
    if isinstance(said := getattr(network, "cam_layer", None), str):
        return said
    names = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.out_channels > 1
    ]
    return names[-1] if names else ""


def _given(arguments: Mapping[str, object]) -> str:
    given = ", ".join(f"{name}: {value}" for name, value in arguments.items())
    return f" and {given}" if given else ""


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
