"""The simulated Earth's own truth: only training, evaluation and studies may look here (design 2.4)."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.errors import RequestError
from configs.run import RunConfig
from tiles.labels import IGNORED


def simulated_mask(run: RunConfig, geobox: GeoBox) -> NDArray[np.uint8]:
    """Return the truth on a grid: 1, 0, 255 outside the area.

    Raises:
        RequestError: the run's Earth is not simulated.
    """
    from gee.simulated.truth import truth_mask

    mask = truth_mask(_landscape(run), run.source.seed, run.event, geobox)
    return np.where(run.place.mask(geobox), mask, np.uint8(IGNORED)).astype(np.uint8)


def simulated_polygons(run: RunConfig, geobox: GeoBox) -> gpd.GeoDataFrame:
    """Return the true landslides within the area as polygons in the grid's CRS."""
    from gee.simulated.truth import truth_polygons

    frame = truth_polygons(_landscape(run), run.source.seed, run.event, geobox)
    return frame[frame.intersects(run.place.projected(str(geobox.crs)))]


def _landscape(run: RunConfig) -> str:
    from gee.simulated import LANDSCAPES

    if run.source.kind != "simulated":
        raise RequestError("only the simulated Earth knows its own truth", "Give polygons: --reference FILE[:LAYER].")
    return run.source.landscape or next(iter(LANDSCAPES))
