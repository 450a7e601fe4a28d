"""SegNet (Badrinarayanan, Kendall & Cipolla 2017): VGG16's 13 convolutions and their mirror, joined
by pooling indices.

| stage | convolutions | output at 64×64 |
|---|---|---|
| encoder 1–5 | 64², 128², 256³, 512³, 512³, max-pool each | 32, 16, 8, 4, 2 px |
| decoder 5–1 | unpool, then 512³; 512², 256; 256², 128; 128, 64; 64 | 4, 8, 16, 32, 64 px |
| head | 1×1, batch norm on the output | 64×64×1 |

Every convolution has a bias and is followed by batch norm and ReLU. With the norm on a one-channel
output this is the network of Gao et al. 2021 (Table IX): 29,445,379 parameters for seven bands,
29,461,253 with the norms' running statistics. `head_batch_norm=False, classes=2` is the 2017
network: 29,443,138 for three bands.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.nets.blocks import Segmenter, initialise


def _stage(inputs: int, outputs: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip([inputs, *outputs], outputs, strict=False):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class SegNet(Segmenter):
    """Encoder and decoder without skips: only the positions of the maxima are handed across."""

    stride = 32
    cam_layer = "decoder.4"
    reach_px: int | None = 224

    def __init__(
        self, in_channels: int, width: int = 64, classes: int = 1, head_batch_norm: bool = True
    ) -> None:
        super().__init__(in_channels, classes)
        w = width
        encoder = [[w] * 2, [2 * w] * 2, [4 * w] * 3, [8 * w] * 3, [8 * w] * 3]
        decoder = [[8 * w] * 3, [8 * w, 8 * w, 4 * w], [4 * w, 4 * w, 2 * w], [2 * w, w], [w]]
        encoder_inputs = [in_channels, *(stage[-1] for stage in encoder)]
        decoder_inputs = [8 * w, *(stage[-1] for stage in decoder)]
        self.encoder = nn.ModuleList(
            _stage(a, b) for a, b in zip(encoder_inputs, encoder, strict=False)
        )
        self.decoder = nn.ModuleList(
            _stage(a, b) for a, b in zip(decoder_inputs, decoder, strict=False)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.head = nn.Sequential(nn.Conv2d(w, classes, 1))
        if head_batch_norm:
            self.head.append(nn.BatchNorm2d(classes))
        initialise(self)

    def scores(self, x: Tensor) -> Tensor:
        indices: list[Tensor] = []
        for stage in self.encoder:
            x, where = self.pool(stage(x))
            indices.append(where)
        for stage in self.decoder:
            x = stage(self.unpool(x, indices.pop()))
        scores: Tensor = self.head(x)
        return scores
