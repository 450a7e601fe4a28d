"""The live service: run on the day somebody has credentials, `pytest -m live`. Everything marked †
in the facts is looked at here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from configs.area import around
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.errors import CoslideError
from configs.event import DateRange, Event, Windows
from configs.records import ObservationClass
from gee.earthengine import EarthEngineSource
from gee.earthengine.doctor import examine
from gee.earthengine.session import find_credentials, find_project

pytestmark = pytest.mark.live

CONFIG = EarthEngineConfig(block_px=256)
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


@pytest.fixture(scope="module", autouse=True)
def credentials() -> None:
    try:
        find_project(CONFIG, find_credentials())
    except CoslideError as error:
        pytest.skip(f"the live service needs credentials: {error.message}")


def test_nothing_is_missing() -> None:
    found = list(examine(CONFIG))
    assert [finding.detail for finding in found if finding.state != "ok"] == []


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_optics_radar_and_terrain(level: str) -> None:
    source = EarthEngineSource(CONFIG.model_copy(update={"level": level}))
    bands = ("pre_B4", "post_B4", "post_B11", "post_VV", "water", "dem")
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, bands)
    pulled = source.pull(plan, GRID)
    clear = pulled.observation[When.POST] == ObservationClass.CLEAR
    assert clear.mean() > 0.5
    assert 0.01 < float(np.nanmedian(pulled.bands["post_B4"][clear])) < 0.5
    assert -30 < float(np.nanmedian(pulled.bands["post_VV"])) < 0
    heights = source.elevation(plan, GRID, 8).values
    assert 0 < float(np.nanmedian(heights)) < 800
    again = source.pull(plan, GRID)
    for name, values in pulled.bands.items():
        np.testing.assert_array_equal(values, again.bands[name])


def test_landsat() -> None:
    source = EarthEngineSource(CONFIG.model_copy(update={"sensor": "landsat-8"}))
    plan = source.plan(AREA, AREA.geobox(15), EVENT, WINDOWS, ("post_B4", "post_MNDWI"))
    assert np.isfinite(source.pull(plan, AREA.geobox(15)).bands["post_B4"]).mean() > 0.5


@pytest.mark.parametrize("dem", ["srtm", "nasadem", "aw3d30", "glo30"])
def test_every_elevation_model(dem: str) -> None:
    source = EarthEngineSource(CONFIG.model_copy(update={"dem": dem}))
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, ("dem",))
    assert np.isfinite(source.elevation(plan, GRID, 8).values).mean() > 0.9
