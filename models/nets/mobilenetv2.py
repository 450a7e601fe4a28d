"""The trunk of MobileNetV2 (Sandler et al. 2018, Table 2) without its last 1×1 convolution, output
stride 16.

| expansion | channels | blocks | stride (built) | output, 1/n |
|---|---|---|---|---|
| conv 3×3 | 32 | 1 | 2 | 1/2 |
| 1 | 16 | 1 | 1 | 1/2 |
| 6 | 24 | 2 | 2 | 1/4 |
| 6 | 32 | 3 | 2 | 1/8 |
| 6 | 64, 96 | 4, 3 | 2, 1 | 1/16 |
| 6 | 160, 320 | 3, 1 | 1 (dilated 2), 1 | 1/16 |

Layer names are the customary ones (`features.N.conv...`), so that such a weight file can be loaded.
"""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 2, 1),
    (6, 96, 3, 1, 1),
    (6, 160, 3, 1, 2),
)
_LAST_STAGE = (6, 320, 1, 1, 2)
_LOW_LEVEL = 3
"""Index in `features` of the last block at 1/4, whose 24 channels DeepLabv3+ uses as the low
level.
"""


class MobileNetV2Trunk(nn.Module):
    """Inverted residuals; `width` is the stem's (32), all others scale with it."""

    def __init__(self, in_channels: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(in_channels, width, 3, stride=2)]
        channels = width
        for expansion, outputs, blocks, first_stride, dilation in (*_STAGES, _LAST_STAGE):
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                layers.append(
                    _InvertedResidual(channels, outputs * width // 32, stride, expansion, dilation)
                )
                channels = outputs * width // 32
        self.features = nn.Sequential(*layers)
        self.channels = channels
        self.low_channels = 24 * width // 32

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the low level (24 channels at 1/4) and the deep features (320 channels at
        1/16).
        """
        low = self.features[: _LOW_LEVEL + 1](x)
        return low, self.features[_LOW_LEVEL + 1 :](low)


class _InvertedResidual(nn.Module):
    """1×1 expansion, depthwise 3×3, linear 1×1; added to the input where the shape is kept."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int
    ) -> None:
        super().__init__()
        hidden = expansion * inputs
        layers: list[nn.Module] = [_conv(inputs, hidden, 1)] if expansion > 1 else []
        layers.append(_conv(hidden, hidden, 3, stride, dilation, groups=hidden))
        self.conv = nn.Sequential(
            *layers, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )
