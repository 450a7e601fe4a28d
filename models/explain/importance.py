"""Which factors separate landslides from the rest before any network is trained: Gini importance
(Gao et al. 2021, §V-B).

The mean decrease in impurity of a random forest on single pixels. It ranks factors, it does not
explain a network: for that see `models.explain.gradcam`. Correlated factors share their importance,
and factors of many values are favoured over classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError

_TREES = 200
_LEAF_PIXELS = 5
"""Least pixels in a leaf. Chosen: single noisy pixels otherwise make every factor look useful."""


def gini_importance(
    values: NDArray[np.floating], landslide: NDArray[np.bool_], seed: int = 0
) -> NDArray[np.float64]:
    """Return the importance of each factor `(factor,)`, none negative, together 1.

    Args:
        values: `(pixel, factor)` in any units, finite.
        landslide: `(pixel,)`.
        seed: of the forest; the same pixels and seed give the same numbers.

    Raises:
        RequestError: no pixel of one of the two kinds.
    """
    from sklearn.ensemble import RandomForestClassifier

    if not landslide.any() or landslide.all():
        raise RequestError(
            "factors cannot be ranked: the pixels are all landslide or all not",
            "Choose a split that holds both.",
        )
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAF_PIXELS, max_features="sqrt", random_state=seed
    )
    importance: NDArray[np.float64] = forest.fit(values, landslide).feature_importances_
    return importance
