"""The table of networks: one word of a checkpoint or recipe names a network, `build` makes it.

Every network answers alike (see `models.nets.blocks.Segmenter`): `(B, C, H, W)` in, `(B, 1, H, W)`
landslide logits out.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from configs.checkpoint import CardTiles, CheckpointCard
from configs.errors import RequestError
from configs.spelling import instead
from models.nets import external
from models.nets.blocks import Segmenter
from models.nets.cgnet import CGNet
from models.nets.deeplabv3plus import DeepLabV3PlusMobileNetV2, DeepLabV3PlusResNet50
from models.nets.dfpenet import DFPENet
from models.nets.fc_densenet import FCDenseNet
from models.nets.fcn8s import FCN8s
from models.nets.index import Index
from models.nets.lanet import LANet
from models.nets.macu_net import MACUNet
from models.nets.multi_input_unet import MultiInputUNet
from models.nets.partial import Partial, channels
from models.nets.resu_net import ResUNet
from models.nets.resu_net_cbam import ResUNetCBAM
from models.nets.resu_senet import ResUSENet
from models.nets.scdnn import SCDnn
from models.nets.segnet import SegNet
from models.nets.unet import UNet
from models.nets.unet_s1 import UNetS1


@dataclass(frozen=True)
class Architecture:
    """What a caller may know about a network without building it."""

    builder: type[Segmenter]
    title: str
    source: str
    """The paper whose definition is built."""
    multi_input: bool = False
    """True where the input channels fall into groups, each with its own branch (`groups`
    argument).
    """

    @property
    def stride(self) -> int:
        """Return the multiple that tile origins must keep, pixels."""
        return self.builder.stride

    @property
    def reach_px(self) -> int | None:
        """Return the halo for the default arguments, pixels; None where the network pools over the
        whole tile.

        A built network's own `reach_px` holds for the arguments it was built with.
        """
        return self.builder.reach_px

    @property
    def defaults(self) -> Mapping[str, object]:
        """Return the arguments beside `in_channels` that `build` accepts, with their defaults."""
        parameters = inspect.signature(self.builder).parameters
        return MappingProxyType(
            {name: p.default for name, p in parameters.items() if name not in _NOT_ARGUMENTS}
        )


_NOT_ARGUMENTS = {
    "in_channels",
    "gate",
}  # `gate` is a constructor function, not a word a checkpoint could hold

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "resu_senet": Architecture(
            ResUSENet, "ResU-SENet", "Yang et al. 2024, IEEE JSTARS, Table III"
        ),
        "resu_net": Architecture(ResUNet, "ResU-Net", "Zhang, Liu & Wang 2018, IEEE GRSL 15(5)"),
        "resu_net_cbam": Architecture(
            ResUNetCBAM, "ResU-Net + CBAM", "Yang et al. 2024, IEEE JSTARS, §V"
        ),
        "fc_densenet": Architecture(FCDenseNet, "FC-DenseNet", "Gao et al. 2021, IEEE JSTARS"),
        "scdnn": Architecture(SCDnn, "SCDnn", "Li et al. 2024, China Geology, eqs 1–19"),
        "dfpenet": Architecture(DFPENet, "DFPENet", "Xu et al., preprint, eqs 1–5"),
        "multi_input_unet": Architecture(
            MultiInputUNet,
            "Multi-input channel U-Net",
            "Chen et al. 2023, IEEE JSTARS",
            multi_input=True,
        ),
        "unet": Architecture(UNet, "U-Net", "Ronneberger, Fischer & Brox 2015, MICCAI"),
        "unet_s1": Architecture(
            UNetS1, "U-Net, three poolings", "Gao et al. 2021, IEEE JSTARS, Table IX"
        ),
        "segnet": Architecture(
            SegNet, "SegNet", "Badrinarayanan et al. 2017; Gao et al. 2021, Table IX"
        ),
        "fcn8s": Architecture(FCN8s, "FCN-8s", "Long, Shelhamer & Darrell 2015, CVPR"),
        "deeplabv3plus_resnet50": Architecture(
            DeepLabV3PlusResNet50, "DeepLabv3+ (ResNet-50)", "Chen et al. 2018, ECCV"
        ),
        "deeplabv3plus_mobilenetv2": Architecture(
            DeepLabV3PlusMobileNetV2, "DeepLabv3+ (MobileNetV2)", "Chen et al. 2018, ECCV"
        ),
        "cgnet": Architecture(CGNet, "CGNet", "Wu et al. 2021, IEEE TIP 30"),
        "lanet": Architecture(LANet, "LANet", "Ding, Tang & Bruzzone 2020, IEEE TGRS 59(1)"),
        "macu_net": Architecture(MACUNet, "MACU-Net", "Li et al. 2021, IEEE GRSL 19"),
    }
)


INDEX = "index"
_BASELINES: Mapping[str, Architecture] = MappingProxyType(
    {INDEX: Architecture(Index, "Index", "logistic regression on smoothed bands")}
)
"""What a checkpoint may hold beside the papers' networks."""


def architecture_of(name: str) -> Architecture:
    """Return a network, what stands beside them, or one from outside coslide, by its name.

    Raises:
        RequestError: there is none of this name.
    """
    if external.is_external(name):
        return Architecture(external.ExternalNetwork, name, "from outside coslide")
    known = {**ARCHITECTURES, **_BASELINES}
    if name not in known:
        ways = f"Choose one of: {', '.join(known)}; or one from outside: {external.FORMS}."
        raise RequestError(f"there is no network {name!r}", instead(name, known, ways))
    return known[name]


def build(name: str, in_channels: int, **arguments: object) -> Segmenter:
    """Return the network `name` with fresh weights, drawn from PyTorch's global generator.

    Args:
        name: of `ARCHITECTURES`, or of a network from outside (`models.nets.external.load`).
        in_channels: number of bands.
        arguments: of the network, by name.

    Raises:
        RequestError: there is no such network, it has no such argument, or a value is impossible
            for it.
    """
    if external.is_external(name):
        return external.load(name, in_channels, arguments)
    architecture = architecture_of(name)
    unknown = sorted(arguments.keys() - architecture.defaults.keys())
    if unknown:
        raise RequestError(
            f"network {name!r} has no argument {', '.join(map(repr, unknown))}",
            "It accepts: "
            f"{', '.join(f'{key}={value!r}' for key, value in architecture.defaults.items())}.",
        )
    for key, value in arguments.items():
        if not _fits(value, architecture.defaults[key]):
            raise RequestError(
                f"network {name!r} cannot have {key}={value!r}",
                f"Give a value like its default, {key}={architecture.defaults[key]!r}.",
            )
    return architecture.builder(in_channels, **arguments)  # type: ignore[arg-type]  # checked by name above


def network_of(card: CheckpointCard) -> Segmenter:
    """Return a checkpoint's network with fresh weights, as it reads the bands that are there."""
    inputs = channels(len(card.required), len(card.optional))
    network = build(card.architecture, inputs, **card.arguments)
    return Partial(network, card.bands, card.optional) if card.optional else network


def _fits(value: object, default: object) -> bool:
    """Return whether a value from a checkpoint or recipe is of its default's kind; numbers of
    layers and widths start at 1.
    """
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if isinstance(default, float):  # the only real numbers are dropout rates
        return isinstance(value, int | float) and 0 <= value < 1
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or len(value) != len(default):
            return False
        return all(_fits(v, d) for v, d in zip(value, default, strict=True))
    return isinstance(value, str) if isinstance(default, str) else True


def tiling_of(card: CheckpointCard) -> tuple[CardTiles, int]:
    """Return a checkpoint's tiles and its network's stride, pixels."""
    return card.tiles, architecture_of(card.architecture).stride
