"""Make `configs/data/land.png` from the global-land-mask package: 0.05 degree cells, land where any
30 arc-second cell is.

The package's mask is made of GLOBE, the Global Land One-kilometer Base Elevation (NOAA National
Geophysical Data Center, 1999; public domain), by Karin (2020). It takes seconds and most of a
gigabyte to load; the picture takes a tenth of a second.

    python benchmarks/make_land_mask.py        (needs `pip install global-land-mask`)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from global_land_mask import globe
from PIL import Image, PngImagePlugin

from configs.land import CELL_DEGREES, PATH

FINE = 21600  # rows of the source, 30 arc-seconds each, north to south


def main() -> None:
    """Write the picture."""
    step = round(FINE * CELL_DEGREES / 180)
    latitude = 90 - (np.arange(FINE) + 0.5) * 180 / FINE
    longitude = -180 + (np.arange(2 * FINE) + 0.5) * 180 / FINE
    rows = []
    for top in range(0, FINE, step):
        lat, lon = np.meshgrid(latitude[top : top + step], longitude, indexing="ij")
        rows.append(globe.is_land(lat, lon).reshape(step, -1, step).any(axis=(0, 2)))
    about = PngImagePlugin.PngInfo()
    about.add_text("Source", "GLOBE 1.0, NOAA NGDC 1999 (public domain), by global-land-mask 1.0.0")
    about.add_text(
        "Description",
        f"land in any 30 arc-second cell, {CELL_DEGREES} degree cells, 90N 180W first",
    )
    Image.fromarray(np.stack(rows)).save(PATH, optimize=True, pnginfo=about)
    print(
        f"{PATH}: {Path(PATH).stat().st_size} bytes, {np.stack(rows).mean():.4f} of the "
        "cells hold land"
    )


if __name__ == "__main__":
    main()
