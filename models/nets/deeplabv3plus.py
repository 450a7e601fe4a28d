"""DeepLabv3+ (Chen et al. 2018) on ResNet-50 and on MobileNetV2, the two that Li et al. 2024
compare SCDnn with.

| layer | output at 256×256 |
|---|---|
| trunk, output stride 16 | 16×16×2048 (ResNet-50), 16×16×320 (MobileNetV2) |
| ASPP: 1×1, 3×3 at rates 6, 12, 18, image pooling → 1×1 | 16×16×256 |
| ×4 bilinear, concat with the low level reduced to 48 | 64×64×304 |
| 2 × conv 3×3 | 64×64×256 |
| 1×1, ×4 bilinear | 256×256×K |

The decoder's convolutions are ordinary ones; MATLAB's layout and separable variants have other
counts. With three bands and two classes: 40,347,298 (ResNet-50) and 5,811,170 (MobileNetV2). A
training batch of one normalises the image pooling with running statistics (`PooledBatchNorm`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.blocks import ASPP, ConvBNReLU, Segmenter, initialise, upsample
from models.nets.mobilenetv2 import MobileNetV2Trunk
from models.nets.pretrained import load_trunk
from models.nets.resnet import ResNetTrunk


class _DeepLabV3Plus(Segmenter):
    """The head that both share; subclasses set the trunk and return (low level, deep features) from
    `features`.
    """

    stride = 16
    cam_layer = "decoder"
    reach_px: int | None = None

    def __init__(self, in_channels: int, classes: int, deep: int, low: int, width: int) -> None:
        super().__init__(in_channels, classes)
        reduced = max(1, 48 * width // 256)
        self.aspp = ASPP(deep, width)
        self.reduce = ConvBNReLU(low, reduced, 1)
        self.decoder = nn.Sequential(ConvBNReLU(width + reduced, width), ConvBNReLU(width, width))
        self.head = nn.Conv2d(width, classes, 1)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the low-level features at 1/4 and the deep ones at 1/16."""
        raise NotImplementedError

    def scores(self, x: Tensor) -> Tensor:
        low, deep = self.features(x)
        low = self.reduce(low)
        decoded = self.decoder(
            torch.cat([upsample(self.aspp(deep), low), low], dim=1)
        )  # (B, 256, H/4, W/4)
        return upsample(self.head(decoded), x)


class DeepLabV3PlusResNet50(_DeepLabV3Plus):
    """On ResNet-50. `encoder_weights`: a ResNet-50 state dict (safetensors)."""

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        classes: int = 2,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__(in_channels, classes, deep=32 * width, low=4 * width, width=4 * width)
        self.encoder = ResNetTrunk(in_channels, 50, width)
        initialise(self, [self.head])
        load_trunk(self.encoder, encoder_weights)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, low, _, _, deep = self.encoder(x)
        return low, deep


class DeepLabV3PlusMobileNetV2(_DeepLabV3Plus):
    """On MobileNetV2 (`width` is its stem's). `encoder_weights`: a MobileNetV2 state dict
    (safetensors).
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 32,
        classes: int = 2,
        encoder_weights: str | None = None,
    ) -> None:
        trunk = MobileNetV2Trunk(in_channels, width)
        super().__init__(
            in_channels, classes, deep=trunk.channels, low=trunk.low_channels, width=8 * width
        )
        self.encoder = trunk
        initialise(self, [self.head])
        load_trunk(self.encoder, encoder_weights)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low, deep = self.encoder(x)
        return low, deep
