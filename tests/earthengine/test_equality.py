"""The same simulated event through `--source simulated` and through the real client and the
loopback: the same stack.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from configs.area import around
from configs.bands import When, parse_band
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange, Event, Windows
from configs.records import ObservationClass
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from earthengine.mirror import mirror
from gee.earthengine import EarthEngineSource, disconnect
from gee.simulated.source import SimulatedSource
from gee.stack import assemble

BANDS = (
    "pre_B2",
    "pre_B4",
    "pre_B8",
    "post_B2",
    "post_B4",
    "post_B8",
    "post_B11",
    "pre_NDVI",
    "post_NDVI",
    "dem",
    "slope",
)
EVENT = Event(
    name="sim",
    time=datetime(2021, 8, 14, 12, 29, tzinfo=UTC),
    latitude=42.7,
    longitude=141.95,
    magnitude=6.6,
)
WINDOWS = Windows(
    pre=DateRange(first=date(2021, 6, 20), last=date(2021, 8, 14)),
    post=DateRange(first=date(2021, 8, 14), last=date(2021, 9, 20)),
    as_of=datetime(2021, 9, 21, tzinfo=UTC),
)
AREA = around(42.7, 141.95, 1.5)
GRID = AREA.geobox(10)


def test_the_two_stacks_are_equal(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedSource("tephra-hills", 0)
    names = tuple(name for name in BANDS if parse_band(name).band.name not in ("NDVI", "slope"))
    plan = simulated.plan(AREA, GRID, EVENT, WINDOWS, names)
    one = assemble(simulated, plan, BANDS, tmp_path / "simulated.zarr")
    with Loopback(Evaluator(mirror(simulated, plan))) as server:
        disconnect()
        monkeypatch.setenv("COSLIDE_EE_URL", server.url)
        settings = config.model_copy(
            update={"dem": "glo30", "scenes_per_tile": 40, "deadline_s": 120}
        )
        live = EarthEngineSource(settings)
        other = assemble(
            live, live.plan(AREA, GRID, EVENT, WINDOWS, BANDS), BANDS, tmp_path / "live.zarr"
        )
    dry = np.ones(one.shape, bool)
    for when in When:
        a, b = one.observation(when), other.observation(when)
        # Earth Engine's water is a layer of its own, which clouds do not hide: the one difference
        # that is meant.
        water = b == ObservationClass.WATER
        assert (a[~water] == b[~water]).mean() >= 0.999
        dry &= ~water
        days = one.date(when), other.date(when)
        assert (days[0][~water] == days[1][~water]).mean() >= 0.999
    assert dry.mean() > 0.5
    for name in BANDS:
        stored = (np.asarray(stack.group[name][:]).astype(int) for stack in (one, other))
        a, b = (values[dry] for values in stored)
        assert (np.abs(a - b) <= 1).mean() >= 0.999, name
