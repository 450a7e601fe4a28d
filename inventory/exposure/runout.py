"""What lies below a landslide: where its debris may still go, by the shape of the ground and a
least angle of reach.

The rule, a simple relative of Flow-R (Horton et al. 2013, NHESS 13, 869-885): from every pixel of
the landslide a path goes on to each of the eight neighbours that is not higher and nearly as steep
as the steepest one, as long as the line from the crown (the landslide's highest pixel) along the
path dips by the angle of reach or more. It is indicative: no volumes, no velocities, no channels,
no walls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from configs.product import AffectedConfig
from configs.stack import Stack
from inventory.outline.polygons import polygonise, through

BLOCK_PX = 2048
"""Landslides are followed block by block; only a block's terrain, and what lies within reach of it,
is in memory.
"""
_LEAST_SHARE = 0.8
"""Share of the steepest gradient from which a path goes there too. Chosen: on a plane these are the
two directions of the eight that flank the fall line, as in D-infinity (Tarboton 1997)."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def reach_angles_deg(area_m2: Floats, config: AffectedConfig) -> Floats:
    """Return the least angle of reach of landslides by their size, in degrees.

    Corominas (1996), Can. Geotech. J. 33, 260-271, all landslides: log10(H/L) = -0.047 - 0.085
    log10 V; volume in m³ from Guzzetti et al. (2009), EPSL 279, 222-229: V = 0.074 A^1.450.
    """
    if config.reach_angle_deg is not None:
        return np.full(len(area_m2), config.reach_angle_deg)
    volume = 0.074 * np.maximum(area_m2, 1.0) ** 1.450
    angles: Floats = np.degrees(np.arctan(10 ** (-0.047 - 0.085 * np.log10(volume))))
    return angles


_STEPS = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx])


@dataclass(frozen=True)
class _Front:
    """Pixels a path has just come to: flat index, path from the crown and path outside the
    landslide, in metres.
    """

    at: NDArray[np.int64]
    far_m: Floats
    outside_m: Floats


def below(
    mask: Mask, elevation_m: NDArray[Any], resolution_m: float, angle_deg: float, limit_m: float
) -> Mask:
    """Return which pixels `(y, x)` lie below a landslide and within its reach; its own pixels are
    not among them.

    Args:
        mask: the landslide's pixels.
        elevation_m: the ground, NaN where not known: paths end there.
        resolution_m: side of a pixel.
        angle_deg: least dip of the line from the crown along the path.
        limit_m: longest path outside the landslide.
    """
    ground = np.pad(elevation_m.astype(np.float64), 1, constant_values=np.nan)
    reached = np.pad(mask, 1).ravel()
    width = ground.shape[1]
    z = np.nan_to_num(ground.ravel(), nan=np.inf)
    own = np.flatnonzero(reached & np.isfinite(z))
    if not len(own):
        return np.zeros(mask.shape, bool)
    crown = own[np.argmax(z[own])]
    away = np.hypot(own // width - crown // width, own % width - crown % width) * resolution_m
    front = _Front(own, away, np.zeros(len(own)))
    offsets, lengths = _STEPS @ (width, 1), np.hypot(*_STEPS.T) * resolution_m
    tangent, found = np.tan(np.radians(angle_deg)), np.zeros(len(reached), bool)
    while len(front.at):
        to = front.at[:, None] + offsets  # (front, 8)
        dip = (z[front.at][:, None] - z[to]) / lengths
        far, outside = front.far_m[:, None] + lengths, front.outside_m[:, None] + lengths
        go = (dip >= np.maximum(_LEAST_SHARE * dip.max(axis=1), 0)[:, None]) & ~reached[to]
        go &= (z[crown] - z[to] >= tangent * far) & (outside <= limit_m)
        order = np.argsort(
            far[go], kind="stable"
        )  # of several paths to a pixel the shortest counts
        at, first = np.unique(to[go][order], return_index=True)
        front = _Front(at, far[go][order][first], outside[go][order][first])
        reached[at] = found[at] = True
    return found.reshape(ground.shape)[1:-1, 1:-1]


def _blocks(centres_px: Floats) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of the landslides of each block, by the block their centre lies in."""
    blocks = np.floor_divide(centres_px, BLOCK_PX).astype(np.int64)
    _, member = np.unique(blocks, axis=0, return_inverse=True)
    for number in range(int(member.max(initial=-1)) + 1):
        yield np.flatnonzero(member.ravel() == number)


def _pixel_bounds(geometry: NDArray[Any], geobox: GeoBox, margin_px: int) -> NDArray[np.int64]:
    """Return (left, top, right, bottom) in pixels, `(n, 4)`, a margin added, within the grid."""
    bounds = shapely.bounds(geometry)
    corners = through(~geobox.affine, bounds.reshape(-1, 2)).reshape(-1, 4)
    low = np.floor(np.minimum(corners[:, :2], corners[:, 2:])) - margin_px
    high = np.ceil(np.maximum(corners[:, :2], corners[:, 2:])) + margin_px
    height, width = (int(n) for n in geobox.shape)
    clipped: NDArray[np.int64] = np.clip(
        np.hstack([low, high]), 0, [width, height, width, height]
    ).astype(np.int64)
    return clipped


def zones_below(landslides: gpd.GeoDataFrame, stack: Stack, config: AffectedConfig) -> NDArray[Any]:
    """Return for each landslide what lies below it as a MultiPolygon, empty where nothing does or
    the stack has no elevation.
    """
    geometry = landslides.geometry.to_numpy()
    zones = np.array([shapely.MultiPolygon()] * len(geometry), dtype=object)
    if "dem" not in stack.band_names or not len(geometry):
        return zones
    geobox, resolution_m = stack.geobox, abs(stack.geobox.affine.a)
    angles = reach_angles_deg(landslides["area_m2"].to_numpy(dtype=float), config)
    windows = _pixel_bounds(geometry, geobox, int(np.ceil(config.reach_limit_m / resolution_m)))
    centres = through(~geobox.affine, shapely.get_coordinates(shapely.centroid(geometry)))
    for members in _blocks(centres):
        left, top = windows[members, :2].min(axis=0)
        right, bottom = windows[members, 2:].max(axis=0)
        ground = stack.read("dem", slice(top, bottom), slice(left, right))
        for i in members:
            x0, y0, x1, y1 = (int(n) for n in windows[i])
            affine = geobox.affine @ Affine.translation(x0, y0)
            mask = (
                rasterize(
                    [geometry[i]], out_shape=(y1 - y0, x1 - x0), transform=affine, dtype="uint8"
                )
                == 1
            )
            here = ground[y0 - top : y1 - top, x0 - left : x1 - left]
            zones[i] = _outline(
                below(mask, here, resolution_m, angles[i], config.reach_limit_m), affine
            )
    return zones


def _outline(mask: Mask, affine: Affine) -> Any:
    """Return everything true as one MultiPolygon."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return shapely.MultiPolygon()
    part = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    shapes = polygonise(part, affine @ Affine.translation(int(columns[0]), int(rows[0])))
    return shapely.MultiPolygon(shapely.get_parts(shapes).tolist())
