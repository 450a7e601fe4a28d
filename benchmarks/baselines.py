"""What a landslide network must beat: one threshold, and boosted trees on pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingClassifier

from configs.records import IGNORED
from models.metrics import Sweep

TRAINING_PIXELS = 200_000


def best_threshold(feature: NDArray[np.float32], label: NDArray[np.uint8]) -> float:
    """Return the value from which a band says landslide, by the highest F1 on `label` (255 left
    out).
    """
    known = (label != IGNORED) & np.isfinite(feature)
    low, high = float(feature[known].min()), float(feature[known].max())
    threshold, _ = Sweep.of((feature[known] - low) / (high - low), label[known]).best(0.0, 1.0)
    return low + threshold * (high - low)


def boosted_trees(
    pixels: NDArray[np.float32],
    training: NDArray[np.uint8],
    validation: NDArray[np.uint8],
    *,
    context: bool,
    seed: int,
) -> NDArray[np.bool_]:
    """Return what scikit-learn's boosted trees call landslide, `(y, x)`; threshold by F1 on the
    validation pixels.

    `context` adds the 5×5 mean of every band.
    """
    features = (
        [*pixels, *(ndimage.uniform_filter(np.nan_to_num(band), 5) for band in pixels)]
        if context
        else list(pixels)
    )
    x = np.stack([feature.ravel() for feature in features], axis=1)
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(training.ravel() != IGNORED)
    known = rng.choice(known, min(TRAINING_PIXELS, len(known)), replace=False)
    trees = HistGradientBoostingClassifier(random_state=seed).fit(x[known], training.ravel()[known])
    probability = trees.predict_proba(x)[:, 1].reshape(training.shape)
    threshold, _ = Sweep.of(probability, validation).best()
    predicted: NDArray[np.bool_] = probability >= threshold
    return predicted
