"""A network of optional bands at work on a source that has only some of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.nets.blocks import Segmenter


def channels(required: int, optional: int) -> int:
    """Return the input channels of a network: its bands, then for each optional one whether it is
    there.
    """
    return required + 2 * optional


class Partial(Segmenter):
    """The network as it reads the bands that are there: an absent one is 0, as in training, and so
    is the channel that says whether it is there.
    """

    def __init__(self, network: Segmenter, bands: Sequence[str], optional: Sequence[str]) -> None:
        """Wrap a network.

        Args:
            network: reads all bands, then the presence of the optional ones.
            bands: those that are there, required ones first.
            optional: all that may be, in the network's order.
        """
        super().__init__(len(bands), network.classes)
        self.network = network
        self.stride, self.reach_px = network.stride, network.reach_px  # type: ignore[misc]
        self.cam_layer = f"network.{network.cam_layer}"
        absent, present = len(bands), len(bands) + 1  # channels of zeros and of ones
        self.order = [
            *(at for at, name in enumerate(bands) if name not in optional),
            *(bands.index(name) if name in bands else absent for name in optional),
            *(present if name in bands else absent for name in optional),
        ]

    def scores(self, x: Tensor) -> Tensor:
        """Return the network's scores `(B, classes, H, W)` of the bands that are there."""
        none = torch.zeros_like(x[:, :1])
        return self.network.scores(torch.cat([x, none, none + 1], dim=1)[:, self.order])


def whole(module: nn.Module) -> nn.Module:
    """Return the network that reads all bands, whose weights are stored."""
    return module.network if isinstance(module, Partial) else module
