"""Losses: the acceptance checks of Dice, agreement with PyTorch, and what is not labelled never
counts.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.training.losses import Objective, bce, dice

SURE = 200.0


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(3, 1, 16, 12, generator=g), (torch.rand(3, 16, 12, generator=g) < 0.3).to(
        torch.uint8
    )


def test_dice_is_zero_for_a_perfect_and_one_for_a_disjoint_mask(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    labels = batch[1]
    perfect = (labels.float() * 2 - 1).unsqueeze(1) * SURE
    assert dice(perfect, labels).item() == pytest.approx(0, abs=1e-6)
    assert dice(-perfect, labels, epsilon=1e-6).item() == pytest.approx(1, abs=1e-6)
    assert 0.99 < dice(-perfect, labels).item() <= 1
    empty = torch.zeros_like(labels)
    assert dice(torch.full_like(perfect, -SURE), empty).item() == 0
    assert torch.isfinite(dice(perfect, empty))


def test_dice_is_equation_2_with_brackets(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    z, g = batch[0], batch[1].float()
    p = torch.sigmoid(z[:, 0])
    assert dice(z, g).item() == pytest.approx(
        (1 - (2 * (p * g).sum() + 1) / ((p + g).sum() + 1)).item(), abs=1e-6
    )


def test_bce_is_pytorchs(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    z, g = batch
    assert bce(z, g).item() == pytest.approx(
        F.binary_cross_entropy_with_logits(z[:, 0], g.float()).item(), abs=1e-6
    )
    both = Objective(0.5, 2.0, 0.3)
    assert both(z, g).item() == pytest.approx(
        0.5 * dice(z, g, 0.3).item() + 2 * bce(z, g).item(), abs=1e-6
    )


@pytest.mark.parametrize(
    "objective", [Objective(), Objective(0, 1), Objective(1, 1, smoothing=0.1)], ids=str
)
def test_unlabelled_pixels_change_nothing(
    objective: Objective, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    z, g = batch
    hidden = g.clone()
    hidden[:, :5] = 255
    expected = objective(z[:, :, 5:], g[:, 5:])
    z = z.clone()
    z[:, :, :5] += 50
    z.requires_grad_()
    loss = objective(z, hidden)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert z.grad is not None
    assert not z.grad[:, :, :5].any()
    assert z.grad[:, :, 5:].abs().sum() > 0
    assert torch.isfinite(objective(z, torch.full_like(g, 255)))


def test_soft_labels_lie_between_the_hard_ones(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    z, g = batch
    soft = bce(z, torch.full(g.shape, 0.5)).item()
    assert soft == pytest.approx(
        (bce(z, torch.zeros_like(g)).item() + bce(z, torch.ones_like(g)).item()) / 2, abs=1e-6
    )
    nan = torch.where(g == 1, torch.nan, 0.0)
    assert bce(z, nan).item() == pytest.approx(bce(z, torch.where(g == 1, 255, g)).item(), abs=1e-6)
    assert Objective(0, 1, smoothing=0.2)(z, g).item() != pytest.approx(bce(z, g).item(), abs=1e-3)


def test_sums_of_batches_are_the_sums_of_the_whole(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    z, g = batch
    objective = Objective(1, 1)
    parts = objective.sums(z[:1], g[:1]).detached() + objective.sums(z[1:], g[1:]).detached()
    assert objective.of(parts).item() == pytest.approx(objective(z, g).item(), abs=1e-6)
