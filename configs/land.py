"""Land and sea: which 0.05-degree cells of the Earth hold any land, from a picture of 150
kilobytes.

Made by `benchmarks/make_land_mask.py` from GLOBE (NOAA NGDC 1999, public domain), the mask of the
global-land-mask package, which itself takes seconds and most of a gigabyte to load. Islands under
about a square kilometre may be missing from it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.features import rasterize

from configs.area import Area

CELL_DEGREES: Final = 0.05
PATH: Final = Path(__file__).parent / "data" / "land.png"
_ROWS: Final = round(180 / CELL_DEGREES)
_COLUMNS: Final = 2 * _ROWS


@lru_cache(maxsize=1)
def land_cells() -> NDArray[np.bool_]:
    """Return which cells hold any land, `(latitude, longitude)` from 90°N and 180°W."""
    with Image.open(PATH) as picture:
        return np.asarray(picture, dtype=bool)


def land_fraction(area: Area) -> float:
    """Return the share of an area, 0-1, in cells that hold any land: 0 only where no land is in or
    beside it.

    Cells count as wholes and every cell that the area touches counts, by its true size.
    """
    west, south, east, north = area.polygon.bounds
    left, right = (
        int(np.floor((west + 180) / CELL_DEGREES)),
        int(np.ceil((east + 180) / CELL_DEGREES)),
    )
    top = max(int(np.floor((90 - north) / CELL_DEGREES)), 0)
    bottom = min(int(np.ceil((90 - south) / CELL_DEGREES)), _ROWS)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    grid = Affine(
        CELL_DEGREES, 0, left * CELL_DEGREES - 180, 0, -CELL_DEGREES, 90 - top * CELL_DEGREES
    )
    touched = rasterize(
        [area.polygon],
        (bottom - top, right - left),
        transform=grid,
        all_touched=True,
        dtype="uint8",
    )
    columns = np.arange(left, right) % _COLUMNS  # longitudes beyond 180 come round again
    land = land_cells()[top:bottom][:, columns]
    sizes = (
        np.cos(np.radians(90 - (np.arange(top, bottom) + 0.5) * CELL_DEGREES))[:, None] * touched
    )
    return float((sizes * land).sum() / sizes.sum())
