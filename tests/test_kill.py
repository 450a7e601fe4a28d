"""The kill tests in small: one killed server here (the flow and the worker are killed in test_story
and test_cluster).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kill, kill_served
from benchmarks.kill import strike_all, table
from benchmarks.kill_process import Struck


def test_moments_are_seeded_written_down_and_never_struck_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[float] = []

    @contextmanager
    def fake(folder: Path) -> Iterator[Any]:
        def strike(out: Path, moment: float) -> Struck | None:
            moments.append(moment)
            return None if moment > 8 else Struck(moment, "map", "went on", same=moment > 1)

        yield 10.0, {}, strike

    monkeypatch.setattr(kill, "KINDS", {"fake": fake})
    assert len(strike_all(tmp_path, ["fake"], 3)) == 3
    struck = list(moments)
    told = strike_all(tmp_path, ["fake"], 4)
    assert [one["number"] for one in told] == [0, 1, 2, 3]
    assert moments[: len(struck)] == struck
    assert len({one["at_s"] for one in told}) > 2
    assert all(one["at_s"] <= 8 for one in told), "a run that had ended is no kill"
    assert told[0]["at_s"] == round(random.Random("0 fake 0").uniform(0.02, 1.0) * 10, 2)
    assert table(told).count("\n") == 5
    assert ("**no**" in table(told)) is not all(one["same"] for one in told)
    assert [
        json.loads(line) for line in (tmp_path / "moments.jsonl").read_text().splitlines()
    ] == told


@pytest.mark.slow
def test_a_killed_server_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL of the Prefect server while a run is under way, and a restart: the same products,
    nothing left running.
    """
    preset = partial(kill_served.preset, height=600)
    small = {"product": {"map": {"sheets": []}}}
    monkeypatch.setattr(kill_served, "preset", lambda folder: preset(folder) | small)
    monkeypatch.setattr(kill_served, "request", partial(kill_served.request, height=600))
    (told,) = strike_all(tmp_path, ["server on SQLite"], 1)
    assert told["same"]
    assert told["left_running"] == 0
