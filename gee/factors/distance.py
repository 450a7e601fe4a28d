"""How far each pixel is from the nearest line, exactly: from the pixel's centre to the line itself,
not to a burnt pixel.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee.resample import lattice

Segments = NDArray[np.float64]
"""Straight pieces of lines, `(segment, end, xy)`, in a metric CRS."""
_PATCH_PX: Final = 32
NO_SEGMENTS: Segments = np.empty((0, 2, 2))


def segments_of(lines: NDArray[np.object_]) -> Segments:
    """Return the straight pieces of line geometries (parts of multi-lines included)."""
    parts = shapely.get_parts(lines)
    points, line = shapely.get_coordinates(parts, return_index=True)
    follows = line[1:] == line[:-1]
    return np.stack([points[:-1][follows], points[1:][follows]], axis=1)


def distance_m(segments: Segments, block: GeoBox, cap_m: float) -> NDArray[np.float32]:
    """Return planimetric metres from pixel centres to the nearest segment, `(y, x)`, at most
    `cap_m`.

    A block equals the same block of a larger one, bit for bit, whatever segments beyond the cap
    either was given.

    Args:
        segments: in the block's CRS; all that come nearer than the cap to any pixel, whole.
        block: a grid in a metric CRS.
        cap_m: larger distances are not told apart.
    """
    height, width = int(block.shape[0]), int(block.shape[1])
    ours = lattice(block)
    x = ours.x(ours.column + np.arange(width, dtype=np.float64) + 0.5)
    y = ours.y(ours.row + np.arange(height, dtype=np.float64) + 0.5)
    found = np.full((height, width), cap_m, np.float32)
    _fill(found, segments, x, y)
    return found


def _fill(
    found: NDArray[np.float32], segments: Segments, x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    """Lower distances to those from segments, quarter by quarter: the smaller a patch, the fewer
    can be its nearest.
    """
    middle_x, middle_y = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
    radius = float(np.hypot(x[-1] - x[0], y[-1] - y[0])) / 2 + 1.0
    away = _to_segment(segments.transpose(1, 2, 0), middle_x, middle_y)  # (segment,)
    few = segments[
        (away <= away.min(initial=np.inf) + 2 * radius) & (away <= float(found.max()) + radius)
    ]
    if len(few) == 0:
        return
    if max(len(x), len(y)) <= _PATCH_PX:
        for segment in few:
            away = _to_segment(segment, x[None, :], y[:, None])
            np.minimum(found, away.astype(np.float32), out=found)
        return
    half_x, half_y = -(-len(x) // 2), -(-len(y) // 2)
    for rows in (slice(0, half_y), slice(half_y, None)):
        for columns in (slice(0, half_x), slice(half_x, None)):
            if found[rows, columns].size:
                _fill(found[rows, columns], few, x[columns], y[rows])


def _to_segment(segment: NDArray[np.float64], x: Any, y: Any) -> NDArray[np.float64]:
    """Return the distance from points to a segment `(end, xy)`, all broadcast together."""
    (x0, y0), (x1, y1) = segment
    dx, dy = x1 - x0, y1 - y0
    length = np.maximum(dx * dx + dy * dy, 1e-12)
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0.0, 1.0)
    return np.asarray(np.sqrt((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2))
