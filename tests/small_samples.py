"""A small sample set whose landslides are bright and steep, for tests of training, scoring and
explaining.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from configs.records import Level
from tiles.cut import Chipping, Labelled, cut
from tiles.samples import Origin, SampleSet
from tiles.split import Splits
from tiles.split import bands as split_bands

BANDS = ("post_B4", "post_B3", "slope")
SIDE = 192


def small_samples(
    out: Path,
    seed: int = 0,
    name: str = "valley",
    bands: tuple[str, ...] = BANDS,
    simulated: bool = False,
) -> SampleSet:
    """Return a sample set of 192×192 px in three splits: train, validation, test; the third band
    has nothing to say.
    """
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 5)
    slide = field > np.quantile(field, 0.9)
    noise = rng.normal(size=(len(bands), SIDE, SIDE))
    pixels = np.stack(
        [
            0.1 + 0.01 * noise[0] + 0.15 * slide,
            0.08 + 0.01 * noise[1] + 0.1 * slide,
            20 + 5 * noise[2],
        ]
    )
    origin = Origin(
        name=name,
        title=name,
        sensor="sentinel-2",
        level=Level.TOA,
        resolution_m=10,
        simulated=simulated,
        licence="CC0-1.0",
    )
    raster = Labelled(
        pixels.astype(np.float32),
        GeoBox((SIDE, SIDE), Affine(10, 0, 500_000, 0, -10, 4_700_000), "EPSG:32654"),
        slide.astype(np.uint8),
        Splits(
            split_bands((SIDE, SIDE), "northing", 3, 4), {0: "train", 1: "validation", 2: "test"}
        ),
        bands,
    )
    return cut(raster, out, origin=origin, chipping=Chipping(32, 32))
