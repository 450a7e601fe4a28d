"""The benchmark of speed runs: every way maps the raster, and its page says what was not
measured.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import speed
from benchmarks.tiling import Kept


def test_every_way_is_measured_by_turns_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    kept = Kept(tmp_path / "speed.json", fresh=True)
    ways = speed.on_cpu(speed.work(tmp_path, 300, 4))
    speed.rounds(kept, "cpu", ways, 1)
    speed.equality(kept, ["iburi-post"])
    speed.gpu(kept, tmp_path)
    page = speed.table(kept, "cpu", 300)
    assert {speed.BARE, "coslide, torch", "coslide, fused"} <= ways.keys()
    assert all(f"| {name} |" in page for name in ways)
    assert 0 <= kept.number("equal iburi-post fused", "apart") < 1e-4
    assert speed.table(kept, "gpu 16 16", 4096) == speed.NOT_MEASURED
    speed.rounds(Kept(tmp_path / "speed.json", fresh=False), "cpu", {}, 1)  # nothing is missing
