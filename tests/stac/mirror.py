"""The simulated Earth as a catalogue would hold it: every overpass of a plan as an item with files.

So the same simulated event can be asked for twice: through `--source simulated` and through the
client and the loopback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.records import ObservationClass, Scene
from gee.shadow import widest_margin_px
from gee.source import Plan, Source
from stac.earth import Pass, publish, publish_heights
from stac.loopback import Loopback

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
    scene: Scene,
    number: int,
    grid: GeoBox,
    bands: Mapping[str, NDArray[Any]],
    classes: NDArray[Any],
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
