"""Rules with reasons: what of the outlined patches is no landslide, and why (design 2.9). The numbers are in `CleanConfig`."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from configs.clean import CleanConfig
from inventory.measure import Floats, Measures

Verdict = tuple[NDArray[np.bool_], Floats, str]
"""Which patches a rule rejects, the value it looked at, and the sentence with a place for that value."""


def _share(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return share


def _verdicts(patches: gpd.GeoDataFrame, measures: Measures, config: CleanConfig) -> list[Verdict]:
    """Return what each rule that is on says; NaN (not known) never rejects."""
    verdicts: list[Verdict] = []
    sums = measures.sums
    if (limit := config.min_area_m2) is not None:
        area = patches["area_m2"].to_numpy()
        verdicts.append((area < limit, area, f"area {{:.0f}} m² is below {limit:g} m²"))
    if (limit := config.max_length_width_ratio) is not None:
        ratio = patches["length_width_ratio"].to_numpy()
        verdicts.append((ratio > limit, ratio, f"length by width {{:.1f}} is above {limit:g}"))
    if (limit := config.min_slope_deg) is not None:
        slope = patches["slope_mean_deg"].to_numpy()
        verdicts.append((slope < limit, slope, f"mean slope {{:.1f}}° is below {limit:g}°"))
    if (limit := config.max_water_fraction) is not None:
        water = np.minimum(_share(sums["water"], sums["pixels"]), 1)
        verdicts.append((water > limit, 100 * water, f"water on {{:.0f}} % of it, more than {100 * limit:g} %"))
    if (limit := config.bare_before_ndvi) is not None:
        pre, post = (_share(sums[when], sums["ndvi_pixels"]) for when in ("pre", "post"))
        bare = (pre < limit) & (pre - post < config.bare_min_drop)
        verdicts.append((bare, pre, f"already bare before the event: NDVI {{:.2f}} is below {limit:g}"))
    if (limit := config.max_edge_fraction) is not None:
        edge = patches["edge_fraction"].to_numpy()
        words = f"{{:.0f}} % of its outline borders on what was not observed, more than {100 * limit:g} %"
        verdicts.append((edge > limit, 100 * edge, words))
    return verdicts


def reasons(patches: gpd.GeoDataFrame, measures: Measures, config: CleanConfig) -> NDArray[Any]:
    """Return for each patch why it is rejected, all reasons in one line; empty for those that stay."""
    found: list[list[str]] = [[] for _ in range(len(patches))]
    for rejected, values, words in _verdicts(patches, measures, config):
        for i in np.flatnonzero(rejected):
            found[i].append(words.format(values[i]))
    return np.array(["; ".join(each) for each in found], dtype=object)
