"""What several networks share: the frame every network stands in, and the few blocks that more than
one paper uses.

A network here is a `Segmenter`: it says its output stride and reach, computes class scores in
`scores`, and inherits the rest (padding to the stride, cropping back, two softmax classes read as
one logit) so that all of them answer alike: `(B, C, H, W)` in, `(B, 1, H, W)` landslide logits out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import RequestError


class Segmenter(nn.Module):
    """Base of all networks. Subclasses build their layers, implement `scores` and call `initialise`
    last.
    """

    stride: ClassVar[int]
    """Sizes are padded to a multiple of it; tile origins must be multiples of it."""

    cam_layer: str
    """Dotted name of the last decoder block before the head, where Grad-CAM looks."""

    reach_px: int | None
    """Halo that makes a tile's core independent of what lies outside, a multiple of `stride`; None
    where the network pools over the whole tile and no halo is enough."""

    def __init__(self, in_channels: int, classes: int = 1) -> None:
        super().__init__()
        if in_channels < 1 or classes < 1:
            raise RequestError(
                f"a network cannot have {in_channels} input channels and {classes} classes",
                "Give at least one band and `classes: 1` (sigmoid) or `classes: 2` (softmax).",
            )
        self.in_channels = in_channels
        self.classes = classes

    def scores(self, x: Tensor) -> Tensor:
        """Return class scores `(B, classes, H, W)` of an image whose sides are multiples of
        `stride`.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return landslide logits `(B, 1, H, W)` of `x`, `(B, C, H, W)` of any size."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise RequestError(
                f"{type(self).__name__} reads (B, {self.in_channels}, H, W), not {tuple(x.shape)}",
                "Give the bands that the checkpoint lists, in its order.",
            )
        height, width = x.shape[-2:]
        scores = self.scores(pad_to_multiple(x, self.stride))
        return landslide_logit(scores)[..., :height, :width]


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Return `x` with its last row and column repeated until both sides are multiples of
    `multiple`.
    """
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def landslide_logit(scores: Tensor) -> Tensor:
    """Return the log-odds `(B, 1, H, W)` of class 1 against all others; one class already is that
    logit.

    The softmax of two scores is the sigmoid of their difference, so a two-class head loses nothing.
    """
    if scores.shape[1] == 1:
        return scores
    others = torch.cat([scores[:, :1], scores[:, 2:]], dim=1)
    return scores[:, 1:2] - (
        others if others.shape[1] == 1 else others.logsumexp(dim=1, keepdim=True)
    )


def initialise(
    network: nn.Module, heads: Iterable[nn.Module] = (), *, uniform: bool = False
) -> None:
    """Give every convolution He (Kaiming) weights and zero bias, every norm 1 and 0; `heads` a
    sixth of He's variance.

    With it logits start unsaturated and yet move: a normal of 0.01 needed about twice the steps at
    Adam 1e-4 (by trial on eight synthetic chips, ResU-SENet at quarter width). Deterministic under
    `torch.manual_seed`.
    """
    kaiming = nn.init.kaiming_uniform_ if uniform else nn.init.kaiming_normal_
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            kaiming(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for head in heads:
        if isinstance(head, nn.Conv2d):
            nn.init.normal_(head.weight, std=(3 * head.weight[0].numel()) ** -0.5)


def upsample(x: Tensor, like: Tensor | tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """Return `x` resized bilinearly to the height and width of `like`."""
    size = like if isinstance(like, tuple) else (like.shape[-2], like.shape[-1])
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; padded so that stride 1 keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch norm for pooled maps: a training batch that holds a single value per channel uses the
    running statistics.

    One value has no variance, and PyTorch refuses it; image pooling over a batch of one is exactly
    that case.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


class SqueezeExcite(nn.Module):
    """Channel gate: global mean, two fully connected layers (ratio `reduction`, both with bias),
    sigmoid, scale.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(
            4, channels // reduction
        )  # at least four: one or two ReLUs are easily dead from the start
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)

    def gate(self, x: Tensor) -> Tensor:
        """Return the gate `(B, C, 1, 1)`, each value in 0..1."""
        squeezed = F.relu(self.squeeze(x.mean(dim=(2, 3))))  # (B, C / r)
        return torch.sigmoid(self.excite(squeezed))[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2018): 1×1, three dilated 3×3, image pooling;
    concatenated, 1×1.
    """

    def __init__(self, inputs: int, outputs: int, rates: tuple[int, ...] = (6, 12, 18)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvBNReLU(inputs, outputs, 1),
                *(ConvBNReLU(inputs, outputs, 3, dilation=rate) for rate in rates),
            ]
        )
        self.pooled = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False),
            PooledBatchNorm(outputs),
            nn.ReLU(inplace=True),
        )
        self.project = ConvBNReLU((len(rates) + 2) * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        whole = self.pooled(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])
        projected: Tensor = self.project(
            torch.cat([*(branch(x) for branch in self.branches), whole], dim=1)
        )
        return projected
