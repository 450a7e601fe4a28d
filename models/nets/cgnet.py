"""CGNet, the Context Guided Network (Wu et al. 2018/2021): half a million parameters, M = 3, N =
21.

| stage | layers | output, 1/n of the input |
|---|---|---|
| 1 | 3 × (3×3, 32), the first with stride 2; input injected | 32 + C, 1/2 |
| 2 | 3 context guided blocks, 64, dilation 2, reduction 8; first output and input joined | 128 + C,
1/4 | | 3 | 21 context guided blocks, 128, dilation 4, reduction 16; first output joined | 256, 1/8
| | head | 1×1 without bias, ×8 bilinear | K, 1 |

A block joins a local and a dilated (surrounding) depthwise convolution, then scales the channels by
the global context. Yang et al. 2024 cite another CGNet (cross-guidance) but describe "less than 2 M
parameters", which fits this one: 496,306 for three bands and 19 classes, 505,852 for ten and one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.blocks import Segmenter, SqueezeExcite, initialise, upsample


class _BNPReLU(nn.Sequential):
    """Batch norm and a ReLU with a learned slope per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.PReLU(channels))


class _ContextGuided(nn.Module):
    """Local and surrounding context side by side, scaled by the global one; `down` halves the size
    instead of adding.
    """

    def __init__(
        self, inputs: int, outputs: int, dilation: int, reduction: int, *, down: bool
    ) -> None:
        super().__init__()
        inner = outputs if down else outputs // 2
        kernel, stride = (3, 2) if down else (1, 1)
        self.enter = nn.Sequential(
            nn.Conv2d(inputs, inner, kernel, stride, kernel // 2, bias=False), _BNPReLU(inner)
        )
        self.local = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.surround = nn.Conv2d(
            inner, inner, 3, padding=dilation, dilation=dilation, groups=inner, bias=False
        )
        self.joint = _BNPReLU(2 * inner)
        self.reduce = nn.Conv2d(2 * inner, outputs, 1, bias=False) if down else nn.Identity()
        self.context = SqueezeExcite(outputs, reduction)
        self.residual = not down

    def forward(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        joint = self.joint(torch.cat([self.local(entered), self.surround(entered)], dim=1))
        out: Tensor = self.context(self.reduce(joint))
        return x + out if self.residual else out


class CGNet(Segmenter):
    """Context Guided Network. Pools over the whole tile in every block, so it has no finite
    reach.
    """

    stride = 8
    cam_layer = "join3"
    reach_px: int | None = None

    def __init__(
        self,
        in_channels: int,
        width: int = 32,
        classes: int = 1,
        blocks2: int = 3,
        blocks3: int = 21,
    ) -> None:
        super().__init__(in_channels, classes)
        w2, w3 = 2 * width, 4 * width
        self.stem = nn.Sequential(
            *(nn.Conv2d(in_channels, width, 3, 2, 1, bias=False), _BNPReLU(width)),
            *(nn.Conv2d(width, width, 3, 1, 1, bias=False), _BNPReLU(width)),
            *(nn.Conv2d(width, width, 3, 1, 1, bias=False), _BNPReLU(width)),
        )
        self.join1 = _BNPReLU(width + in_channels)
        self.down2 = _ContextGuided(width + in_channels, w2, 2, 8, down=True)
        self.stage2 = nn.Sequential(
            *(_ContextGuided(w2, w2, 2, 8, down=False) for _ in range(blocks2 - 1))
        )
        self.join2 = _BNPReLU(2 * w2 + in_channels)
        self.down3 = _ContextGuided(2 * w2 + in_channels, w3, 4, 16, down=True)
        self.stage3 = nn.Sequential(
            *(_ContextGuided(w3, w3, 4, 16, down=False) for _ in range(blocks3 - 1))
        )
        self.join3 = _BNPReLU(2 * w3)
        self.head = nn.Conv2d(2 * w3, classes, 1, bias=False)
        initialise(self, [self.head])

    def scores(self, x: Tensor) -> Tensor:
        half = F.avg_pool2d(x, 3, 2, 1)
        quarter = F.avg_pool2d(half, 3, 2, 1)
        down2 = self.down2(self.join1(torch.cat([self.stem(x), half], dim=1)))  # (B, 2w, H/4, W/4)
        down3 = self.down3(
            self.join2(torch.cat([self.stage2(down2), down2, quarter], dim=1))
        )  # (B, 4w, H/8, W/8)
        deep = self.join3(torch.cat([self.stage3(down3), down3], dim=1))
        return upsample(self.head(deep), x)
