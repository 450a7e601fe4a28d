"""The same simulated event through `--source simulated` and through a catalogue on the loopback:
the same stack.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from configs.area import around
from configs.bands import When, parse_band
from configs.event import DateRange, Event, Windows
from configs.records import ObservationClass, Scene
from configs.stac import StacConfig
from gee.shadow import widest_margin_px
from gee.simulated.source import SimulatedSource
from gee.source import Plan, Source
from gee.stac import StacSource
from gee.stack import assemble
from stac.earth import Pass, publish, publish_heights
from stac.loopback import Loopback

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
SCL = {
    ObservationClass.NOT_IMAGED: 0,
    ObservationClass.CLEAR: 5,
    ObservationClass.CLOUD: 9,
    ObservationClass.SHADOW: 3,
    ObservationClass.SNOW: 11,
    ObservationClass.WATER: 6,
}


def mirror(source: Source, plan: Plan, server: Loopback) -> None:
    """Put every overpass of a simulated plan on a server, each alone, and its elevation; every
    second one in the other encoding and with the other names. Classified at 10 m as the simulated
    Earth is, not at 20 m.
    """
    grid = _whole_60_m(plan.geobox)
    for number, scene in enumerate(plan.scenes):
        bands = tuple(name for name in plan.bands if name.startswith(f"{scene.when}_"))
        alone = source.pull(replace(plan, scenes=(scene,), bands=bands), grid)
        seen = alone.observation[scene.when]
        classes = np.zeros(seen.shape, np.uint8)
        for kind, value in SCL.items():
            classes[seen == kind] = value
        shown = {name.split("_")[1]: values for name, values in alone.bands.items()}
        publish(server, _pass(scene, number, grid, shown, classes))
    margin = widest_margin_px(plan.scenes, plan.elevation_step_m) + 10
    heights = source.elevation(plan, plan.geobox, margin)
    publish_heights(server, "SIM", heights.values, heights.geobox)


def _pass(
    scene: Scene, number: int, grid: GeoBox, bands: dict[str, np.ndarray], classes: np.ndarray
) -> Pass:
    cloud = 100 * (scene.cloud_fraction or 0.0)
    even = number % 2 == 0
    return Pass(
        scene.id,
        scene.acquired,
        grid,
        bands,
        classes,
        cloud,
        baseline="05.09" if even else "03.01",
        added=1000 if even else 0,
        flag=False if even else None,
        like=number % 2,
        classes_m=10,
        sun=scene.sun,
    )


def _whole_60_m(geobox: GeoBox) -> GeoBox:
    left, top = np.floor(geobox.affine.c / 60) * 60, np.ceil(geobox.affine.f / 60) * 60
    height, width = (((int(n) + 11) // 6) * 6 for n in geobox.shape)
    return GeoBox((height, width), Affine(10, 0, left, 0, -10, top), geobox.crs)


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
        # An index of two rounded reflectances moves by more than its own unit where both are dark.
        units = 1 if parse_band(name).band.name != "NDVI" else 20
        assert (np.abs(a - b) <= units).mean() >= 0.999, name
