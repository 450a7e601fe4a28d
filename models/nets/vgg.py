"""The convolutional trunk of VGG16 (Simonyan & Zisserman 2015, configuration D): 64², 128², 256³,
512³, 512³.
"""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


class VGG16Trunk(nn.Module):
    """Thirteen 3×3 convolutions with ReLU, a 2×2 max-pool after each stage. Parameter names:
    `features.N.weight`.
    """

    def __init__(self, in_channels: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage in _STAGES:
            for factor in stage:
                layers += [nn.Conv2d(channels, factor * width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = factor * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of pool 3, 4 and 5, at 1/8, 1/16 and 1/32 of the input."""
        pooled: list[Tensor] = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        return pooled[2:]
