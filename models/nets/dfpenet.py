"""DFPENet: dense feature pyramid with attention gates (Xu et al., preprint; eqs 1–5, T = 4).

| tensor | shape at 512×512 | note |
|---|---|---|
| F1 = conv1 7×7, stride 2 | 256×256×64 | reduced to 24 |
| F2 = layer1 | 128×128×256 | reduced to 96 |
| F3 = layer2 | 64×64×512 | reduced to 192 |
| layer3 (23) / layer4 (dilated 1, 2, 5) | 32×32×1024 / 2048 | ResNet-101 |
| X4 = ASPP (rates 6, 12, 18, image pooling) | 32×32×256 | |
| filter 3: up(X4) gated, 256 + 192 → 3×3 | 64×64×448 → 256 = X3 | |
| filter 2: up(X3), 256 + 96, + up(X4) → 3×3 | 128×128×608 → 256 = X2 | |
| filter 1: up(X2), 256 + 24, + up(X3) + up(X4) → 3×3, 3×3 | 256×256×792 → 256 | dropout 0.5, 0.1 |
| 1×1, bilinear ×2 | 512×512×K | align_corners |

Gates: A = σ(φ ReLU(W_g F_t + W_x X_{t+1})) at half the reduced width, G = σ(W X_{t+1}), both one
channel; then (1 + G)·X_{t+1} beside (1 + G)·A·F_t. Readings: eq. 1 prints an addition of tensors of
different width, and eq. 5 a sum where the text says "concatenate": both are concatenations.
Dilations 1, 2, 5 as in the text (2, 4, 8 by the authors' multi-grid). New layers start
Kaiming-uniform, as stated. 63,075,306 parameters for three bands and two classes, 63,076,334 for
six. A training batch of one normalises the image pooling with running statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.blocks import ASPP, ConvBNReLU, Segmenter, initialise, upsample
from models.nets.pretrained import load_trunk
from models.nets.resnet import ResNetTrunk


class AttentionFilter(nn.Module):
    """Passes a low-level map where the level above finds it worth attending; returns both, gated
    and side by side.
    """

    def __init__(self, low: int, reduced: int, high: int) -> None:
        super().__init__()
        inner = max(1, reduced // 2)
        self.reduce = ConvBNReLU(low, reduced, 1)
        self.of_low, self.of_high = _linear(reduced, inner), _linear(high, inner)
        self.attend = _linear(inner, 1)
        self.trust = _linear(high, 1)

    def gates(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return attention A of the reduced low map and gate G of the high one, `(B, 1, H, W)`
        each, 0..1.
        """
        attention = torch.sigmoid(self.attend(torch.relu(self.of_low(low) + self.of_high(high))))
        return attention, torch.sigmoid(self.trust(high))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        low = self.reduce(low)
        high = _up(high, low)
        attention, trust = self.gates(low, high)
        return torch.cat([(1 + trust) * high, (1 + trust) * attention * low], dim=1)


class DFPENet(Segmenter):
    """ResNet-101 and a dense top-down pyramid. `encoder_weights`: a ResNet-101 state dict
    (safetensors).
    """

    stride = 16
    cam_layer = "refine1.1"
    reach_px: int | None = None

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        classes: int = 2,
        dilations: tuple[int, int, int] = (1, 2, 5),
        dropout: tuple[float, float] = (0.5, 0.1),
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__(in_channels, classes)
        w, middle = width, 4 * width
        reduced = (3 * w // 8, 3 * w // 2, 3 * w)  # 24, 96, 192
        self.encoder = ResNetTrunk(in_channels, 101, width, dilations)
        self.aspp = ASPP(32 * w, middle)
        self.filter1 = AttentionFilter(w, reduced[0], middle)
        self.filter2 = AttentionFilter(4 * w, reduced[1], middle)
        self.filter3 = AttentionFilter(8 * w, reduced[2], middle)
        self.refine3 = ConvBNReLU(middle + reduced[2], middle)
        self.refine2 = ConvBNReLU(2 * middle + reduced[1], middle)
        self.refine1 = nn.Sequential(
            nn.Sequential(ConvBNReLU(3 * middle + reduced[0], middle), nn.Dropout(dropout[0])),
            ConvBNReLU(middle, middle),
            nn.Dropout(dropout[1]),
        )
        self.head = nn.Conv2d(middle, classes, 1)
        initialise(self, [self.head], uniform=True)
        load_trunk(self.encoder, encoder_weights)

    def scores(self, x: Tensor) -> Tensor:
        f1, f2, f3, _, f5 = self.encoder(x)
        x4 = self.aspp(f5)  # (B, 256, H/16, W/16)
        x3 = self.refine3(self.filter3(f3, x4))  # (B, 256, H/8, W/8)
        x2 = self.refine2(
            torch.cat([self.filter2(f2, x3), _up(x4, f2)], dim=1)
        )  # (B, 256, H/4, W/4)
        x1 = self.refine1(
            torch.cat([self.filter1(f1, x2), _up(x3, f1), _up(x4, f1)], dim=1)
        )  # (B, 256, H/2, W/2)
        return _up(self.head(x1), x)


def _linear(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def _up(x: Tensor, like: Tensor) -> Tensor:
    return upsample(x, like, align_corners=True)
