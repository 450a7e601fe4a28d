"""FCN-8s (Long, Shelhamer & Darrell 2015) on VGG16.

| layer | output at 256×256 |
|---|---|
| VGG16, pool 3 / 4 / 5 | 32×32×256 / 16×16×512 / 8×8×512 |
| fc6 7×7, fc7 1×1, dropout 0.5 | 8×8×4096 |
| scores of fc7, pool 4, pool 3 (1×1) | K channels each |
| ×2 + pool 4, ×2 + pool 3, ×8 (transposed convolutions, no bias) | 16, 32, 256 px × K |

The 2015 network pads its input by 100 px and crops; here fc6 is padded and the sizes stay aligned.
The transposed convolutions start as bilinear interpolation and are trained. 134,489,759 parameters
for three bands and 21 classes, 134,268,003 for seven and one. Gao et al. 2021 print 6,300,549 for
their FCN, which is no VGG16 network, and speak of AlexNet; their layer table is not printed, so the
standard network is built. `fully_connected` sets the 4096.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.blocks import Segmenter, initialise
from models.nets.pretrained import load_trunk
from models.nets.vgg import VGG16Trunk


def _bilinear(channels: int, factor: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2 * factor, factor, factor // 2, bias=False)


def _start_bilinear(layer: nn.ConvTranspose2d) -> None:
    """Set the kernel that interpolates each channel on its own."""
    size = layer.kernel_size[0]
    ramp = 1 - (torch.arange(size) - (size - 1) / 2).abs() / (size / 2)
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(layer.in_channels):
            layer.weight[channel, channel] = torch.outer(ramp, ramp).to(layer.weight)


class SeenTaps(nn.Conv2d):
    """A centred convolution that leaves out the taps which see nothing of a map smaller than
    itself: the same output.

    oneDNN 3 does not write the bfloat16 gradient of such taps (7×7 on 2×2, as at 64 px): the
    weights would take up garbage.
    """

    def forward(self, input: Tensor) -> Tensor:
        middle = self.kernel_size[0] // 2
        rows, columns = (
            min(middle, side - 1) for side in input.shape[-2:]
        )  # taps each way from the middle one
        weight = self.weight[
            :, :, middle - rows : middle + rows + 1, middle - columns : middle + columns + 1
        ]
        return nn.functional.conv2d(input, weight, self.bias, padding=(rows, columns))


class FCN8s(Segmenter):
    """Scores at three depths, added up on the way to full size. `encoder_weights`: a VGG16 state
    dict (safetensors).
    """

    stride = 32
    cam_layer = "fc7"
    reach_px: int | None = 256

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        classes: int = 1,
        fully_connected: int = 4096,
        dropout: float = 0.5,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__(in_channels, classes)
        self.encoder = VGG16Trunk(in_channels, width)
        self.fc6 = nn.Sequential(
            SeenTaps(8 * width, fully_connected, 7, padding=3), nn.ReLU(), nn.Dropout(dropout)
        )
        self.fc7 = nn.Sequential(
            nn.Conv2d(fully_connected, fully_connected, 1), nn.ReLU(), nn.Dropout(dropout)
        )
        self.score_deep = nn.Conv2d(fully_connected, classes, 1)
        self.score_pool4 = nn.Conv2d(8 * width, classes, 1)
        self.score_pool3 = nn.Conv2d(4 * width, classes, 1)
        self.up_deep, self.up_pool4, self.up_pool3 = (
            _bilinear(classes, 2),
            _bilinear(classes, 2),
            _bilinear(classes, 8),
        )
        initialise(self, [self.score_deep, self.score_pool4, self.score_pool3])
        for layer in (self.up_deep, self.up_pool4, self.up_pool3):
            _start_bilinear(layer)
        load_trunk(self.encoder, encoder_weights)

    def scores(self, x: Tensor) -> Tensor:
        pool3, pool4, pool5 = self.encoder(x)
        deep = self.up_deep(self.score_deep(self.fc7(self.fc6(pool5))))  # (B, K, H/16, W/16)
        middle = self.up_pool4(deep + self.score_pool4(pool4))  # (B, K, H/8, W/8)
        scores: Tensor = self.up_pool3(middle + self.score_pool3(pool3))  # (B, K, H, W)
        return scores
