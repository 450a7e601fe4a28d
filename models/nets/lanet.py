"""LANet: local attention embedding (Ding, Tang & Bruzzone 2020, IEEE TGRS).

| layer | output, 1/n of the input |
|---|---|
| ResNet-50, output stride 16 | low: layer1, 256 at 1/4; high: layer4, 2048 at 1/16 |
| high: 1×1 → 128, patch attention (windows of 4, reduction 16) | 128, 1/16 |
| low: 1×1 → 64, patch attention (windows of 20, reduction 8) | 64, 1/4 |
| embedding: high → 7×7 mean → gate of 64 channels on low (reduction 16) | 64, 1/4 |
| 1×1 on each, bilinear to full size, sum | K, 1 |

A window larger than the map is clamped to the whole map (an 88-px patch gives a 22-px low level).
The published trunk has output stride 32 by default; 16 changes no count. 23,792,332 parameters for
three bands and two classes, 23,814,090 for ten and one. Attention over a single window in a
training batch of one uses running statistics.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.blocks import ConvBNReLU, PooledBatchNorm, Segmenter, initialise, upsample
from models.nets.pretrained import load_trunk
from models.nets.resnet import ResNetTrunk


def _gate(inputs: int, outputs: int, reduction: int) -> nn.Sequential:
    squeezed = max(2, inputs // reduction)
    return nn.Sequential(
        nn.Conv2d(inputs, squeezed, 1),
        PooledBatchNorm(squeezed),
        nn.ReLU(),
        nn.Conv2d(squeezed, outputs, 1),
        nn.Sigmoid(),
    )


class PatchAttention(nn.Module):
    """Channel gate per window of `window` px, interpolated between windows; the input is added."""

    def __init__(self, channels: int, reduction: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attend = _gate(channels, channels, reduction)

    def gate(self, x: Tensor) -> Tensor:
        """Return the gate `(B, C, H, W)`, 0..1."""
        windows = (max(1, x.shape[2] // self.window), max(1, x.shape[3] // self.window))
        return upsample(self.attend(F.adaptive_avg_pool2d(x, windows)), x)

    def forward(self, x: Tensor) -> Tensor:
        return x + x * self.gate(x)


class LANet(Segmenter):
    """Two depths of ResNet-50, each attended window by window. Windows follow the tile, so no reach
    is finite.
    """

    stride = 16
    cam_layer = "attend_low"
    reach_px: int | None = None

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        classes: int = 1,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__(in_channels, classes)
        self.encoder = ResNetTrunk(in_channels, 50, width)
        self.reduce_high = ConvBNReLU(32 * width, 2 * width, 1)
        self.reduce_low = nn.Sequential(
            nn.Conv2d(4 * width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.attend_high = PatchAttention(2 * width, reduction=16, window=4)
        self.attend_low = PatchAttention(width, reduction=8, window=20)
        self.embed = nn.Sequential(
            nn.AvgPool2d(7, stride=1, padding=3), _gate(2 * width, width, reduction=16)
        )
        self.head_low = nn.Conv2d(width, classes, 1)
        self.head_high = nn.Conv2d(2 * width, classes, 1)
        initialise(self, [self.head_low, self.head_high])
        load_trunk(self.encoder, encoder_weights)

    def scores(self, x: Tensor) -> Tensor:
        _, low, _, _, high = self.encoder(x)
        high = self.attend_high(self.reduce_high(high))  # (B, 128, H/16, W/16)
        low = self.attend_low(self.reduce_low(low))  # (B, 64, H/4, W/4)
        low = low * upsample(self.embed(high), low)
        return upsample(self.head_low(low), x) + upsample(self.head_high(high), x)
