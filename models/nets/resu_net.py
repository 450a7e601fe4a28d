"""ResU-Net: a U-Net of residual units (Zhang, Liu & Wang 2018, "Road extraction by deep residual
U-Net").

| layer | output at 88×88, ten bands |
|---|---|
| stem (conv, conv, shortcut) | 88×88×64 |
| encoder 1, 2, stride 2 | 44×44×128, 22×22×256 |
| bridge, stride 2 | 11×11×512 |
| up, concat, unit | 22×22×768 → 256 |
| up, concat, unit | 44×44×384 → 128 |
| up, concat, unit | 88×88×192 → 64 |
| 1×1 | 88×88×1 |

Units are pre-activated (He et al. 2016): BN, ReLU, conv, BN, ReLU, conv; the shortcut is a 1×1
convolution with batch norm; nothing follows the addition. Down-sampling is stride 2, up-sampling
bilinear (channels kept). Readings: the 2018 table leaves the shortcut's norm open (with it
8,223,809 parameters for three bands, without 8,220,993); variants with 3×3 shortcuts and transposed
convolutions (13 M) are other networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.nets.blocks import Segmenter, initialise, upsample


class _ResidualUnit(nn.Module):
    """Two 3×3 convolutions, pre-activated, beside a 1×1 shortcut; the first unit of a network skips
    the activation.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, preactivate: bool = True
    ) -> None:
        super().__init__()
        self.preactivation = (
            nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU()) if preactivate else nn.Identity()
        )
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(self.preactivation(x)) + self.shortcut(x)
        return out


class ResUNet(Segmenter):
    """Residual U-Net with three skips; `gate(channels)` builds what stands on each skip (nothing,
    here).
    """

    stride = 8
    cam_layer = "decoder.2"
    reach_px: int | None = 56

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        classes: int = 1,
        *,
        gate: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__(in_channels, classes)
        widths = [width, 2 * width, 4 * width]
        self.stem = _ResidualUnit(in_channels, width, preactivate=False)
        self.encoder = nn.ModuleList(
            [
                _ResidualUnit(width, 2 * width, stride=2),
                _ResidualUnit(2 * width, 4 * width, stride=2),
            ]
        )
        self.bridge = _ResidualUnit(4 * width, 8 * width, stride=2)
        self.gates = nn.ModuleList([gate(w) if gate else nn.Identity() for w in widths])
        self.decoder = nn.ModuleList(
            [
                _ResidualUnit(8 * width + 4 * width, 4 * width),
                _ResidualUnit(4 * width + 2 * width, 2 * width),
                _ResidualUnit(2 * width + width, width),
            ]
        )
        self.head = nn.Conv2d(width, classes, 1)
        initialise(self, [self.head])

    def scores(self, x: Tensor) -> Tensor:
        skips = [self.stem(x)]  # (B, w, H, W)
        for unit in self.encoder:
            skips.append(unit(skips[-1]))  # (B, 2w, H/2, W/2), (B, 4w, H/4, W/4)
        return self._decode(self.bridge(skips[-1]), skips)  # bridge (B, 8w, H/8, W/8)

    def _decode(self, deep: Tensor, skips: Sequence[Tensor]) -> Tensor:
        for unit, skip, gate in zip(
            self.decoder, reversed(skips), reversed(list(self.gates)), strict=True
        ):
            deep = unit(torch.cat([upsample(deep, skip), gate(skip)], dim=1))
        scores: Tensor = self.head(deep)
        return scores
