"""How far a checkpoint's maps err on ground held out of its training: shares of what it maps and of
what it leaves out that are traced landslide, and how surely they are known.

Neighbouring pixels are not independent samples: each share is a ratio of sums over blocks, its
variance that of a ratio over clusters (Cochran 1977, ch. 6), kept as the number of independent
samples of that variance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.checkpoint import Accuracy, Stratum
from configs.records import IGNORED

_LEAST_BLOCKS = 8
"""Fewer tell nothing of how blocks differ."""

Counts = NDArray[np.int64]
"""`(block, 2, 2)`: pixels of each block, unmapped and mapped, none and landslide."""


def counted(mapped: NDArray[np.bool_], label: NDArray[np.uint8], side: int) -> Counts:
    """Return the counts of square blocks of `side` pixels; blocks without a known pixel are left
    out.
    """
    y, x = np.nonzero(label != IGNORED)
    _, block = np.unique(np.stack([y // side, x // side]), axis=1, return_inverse=True)
    found = np.zeros((int(block.max(initial=-1)) + 1, 2, 2), np.int64)
    np.add.at(found, (block.ravel(), mapped[y, x].astype(int), (label[y, x] == 1).astype(int)), 1)
    return found


def accuracy_of(parts: Mapping[tuple[str, str], Counts]) -> Accuracy | None:
    """Return the errors on (sample set, split) -> counts; None where too little was held out, or
    mapped there, to tell.
    """
    blocks = np.concatenate([*parts.values(), np.zeros((0, 2, 2), np.int64)])
    strata = [_stratum(blocks[:, row]) for row in (1, 0)]
    if strata[0] is None or strata[1] is None:
        return None
    return Accuracy(
        mapped=strata[0],
        unmapped=strata[1],
        mapped_fraction=round(float(blocks[:, 1].sum() / blocks.sum()), 4),
        measured_on=in_words(parts),
    )


def in_words(parts: Iterable[tuple[str, str]]) -> str:
    """Return the names of the sample sets, each once."""
    return ", ".join(dict.fromkeys(name for name, _ in parts))


def _stratum(blocks: Counts) -> Stratum | None:
    """Return one class's share and how surely it is known; `blocks` `(block, 2)`."""
    blocks = blocks[blocks.sum(axis=1) > 0]
    if len(blocks) < _LEAST_BLOCKS:
        return None
    share, variance = ratio(blocks[:, 1], blocks.sum(axis=1))
    units = 1 + share * (1 - share) / variance if variance else float(len(blocks))
    return Stratum(share=round(share, 4), units=round(units, 1))


def ratio(hits: NDArray[Any], counts: NDArray[Any]) -> tuple[float, float]:
    """Return a share and its variance where both were counted block by block, two blocks or more
    (Cochran 1977, ch. 6).
    """
    count, whole = len(counts), float(counts.sum())
    share = float(hits.sum()) / whole
    scatter = float(np.sum((hits - share * counts) ** 2))
    return share, count / (count - 1) * scatter / whole**2
