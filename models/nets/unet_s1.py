"""The U-Net that Gao et al. 2021 (IEEE JSTARS, Table IX) compare with: three poolings, a
two-channel tail.

| layer | output at 64×64, seven bands |
|---|---|
| 2 × conv 3×3, ReLU | 64×64×64 |
| pool, 2 × conv | 32×32×128, 16×16×256, 8×8×512 |
| up-conv 2×2, concat, 2 × conv | 16×16×256, 32×32×128, 64×64×64 |
| conv 3×3 → 2, ReLU | 64×64×2 |
| conv 1×1 → 1 | 64×64×1 |

The paper prints only the count, 7,700,741; this definition (biases, no batch norm) hits it exactly
with seven bands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.blocks import Segmenter, initialise
from models.nets.unet import DoubleConv


class UNetS1(Segmenter):
    """Three-pool U-Net with a two-channel ReLU tail."""

    stride = 8
    cam_layer = "decoder.2"
    reach_px: int | None = 56

    def __init__(self, in_channels: int, width: int = 64, classes: int = 1) -> None:
        super().__init__(in_channels, classes)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.encoder = nn.ModuleList(
            DoubleConv(a, b, batch_norm=False)
            for a, b in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(
            DoubleConv(2 * w, w, batch_norm=False) for w in reversed(widths[:-1])
        )
        self.tail = nn.Conv2d(width, 2, 3, padding=1)
        self.head = nn.Conv2d(2, classes, 1)
        initialise(self)
        # two ReLU channels die together too easily: centred filters see both signs of any texture
        with torch.no_grad():
            self.tail.weight -= self.tail.weight.mean(dim=(1, 2, 3), keepdim=True)

    def scores(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, convolve in enumerate(self.encoder):
            x = convolve(self.pool(x) if level else x)  # (B, 2^level w, H / 2^level, W / 2^level)
            skips.append(x)
        for up, convolve, skip in zip(self.up, self.decoder, reversed(skips[:-1]), strict=True):
            x = convolve(torch.cat([skip, up(x)], dim=1))
        scores: Tensor = self.head(torch.relu(self.tail(x)))
        return scores
