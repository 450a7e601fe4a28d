"""The precision benchmark's parts: every way computes the same network, gains are said as they are,
nothing absent is shown.
"""

from __future__ import annotations

import torch

from benchmarks.precision import HALF, LAST, PLAIN, WAYS, cost, gains, table, verdict
from models.architectures import build


def test_every_way_is_timed_and_none_moves_the_weights_far() -> None:
    torch.manual_seed(0)
    network = build("resu_net", 3, width=16)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    found = cost(network, 3, WAYS, 1)
    assert len(found.training) == len(found.inference) == 3
    assert min(found.training + found.inference) > 0
    assert all(
        torch.allclose(a, b, atol=1e-3) for a, b in zip(before, network.parameters(), strict=True)
    )
    assert (PLAIN.order, LAST.order, HALF.half) == (
        torch.contiguous_format,
        torch.channels_last,
        True,
    )


def test_gains_are_told_as_measured() -> None:
    rows = {
        "resu_senet": {
            "here": {"training": [8.0, 4.0, 2.0], "inference": [2.0, 2.0, 1.0]},
            "older": {"training": [4.0, 16.0], "inference": [2.0, 8.0]},
        }
    }
    assert gains(rows, "resu_senet") == (2.0, 4.0, 0.25)
    assert "| ResU-SENet | 8.0 | 4.0 | 2.0 | 4.00 × | 2.0 | 2.0 | 1.0 | 2.00 × | 0.25 × |" in table(
        rows
    )
    assert "bfloat16 is 0.25 to 0.25 times as fast" in verdict(rows)
    assert table({}).count("\n") == 1
    assert verdict({}) == ""
