"""Whether an inventory has as many landslides of each size as a reference: size-frequency side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from inventory.statistics import Floats, Tail, power_law_tail

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Sizes:
    """The sizes of one side."""

    count: int
    total_m2: float
    quantiles_m2: dict[str, float]
    tail: Tail | None
    """Power law above x_min by maximum likelihood; None where too few landslides are left."""


@dataclass(frozen=True)
class SizeComparison:
    """The sizes of both sides, over what both observed."""

    reference: Sizes
    predicted: Sizes
    ks_distance: float
    """Largest gap between the two cumulative distributions, 0 (the same) to 1; NaN where a side has none."""

    def as_plain(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types."""
        return {
            "reference": _plain(self.reference),
            "predicted": _plain(self.predicted),
            "ks_distance": self.ks_distance,
        }


def _plain(sizes: Sizes) -> dict[str, Any]:
    return asdict(sizes)


def sizes_of(areas_m2: Floats) -> Sizes:
    """Return the sizes of landslides with these areas."""
    quantiles = np.quantile(areas_m2, QUANTILES).tolist() if len(areas_m2) else [float("nan")] * len(QUANTILES)
    named = {f"{share:g}": round(value, 1) for share, value in zip(QUANTILES, quantiles, strict=True)}
    return Sizes(len(areas_m2), round(float(areas_m2.sum()), 1), named, power_law_tail(areas_m2))


def compare_sizes(reference_m2: Floats, predicted_m2: Floats) -> SizeComparison:
    """Return how the sizes of an inventory compare with those of a reference.

    Args:
        reference_m2: areas of the reference's landslides, as far as both observed them.
        predicted_m2: areas of the inventory's.
    """
    both = len(reference_m2) and len(predicted_m2)
    distance = float(ks_2samp(reference_m2, predicted_m2).statistic) if both else float("nan")
    return SizeComparison(sizes_of(reference_m2), sizes_of(predicted_m2), distance)
