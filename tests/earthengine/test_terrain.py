"""Elevation: native pixels, the same whatever the block, voids told, across the antimeridian; and
no stair-steps in slope.
"""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from configs.area import Area, around
from configs.earthengine import EarthEngineConfig
from configs.errors import NothingToSeeError
from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from earthengine.pictures import Raster, asset
from gee import derive
from gee.earthengine import EarthEngineSource, disconnect, terrain
from gee.native import window
from gee.source import Elevation

GRID = world.AREA.geobox(10)


def pulled(
    loopback: Loopback, config: EarthEngineConfig, area: Area, margin_px: int = 8
) -> Elevation:
    source = EarthEngineSource(config)
    plan = source.plan(area, area.geobox(10), world.EVENT, world.WINDOWS, ("dem",))
    return source.elevation(plan, area.geobox(10), margin_px)


@pytest.mark.parametrize("dem", ["srtm", "nasadem", "aw3d30", "glo30"])
def test_heights_are_the_model_s_own_pixels(
    loopback: Loopback, config: EarthEngineConfig, dem: str
) -> None:
    found = pulled(loopback, config.model_copy(update={"dem": dem}), world.AREA)
    original = world.heights(world.CENTRE[1], world.CENTRE[0])
    offset = ~original.affine @ (found.geobox.affine.c, found.geobox.affine.f)
    column, row = round(offset[0]), round(offset[1])
    np.testing.assert_allclose(offset, (column, row), atol=1e-5)  # whole pixels
    height, width = found.values.shape
    expected = original.values[row : row + height, column : column + width] + (
        0.25 if dem == "glo30" else 0.0
    )
    known = original.mask[row : row + height, column : column + width] > 0
    np.testing.assert_array_equal(found.values[known], expected[known])
    assert np.isnan(found.values[~known]).all()
    assert (~known).sum() == 1


def test_glo30_takes_over_beyond_srtm(loopback: Loopback, config: EarthEngineConfig) -> None:
    arctic = around(69.0, 20.0, 1.0)
    source = EarthEngineSource(config)
    plan = source.plan(arctic, arctic.geobox(10), world.EVENT, world.WINDOWS, ("slope",))
    assert plan.details["elevation"]["dem"] == "glo30"
    assert np.isfinite(source.elevation(plan, arctic.geobox(10), 4).values).sum() > 100


def test_no_model_in_the_open_sea(loopback: Loopback, config: EarthEngineConfig) -> None:
    with pytest.raises(NothingToSeeError, match="elevation model srtm has nothing here"):
        pulled(loopback, config, around(10.0, -150.0, 1.0))


def test_blocks_share_one_lattice(loopback: Loopback, config: EarthEngineConfig) -> None:
    source = EarthEngineSource(config)
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("dem",))
    whole, part = source.elevation(plan, GRID, 8), source.elevation(plan, GRID[60:124, 32:96], 8)
    column, row = (
        round(value)
        for value in ~whole.geobox.affine @ (part.geobox.affine.c, part.geobox.affine.f)
    )
    height, width = part.values.shape
    np.testing.assert_array_equal(
        part.values, whole.values[row : row + height, column : column + width]
    )


def test_a_window_across_the_antimeridian_is_asked_for_in_two_parts() -> None:
    native = {
        "crs": "EPSG:4326",
        "transform": [1 / 3600, 0, -180 - 0.5 / 3600, 0, -1 / 3600, 60 + 0.5 / 3600],
    }
    block = around(-17.0, 180.0, 2.0).geobox(10)
    grid = window(native, block, 8)
    assert grid.affine.c < 180 < grid.affine.c + grid.affine.a * grid.shape[1]
    parts = terrain.within_turn(grid)
    assert sum(int(part.shape[1]) for _, part in parts) == grid.shape[1]
    for _, part in parts:
        west, east = part.affine.c, part.affine.c + part.affine.a * part.shape[1]
        assert -180.001 < west < east < 180.001
        # still whole pixels of the model
        columns = (west - native["transform"][2]) / native["transform"][0]
        assert abs(columns - round(columns)) < 1e-3


def test_slope_of_a_cone_shows_no_stair_steps(
    loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cone of 30° at 30 m spacing, its slope asked for on the 10 m grid through the client, the
    server and `derive`.
    """
    left, top = world.origin()
    step, size, steep = 30.0, 200, 30.0
    x, y = left + step * (np.arange(size) + 0.5), top - step * (np.arange(size) + 0.5)
    centre_x, centre_y = left + 3000.0, top - 3000.0
    z = 3000 - np.tan(np.radians(steep)) * np.hypot(x[None, :] - centre_x, y[:, None] - centre_y)
    raster = Raster(z.astype("float32"), world.CRS, Affine(step, 0, left, 0, -step, top))
    cone = asset("COPERNICUS/DEM/GLO30_2024_1/CONE", {"DEM": raster})
    with Loopback(Evaluator([cone])) as server:
        disconnect()
        monkeypatch.setenv("COSLIDE_EE_URL", server.url)
        source = EarthEngineSource(config.model_copy(update={"dem": "glo30"}))
        area = around(*world.CENTRE, 2.0)
        plan = source.plan(area, area.geobox(10), world.EVENT, world.WINDOWS, ("slope",))
        block = GeoBox((128, 128), Affine(10, 0, left + 3600, 0, -10, top - 2400), world.CRS)
        slope = derive.terrain(source.elevation(plan, block, derive.MARGIN_PX), block, ["slope"])[
            "slope"
        ]
    assert (
        np.abs(slope - steep).max() < 0.1
    )  # degrees; the 3×3 gradient of a cone errs by its curvature only
    assert (
        np.abs(np.diff(slope, axis=1)).max() < 0.02
    )  # stair-steps would jump by degrees between neighbours
