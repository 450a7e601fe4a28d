"""The fields of a landslide (contract): from its outline, and from what its pixels say.

Areas and lengths are planimetric, in the metres of the run's UTM zone; `length_m` and `width_m` are
the sides of the minimum rotated rectangle, `perimeter_m` follows the pixel edges. Nothing here is
in degrees but `lon`, `lat`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray

from configs.area import WGS84
from configs.checkpoint import Confidence
from configs.clean import CleanConfig
from configs.records import Domain
from inventory.outline.measure import Floats, Measures

STATUSES = ("unreviewed", "confirmed", "dismissed")
CONFIDENCES = ("high", "medium", "low")
KINDS = ("single", "complex")
_COMPLEX_M2 = 1e6
"""From this size an outline is complex. Chosen: fewer than one in a thousand landslides of an event
is larger (Malamud et al. 2004)."""

FIELDS: dict[str, str] = {
    "id": "Name of the landslide, the same in every revision of the event",
    "area_m2": "Planimetric area in square metres",
    "perimeter_m": "Length of the outline along the pixel edges, holes included, in metres",
    "length_m": "Long side of the minimum rotated rectangle in metres",
    "width_m": "Short side of the minimum rotated rectangle in metres",
    "length_width_ratio": "Length divided by width",
    "lon": "Longitude of the centroid, WGS 84, degrees",
    "lat": "Latitude of the centroid, WGS 84, degrees",
    "probability_mean": "Mean landslide probability of its pixels, 0 to 1",
    "probability_max": "Largest landslide probability of its pixels, 0 to 1",
    "confidence": "high, medium or low: how often landslides of such a mean probability "
    "were right where the checkpoint was measured; never high in an out-of-domain run",
    "slope_mean_deg": "Mean slope of its pixels in degrees",
    "relief_m": "Highest minus lowest elevation of its pixels in metres",
    "pre_date": "Oldest pre-event acquisition (UTC) under its pixels: it is younger than this",
    "post_date": "Latest post-event acquisition (UTC) under its pixels: it is older than this",
    "first_seen": "Latest acquisition of the first revision that shows it",
    "last_seen": "Latest acquisition of the last revision that shows it",
    "status": "unreviewed, confirmed or dismissed; edit this in a GIS, later revisions keep it",
    "card": "Checkpoint that drew most of it",
    "edge_fraction": "Share of its outline beyond which nothing was observed: above 0 the true "
    "shape may be larger",
    "kind": "single, or complex: so large that it is probably several landslides",
}
"""Fields of the layers ``landslides`` and ``rejected`` in their order, with the words a GIS
shows.
"""

_INDICATIVE = "; indicative, from the user's layer"
AFFECTED: dict[str, str] = {
    "roads_m": f"Length of roads within it in metres{_INDICATIVE}",
    "roads_below_m": f"Length of roads below it within its reach in metres{_INDICATIVE}",
    "buildings": f"Buildings within it or touched by it{_INDICATIVE}",
    "buildings_below": f"Buildings below it within its reach{_INDICATIVE}",
    "people": f"People living within it{_INDICATIVE}",
    "people_below": f"People living below it within its reach{_INDICATIVE}",
}
"""Further fields of ``landslides`` where the user gives layers of what may be affected."""

DATES = ("pre_date", "post_date", "first_seen", "last_seen")
TEXTS = ("id", "confidence", "status", "card", "kind")


def _rectangle(geometry: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return (length, width) of the minimum rotated rectangles."""
    boxes = shapely.get_coordinates(shapely.oriented_envelope(geometry)).reshape(-1, 5, 2)
    sides = np.linalg.norm(np.diff(boxes[:, :3], axis=1), axis=2)  # (patch, 2)
    return sides.max(axis=1, initial=0), sides.min(axis=1, initial=np.inf)


def _centroids(geometry: NDArray[Any], crs: str) -> tuple[Floats, Floats]:
    """Return (lon, lat) of the centroids."""
    centre = shapely.centroid(geometry)
    to_wgs84 = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    lon, lat = to_wgs84.transform(shapely.get_x(centre), shapely.get_y(centre))
    return np.asarray(lon), np.asarray(lat)


def kind_of(area_m2: Floats) -> NDArray[Any]:
    """Return single or complex for areas in square metres."""
    return np.where(area_m2 < _COMPLEX_M2, *KINDS).astype(object)


def shape_fields(geometry: NDArray[Any], crs: str) -> dict[str, NDArray[Any]]:
    """Return the fields that follow from the outline alone."""
    length, width = _rectangle(geometry)
    lon, lat = _centroids(geometry, crs)
    area = shapely.area(geometry)
    return {
        "area_m2": np.round(area, 2),
        "perimeter_m": np.round(shapely.length(geometry), 2),
        "length_m": np.round(length, 2),
        "width_m": np.round(width, 2),
        "length_width_ratio": np.round(length / width, 3),
        "lon": np.round(lon, 7),
        "lat": np.round(lat, 7),
        "kind": kind_of(area),
    }


def _over(total: Floats, count: Floats) -> Floats:
    mean: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _dates(days: Floats) -> NDArray[np.datetime64]:
    """Return days since 1970 as dates, infinite ones as NaT."""
    known = np.isfinite(days)
    dates = (
        np.where(known, days, 0).astype(np.int64).astype("datetime64[D]").astype("datetime64[s]")
    )
    dates[~known] = np.datetime64("NaT")
    return dates


Limits = tuple[float, float]
"""Mean probabilities from which landslides are of high and of medium confidence."""
UNMEASURED: Limits = (np.inf, np.inf)
"""Where nothing was measured nothing is promised: every landslide is of low confidence."""


class DrawnBy(NamedTuple):
    """A checkpoint that drew landslides, and how sure they may be called."""

    card: str = ""
    limits: Limits = UNMEASURED
    out_of_domain: Domain = False


def limits_of(config: CleanConfig, measured: Confidence | None) -> Limits:
    """Return the mean probabilities from which landslides are of high and of medium confidence: the
    run's own, else what was measured of the checkpoint; infinite for a class that it never reaches,
    and where nothing was measured.
    """
    own = (measured.high, measured.medium) if measured else (None, None)
    given = (config.confidence_high, config.confidence_medium)
    high, medium = (
        np.inf if (one or other) is None else float(one or other or np.inf)
        for one, other in zip(given, own, strict=True)
    )
    return high, medium


def confidence_of(mean: Floats, limits: Limits, out_of_domain: Domain) -> NDArray[Any]:
    """Return high, medium or low for mean probabilities: always low where nothing is known of how
    the checkpoint does, or that it does not work.
    """
    names = np.where(mean >= limits[0], 0, np.where(mean >= limits[1], 1, 2))
    return np.array(CONFIDENCES, dtype=object)[np.maximum(names, 2 if out_of_domain else 0)]


def attributed(
    geometry: NDArray[Any],
    measures: Measures,
    crs: str,
    resolution_m: float,
    drawn_by: DrawnBy,
    filled_by: DrawnBy | None = None,
) -> gpd.GeoDataFrame:
    """Return patches with every field but `id`, in the order of `FIELDS`: by the checkpoint used,
    or its fallback where that drew more than half of one.
    """
    sums, least, most = measures.sums, measures.least, measures.most
    relief = most["elevation_high"] - least["elevation_low"]
    mean = _over(sums["probability"], sums["pixels"])
    shape = shape_fields(geometry, crs)
    post = _dates(most["post_date"])
    by = (drawn_by, filled_by or drawn_by)
    filled = (2 * sums["filled"] > sums["pixels"]).astype(int)
    sure = [confidence_of(mean, one.limits, one.out_of_domain) for one in by]
    columns: dict[str, Any] = {
        "id": np.full(len(geometry), "", dtype=object),
        **shape,
        "probability_mean": np.round(mean, 4),
        "probability_max": np.round(most["probability_max"], 4),
        "confidence": np.choose(filled, sure),
        "slope_mean_deg": np.round(_over(sums["slope"], sums["slope_pixels"]), 2),
        "relief_m": np.round(np.where(np.isfinite(relief), relief, np.nan), 1),
        "pre_date": _dates(least["pre_date"]),
        "post_date": post,
        "first_seen": post,
        "last_seen": post,
        "status": np.full(len(geometry), STATUSES[0], dtype=object),
        "card": np.choose(filled, [np.array(one.card, dtype=object) for one in by]),
        "edge_fraction": np.round(_over(sums["edge"] * resolution_m, shapely.length(geometry)), 4),
    }
    return gpd.GeoDataFrame(pd.DataFrame(columns)[list(FIELDS)], geometry=geometry, crs=crs)
