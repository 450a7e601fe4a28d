"""Three networks at quarter width know eight real chips by heart; the bound of an output lattice is
one. (All: docs/results.md.)
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.overfit import INTERPOLATED, ROOT, bound, iburi_chips, overfit
from flows.learning.samples import make_samples

pytestmark = pytest.mark.slow

QUARTER: dict[str, dict[str, object]] = {
    "resu_senet": {"width": 16},
    "multi_input_unet": {"width": 16},
    "deeplabv3plus_mobilenetv2": {"width": 8},
}
"""A plain one, one with two branches, and one whose logits are interpolated."""


@pytest.fixture(scope="module")
def chips(real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tensor, Tensor]:
    """Return eight chips of the real Iburi scene and their labels; skip where the real data are
    absent.
    """
    folder = tmp_path_factory.mktemp("iburi") / "samples"
    return iburi_chips(make_samples(ROOT / "configs" / "samples" / "iburi-post.yaml", folder))


@pytest.mark.parametrize("name", QUARTER)
def test_learns_eight_chips_by_heart(name: str, chips: tuple[Tensor, Tensor]) -> None:
    found = overfit(name, *chips, **QUARTER[name])
    assert found.passed, found
    assert found.wanted >= 0.9 or name in INTERPOLATED


def test_a_coarser_lattice_draws_worse_outlines() -> None:
    """A stripe of one pixel cannot be drawn on a lattice of eight; a square that fills its cells
    nearly can.
    """
    labels = torch.zeros(1, 64, 64, dtype=torch.uint8)
    labels[:, 16:48, 16:48] = 1
    labels[:, 5] = 1
    found = [bound(labels, stride) for stride in (2, 4, 8)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.95
    assert found[2] < 0.95
