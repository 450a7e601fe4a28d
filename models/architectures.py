"""The table of networks: one word of a card or recipe names a network, `build` makes it.

Every network answers alike (see `models.blocks.Segmenter`): `(B, C, H, W)` in, `(B, 1, H, W)` landslide logits out.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from configs.errors import RequestError
from models.blocks import Segmenter
from models.nets.resu_net import ResUNet
from models.nets.resu_senet import ResUSENet


@dataclass(frozen=True)
class Architecture:
    """What a caller may know about a network without building it."""

    builder: type[Segmenter]
    title: str
    source: str
    """The paper whose definition is built."""
    multi_input: bool = False
    """True where the input channels fall into groups, each with its own branch (`groups` argument)."""

    @property
    def stride(self) -> int:
        """Return the multiple that tile origins must keep, pixels."""
        return self.builder.stride

    @property
    def reach_px(self) -> int | None:
        """Return the halo for the default arguments, pixels; None where the network pools over the whole tile.

        A built network's own `reach_px` holds for the arguments it was built with.
        """
        return self.builder.reach_px

    @property
    def defaults(self) -> Mapping[str, object]:
        """Return the arguments beside `in_channels` that `build` accepts, with their defaults."""
        parameters = inspect.signature(self.builder).parameters
        return MappingProxyType({name: p.default for name, p in parameters.items() if name not in _NOT_ARGUMENTS})


_NOT_ARGUMENTS = {"in_channels", "gate"}  # `gate` is a constructor function, not a word a card could hold

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "resu_senet": Architecture(ResUSENet, "ResU-SENet", "Yang et al. 2024, IEEE JSTARS, Table III"),
        "resu_net": Architecture(ResUNet, "ResU-Net", "Zhang, Liu & Wang 2018, IEEE GRSL 15(5)"),
    }
)


def build(name: str, in_channels: int, **arguments: object) -> Segmenter:
    """Return the network `name` with fresh weights, drawn from PyTorch's global generator.

    Raises:
        RequestError: there is no such network, it has no such argument, or a value is impossible for it.
    """
    if name not in ARCHITECTURES:
        raise RequestError(f"there is no network {name!r}", f"Choose one of: {', '.join(ARCHITECTURES)}.")
    architecture = ARCHITECTURES[name]
    unknown = sorted(arguments.keys() - architecture.defaults.keys())
    if unknown:
        raise RequestError(
            f"network {name!r} has no argument {', '.join(map(repr, unknown))}",
            f"It accepts: {', '.join(f'{key}={value!r}' for key, value in architecture.defaults.items())}.",
        )
    return architecture.builder(in_channels, **arguments)  # type: ignore[arg-type]  # checked by name above
