"""MACU-Net (Li et al. 2021, IEEE GRSL): multi-scale skips, channel attention, asymmetric
convolutions.

| level | width | encoder blocks | output at 96×96 |
|---|---|---|---|
| 0 | 16 | 2 | 96 |
| 1 | 32 | 2 | 48 |
| 2 | 64 | 3 | 24 |
| 3 | 128 | 3 | 12 |
| 4 | 256 | 3 | 6 |

At each level 3..0 five maps of that level's width C meet: the encoder's, those pooled down from
every shallower level, those up-convolved from every deeper one. Channel attention (1×1 from 5C to
2C, then mean and maximum each through its own two-layer perceptron, ratio 16) and two blocks
follow. A block sums a 3×3, a 1×3 and a 3×1 convolution, then batch norm and ReLU. 5,151,666
parameters for three bands and two classes, 5,153,329 for ten and one.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.nets.blocks import Segmenter, initialise

_ENCODER_BLOCKS = (2, 2, 3, 3, 3)
_DEEPEST = len(_ENCODER_BLOCKS) - 1


class _AsymmetricBlock(nn.Module):
    """Square, horizontal and vertical convolution summed, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.horizontal = nn.Conv2d(inputs, outputs, (1, 3), padding=(0, 1))
        self.vertical = nn.Conv2d(inputs, outputs, (3, 1), padding=(1, 0))
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.square(x) + self.horizontal(x) + self.vertical(x)))


class ChannelAttention(nn.Module):
    """1×1 to `outputs` channels, scaled by a gate from their mean and maximum."""

    def __init__(self, inputs: int, outputs: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(2, outputs // reduction)
        self.reduce = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.of_mean, self.of_maximum = (
            nn.Sequential(
                nn.Linear(outputs, squeezed, bias=False),
                nn.ReLU(),
                nn.Linear(squeezed, outputs, bias=False),
            )
            for _ in range(2)
        )

    def gate(self, x: Tensor) -> Tensor:
        """Return the gate `(B, C, 1, 1)` of the reduced map, 0..1."""
        logits = self.of_mean(x.mean(dim=(2, 3))) + self.of_maximum(x.amax(dim=(2, 3)))
        return torch.sigmoid(logits)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        out: Tensor = reduced * self.gate(reduced)
        return out


class MACUNet(Segmenter):
    """Every level sees every other. Pools over the whole tile, so it has no finite reach."""

    stride = 16
    cam_layer = "decoder.0"
    reach_px: int | None = None

    def __init__(self, in_channels: int, width: int = 16, classes: int = 1) -> None:
        super().__init__(in_channels, classes)
        w = [width * 2**level for level in range(_DEEPEST + 1)]
        self.encoder = nn.ModuleList(
            _blocks(
                [in_channels if level == 0 else w[level - 1]] + [w[level]] * count, pool=level > 0
            )
            for level, count in enumerate(_ENCODER_BLOCKS)
        )
        # down[i] carries level i to i + 1, i + 2, ... 3; up[d - 1] carries level d to d - 1, ... 0.
        self.down = nn.ModuleList(
            nn.ModuleList(
                _blocks([w[to - 1], w[to]], pool=True) for to in range(level + 1, _DEEPEST)
            )
            for level in range(_DEEPEST)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(
                nn.ConvTranspose2d(w[to + 1], w[to], 2, 2) for to in range(level - 1, -1, -1)
            )
            for level in range(1, _DEEPEST + 1)
        )
        self.select = nn.ModuleList(
            ChannelAttention(5 * w[level], 2 * w[level]) for level in range(_DEEPEST)
        )
        self.decoder = nn.ModuleList(
            _blocks([2 * w[level], w[level], w[level]], pool=False) for level in range(_DEEPEST)
        )
        self.head = nn.Conv2d(width, classes, 1)
        initialise(self, [self.head])

    def scores(self, x: Tensor) -> Tensor:
        meeting: list[list[Tensor]] = [[] for _ in range(_DEEPEST)]
        for level in range(_DEEPEST):
            x = self.encoder[level](x)
            meeting[level].append(x)
            self._hand_on(x, self.down[level], meeting[level + 1 :])
        x = self.encoder[_DEEPEST](x)
        for level in range(_DEEPEST - 1, -1, -1):
            self._hand_on(x, self.up[level], meeting[level::-1])
            x = self.decoder[level](self.select[level](torch.cat(meeting[level], dim=1)))
        scores: Tensor = self.head(x)
        return scores

    @staticmethod
    def _hand_on(x: Tensor, path: nn.Module, meeting: list[list[Tensor]]) -> None:
        """Carry `x` along `path` and leave a map at each level it comes to."""
        for layer, place in zip(path.children(), meeting, strict=True):
            x = layer(x)
            place.append(x)


def _blocks(widths: list[int], *, pool: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    layers += [_AsymmetricBlock(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*layers)
