"""ResU-Net with CBAM on the three skips: the variant that Yang et al. 2024 tried beside
squeeze-and-excitation.

CBAM (Woo et al. 2018) gates the channels (mean and maximum through one shared two-layer perceptron,
ratio 16), then the positions (mean and maximum over channels through a 7×7 convolution). Layer
table: `resu_net`, a CBAM on each skip. The paper prints neither position nor numbers ("no
significant improvement"); the skips are where its SE gates stand. 8,239,811 parameters for ten
bands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.resu_net import ResUNet


class CBAM(nn.Module):
    """Channel gate, then spatial gate; shape kept."""

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        squeezed = max(4, channels // reduction)
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def channel_gate(self, x: Tensor) -> Tensor:
        """Return the channel gate `(B, C, 1, 1)`, 0..1."""
        pooled = [x.mean(dim=(2, 3)), x.amax(dim=(2, 3))]
        logits = [self.excite(F.relu(self.squeeze(p))) for p in pooled]
        return torch.sigmoid(logits[0] + logits[1])[:, :, None, None]

    def spatial_gate(self, x: Tensor) -> Tensor:
        """Return the spatial gate `(B, 1, H, W)`, 0..1."""
        pooled = torch.cat(
            [x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1
        )  # (B, 2, H, W)
        return torch.sigmoid(self.spatial(pooled))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channel_gate(x)
        return x * self.spatial_gate(x)


class ResUNetCBAM(ResUNet):
    """ResU-Net whose skips pass a CBAM. Pools over the whole tile, so it has no finite reach."""

    reach_px = None

    def __init__(
        self, in_channels: int, width: int = 64, classes: int = 1, reduction: int = 16
    ) -> None:
        super().__init__(
            in_channels, width, classes, gate=lambda channels: CBAM(channels, reduction)
        )
