"""Small stacks on disk for tests, made of given arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox

from configs.bands import When
from configs.records import ObservationClass
from configs.stack import FORMAT, Stack, encode, grid_attributes


def make_stack(
    path: Path,
    bands: dict[str, np.ndarray],
    observation: dict[When, np.ndarray] | None = None,
    resolution_m: float = 10.0,
) -> Stack:
    """Return a stack of `(y, x)` arrays; windows are clear where nothing else is given."""
    shape = next(iter(bands.values())).shape
    # At 10 m the corner lies on whole multiples of every window that tests use, up to 512 px.
    geobox = GeoBox(
        shape, Affine(resolution_m, 0, 491_520, 0, -resolution_m, 4_700_160), "EPSG:32654"
    )
    group = zarr.create_group(path)
    group.attrs.update({"format": FORMAT, "grid": grid_attributes(geobox), "bands": list(bands)})
    for name, values in bands.items():
        group.create_array(name, data=encode(values.astype(np.float32), name), chunks=(256, 256))
    clear = np.full(shape, ObservationClass.CLEAR, np.uint8)
    for when in When:
        group.create_array(
            f"{when}_observation", data=(observation or {}).get(when, clear), chunks=(256, 256)
        )
    return Stack(path)


def landscape(
    seed: int, shape: tuple[int, int] = (384, 384), brightness: float = 0.1, spread: float = 0.03
) -> dict[str, np.ndarray]:
    """Return a landscape's bands: smooth patches of 32 px and pixel noise, slopes from 0 to 40
    degrees.
    """
    rng = np.random.default_rng(seed)

    def patches() -> np.ndarray:
        coarse = rng.normal(size=(-(-shape[0] // 32), -(-shape[1] // 32)))
        return coarse.repeat(32, 0).repeat(32, 1)[: shape[0], : shape[1]]

    common = patches()
    bands = {}
    for when in When:
        for name, factor in (("B4", 1.0), ("B3", 0.9)):
            mixed = common + 0.5 * patches() + 0.5 * rng.normal(size=shape)
            bands[f"{when}_{name}"] = np.clip(brightness * factor + spread * mixed, 0.001, 1)
    bands["slope"] = np.clip(20 + 8 * patches() + rng.normal(size=shape), 0, 60)
    return bands
