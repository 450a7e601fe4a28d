"""SCDnn: a lean DeepLabv3+ derivative for landslide boundaries (Li et al. 2024, China Geology, eqs
1–19).

| stage | output at 256×256 |
|---|---|
| conv block | 256×256×64 |
| group 1: MRmaxpool + 2 MRconv | 128×128×64 |
| group 2: MRconv↓ + 2 MRconv | 64×64×128 |
| group 3: MRconv↓ + 2 MRconv | 32×32×256 |
| group 4: MRconv↓ + 2 MRconv | 16×16×512 |
| ASPC (1×1, 3×3 at rates 6, 12, 18), 1×1 conv block | 16×16×1024 → 256 |
| transposed conv 8×8, stride 4 | 64×64×256 |
| concat with group 2 reduced to 48, 2 conv blocks | 64×64×304 → 256 |
| 1×1, transposed conv 8×8, stride 4 | 256×256×2 |

Equations and the order of the parts are the paper's; it prints no widths, no number of MRconv
blocks and no skip position. Widths are read so that the encoder has 25 3×3 convolutions, "about
half of ResNet50". No activation follows the additions, as in the equations. 26,867,108 parameters
for three bands and two classes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.nets.blocks import ConvBNReLU, Segmenter, initialise


class _MRConv(nn.Module):
    """Two 3×3 convolutions beside a shortcut: the input itself, its maximum (`pool`), or a strided
    1×1 (`stride` 2).
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, pool: bool = False) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.body = nn.Sequential(
            ConvBNReLU(inputs, outputs, 3, stride),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


class SCDnn(Segmenter):
    """Four halvings, ASPC without image pooling (so its reach is finite, if long), two ×4 steps
    back.
    """

    stride = 16
    cam_layer = "decoder"
    reach_px: int | None = 496

    def __init__(
        self, in_channels: int, width: int = 64, classes: int = 2, blocks: int = 2
    ) -> None:
        super().__init__(in_channels, classes)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        middle, reduced = 4 * width, max(1, 3 * width // 4)
        self.first = ConvBNReLU(in_channels, width)
        self.groups = nn.ModuleList(
            nn.Sequential(
                _MRConv(a, b, pool=True) if level == 0 else _MRConv(a, b, stride=2),
                *(_MRConv(b, b) for _ in range(blocks)),
            )
            for level, (a, b) in enumerate(pairwise(widths))
        )
        self.aspc = nn.ModuleList(
            [
                ConvBNReLU(8 * width, middle, 1),
                *(ConvBNReLU(8 * width, middle, dilation=rate) for rate in (6, 12, 18)),
            ]
        )
        self.project = ConvBNReLU(4 * middle, middle, 1)
        self.up = nn.ConvTranspose2d(middle, middle, 8, 4, 2)
        self.reduce = ConvBNReLU(2 * width, reduced, 1)
        self.decoder = nn.Sequential(
            ConvBNReLU(middle + reduced, middle), ConvBNReLU(middle, middle)
        )
        self.classify = nn.Conv2d(middle, classes, 1)
        self.head = nn.ConvTranspose2d(classes, classes, 8, 4, 2)
        initialise(self, [self.classify])

    def scores(self, x: Tensor) -> Tensor:
        features = [self.first(x)]
        for group in self.groups:
            features.append(group(features[-1]))
        deep = self.project(
            torch.cat([branch(features[-1]) for branch in self.aspc], dim=1)
        )  # (B, 256, H/16, W/16)
        decoded = self.decoder(
            torch.cat([self.up(deep), self.reduce(features[2])], dim=1)
        )  # (B, 256, H/4, W/4)
        scores: Tensor = self.head(self.classify(decoded))
        return scores
