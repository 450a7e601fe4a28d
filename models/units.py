"""What one observation of the joint MMD is: a pixel, the mean of a square patch, or the patch as
one long vector.

Paper 000 does not say. Patches are drawn as pixels are (`models.reference`): observed throughout,
at least half of them on sloping ground, every block its share. Which unit tells F1 best is measured
in docs/mmd-unit.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import RequestError
from configs.selection import SelectionConfig
from models.mmd import Blocked
from models.reference import Reference
from models.sampling import WINDOW_PX, Blocks, Patches, Pixels, Usable, block_px, windows


def patches(
    pixels: Pixels,
    bands: Sequence[str],
    usable: Usable,
    settings: SelectionConfig,
    *,
    resolution_m: float,
    slope_min_deg: float,
    seed: int = 0,
) -> Patches | None:
    """Return the patches of a scene or a training area that the settings ask for, None where they
    ask for pixels.

    They lie on a grid and are drawn evenly, each block its share; the arguments are those of
    `models.reference.sample`.

    Raises:
        RequestError: blocks are smaller than a patch.
    """
    if settings.unit == "pixel":
        return None
    side_px, side = settings.unit_px, block_px(resolution_m, settings.block_m) // settings.unit_px
    if side < 1:
        raise RequestError(
            f"patches of {side_px} px at {resolution_m:g} m are larger than blocks of "
            f"{settings.block_m:g} m",
            "Set a smaller `unit_px`, or a larger `block_m`.",
        )
    shape = (pixels.shape[0] // side_px, pixels.shape[1] // side_px)
    whole = _whole(pixels, usable, side_px, slope_min_deg)
    blocks = Blocks(side, -(-shape[0] // side), -(-shape[1] // side))
    every = list(windows(shape, max(side, WINDOW_PX // side_px)))
    quota = blocks.quotas(every, whole, settings.patches, seed)
    values, numbers = (
        [np.empty((0, len(bands), side_px, side_px), np.float32)],
        [np.empty(0, np.int32)],
    )
    for y, x in every:
        inside = whole(y, x)
        if not inside.any():
            continue
        window = np.stack(
            [_tiles(pixels.read(name, *_fine(y, x, side_px)), side_px) for name in bands]
        )
        for rows, columns, block in blocks.draw(inside, (y, x), quota, seed):
            drawn = window[:, rows, :, columns]  # (drawn, band, side, side)
            known = np.isfinite(drawn).all(axis=(1, 2, 3))
            values.append(drawn[known])
            numbers.append(np.full(int(known.sum()), block, np.int32))
    drawn, number = np.concatenate(values), np.concatenate(numbers)
    return Patches(drawn, number, np.zeros(len(drawn), np.int32))


def observations(
    drawn: Reference, bands: Sequence[str], settings: SelectionConfig
) -> NDArray[np.float64]:
    """Return what is compared of some bands, `(n, bands, k)`: k is 1 for pixels and means, the
    patch's area for vectors.

    Raises:
        RequestError: patches are asked for and the sample holds none of that side.
    """
    if settings.unit == "pixel":
        return drawn.columns(bands).astype(np.float64)[:, :, None]
    held = _held(drawn, settings)
    chosen = held.values[:, [drawn.bands.index(name) for name in bands]].astype(np.float64)
    flat = chosen.reshape(*chosen.shape[:2], -1)
    return flat.mean(axis=2, keepdims=True) if settings.unit == "patch_mean" else flat


def _held(drawn: Reference, settings: SelectionConfig) -> Patches:
    held = drawn.patches
    if held is None or held.side_px != settings.unit_px or not len(held):
        has = "none" if held is None or not len(held) else f"patches of {held.side_px} px"
        raise RequestError(
            f"`unit: {settings.unit}` compares patches of {settings.unit_px} px, and the sample of "
            f"{', '.join(drawn.domains)} holds {has}",
            "Set `unit: pixel` in configs/selection.yaml, or train the card again under "
            "this setting.",
        )
    return held


def spreads(
    bands: Iterable[str], scene: Reference, cards: Sequence[Reference], settings: SelectionConfig
) -> dict[str, float]:
    """Return the standard deviation of each band's observations over scene and cards together, half
    and half.
    """
    found = {}
    for band in bands:
        samples = [observations(one, (band,), settings) for one in (scene, *cards)]
        weights = np.array([0.5, *[0.5 / len(cards)] * len(cards)])
        means, squares = (
            np.array([part(one) for one in samples]) for part in (np.mean, lambda x: np.mean(x * x))
        )
        variance = float(weights @ squares - (weights @ means) ** 2)
        found[band] = float(np.sqrt(max(variance, 0.0))) or 1.0
    return found


def blocked(
    drawn: Reference, bands: Sequence[str], spread: dict[str, float], settings: SelectionConfig
) -> Blocked:
    """Return the observations of some bands in units of their spread, `(n, d)`, each with its
    block.
    """
    values = (
        observations(drawn, bands, settings)
        / np.array([spread[band] for band in bands])[None, :, None]
    )
    block = drawn.block if settings.unit == "pixel" else _held(drawn, settings).block
    return Blocked.of(values.reshape(len(values), -1), block)


def _fine(rows: slice, columns: slice, side_px: int) -> tuple[slice, slice]:
    """Return the pixels of a window of patches."""
    return slice(rows.start * side_px, rows.stop * side_px), slice(
        columns.start * side_px, columns.stop * side_px
    )


def _tiles(window: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Return a window `(y, x)` as `(rows, side, columns, side)`."""
    height, width = window.shape
    return window.reshape(height // side_px, side_px, width // side_px, side_px)


def _whole(pixels: Pixels, usable: Usable, side_px: int, slope_min_deg: float) -> Usable:
    """Return which patches `(rows, columns)` of the grid are usable throughout, and at least half
    on sloping ground.
    """

    def whole(rows: slice, columns: slice) -> NDArray[np.bool_]:
        window = _fine(rows, columns, side_px)
        inside = _tiles(usable(*window), side_px).all(axis=(1, 3))
        if slope_min_deg > 0 and inside.any():
            sloping = _tiles(pixels.read("slope", *window) >= slope_min_deg, side_px)
            inside = inside & (sloping.mean(axis=(1, 3)) >= 0.5)
        return np.asarray(inside)

    return whole
