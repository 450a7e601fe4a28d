"""How large, how steep, how far: the distributions of an inventory that a report shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyproj
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from configs.area import WGS84
from configs.event import Event
from configs.stack import Rows, Stack
from inventory.footprints import middles, step_for, thinned
from inventory.outline.outline import code_of, strips
from inventory.outline.polygons import through

Floats = NDArray[np.float64]

_FEWEST = 30
"""Landslides a tail must hold to be fitted. Chosen; Clauset et al. (2009) advise about 50 for a
sharp x_min.
"""
_SLOPE_BINS_DEG = np.arange(0.0, 75.0, 5.0)
_GROUND_PX = 1000
"""Longest side of the coarse grid the ground is sampled on."""


@dataclass(frozen=True)
class Tail:
    """A power law p(A) ~ A^-alpha above x_min, by maximum likelihood."""

    alpha: float
    standard_error: float
    x_min_m2: float
    count: int
    """Landslides above x_min."""
    distance: float
    """Kolmogorov-Smirnov distance between tail and fit."""


def power_law_tail(areas_m2: Floats) -> Tail | None:
    """Return the tail of an area distribution; None where too few landslides are left to fit one.

    Clauset, Shalizi & Newman (2009), SIAM Review 51: alpha by eq. 3.1, its error by eq. 3.2, x_min
    by the least Kolmogorov-Smirnov distance (section 3.3).
    """
    areas = np.sort(np.asarray(areas_m2, dtype=float))
    starts = np.unique(areas)
    best: Tail | None = None
    for x_min in starts[:: max(1, len(starts) // 200)]:
        tail = areas[areas >= x_min]
        if len(tail) < _FEWEST:
            break
        logs = np.log(tail / x_min).sum()
        if logs <= 0:
            continue
        alpha = 1 + len(tail) / logs
        expected = 1 - (tail / x_min) ** (1 - alpha)
        steps = np.arange(len(tail)) / len(tail)
        gap = float(
            np.maximum(np.abs(steps - expected), np.abs(steps + 1 / len(tail) - expected)).max()
        )
        if best is None or gap < best.distance:
            best = Tail(alpha, (alpha - 1) / np.sqrt(len(tail)), float(x_min), len(tail), gap)
    return best


class Density(NamedTuple):
    """Area-frequency density in logarithmic bins: middles in m² and landslides per m² of area, as a
    share of all.
    """

    area_m2: Floats
    density: Floats


def area_density(areas_m2: Floats, bins_per_decade: int = 6) -> Density:
    """Return the probability density of landslide areas (Malamud et al. 2004, eq. 1); empty bins
    left out.
    """
    if not len(areas_m2):
        return Density(np.empty(0), np.empty(0))
    low, high = np.log10(areas_m2.min()) - 1e-9, np.log10(areas_m2.max()) + 1e-9
    edges = 10 ** np.linspace(low, high, max(2, int((high - low) * bins_per_decade) + 2))
    counts, _ = np.histogram(areas_m2, edges)
    full = counts > 0
    middles = np.sqrt(edges[1:] * edges[:-1])
    return Density(middles[full], (counts / np.diff(edges) / len(areas_m2))[full])


@dataclass(frozen=True)
class Ground:
    """The observed ground, sampled on a coarse grid: one value a sample."""

    slope_deg: Floats
    distance_km: Floats
    sample_km2: float


def ground(stack: Stack, probability: Rows, observation: Rows, event: Event) -> Ground:
    """Return slope and distance to the epicentre of the observed ground; slopes are NaN where the
    stack has none.
    """
    step = step_for(stack.shape, _GROUND_PX)
    slopes, distances = [], []
    at, across = (middles(n, step) for n in stack.shape)
    x0, y0 = epicentre(stack, event)
    affine = stack.geobox.affine
    for strip in strips(probability, observation):
        seen = thinned(strip.seen, strip.rows, stack.shape, step)
        rows, columns = np.nonzero(seen)
        inside = at[(at >= strip.rows.start) & (at < strip.rows.stop)]
        pixels = np.stack([across[columns], inside[rows]], axis=1) + 0.5
        x, y = through(affine, pixels).T
        distances.append(np.hypot(x - x0, y - y0) / 1000)
        if "slope" in stack.band_names and seen.any():
            slopes.append(
                thinned(stack.read("slope", strip.rows), strip.rows, stack.shape, step)[
                    seen
                ].astype(float)
            )
        else:
            slopes.append(np.full(len(rows), np.nan))
    km2 = abs(affine.determinant) * step**2 / 1e6
    return Ground(np.concatenate(slopes), np.concatenate(distances), km2)


def epicentre(stack: Stack, event: Event) -> tuple[float, float]:
    """Return the epicentre in the stack's CRS, metres."""
    to_crs = pyproj.Transformer.from_crs(WGS84, code_of(stack.geobox.crs), always_xy=True)
    x, y = to_crs.transform(event.longitude, event.latitude)
    return float(x), float(y)


class Shares(NamedTuple):
    """A histogram: edges `(bin + 1,)`, and two values a bin."""

    edges: Floats
    landslides: Floats
    ground: Floats


def slope_shares(slopes_deg: Floats, on: Ground) -> Shares:
    """Return the shares of landslides and of the observed ground in classes of 5 degrees."""
    mine, all_ground = slopes_deg[np.isfinite(slopes_deg)], on.slope_deg[np.isfinite(on.slope_deg)]
    parts = [
        np.histogram(each, _SLOPE_BINS_DEG)[0] / max(1, len(each)) for each in (mine, all_ground)
    ]
    return Shares(_SLOPE_BINS_DEG, parts[0], parts[1])


def distance_shares(distances_km: Floats, areas_m2: Floats, on: Ground, bins: int = 12) -> Shares:
    """Return, by distance to the epicentre, which share of the observed ground is landslide, and
    the ground in km².
    """
    if not len(on.distance_km):
        return Shares(np.zeros(1), np.empty(0), np.empty(0))
    span = max(float(on.distance_km.max()), 0.1)
    width = next(
        step * 10.0**power
        for power in range(-2, 5)
        for step in (1, 2, 5)
        if step * 10.0**power >= span / bins
    )
    edges = np.arange(np.floor(on.distance_km.min() / width), np.ceil(span / width) + 1) * width
    landslides = np.histogram(distances_km, edges, weights=areas_m2 / 1e6)[0]
    km2 = np.histogram(on.distance_km, edges)[0] * on.sample_km2
    return Shares(edges, np.divide(landslides, km2, out=np.zeros(len(km2)), where=km2 > 0), km2)


_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Sizes:
    """The sizes of one side."""

    count: int
    total_m2: float
    quantiles_m2: dict[str, float]
    tail: Tail | None
    """Power law above x_min by maximum likelihood; None where too few landslides are left."""


@dataclass(frozen=True)
class _SizeComparison:
    """The sizes of both sides, over what both observed."""

    reference: Sizes
    predicted: Sizes
    ks_distance: float
    """Largest gap between the two cumulative distributions, 0 (the same) to 1; NaN where a side has
    none.
    """

    def as_plain(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types."""
        return {
            "reference": _plain(self.reference),
            "predicted": _plain(self.predicted),
            "ks_distance": self.ks_distance,
        }


def _plain(sizes: Sizes) -> dict[str, Any]:
    return asdict(sizes)


def _sizes_of(areas_m2: Floats) -> Sizes:
    """Return the sizes of landslides with these areas."""
    quantiles = (
        np.quantile(areas_m2, _QUANTILES).tolist()
        if len(areas_m2)
        else [float("nan")] * len(_QUANTILES)
    )
    named = {
        f"{share:g}": round(value, 1) for share, value in zip(_QUANTILES, quantiles, strict=True)
    }
    return Sizes(len(areas_m2), round(float(areas_m2.sum()), 1), named, power_law_tail(areas_m2))


def compare_sizes(reference_m2: Floats, predicted_m2: Floats) -> _SizeComparison:
    """Return how the sizes of an inventory compare with those of a reference.

    Args:
        reference_m2: areas of the reference's landslides, as far as both observed them.
        predicted_m2: areas of the inventory's.
    """
    both = len(reference_m2) and len(predicted_m2)
    distance = float(ks_2samp(reference_m2, predicted_m2).statistic) if both else float("nan")
    return _SizeComparison(_sizes_of(reference_m2), _sizes_of(predicted_m2), distance)
