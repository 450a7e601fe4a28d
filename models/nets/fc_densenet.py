"""FC-DenseNet: dense blocks in an encoder and decoder (Gao et al. 2021, IEEE JSTARS).

| stage, 64×64 | output (reading A) |
|---|---|
| conv 3×3 | 64×64×64 |
| dense block 1 / transition down | 64×64×192 / 32×32×96 |
| dense block 2 / transition down | 32×32×224 / 16×16×112 |
| dense block 3 / transition down | 16×16×240 / 8×8×120 |
| bottleneck block | 8×8×248 (128 of them new) |
| transition up + skip → dense block | 16×16×480 → 608 |
| transition up + skip → dense block | 32×32×448 → 576 |
| transition up + skip → dense block | 64×64×384 → 512 |
| conv 1×1 | 64×64×1 |

Dense layer: BN, ReLU, 1×1 (4k), BN, ReLU, 3×3 (k), dropout 0.2. Transition down: BN, ReLU, 1×1
(half), max-pool. Transition up: 3×3 transposed convolution, stride 2.

The paper's own layer table is not legible and its count, 2,961,676, fits thousands of networks of
this family. Reading A (default) takes the standard DenseNet-BC numbers (k = 32, four layers a
block): 2,934,049 trainable and 2,958,849 with running statistics for seven bands, 0.1 % from the
printed count. Reading B hits it exactly (2,939,764 trainable): first convolution 16 with BN and
ReLU, eight bottleneck layers, skips taken after the 1×1 of the transition, transitions up fed with
whole blocks, a final BN and ReLU, no bias on the head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from configs.errors import RequestError
from models.nets.blocks import Segmenter, initialise

_LEVELS = 3
_LAYERS = 4


class _DenseLayer(nn.Sequential):
    """BN, ReLU, 1×1 to four times the growth, BN, ReLU, 3×3 to the growth, dropout."""

    def __init__(self, inputs: int, growth: int, dropout: float) -> None:
        inner = 4 * growth
        super().__init__(
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, inner, 1, bias=False)),
            *(
                nn.BatchNorm2d(inner),
                nn.ReLU(inplace=True),
                nn.Conv2d(inner, growth, 3, padding=1, bias=False),
            ),
            nn.Dropout(dropout),
        )


class _DenseBlock(nn.Module):
    """Layers that each see everything before them; returns the whole concatenation."""

    def __init__(self, inputs: int, growth: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _DenseLayer(inputs + i * growth, growth, dropout) for i in range(layers)
        )
        self.outputs = inputs + layers * growth

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class FCDenseNet(Segmenter):
    """Three levels down, a bottleneck, three levels up; `reading` is "A" or "B" (see above)."""

    stride = 8
    cam_layer = "up.2"
    reach_px: int | None = 104

    def __init__(
        self,
        in_channels: int,
        growth: int = 32,
        classes: int = 1,
        dropout: float = 0.2,
        reading: str = "A",
    ) -> None:
        super().__init__(in_channels, classes)
        if reading not in ("A", "B"):
            raise RequestError(
                f"FC-DenseNet has no reading {reading!r}",
                'Choose `reading: "A"` or `reading: "B"`.',
            )
        self.exact = reading == "B"
        self.new = _LAYERS * growth
        if self.exact:
            self.reach_px = 136
        channels = growth // 2 if self.exact else 2 * growth
        self.first = nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
        if self.exact:
            self.first.extend([nn.BatchNorm2d(channels), nn.ReLU()])
        self.down, self.compress, self.expand, self.up = (nn.ModuleList() for _ in range(4))
        skips: list[int] = []
        for _ in range(_LEVELS):
            block = _DenseBlock(channels, growth, _LAYERS, dropout)
            channels = block.outputs // 2
            self.down.append(block)
            self.compress.append(
                nn.Sequential(
                    nn.BatchNorm2d(block.outputs),
                    nn.ReLU(),
                    nn.Conv2d(block.outputs, channels, 1, bias=False),
                )
            )
            skips.append(channels if self.exact else block.outputs)
        self.pool = nn.MaxPool2d(2)
        block = self.bottleneck = _DenseBlock(
            channels, growth, 8 if self.exact else _LAYERS, dropout
        )
        for skip in reversed(skips):
            fed = block.outputs if self.exact else self.new
            self.expand.append(nn.ConvTranspose2d(fed, skip, 3, 2, 1, output_padding=1, bias=False))
            block = _DenseBlock(2 * skip, growth, _LAYERS, dropout)
            self.up.append(block)
        self.last = (
            nn.Sequential(nn.BatchNorm2d(block.outputs), nn.ReLU()) if self.exact else nn.Identity()
        )
        self.head = nn.Conv2d(block.outputs, classes, 1, bias=not self.exact)
        initialise(self, [self.head])

    def scores(self, x: Tensor) -> Tensor:
        x = self.first(x)
        skips: list[Tensor] = []
        for block, compress in zip(self.down, self.compress, strict=True):
            whole = block(x)
            compressed = compress(whole)
            skips.append(compressed if self.exact else whole)
            x = self.pool(compressed)  # (B, outputs / 2, H / 2, W / 2)
        x = self.bottleneck(x)
        for expand, up in zip(self.expand, self.up, strict=True):
            fed = (
                x if self.exact else x[:, -self.new :]
            )  # reading A hands up only what the last block added
            x = up(torch.cat([expand(fed), skips.pop()], dim=1))
        scores: Tensor = self.head(self.last(x))
        return scores
