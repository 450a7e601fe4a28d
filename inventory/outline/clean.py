"""Rules with reasons: what of the outlined patches is no landslide, and why. The
numbers are in `CleanConfig`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from configs.clean import CleanConfig
from inventory.outline.measure import Floats, Measures
from inventory.outline.words import LANGUAGE, numeral, words_of

_SEPARATOR = "; "
"""Between several reasons of one patch."""


class _Judgement(NamedTuple):
    """What a rule says of all patches."""

    rule: str
    """Its field in `CleanConfig`, and its sentence among the words."""
    rejected: NDArray[np.bool_]
    values: Floats
    """What it looked at, in the unit of its sentence."""
    limit: float


def _share(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return share


def _judgements(
    patches: gpd.GeoDataFrame, measures: Measures, config: CleanConfig
) -> list[_Judgement]:
    """Return what each rule that is on says; NaN (not known) never rejects."""
    verdicts: list[_Judgement] = []
    sums = measures.sums
    if (limit := config.min_area_m2) is not None:
        area = patches["area_m2"].to_numpy()
        verdicts.append(_Judgement("min_area_m2", area < limit, area, limit))
    if (limit := config.max_length_width_ratio) is not None:
        ratio = patches["length_width_ratio"].to_numpy()
        verdicts.append(_Judgement("max_length_width_ratio", ratio > limit, ratio, limit))
    if (limit := config.min_slope_deg) is not None:
        slope = patches["slope_mean_deg"].to_numpy()
        verdicts.append(_Judgement("min_slope_deg", slope < limit, slope, limit))
    if (limit := config.max_water_fraction) is not None:
        water = np.minimum(_share(sums["water"], sums["pixels"]), 1)
        verdicts.append(_Judgement("max_water_fraction", water > limit, 100 * water, 100 * limit))
    if (limit := config.bare_before_ndvi) is not None:
        pre, post = (_share(sums[when], sums["ndvi_pixels"]) for when in ("pre", "post"))
        bare = (pre < limit) & (pre - post < config.bare_min_drop)
        verdicts.append(_Judgement("bare_before_ndvi", bare, pre, limit))
    if (limit := config.max_edge_fraction) is not None:
        edge = patches["edge_fraction"].to_numpy()
        verdicts.append(_Judgement("max_edge_fraction", edge > limit, 100 * edge, 100 * limit))
    return verdicts


def reasons(patches: gpd.GeoDataFrame, measures: Measures, config: CleanConfig) -> NDArray[Any]:
    """Return for each patch why it is rejected, all reasons in one line; empty for those that
    stay.
    """
    words = words_of()["rules"]
    found: list[list[str]] = [[] for _ in range(len(patches))]
    for judgement in _judgements(patches, measures, config):
        for i in np.flatnonzero(judgement.rejected):
            found[i].append(
                words[judgement.rule]["reason"].format(
                    value=judgement.values[i], limit=judgement.limit
                )
            )
    return np.array([_SEPARATOR.join(each) for each in found], dtype=object)


def counted(reasons_given: pd.Series[Any], language: str = LANGUAGE) -> dict[str, int]:
    """Return the rules that rejected something, in words without the single values, and how often;
    most first.

    Args:
        reasons_given: as `reasons` writes them, in English.
        language: of the words that come back.
    """
    said, rules = words_of()["rules"], words_of(language)["rules"]
    patterns = [(_pattern(each["reason"]), rules[name]["rule"]) for name, each in said.items()]
    reasons = reasons_given.str.split(_SEPARATOR).explode()
    general = reasons.map(lambda reason: _general(str(reason), patterns, language))
    return {str(rule): int(count) for rule, count in general.value_counts().items()}


def _pattern(sentence: str) -> re.Pattern[str]:
    """Return the pattern of a sentence with places for `value` and `limit`."""
    parts = re.split(r"{(value|limit)[^}]*}", sentence)
    named = (f"(?P<{part}>[-+.\\w]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return re.compile("".join(named))


def _general(reason: str, patterns: list[tuple[re.Pattern[str], str]], language: str) -> str:
    for pattern, rule in patterns:
        if match := pattern.fullmatch(reason):
            return rule.format(limit=numeral(match["limit"], language))
    return reason  # a person's own words
