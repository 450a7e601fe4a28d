"""What training minimises: Dice (Yang et al. 2024 eq. 2), binary cross-entropy, or a weighted sum,
over labelled pixels only.

Both are functions of five sums over pixels, so the loss of a whole validation set is exact whatever
its batches were.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from configs.records import IGNORED


@dataclass(frozen=True)
class Sums:
    """Sums over labelled pixels of a batch, or of several batches added up. Scalars, float32 or
    wider.
    """

    agreed: Tensor
    """Sum of p * g: probability times label."""
    predicted: Tensor
    """Sum of p."""
    labelled: Tensor
    """Sum of g."""
    entropy: Tensor
    """Sum of the binary cross-entropy, nats."""
    count: Tensor
    """Number of labelled pixels."""

    @classmethod
    def zero(cls) -> Sums:
        """Return the sums over no pixels, float64 on the CPU."""
        return cls(*(torch.zeros((), dtype=torch.float64) for _ in cls.__dataclass_fields__))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )

    def detached(self) -> Sums:
        """Return the same sums in float64 on the CPU, cut off from the graph: for adding up a
        validation set.
        """
        return Sums(
            *(getattr(self, name).detach().cpu().double() for name in self.__dataclass_fields__)
        )


@dataclass(frozen=True)
class Objective:
    """A weighted sum of Dice and cross-entropy.

    Dice is `1 - (2 Σpg + ε) / (Σp + Σg + ε)` with sums over the batch: per image, a patch without a
    landslide would make it jump. Eq. 2 is printed without the brackets around p + g and calls ε
    "tiny".
    """

    dice: float = 1.0
    bce: float = 0.0
    epsilon: float = 1.0
    smoothing: float = 0.0
    """Labels are pulled towards one half by this share, for the cross-entropy only."""

    def sums(self, logits: Tensor, labels: Tensor) -> Sums:
        """Return the sums of `(B, 1, H, W)` logits and `(B, H, W)` labels.

        Labels are 0 and 1, or shares between them (soft labels, floating); 255 and NaN are left
        out.
        """
        z = logits.squeeze(1).float()  # (B, H, W)
        g = labels.to(z.dtype)
        known = (g != IGNORED) & ~torch.isnan(g)
        m, g = known.to(z.dtype), torch.where(known, g, 0.0)
        p = torch.sigmoid(z) * m
        target = g * (1 - self.smoothing) + 0.5 * self.smoothing
        entropy = F.binary_cross_entropy_with_logits(z, target, reduction="none") * m
        return Sums((p * g).sum(), p.sum(), g.sum(), entropy.sum(), m.sum())

    def of(self, sums: Sums) -> Tensor:
        """Return the loss those sums amount to, a scalar >= 0; finite also where nothing is
        labelled.
        """
        dice = 1 - (2 * sums.agreed + self.epsilon) / (
            sums.predicted + sums.labelled + self.epsilon
        )
        return self.dice * dice + self.bce * sums.entropy / sums.count.clamp(min=1)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of one batch: see `sums` for the shapes."""
        return self.of(self.sums(logits, labels))


def dice(logits: Tensor, labels: Tensor, epsilon: float = 1.0) -> Tensor:
    """Return the Dice loss of `(B, 1, H, W)` logits against `(B, H, W)` labels, 0 (perfect) to 1
    (disjoint).
    """
    return Objective(1.0, 0.0, epsilon)(logits, labels)


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over labelled pixels, nats."""
    return Objective(0.0, 1.0)(logits, labels)
