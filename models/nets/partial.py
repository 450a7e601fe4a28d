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
    """The network as it reads the bands that are there, `(B, C, H, W)`: an absent one is 0, as in
    training, and its channel of presence too.
    """

    def __init__(self, network: Segmenter, bands: Sequence[str], optional: Sequence[str]) -> None:
        """Wrap a network.

        Args:
            network: reads all bands, then the presence of the optional ones.
            bands: those that are there, required ones first.
            optional: all that may be, in the network's order.
        """
        super().__init__()
        self.network = network
        self.stride, self.reach_px = network.stride, network.reach_px  # type: ignore[misc]
        required = [name for name in bands if name not in optional]
        absent, present = len(bands), len(bands) + 1  # channels of zeros and of ones
        self.order = [
            *range(len(required)),
            *(bands.index(name) if name in bands else absent for name in optional),
            *(present if name in bands else absent for name in optional),
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(B, 1, H, W)` of normalised bands `(B, C, H, W)`."""
        none = torch.zeros_like(x[:, :1])
        logits: Tensor = self.network(torch.cat([x, none, none + 1], dim=1)[:, self.order])
        return logits


def whole(module: nn.Module) -> nn.Module:
    """Return the network that reads all bands, whose weights are stored."""
    return module.network if isinstance(module, Partial) else module
