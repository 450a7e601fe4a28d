"""ResU-SENet: ResU-Net with squeeze-and-excitation on the three skips (Yang et al. 2024, IEEE
JSTARS, Table III).

| row | as printed | built here |
|---|---|---|
| Input | 88×88×10 | 88×88×10 |
| Conv, Conv | 88×88×64, stride 1 | 88×88×64 (stem, with shortcut) |
| ResBlock_1 | 44×44×64, stride 2 | 44×44×128 |
| ResBlock_2 | 22×22×128, stride 2 | 22×22×256 |
| ResBlock_3 | 11×11×256, stride 2 | 11×11×512 (bridge) |
| Attention_1 / Concat_1 / ResBlock_4 | 22×22×256 / 768 / 256 | 22×22×256 / 768 / 256 |
| Attention_2 / Concat_2 / ResBlock_5 | 44×44×256 / 768 / 256 | 44×44×128 / 384 / 128 |
| Attention_3 / Concat_3 / ResBlock_6 | 88×88×128 / 384 / 128 | 88×88×64 / 192 / 64 |
| Conv 1×1 | 88×88 | 88×88×1 |

The printed table contradicts itself; this reading follows from it. Attention keeps the channel
number, so 256 at 22×22 needs a 256-channel encoder level there; Concat_1 = 768 leaves 512 from
below; the text doubles channels at each down-sampling (§III-A). The printed encoder widths are the
units' *input* widths, and the printed 88×88 decoder row repeats the true 44×44 row. The text
mentions max-pooling in the unit, the table stride 2: stride 2 is used. The paper does not print the
reduction ratio: 16 (8,239,517 parameters for ten bands). Up-sampling: bilinear.
"""

from __future__ import annotations

from models.nets.blocks import SqueezeExcite
from models.nets.resu_net import ResUNet


class ResUSENet(ResUNet):
    """ResU-Net whose skips are scaled channel by channel. Pools over the whole tile, so it has no
    finite reach.
    """

    reach_px = None

    def __init__(
        self, in_channels: int, width: int = 64, classes: int = 1, reduction: int = 16
    ) -> None:
        super().__init__(
            in_channels, width, classes, gate=lambda channels: SqueezeExcite(channels, reduction)
        )
