"""What a student has: a folder of GeoTIFFs before and after, an elevation file, a shapefile of
landslides. The ground is the simulated Earth's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import around
from configs.bands import When
from configs.event import Event, default_windows
from configs.records import ObservationClass
from gee.simulated import SimulatedSource
from gee.simulated.truth import truth_polygons

LANDSCAPE, SEED = "tephra-hills", 11
EVENT = Event(
    name="valley",
    time=datetime(2018, 9, 5, 18, 8, tzinfo=UTC),
    latitude=42.7,
    longitude=142.0,
    magnitude=6.6,
)
BANDS = ("B2", "B3", "B4", "B8")
DAYS = {When.PRE: "20180820", When.POST: "20180920"}


def export(folder: Path, radius_km: float = 1.5) -> Path:
    """Return a folder with `images/20180820_B2.tif` … `images/20180920_B8.tif`, `dem.tif` and
    `landslides.shp`.
    """
    (folder / "images").mkdir(parents=True)
    source = SimulatedSource(LANDSCAPE, SEED)
    area = around(EVENT.latitude, EVENT.longitude, radius_km)
    geobox = area.geobox(10)
    windows = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    names = tuple(f"{when}_{band}" for when in When for band in BANDS)
    plan = source.plan(area, geobox, EVENT, windows, (*names, "dem"))
    pulled = source.pull(plan, geobox)
    for name in names:
        when, band = When(name.split("_")[0]), name.split("_")[1]
        seen = pulled.observation[when] == ObservationClass.CLEAR
        values = np.where(seen, np.nan_to_num(pulled.bands[name]) * 10_000, 0)
        path = folder / "images" / f"{DAYS[when]}_{band}.tif"
        _write(path, np.rint(values).astype(np.uint16), geobox, 0)
    heights = source.elevation(plan, geobox, 8)
    _write(folder / "dem.tif", heights.values, heights.geobox, -9999)
    truth_polygons(LANDSCAPE, SEED, EVENT, geobox).to_file(folder / "landslides.shp")
    return folder


def _write(path: Path, values: NDArray[Any], geobox: GeoBox, nodata: float) -> None:
    profile = {"height": values.shape[0], "width": values.shape[1], "dtype": values.dtype}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        crs=str(geobox.crs),
        transform=geobox.affine,
        nodata=nodata,
        **profile,
    ) as file:
        file.write(values, 1)
