"""The index: a weighted sum of the bands, smoothed. What fresh bare ground looks like without any
shape, and the floor that every network has to beat.

On standardised red, green and blue it is red minus green (rock and soil against leaves) and some
brightness. A weight a band and one bias are all that is learnt: logistic regression.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.blocks import Segmenter

_SIGMA_PX = 1.0
_RADIUS_PX = 2
"""Of the smoothing. Chosen: one pixel says little, and landslides of a few pixels must stay."""


class Index(Segmenter):
    """Logistic regression on smoothed bands."""

    stride = 1
    cam_layer = "sum"
    reach_px: int | None = _RADIUS_PX

    def __init__(self, in_channels: int, classes: int = 1) -> None:
        super().__init__(in_channels, classes)
        offsets = torch.arange(-_RADIUS_PX, _RADIUS_PX + 1)
        bell = torch.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
        kernel = torch.outer(bell, bell) / bell.sum() ** 2
        self.register_buffer("kernel", kernel.expand(in_channels, 1, -1, -1), persistent=False)
        self.sum = nn.Conv2d(in_channels, classes, 1)
        nn.init.zeros_(self.sum.weight)
        assert self.sum.bias is not None
        nn.init.zeros_(self.sum.bias)

    def scores(self, x: Tensor) -> Tensor:
        """Return the score `(B, classes, H, W)`."""
        kernel = self.get_buffer("kernel").to(x.dtype)
        around = F.pad(x, (_RADIUS_PX,) * 4, mode="replicate")
        scores: Tensor = self.sum(F.conv2d(around, kernel, groups=self.in_channels))
        return scores
