"""Can one see where the tiles were? Jumps across tile borders against jumps between ordinary
neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiles.grid import Span, TileGrid


class Seams(NamedTuple):
    """Mean absolute difference between neighbouring pixels, in the map's unit; NaN where there are
    no such pairs.
    """

    across: float
    """Of pairs with a tile border between them."""
    interior: float
    """Of all other pairs."""

    @property
    def ratio(self) -> float:
        """Return how much larger jumps across borders are; 1 for a map without seams."""
        return self.across / self.interior if self.interior else float("nan")


def seams(values: NDArray[np.floating], grid: TileGrid) -> Seams:
    """Return the seams of a map `(y, x)` made with `grid`; pairs with a NaN do not count.

    Borders are the edges of cores in mode `core` and of windows in mode `blend`, never the raster's
    own border.
    """
    total, count = np.zeros(2), np.zeros(2, np.int64)
    for axis, spans in enumerate((grid.rows, grid.columns)):
        jump = np.abs(np.diff(values.astype(np.float64), axis=axis))
        border = _borders(spans, grid.shape[axis])
        for kind, chosen in enumerate((border, ~border)):
            part = np.compress(chosen, jump, axis=axis)
            known = np.isfinite(part)
            total[kind] += part[known].sum()
            count[kind] += known.sum()
    across, interior = (
        float(t / c) if c else float("nan") for t, c in zip(total, count, strict=True)
    )
    return Seams(across, interior)


def _borders(spans: tuple[Span, ...], length: int) -> NDArray[np.bool_]:
    """Return for each pair (i, i + 1) along an axis whether a tile begins or ends between them."""
    border = np.zeros(max(length - 1, 0), np.bool_)
    for span in spans:
        for edge in (span.core_start, span.core_stop):
            if 0 < edge < length:
                border[edge - 1] = True
    return border
