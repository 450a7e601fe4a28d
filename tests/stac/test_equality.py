"""The same simulated event through `--source simulated` and through a catalogue on the loopback:
the same stack.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from configs.area import around
from configs.bands import When, parse_band
from configs.event import DateRange, Event, Windows
from configs.records import ObservationClass
from configs.stac import StacConfig
from gee.simulated.source import SimulatedSource
from gee.stac import StacSource
from gee.stack import assemble
from stac.loopback import Loopback
from stac.mirror import mirror

BANDS = (
    *("pre_B2", "pre_B4", "pre_B8", "post_B2", "post_B4", "post_B8", "post_B11"),
    *("pre_NDVI", "post_NDVI", "dem", "slope"),
)
EVENT = Event(
    name="sim",
    time=datetime(2021, 11, 20, 12, 29, tzinfo=UTC),  # the sun is low enough for shadows
    latitude=42.7,
    longitude=141.95,
    magnitude=6.6,
)
WINDOWS = Windows(
    pre=DateRange(first=date(2021, 10, 5), last=date(2021, 11, 20)),
    post=DateRange(first=date(2021, 11, 20), last=date(2021, 12, 20)),
    as_of=datetime(2021, 12, 21, tzinfo=UTC),
)
AREA = around(42.7, 141.95, 1.5)
GRID = AREA.geobox(10)


def test_the_two_stacks_are_equal(tmp_path: Path) -> None:
    simulated = SimulatedSource("tephra-hills", 0)
    names = tuple(name for name in BANDS if parse_band(name).band.name not in ("NDVI", "slope"))
    plan = simulated.plan(AREA, GRID, EVENT, WINDOWS, names)
    one = assemble(simulated, plan, BANDS, tmp_path / "simulated.zarr")
    with Loopback() as server:
        mirror(simulated, plan, server)
        config = StacConfig(
            catalogue=server.url, block_px=256, workers=2, requests=4, scenes_per_tile=40
        )
        live = StacSource(config)
        other = assemble(
            live, live.plan(AREA, GRID, EVENT, WINDOWS, BANDS), BANDS, tmp_path / "stac.zarr"
        )
    for when in When:
        seen = one.observation(when)
        assert 0.02 < (seen == ObservationClass.CAST_SHADOW).mean() < 0.5
        np.testing.assert_array_equal(seen, other.observation(when))
        np.testing.assert_array_equal(one.date(when), other.date(when))
    for name in BANDS:
        a, b = (np.asarray(stack.group[name][:]).astype(int) for stack in (one, other))
        assert (np.abs(a - b) <= 1).mean() >= 0.999, name
