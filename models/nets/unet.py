"""U-Net (Ronneberger, Fischer & Brox 2015).

| layer | output at 256×256 |
|---|---|
| 2 × conv 3×3 | 256×256×64 |
| pool, 2 × conv | 128×128×128, 64×64×256, 32×32×512, 16×16×1024 |
| up-conv 2×2, concat, 2 × conv | 32×32×512, 64×64×256, 128×128×128, 256×256×64 |
| 1×1 | 256×256×1 |

The 2015 network is unpadded and has no batch norm; here convolutions are padded, so that a map
comes out the size it went in. Batch norm is the default, because it trains from scratch on few
chips (31,043,521 parameters for three bands); `batch_norm=False, classes=2` is the published one
(31,030,658 for one band). Every convolution has a bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.blocks import Segmenter, initialise


class DoubleConv(nn.Sequential):
    """Twice: 3×3 convolution with bias, batch norm (where wanted), ReLU."""

    def __init__(self, inputs: int, outputs: int, *, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers.append(nn.Conv2d(channels, outputs, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class UNet(Segmenter):
    """Four poolings, four up-convolutions, a skip at every level."""

    stride = 16
    cam_layer = "decoder.3"
    reach_px: int | None = 112

    def __init__(
        self, in_channels: int, width: int = 64, classes: int = 1, batch_norm: bool = True
    ) -> None:
        super().__init__(in_channels, classes)
        widths = [width * 2**level for level in range(5)]
        self.encoder = nn.ModuleList(
            DoubleConv(a, b, batch_norm=batch_norm)
            for a, b in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(
            DoubleConv(2 * w, w, batch_norm=batch_norm) for w in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(width, classes, 1)
        initialise(self, [self.head])

    def scores(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, convolve in enumerate(self.encoder):
            x = convolve(self.pool(x) if level else x)  # (B, 2^level w, H / 2^level, W / 2^level)
            skips.append(x)
        for up, convolve, skip in zip(self.up, self.decoder, reversed(skips[:-1]), strict=True):
            x = convolve(torch.cat([skip, up(x)], dim=1))
        scores: Tensor = self.head(x)
        return scores
