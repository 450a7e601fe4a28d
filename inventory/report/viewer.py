"""What the report's map is given: pictures on the grid, outlines in grid pixels, a row a landslide.
Kept light enough to mail.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from configs.bands import When
from configs.stack import Rows, Stack
from inventory.about import About
from inventory.colours import AFFECTED, CONFIDENCE
from inventory.exposure.affected import Affected
from inventory.footprints import step_for
from inventory.formats.layers import Layer
from inventory.outline.attributes import AFFECTED as FURTHER
from inventory.outline.outline import Inventory
from inventory.outline.polygons import through
from inventory.report.pictures import as_address, heat, natural, unseen, within
from inventory.report.relief import terrain
from inventory.report.statistics import epicentre

COLUMNS = (
    "id",
    "area_m2",
    "length_m",
    "width_m",
    "slope_mean_deg",
    "relief_m",
    "probability_mean",
    "confidence",
    "post_date",
    "status",
    "lon",
    "lat",
)
"""Columns of the table."""
_PHOTO_PX = 2400
_OVERLAY_PX = (1600, 1100, 700)
_PHOTO_BYTES = 1_100_000
_RELIEF_PX = 1200
_RELIEF_BYTES = 300_000
_OVERLAY_BYTES = 700_000
"""With outlines and table a report of 700 km² stays below 5 MB, which most mail systems carry."""
_MOST_VERTICES = 250_000
_MOST_REJECTED_VERTICES = 60_000
_MOST_STROKES = 10_000
"""Stretches of road on the map."""


def _rings(geometry: Any, to_pixel: Affine) -> list[list[int]]:
    """Return a polygon's rings in whole grid pixels: the first vertex, then differences."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    encoded = []
    for ring in rings:
        xy = np.round(through(to_pixel, shapely.get_coordinates(ring))).astype(np.int64)[:-1]
        steps = np.vstack([xy[:1], np.diff(xy, axis=0)])
        encoded.append([int(n) for n in steps.ravel()])
    return encoded


def _outlines(geometry: NDArray[Any], to_pixel: Affine, most: int) -> list[list[list[int]]]:
    """Return the rings of each polygon, largest first, none once `most` vertices are spent."""
    spent = np.cumsum(shapely.get_num_coordinates(geometry))
    return [
        _rings(each, to_pixel) if total <= most else []
        for each, total in zip(geometry, spent, strict=True)
    ]


def _rows(frame: pd.DataFrame, more: list[str]) -> list[list[Any]]:
    """Return the table's rows as JSON types, further columns at their end."""
    shown = pd.DataFrame(frame[[*COLUMNS, *more]]).copy()
    shown[more] = shown[more].round(1)
    shown["post_date"] = shown["post_date"].dt.strftime("%Y-%m-%d")
    for name, digits in (
        ("lon", 5),
        ("lat", 5),
        ("length_m", 1),
        ("width_m", 1),
        ("probability_mean", 3),
    ):
        shown[name] = shown[name].round(digits)
    plain = shown.astype(object).where(shown.notna(), None)
    return [list(row) for row in plain.itertuples(index=False, name=None)]


def _overlay(draw: Any, probability: Rows, observation: Rows) -> tuple[str, int]:
    """Return (address, pixels of the grid per picture pixel) of the finest overlay within the
    budget.
    """
    address, step = "", 1
    for largest in _OVERLAY_PX:
        step = step_for(probability.shape, largest)
        address = as_address(draw(probability, observation, largest))
        if len(address) <= _OVERLAY_BYTES:
            break
    return address, step


def _images(stack: Stack, probability: Rows, observation: Rows) -> dict[str, dict[str, Any]]:
    """Return the map's pictures: address, and how many grid pixels they span."""
    images: dict[str, dict[str, Any]] = {}

    def span(step: int) -> dict[str, int]:
        height, width = (-(-n // step) * step for n in stack.shape)
        return {"width": width, "height": height}

    photos: dict[str, Image.Image | None] = {
        str(when): natural(stack, when, _PHOTO_PX) for when in When
    }
    if not any(photos.values()):
        photos["terrain"] = terrain(stack, _PHOTO_PX)
    elif {"dem", "hillshade"} & set(stack.band_names):
        photos["relief"] = terrain(stack, _RELIEF_PX)
    for name, photo in photos.items():
        if photo is not None:
            largest = _RELIEF_PX if name == "relief" else _PHOTO_PX
            images[name] = {
                "address": within(photo, _RELIEF_BYTES if name == "relief" else _PHOTO_BYTES),
                **span(step_for(stack.shape, largest)),
            }
    for name, draw in (("heat", heat), ("unseen", unseen)):
        address, step = _overlay(draw, probability, observation)
        images[name] = {"address": address, **span(step)}
    return images


def _strokes(layer: Layer | None, to_pixel: Affine) -> list[list[float]]:
    """Return the longest lines of a layer in grid pixels: the first vertex, then differences,
    tenths of a pixel.
    """
    lines = (
        shapely.get_parts(layer.frame.geometry.to_numpy()) if layer else np.empty(0, dtype=object)
    )
    strokes = []
    for line in lines[np.argsort(-shapely.length(lines), kind="stable")][:_MOST_STROKES]:
        xy = np.round(through(to_pixel, shapely.get_coordinates(shapely.simplify(line, 5.0))), 1)
        steps = np.round(np.vstack([xy[:1], np.diff(xy, axis=0)]), 1)
        strokes.append([float(n) for n in steps.ravel()])
    return strokes


def _concern(affected: Affected | None, to_pixel: Affine) -> dict[str, Any]:
    """Return what the map draws of what may be affected: the reach of landslides, and roads within
    and below them.
    """
    if affected is None:
        return {}
    reach, roads = (affected.layer(name) for name in ("reach", "affected_roads"))
    zones = reach.frame.geometry.to_numpy() if reach else np.empty(0, dtype=object)
    return {
        "reach": [
            ring for each in _outlines(zones, to_pixel, _MOST_REJECTED_VERTICES) for ring in each
        ],
        "roads": _strokes(roads, to_pixel),
        "colours": AFFECTED,
    }


def payload(
    inventory: Inventory,
    about: About,
    stack: Stack,
    probability: Rows,
    observation: Rows,
    words: dict[str, Any],
    affected: Affected | None = None,
) -> dict[str, Any]:
    """Return what the viewer reads as JSON."""
    more = [name for name in FURTHER if name in inventory.landslides.columns]
    to_pixel = ~inventory.geobox.affine
    landslides = inventory.landslides.geometry.to_numpy()
    points = np.round(through(to_pixel, shapely.get_coordinates(shapely.centroid(landslides))), 1)
    rejected = inventory.rejected.geometry.to_numpy()
    rings = _outlines(rejected, to_pixel, _MOST_REJECTED_VERTICES)
    height, width = stack.shape
    return {
        "width": width,
        "height": height,
        "resolution_m": abs(inventory.geobox.affine.a),
        "images": _images(stack, probability, observation),
        "columns": [*COLUMNS, *more],
        "in_table": len(COLUMNS),
        "affected": _concern(affected, to_pixel),
        "rows": _rows(inventory.landslides, more),
        "rings": _outlines(landslides, to_pixel, _MOST_VERTICES),
        "points": points.tolist(),
        "rejected": [ring for each in rings for ring in each],
        "epicentre": [round(float(n), 1) for n in to_pixel @ epicentre(stack, about.event)],
        "colours": CONFIDENCE,
        "words": {name: words[name] for name in ("columns", "of", "confidence", "statuses")},
    }
