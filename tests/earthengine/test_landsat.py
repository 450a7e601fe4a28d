"""Landsat-8: bands under their Sentinel names, clear pixels first, pan-sharpening that keeps the
radiometry.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from earthengine import world
from earthengine.loopback import Loopback
from gee.earthengine import EarthEngineSource

GRID = world.AREA.geobox(15)


def test_sharpened_bands_carry_the_pan_s_detail_and_the_band_s_radiometry(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    source = EarthEngineSource(config.model_copy(update={"sensor": "landsat-8"}))
    assert source.offer().resolution_m == 15
    assert "pre_MNDWI" in source.offer().bands
    bands = ("post_B4", "post_B8", "post_MNDWI")
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, bands)
    pulled = source.pull(plan, GRID)
    assert set(pulled.bands) == {"post_B4", "post_B8", "post_B3", "post_B11"}
    _, top = world.origin()
    down = top - (GRID.affine.f - 15 * (np.arange(GRID.shape[0]) + 0.5))
    cloudy = down < 0.5 * world.SIDE_M - 30
    clear = down > 0.5 * world.SIDE_M + 30
    assert cloudy.any()
    assert clear.any()
    for rows, bright in ((cloudy, 0.20), (clear, 0.10)):
        infrared, red = pulled.bands["post_B8"][rows], pulled.bands["post_B4"][rows]
        np.testing.assert_allclose(infrared, bright + 0.05, atol=1e-4)
        assert abs(float(red.mean()) - (bright + 0.04)) < 0.002 * (bright + 0.04)
        assert red.max() / red.min() > 1.15  # the pan's chequerboard
    days = pulled.date[When.POST]
    assert (days[cloudy] == (date(2018, 9, 30) - date(1970, 1, 1)).days).all()
    assert (days[clear] == (date(2018, 9, 14) - date(1970, 1, 1)).days).all()
