"""The lie of the land as a grey picture, and the means of blocks that every small picture is made
of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.colors import LightSource
from numpy.typing import NDArray
from PIL import Image

from configs.stack import Stack
from inventory.footprints import step_for

_STRETCH = (1.0, 99.0)
"""Percentiles that become black and white. Chosen by eye on the Iburi scene."""
_LIGHT = LightSource(azdeg=315, altdeg=45)
"""From the north-west, as maps are lit."""


def thin(read: Callable[[slice], NDArray[Any]], height: int, step: int) -> NDArray[np.float32]:
    """Return the means of blocks of `step` pixels; NaN only where a whole block is."""
    rows_at_once = step * max(1, 512 // step)
    parts = []
    for first in range(0, height, rows_at_once):
        block = read(slice(first, min(first + rows_at_once, height))).astype(np.float32)
        padded = np.pad(block, [(0, -n % step) for n in block.shape], constant_values=np.nan)
        tiles = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
        known = np.isfinite(tiles)
        count = known.sum(axis=(1, 3))
        total = np.where(known, tiles, 0).sum(axis=(1, 3))
        parts.append(
            np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)
        )
    return np.concatenate(parts)


def stretched(band: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = band[np.isfinite(band)]
    if not known.size:
        return np.zeros(band.shape, np.uint8)
    low, high = np.percentile(known, _STRETCH)
    scaled = np.clip((band - low) / max(high - low, 1e-6), 0, 1) ** 0.8
    return np.where(np.isfinite(band), 20 + 235 * scaled, 0).astype(np.uint8)


def shaded(stack: Stack, largest_px: int) -> NDArray[np.float32] | None:
    """Return the shaded relief, 0 to 1, NaN where the terrain is not known: made of the elevation,
    else the stack's own; None where it has neither.
    """
    step = step_for(stack.shape, largest_px)
    for name in ("dem", "hillshade"):
        if name in stack.band_names:
            found = thin(partial(stack.read, name), stack.shape[0], step)
            if name == "dem":
                return _lit(found, step * abs(stack.geobox.affine.a))
            return (found / 255).astype(np.float32)
    return None


def _lit(elevation_m: NDArray[np.float32], spacing_m: float) -> NDArray[np.float32]:
    known = np.isfinite(elevation_m)
    if min(elevation_m.shape) < 2 or not known.any():
        return np.full(elevation_m.shape, np.nan, np.float32)
    whole = np.where(known, elevation_m, np.nanmean(elevation_m)).astype(np.float64)
    lit = _LIGHT.hillshade(whole, vert_exag=1.5, dx=spacing_m, dy=spacing_m)
    return np.where(known, lit, np.nan).astype(np.float32)


def terrain(stack: Stack, largest_px: int) -> Image.Image:
    """Return a grey picture of the terrain, for where no image is."""
    step = step_for(stack.shape, largest_px)
    lit = shaded(stack, largest_px)
    if lit is not None:
        grey = np.where(np.isfinite(lit), 20 + 235 * lit, 0).astype(np.uint8)
    elif "slope" in stack.band_names:
        grey = stretched(thin(partial(stack.read, "slope"), stack.shape[0], step))
    else:
        grey = np.full([-(-n // step) for n in stack.shape], 127, np.uint8)
    return Image.fromarray(np.stack([grey] * 3, axis=2))
