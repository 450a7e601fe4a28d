"""Sentinel-2 through the real client: the pixels, dates and classes are those that the small Earth
was built with.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.records import ObservationClass
from earthengine import world
from earthengine.loopback import Loopback
from gee.earthengine import EarthEngineSource

BANDS = ("pre_B4", "post_B4", "post_B8A", "post_B1")
GRID = world.AREA.geobox(10)


def days(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


@pytest.fixture
def source(loopback: Loopback, config: EarthEngineConfig) -> EarthEngineSource:
    return EarthEngineSource(config)


def test_the_plan_takes_few_questions_and_orders_scenes(
    source: EarthEngineSource, loopback: Loopback
) -> None:
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    # Three pages of metadata before the event, one after it, and the shares of all scenes at once.
    assert len(loopback.requests("value:compute")) == 5
    assert not loopback.requests("computePixels")
    pre = [scene.id.rsplit("/", 1)[1][:8] for scene in plan.scenes if scene.when is When.PRE]
    post = [scene.id.rsplit("/", 1)[1][:8] for scene in plan.scenes if scene.when is When.POST]
    assert pre == ["20180825", "20170910", "20180601"]  # same season first, then the nearest
    assert post == ["20180915", "20180920", "20181010"]  # the earliest first; nothing after as_of
    clear = {scene.id.rsplit("/", 1)[1][:8]: scene.clear_fraction for scene in plan.scenes}
    assert clear["20181010"] == 1.0
    assert clear["20180915"] == pytest.approx(0.5, abs=0.05)
    assert clear["20180920"] is None  # no Cloud Score+: not known, and not left out
    assert (
        plan.details["scenes"]["COPERNICUS/S2_HARMONIZED/20180920T012000_T54TXN"]["clouds"]
        == "s2cloudless"
    )
    assert plan.requests >= 1
    assert plan.megabytes > 0


def test_each_pixel_is_the_first_clear_one_with_its_date(source: EarthEngineSource) -> None:
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    pulled = source.pull(plan, GRID)
    first, second = "20180915T012000_T54TXN", "20180920T012000_T54TXN"
    use_second = np.broadcast_to(world.cloudy_rows(first, GRID)[:, None], tuple(GRID.shape))
    assert use_second.any()
    assert not use_second.all()
    land = pulled.observation[When.POST] == ObservationClass.CLEAR
    for band in ("B4", "B8A", "B1"):
        expected = np.where(
            use_second, world.expected_s2(second, band, GRID), world.expected_s2(first, band, GRID)
        )
        got = pulled.bands[f"post_{band}"]
        np.testing.assert_allclose(got[land], 1e-4 * expected[land], rtol=0, atol=1e-6)
    expected_days = np.where(use_second, days("2018-09-20"), days("2018-09-15"))
    np.testing.assert_array_equal(pulled.date[When.POST][land], expected_days[land])


def test_water_is_water_whatever_the_clouds(source: EarthEngineSource) -> None:
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    seen = source.pull(plan, GRID).observation[When.POST]
    assert (seen == ObservationClass.WATER).any()
    assert {ObservationClass.CLEAR, ObservationClass.WATER} >= set(np.unique(seen))


def test_what_was_seen_instead_of_clear_ground(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    source = EarthEngineSource(config)
    only_first = world.WINDOWS.model_copy(
        update={"post": world.WINDOWS.post.model_copy(update={"last": date(2018, 9, 16)})}
    )
    plan = source.plan(world.AREA, GRID, world.EVENT, only_first, ("post_B4",))
    pulled = source.pull(plan, GRID)
    seen = pulled.observation[When.POST]
    assert set(pulled.observation) == {When.POST}
    assert {ObservationClass.CLEAR, ObservationClass.CLOUD, ObservationClass.SHADOW} <= set(
        np.unique(seen)
    )
    cloudy = world.cloudy_rows("20180915T012000_T54TXN", GRID)
    assert not (seen[cloudy] == ObservationClass.CLEAR).any()
    assert (pulled.date[When.POST] == days("2018-09-15")).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("clear_score", 0.95),
        ("post_policy", "latest"),
        ("water_percent", 99),
        ("cloud_probability", 1),
    ],
)
def test_every_option_changes_the_pixels(
    loopback: Loopback, config: EarthEngineConfig, option: str, value: object
) -> None:
    """The server sees only the request's graph: one constant of the recipe changes what comes
    back.
    """

    def observed(settings: EarthEngineConfig) -> tuple[np.ndarray, np.ndarray]:
        source = EarthEngineSource(settings)
        pulled = source.pull(
            source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, ("post_B4",)), GRID
        )
        return pulled.observation[When.POST], pulled.date[When.POST]

    before, after = observed(config), observed(config.model_copy(update={option: value}))
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def test_a_block_equals_the_same_block_of_a_larger_one(source: EarthEngineSource) -> None:
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    whole = source.pull(plan, GRID)
    part = source.pull(plan, GRID[30:94, 50:131])
    for name, values in part.bands.items():
        np.testing.assert_array_equal(values, whole.bands[name][30:94, 50:131])
    np.testing.assert_array_equal(part.date[When.PRE], whole.date[When.PRE][30:94, 50:131])
