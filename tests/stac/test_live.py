"""Public catalogues themselves: on the day there is a network, `pytest -m live`. What the loopback
cannot prove is looked at here: names of assets, what the numbers mean, ranges, elevation.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live import why_skipped
from configs.area import around
from configs.bands import When
from configs.event import DateRange, Event, Windows
from configs.records import ObservationClass
from configs.run import SourceConfig
from configs.stac import StacConfig
from gee.stac import StacSource
from gee.stac.doctor import examine
from gee.stack import assemble

pytestmark = pytest.mark.live

EVENT = Event(
    name="iburi", time=datetime(2018, 9, 5, 18, 7, tzinfo=UTC), latitude=42.69, longitude=141.93
)
WINDOWS = Windows(
    pre=DateRange(first=date(2018, 6, 1), last=date(2018, 9, 5)),
    post=DateRange(first=date(2018, 9, 5), last=date(2018, 11, 30)),
    as_of=datetime(2018, 12, 1, tzinfo=UTC),
)
AREA = around(42.73, 141.92, 1.2)
GRID = AREA.geobox(10)
BANDS = ("pre_B4", "post_B4", "post_B8", "post_B11", "post_NDVI", "dem", "slope")


@pytest.fixture(params=["earth-search", "planetary-computer"])
def config(request: pytest.FixtureRequest) -> StacConfig:
    found = StacConfig(catalogue=request.param, block_px=256, scenes_per_tile=3)
    if reason := why_skipped(SourceConfig(kind="stac", stac=found)):
        pytest.skip(f"the catalogue cannot be asked from here: {reason}")
    return found


def test_nothing_is_missing(config: StacConfig) -> None:
    found = list(examine(config, needed=True))
    assert [finding.detail for finding in found if finding.state != "ok"] == []


def test_optics_and_terrain(config: StacConfig, tmp_path: Path) -> None:
    source = StacSource(config)
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, BANDS)
    print(f"{config.catalogue}: {plan.requests} requests, {plan.megabytes:.0f} MB at most")
    assert all(scene.sun for scene in plan.scenes), "the items tell where the sun stood"
    stack = assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    clear = stack.observation(When.POST) == ObservationClass.CLEAR
    assert clear.mean() > 0.5
    # Dark forest with the offset wrongly told is bare ground, or below zero.
    assert 0.01 < float(np.nanmedian(stack.read("pre_B4"))) < 0.1
    assert 0.01 < float(np.nanmedian(stack.read("post_B4")[clear])) < 0.5
    assert 0 < float(np.nanmedian(stack.read("dem"))) < 800
