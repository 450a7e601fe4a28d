"""From a probability raster to landslides: threshold, trace, measure, clean. One pass over the
rasters, in strips of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from configs.errors import RequestError
from configs.records import Choice, ObservationClass
from configs.stack import CHUNK_PX, Rows, Stack
from inventory.outline.attributes import DrawnBy, attributed, limits_of
from inventory.outline.clean import reasons
from inventory.outline.measure import EdgeCounter, Gauge, Measures
from inventory.outline.polygons import Tracer, simplified
from inventory.outline.rings import Ints
from inventory.outline.split import Called, Objects

OUTSIDE = 255
"""Value of the observation raster outside the area."""
_STRIP_ROWS = 2 * CHUNK_PX


@dataclass(frozen=True)
class Inventory:
    """The landslides of one run, and what was taken for one and rejected."""

    landslides: gpd.GeoDataFrame
    """Fields of `attributes.FIELDS`, largest first, MultiPolygons in the grid's CRS."""
    rejected: gpd.GeoDataFrame
    """The same fields and `reason`."""
    geobox: GeoBox
    threshold: float


def code_of(crs: object) -> str:
    """Return a CRS as ``EPSG:n``, or as WKT where it has no code."""
    crs = pyproj.CRS(str(crs))
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else crs.to_wkt()


class Strip(NamedTuple):
    """Rows of both rasters, `(y, x)`."""

    rows: slice
    probability: NDArray[np.float32]
    observation: NDArray[np.uint8]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Return what counts as observed: in the area, with a probability."""
        seen: NDArray[np.bool_] = np.isfinite(self.probability) & (self.observation != OUTSIDE)
        return seen


def strips(probability: Rows, observation: Rows, rows: int = _STRIP_ROWS) -> Iterator[Strip]:
    """Yield both rasters in strips of whole rows, north to south.

    Raises:
        RequestError: they differ in shape.
    """
    if probability.shape != observation.shape:
        raise RequestError(
            f"probability {probability.shape} and observation {observation.shape} are not "
            "on one grid",
            "Run `coslide respond` again with another --out.",
        )
    for first in range(0, probability.shape[0], rows):
        here = slice(first, min(first + rows, probability.shape[0]))
        yield _strip(probability, observation, here)


def _strip(probability: Rows, observation: Rows, rows: slice) -> Strip:
    values = np.asarray(probability[rows, :], dtype=np.float32)
    return Strip(rows, values, np.asarray(observation[rows, :], dtype=np.uint8))


def _mask(strip: Strip, threshold: float, fallback_threshold: float | None) -> NDArray[np.bool_]:
    limit: NDArray[np.float32] | float = threshold
    if fallback_threshold is not None:
        filled = strip.observation == ObservationClass.NO_PRE
        limit = np.where(filled, np.float32(fallback_threshold), np.float32(threshold))
    with np.errstate(invalid="ignore"):
        mask: NDArray[np.bool_] = strip.seen & (strip.probability >= limit)
    return mask


def _objects(
    called: Called, shape: tuple[int, ...], geobox: GeoBox, depth: float | None
) -> Callable[[slice], Ints]:
    """Return what numbers the landslides of given rows: touching ones apart, or as one where
    `depth` is None.
    """
    if depth is None:
        return lambda rows: called(rows)[0].astype(np.int64)
    first_row = round(geobox.affine.f / geobox.affine.e)
    return Objects(called, shape, first_row, depth).__getitem__


def outline(
    probability: Rows,
    observation: Rows,
    threshold: float,
    stack: Stack,
    config: CleanConfig,
    *,
    choice: Choice | None = None,
    fallback_threshold: float | None = None,
    confidence: Confidence | None = None,
    fallback_confidence: Confidence | None = None,
    strip_rows: int = _STRIP_ROWS,
) -> Inventory:
    """Return the landslides in a probability raster and what the rules rejected.

    Args:
        probability: `(y, x)`, 0-1, NaN where not observed.
        observation: `(y, x)`, `ObservationClass`, 255 outside the area.
        threshold: probability from which a pixel is a landslide.
        stack: the run's stack, on the same grid.
        config: the rules.
        choice: the checkpoint (and fallback) that drew it; an out-of-domain choice caps the
            confidence.
        fallback_threshold: threshold of pixels of class NO_PRE, drawn by the fallback; default
            `threshold`.
        confidence: what the checkpoint's confidence promises, where it was measured.
        fallback_confidence: what the fallback's promises.
        strip_rows: height of the strips; the result does not depend on it.
    """
    width = int(probability.shape[1])
    tracer, measures = Tracer(width), Measures()
    gauge, edges = Gauge(stack, measures), EdgeCounter(measures, width)

    def called(rows: slice) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        strip = _strip(probability, observation, rows)
        return _mask(strip, threshold, fallback_threshold), strip.probability

    objects = _objects(called, probability.shape, stack.geobox, config.split_depth)
    for strip in strips(probability, observation, strip_rows):
        numbers = objects(strip.rows)
        mask = numbers > 0
        labels = tracer.add(numbers)
        measures.grow(tracer.pieces)
        gauge.read(strip.rows, labels, mask, strip.probability, strip.observation)
        edges.add(mask, labels, ~strip.seen)
    edges.finish()
    patches = tracer.finish(stack.geobox.affine)
    totals = measures.of(patches.of_piece, len(patches.geometry))
    crs, resolution_m = str(stack.geobox.crs), abs(stack.geobox.affine.a)
    drawn_by, filled_by = DrawnBy("", limits_of(config, confidence)), None
    if choice is not None:
        drawn_by = drawn_by._replace(card=choice.card, out_of_domain=choice.out_of_domain)
        if choice.fallback:
            limits = limits_of(config, fallback_confidence)
            domain = choice.out_of_domain or choice.fallback_out_of_domain
            filled_by = DrawnBy(choice.fallback, limits, domain)
    frame = attributed(patches.geometry, totals, crs, resolution_m, drawn_by, filled_by)
    return _sorted_out(frame, totals, stack.geobox, config, threshold)


def _sorted_out(
    frame: gpd.GeoDataFrame, totals: Measures, geobox: GeoBox, config: CleanConfig, threshold: float
) -> Inventory:
    why = reasons(frame, totals, config)
    if config.simplify_m is not None:
        frame = frame.set_geometry(simplified(frame.geometry.to_numpy(), config.simplify_m))
        frame["area_m2"], frame["perimeter_m"] = frame.area.round(2), frame.length.round(2)
    kept = why == ""
    return Inventory(
        named(frame[kept], "L"),
        named(frame[~kept].assign(reason=why[~kept]), "R"),
        geobox,
        float(threshold),
    )


def named(frame: gpd.GeoDataFrame, letter: str, first: int = 1) -> gpd.GeoDataFrame:
    """Return a frame, largest first, numbered from `first` in that order, e.g. ``L00001``."""
    ordered = frame.sort_values("area_m2", ascending=False, kind="stable").reset_index(drop=True)
    ordered["id"] = [f"{letter}{number:05d}" for number in range(first, first + len(ordered))]
    return ordered
