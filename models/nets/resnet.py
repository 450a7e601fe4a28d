"""The trunk of ResNet-50 and ResNet-101 (He et al. 2016, Table 1), output stride 16.

| stage | blocks (50 / 101) | output, 1/n of the input |
|---|---|---|
| conv1 7×7, stride 2 | | 64, 1/2 |
| max-pool 3×3, layer1 | 3 / 3 | 256, 1/4 |
| layer2 | 4 / 4 | 512, 1/8 |
| layer3 | 6 / 23 | 1024, 1/16 |
| layer4, dilated instead of strided | 3 / 3 | 2048, 1/16 |

The stride of a bottleneck sits on its 3×3 convolution, as in the customary weights, whose layer
names are kept so that such a file can be loaded.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class _Bottleneck(nn.Module):
    """1×1, 3×3 (stride, dilation), 1×1 to four times the width; projection where the shape
    changes.
    """

    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ResNetTrunk(nn.Module):
    """ResNet without its classifier. `dilations` are those of layer4's three blocks (no effect on
    parameters).
    """

    def __init__(
        self,
        in_channels: int,
        depth: int,
        width: int = 64,
        dilations: tuple[int, int, int] = (2, 2, 2),
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks = BLOCKS[depth]
        self.layer1 = _layer(width, width, (1,) * blocks[0], stride=1)
        self.layer2 = _layer(4 * width, 2 * width, (1,) * blocks[1], stride=2)
        self.layer3 = _layer(8 * width, 4 * width, (1,) * blocks[2], stride=2)
        self.layer4 = _layer(16 * width, 8 * width, dilations, stride=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of conv1 and the four layers, at 1/2, 1/4, 1/8, 1/16 and 1/16 of the
        input.
        """
        stem = F.relu(self.bn1(self.conv1(x)))
        features = [stem, self.layer1(F.max_pool2d(stem, 3, 2, 1))]
        for layer in (self.layer2, self.layer3, self.layer4):
            features.append(layer(features[-1]))
        return features


def _layer(inputs: int, width: int, dilations: tuple[int, ...], stride: int) -> nn.Sequential:
    first = _Bottleneck(inputs, width, stride, dilations[0])
    return nn.Sequential(
        first, *(_Bottleneck(4 * width, width, 1, dilation) for dilation in dilations[1:])
    )
