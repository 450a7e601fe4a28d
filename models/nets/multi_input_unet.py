"""Multi-input channel U-Net with attention gates, for SAR + optical and terrain (Chen et al. 2023,
IEEE JSTARS).

| stage | output at 256×256 |
|---|---|
| branch A (14 channels) / B (2 channels), 2 × conv each | 256×256×64 each |
| pool, concat | 128×128×128 |
| encoder 2 / 3 / 4 / 5 | 128×128×128 / 64×64×256 / 32×32×512 / 16×16×1024 |
| attention 1–4 on the skips | 32×32×512, 64×64×256, 128×128×128, 256×256×64 |
| decoder 1–4 | same sizes |
| 1×1 | 256×256×1 |

Gate: the skip through a 3×3 convolution, beside the up-sampled decoder map; 1×1, ReLU, 1×1,
sigmoid: one spatial map that scales the skip. The paper prints no widths; 64 to 1024 is the
U-Net's. The first skip (both branches) is reduced to 64 before its gate. 35,002,885 parameters for
14 + 2 channels (34,990,853 without batch norm, 8,758,533 at width 32). With twelve channels the
paper does not say what the second input is: one group, 34,881,349. Order of channels read: S1 VH,
VV; S2 B1–B8, B8A, B9, B11, B12; slope, aspect.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from configs.errors import RequestError
from models.nets.blocks import Segmenter, initialise
from models.nets.unet import DoubleConv


class AttentionGate(nn.Module):
    """Scales a skip at each position by what the decoder makes of it; shape kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(channels, channels, 3, padding=1)
        self.joint = nn.Conv2d(2 * channels, channels, 1)
        self.attend = nn.Conv2d(channels, 1, 1)

    def gate(self, skip: Tensor, decoded: Tensor) -> Tensor:
        """Return the gate `(B, 1, H, W)`, 0..1."""
        joint = torch.relu(self.joint(torch.cat([self.of_skip(skip), decoded], dim=1)))
        return torch.sigmoid(self.attend(joint))

    def forward(self, skip: Tensor, decoded: Tensor) -> Tensor:
        return skip * self.gate(skip, decoded)


class MultiInputUNet(Segmenter):
    """One branch per channel group at full size, then one attention U-Net.

    `groups` lists the channel indices of each branch, e.g. `[[0, 1, 2, 3], [4, 5]]`; every channel
    in exactly one. Without it the last two channels (slope, aspect) are a branch of their own.
    """

    stride = 16
    cam_layer = "decoder.3"
    reach_px: int | None = 112

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        classes: int = 1,
        groups: Sequence[Sequence[int]] | None = None,
        batch_norm: bool = True,
    ) -> None:
        super().__init__(in_channels, classes)
        self.groups = _checked(groups, in_channels)
        widths = [width * 2**level for level in range(5)]
        joined = width * len(self.groups)
        self.branches = nn.ModuleList(
            DoubleConv(len(g), width, batch_norm=batch_norm) for g in self.groups
        )
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            DoubleConv(a, b, batch_norm=batch_norm)
            for a, b in zip([joined, *widths[1:-1]], widths[1:], strict=True)
        )
        self.reduce = nn.Conv2d(joined, width, 1) if len(self.groups) > 1 else nn.Identity()
        self.gates = nn.ModuleList(AttentionGate(w) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(
            DoubleConv(2 * w, w, batch_norm=batch_norm) for w in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(width, classes, 1)
        initialise(self, [self.head])

    def scores(self, x: Tensor) -> Tensor:
        joined = torch.cat(
            [
                branch(x[:, list(group)])
                for branch, group in zip(self.branches, self.groups, strict=True)
            ],
            dim=1,
        )  # (B, groups · w, H, W)
        skips = [self.reduce(joined)]
        x = joined
        for convolve in self.encoder:
            x = convolve(self.pool(x))
            skips.append(x)
        for up, gate, convolve, skip in zip(
            self.up, self.gates, self.decoder, reversed(skips[:-1]), strict=True
        ):
            decoded = up(x)
            x = convolve(torch.cat([gate(skip, decoded), decoded], dim=1))
        scores: Tensor = self.head(x)
        return scores


def _checked(
    groups: Sequence[Sequence[int]] | None, in_channels: int
) -> tuple[tuple[int, ...], ...]:
    """Return the groups as tuples, or raise `RequestError` where they do not share out the
    channels.
    """
    if groups is None:
        split = in_channels - 2
        groups = [range(split), range(split, in_channels)] if split > 0 else [range(in_channels)]
    shared_out = sorted(channel for group in groups for channel in group)
    if shared_out != list(range(in_channels)) or not all(len(group) for group in groups):
        raise RequestError(
            f"channel groups {[list(g) for g in groups]} do not share out {in_channels} channels",
            f"Name each channel 0..{in_channels - 1} once, no group empty: `groups: [[0, "
            "1], [2, 3]]`.",
        )
    return tuple(tuple(group) for group in groups)
