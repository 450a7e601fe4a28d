"""What really happened. Not part of `Source`: only training and evaluation may look here.

The mask follows the pixel-centre rule; the polygons trace the same implicit outlines on a 2.5 m
lattice.
"""

from __future__ import annotations

import geopandas
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import box
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from skimage.measure import find_contours

from configs.errors import RequestError
from configs.event import Event
from configs.records import IGNORED
from configs.run import RunConfig
from gee.simulated.drawing import depth_of, draw, reach_of
from gee.simulated.grids import native_window, requested
from gee.simulated.landscapes import LANDSCAPES
from gee.simulated.lattice import covering
from gee.simulated.slides import Slides, cells, outline_noise, shaken, slides
from gee.simulated.world import World, world

_TRACE_M = 2.5
"""Spacing of the lattice that outlines are traced on, metres."""


def truth_mask(landscape: str, seed: int, event: Event, geobox: GeoBox) -> NDArray[np.uint8]:
    """Return 1 where a pixel's centre lies in a landslide of the event, else 0; `(y, x)` uint8.

    Raises:
        RequestError: an unknown landscape, or a grid that the simulated Earth cannot fill.
    """
    earth = world(landscape, seed, geobox.crs)
    grid = requested(geobox)
    quake = shaken(earth, event)
    drawn = draw(earth, [slides(quake, row, column) for row, column in cells(grid)], grid)
    return (drawn.depth_m > 0).astype(np.uint8)


def truth_polygons(
    landscape: str, seed: int, event: Event, geobox: GeoBox
) -> geopandas.GeoDataFrame:
    """Return the event's landslides that touch a grid, one row each, in the grid's CRS; cut at its
    edge.

    Columns: `geometry`, `area_m2` (planimetric, of the whole slide). Neighbours may overlap, as
    real ones do.
    """
    earth = world(landscape, seed, geobox.crs)
    quake, window = shaken(earth, event), native_window(geobox)
    frame = box(*geobox.extent.boundingbox)
    shapes, areas = [], []
    for row, column in cells(window):
        group = slides(quake, row, column)
        for number in range(len(group.x)):
            if box(*reach_of(group, number)).intersects(frame):
                shape = _traced(earth, group, number)
                part = shape.intersection(frame)
                if part.area > 0:
                    shapes.append(part)
                    areas.append(shape.area)
    return geopandas.GeoDataFrame({"area_m2": areas}, geometry=shapes, crs=str(geobox.crs))


def simulated_mask(run: RunConfig, geobox: GeoBox) -> NDArray[np.uint8]:
    """Return the truth on a grid: 1, 0, 255 outside the area.

    Raises:
        RequestError: the run's Earth is not simulated.
    """
    mask = truth_mask(_landscape(run), run.source.seed, run.event, geobox)
    return np.where(run.place.mask(geobox), mask, np.uint8(IGNORED)).astype(np.uint8)


def simulated_polygons(run: RunConfig, geobox: GeoBox) -> geopandas.GeoDataFrame:
    """Return the true landslides within the area as polygons in the grid's CRS."""
    frame = truth_polygons(_landscape(run), run.source.seed, run.event, geobox)
    return frame[frame.intersects(run.place.projected(str(geobox.crs)))]


def _landscape(run: RunConfig) -> str:
    if run.source.kind != "simulated":
        raise RequestError(
            "only the simulated Earth knows its own truth",
            "Give polygons: --reference FILE[:LAYER].",
        )
    return run.source.landscape or next(iter(LANDSCAPES))


def _traced(earth: World, group: Slides, number: int) -> BaseGeometry:
    """Return one slide's outline as polygons, metres."""
    grid = covering(_TRACE_M, *reach_of(group, number))
    line = group.x[number], group.y[number], group.half_width[number]
    depth, _ = depth_of(*line, grid.x, grid.y, outline_noise(grid, earth))
    corner = np.array([grid.x[0], grid.y[0]])
    contours = [c for c in find_contours(depth, 0.0) if len(c) >= 4]  # type: ignore[no-untyped-call]  # scikit-image ships none
    rings = [Polygon(corner + c[:, ::-1] * (_TRACE_M, -_TRACE_M)) for c in contours]
    shells = sorted((ring.buffer(0) for ring in rings), key=lambda ring: -ring.area)
    whole: BaseGeometry = Polygon()
    for shell in shells:  # a ring inside another is a hole; outlines are nested at most once
        whole = whole.difference(shell) if whole.contains(shell) else unary_union([whole, shell])
    return whole
