"""A small scene whose answer is known: the landslides are drawn first, and the rasters made from
them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry import box, mapping, shape

from configs.area import Area
from configs.bands import When
from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from configs.event import DateRange, Event, Windows
from configs.records import Choice, ObservationClass, Ranked, Scene
from configs.stack import FORMAT, Stack, encode, grid_attributes
from inventory.about import About
from inventory.outline.outline import Inventory, outline

SHAPE = (90, 120)
GEOBOX = GeoBox(SHAPE, Affine(10, 0, 580000, 0, -10, 4730000), "EPSG:32654")
PRE_DAY, POST_DAY = 17700, 17790
LARGE, HOLED, STEEP = (
    (slice(10, 30), slice(10, 40)),
    (slice(40, 50), slice(10, 20)),
    (slice(60, 64), slice(50, 58)),
)
HOLE = (slice(44, 46), slice(14, 16))
TINY, FLAT, WET, EDGE, FILLED = (
    (slice(5, 6), slice(60, 62)),
    (slice(20, 26), slice(90, 96)),
    (slice(40, 46), slice(90, 96)),
    (slice(70, 72), slice(100, 110)),
    (slice(75, 81), slice(20, 26)),
)


SURE = Confidence(
    high=0.8, medium=0.6, counts={"high": 40}, right={"high": 0.95}, measured_on="somewhere"
)


@dataclass(frozen=True)
class SmallScene:
    """Rasters, stack and run of the small scene."""

    probability: NDArray[np.float32]
    observation: NDArray[np.uint8]
    stack: Stack

    def outline(self, config: CleanConfig | None = None, **more: Any) -> Inventory:
        """Return the landslides with the default rules, of checkpoints whose confidence was
        measured.
        """
        rules, sure = config or CleanConfig(), {"confidence": SURE, "fallback_confidence": SURE}
        return outline(self.probability, self.observation, 0.5, self.stack, rules, **(sure | more))


def rasters() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return probability and observation: three good landslides, one for each rule, one drawn by
    the fallback.
    """
    probability = np.full(SHAPE, 0.1, np.float32)
    observation = np.full(SHAPE, ObservationClass.CLEAR, np.uint8)
    for where, value in (
        (LARGE, 0.9),
        (HOLED, 0.7),
        (STEEP, 0.55),
        (TINY, 0.9),
        (FLAT, 0.9),
        (WET, 0.9),
        (FILLED, 0.9),
    ):
        probability[where] = value
    probability[HOLE] = 0.1
    probability[EDGE] = 0.9
    observation[WET] = ObservationClass.WATER
    observation[FILLED] = ObservationClass.NO_PRE
    observation[66:76, 96:114] = ObservationClass.CLOUD
    observation[EDGE] = ObservationClass.CLEAR
    observation[:, 116:] = 255
    probability[(observation == ObservationClass.CLOUD) | (observation == 255)] = np.nan
    return probability, observation


def make_stack(folder: Path, ndvi: bool = True) -> Stack:
    """Return a stack on disk under the rasters: slope 20° but at FLAT, a plane as terrain, two
    dates.
    """
    path = folder / "stack.zarr"
    group = zarr.open_group(path, mode="w")
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    slope = np.full(SHAPE, 20.0)
    slope[FLAT] = 2.0
    bands = {"slope": slope, "dem": 500.0 - 2.0 * rows}
    for when in When:
        for name, value in (("B4", 0.06), ("B3", 0.07), ("B2", 0.05)):
            bands[f"{when}_{name}"] = value + 0.0005 * (
                (rows + (columns if when is When.PRE else -columns)) % 40
            )
        if ndvi:
            bands[f"{when}_NDVI"] = np.full(SHAPE, 0.6 if when is When.PRE else 0.3)
    for name, values in bands.items():
        group.create_array(name, data=encode(values.astype(np.float32), name), chunks=(256, 256))
    for when, day in ((When.PRE, PRE_DAY), (When.POST, POST_DAY)):
        days = np.where(columns < 20, day, day + 5).astype(np.int32)
        group.create_array(f"{when}_date", data=days, chunks=(256, 256))
    group.attrs.update({"format": FORMAT, "grid": grid_attributes(GEOBOX), "bands": list(bands)})
    return Stack(path)


def small_scene(folder: Path) -> SmallScene:
    """Return the small scene, its stack written into a folder."""
    return SmallScene(*rasters(), make_stack(folder))


def about(**more: Any) -> About:
    """Return the run of the small scene."""
    west, south, east, north = GEOBOX.extent.to_crs("EPSG:4326").boundingbox.bbox
    day = datetime(1970, 1, 1, 1, 30, tzinfo=UTC)
    scenes = tuple(
        Scene(
            f"S2_{when}_{day_number}",
            when,
            day + timedelta(days=day_number),
            "L1C",
            clear_fraction=0.9,
        )
        for when, first in ((When.PRE, PRE_DAY), (When.POST, POST_DAY))
        for day_number in (first, first + 5)
    )
    ranking = tuple(
        Ranked(
            f"card-{name}", 0.1 + 0.1 * i, 0.02, {"post_B4": 0.2, "slope": 0.1}, validation_f1=0.8
        )
        for i, name in enumerate("ab")
    )
    run = About(
        event=Event(
            name="small",
            title="A small quake",
            time=datetime(2018, 9, 5, 18, 8, tzinfo=UTC),
            latitude=(south + north) / 2,
            longitude=(west + east) / 2,
            magnitude=6.6,
        ),
        area=Area(shape(mapping(box(west, south, east, north))), "bounds"),
        windows=Windows(
            pre=DateRange(first=date(2018, 6, 1), last=date(2018, 9, 4)),
            post=DateRange(first=date(2018, 9, 6), last=date(2018, 12, 1)),
            as_of=datetime(2018, 12, 1, tzinfo=UTC),
        ),
        scenes=scenes,
        choice=Choice("card-a", "card-b", ranking, False, 0.7, "nearest"),
        source="simulated:small",
        simulated=True,
        warnings=("look twice",),
        attribution=("made up for tests",),
        bands=("post_B4", "slope"),
    )
    return replace(run, **more)
