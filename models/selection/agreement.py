"""How far a checkpoint's map of a scene agrees with what the other checkpoints see there: no label
is needed, and of all that the leave-one-domain-out study tried (docs/results.md) it tells best
which checkpoint does well on a domain none of them has seen.

Checkpoints trained on different mixtures err in different ways where a scene is strange to them,
and alike where they are right (Jiang et al. 2022, arXiv:2106.13799; Baek et al. 2022,
arXiv:2206.13089: agreement tells accuracy under shift). Landslides are rare, so it is not the share
of equal pixels that counts, but the Dice score of a checkpoint's landslides with the share of the
others that call each pixel one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from configs.area import Area
from configs.records import Advance, silent
from configs.selection import AGREEMENT, SelectionConfig
from configs.stack import Stack
from models.inference.predict import Device, Mapper
from models.reference import Usable
from models.sampling import windows as squares
from models.selection.ranking import Compared, observed

_LEAST_PX = 64
"""Side of the smallest tile that every network takes."""

Window = tuple[slice, slice]
"""Rows and columns of a scene."""


def agreement(calls: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Return the agreement of each checkpoint with the others, 0-1, `(checkpoints,)`.

    Args:
        calls: what each checkpoint calls a landslide, over the same pixels, any one shape.

    Where neither a checkpoint nor any other calls a single pixel they agree: 1.
    """
    called = np.stack([np.asarray(one, dtype=bool).ravel() for one in calls])
    return np.array([against(one, np.delete(called, i, axis=0)) for i, one in enumerate(called)])


def against(mine: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """Return the Dice score of one checkpoint's landslides `(n,)` with the share of others
    `(checkpoints, n)` that call each pixel one.
    """
    share = others.mean(axis=0)
    total = float(mine.sum() + share.sum())
    return 2 * float(share[mine].sum()) / total if total else 1.0


def windows(stack: Stack, usable: Usable, side: int, count: int) -> list[Window]:
    """Return at most `count` square windows of `side` pixels, multiples of it on the lattice, in
    which something is usable, in reading order.

    Where there are more, half are spread evenly over the scene and half lie where vegetation was
    lost most (by the two NDVI bands, where the stack has them): a window without a landslide tells
    nothing about who finds them.
    """
    every, loss = [], []
    vegetation = {"pre_NDVI", "post_NDVI"} <= set(stack.band_names)
    for window in squares(stack.shape, side, stack.origin):
        inside = usable(*window)
        if inside.any():
            every.append(window)
            loss.append(_lost(stack, window, inside) if vegetation else 0.0)
    if len(every) <= count:
        return every
    evenly = {
        int(i) for i in np.linspace(0, len(every) - 1, count - (count // 2 if vegetation else 0))
    }
    rest = [int(i) for i in np.argsort(-np.array(loss), kind="stable") if int(i) not in evenly]
    return [every[i] for i in sorted([*evenly, *rest[: count - len(evenly)]])]


def _lost(stack: Stack, window: Window, inside: NDArray[np.bool_]) -> float:
    """Return how much NDVI the usable pixels of a window lost, summed: gains do not make up for
    losses.
    """
    fall = stack.read("pre_NDVI", *window) - stack.read("post_NDVI", *window)
    return float(np.nansum(np.clip(fall, 0, None) * inside))


def calls(
    cards: Sequence[Mapper],
    thresholds: Sequence[float],
    stack: Stack,
    places: Sequence[Window],
    usable: Usable,
    *,
    halo: int,
    advance: Advance = silent,
) -> NDArray[np.bool_]:
    """Return what each checkpoint calls a landslide, `(checkpoints, n)`: the usable pixels of all
    windows, one after the other.

    Args:
        checkpoints: checkpoints at work.
        thresholds: each one's probability from which a pixel is a landslide.
        stack: the scene.
        places: windows, the same for all cards.
        usable: which pixels count, the same for all cards.
        halo: pixels of context read on each side, where the scene has them.
        advance: called with windows done and in all.
    """
    bands = tuple(dict.fromkeys(band for card in cards for band in card.bands))
    channels = [[bands.index(band) for band in card.bands] for card in cards]
    found = [np.empty((len(cards), 0), bool)]
    for done, (rows, columns) in enumerate(places, 1):
        (top, bottom), (left, right) = (
            _wider(side, halo, size)
            for side, size in zip((rows, columns), stack.shape, strict=True)
        )
        pixels = _at_least(stack.view(bands)[:, top:bottom, left:right], _LEAST_PX)
        core = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        inside = usable(rows, columns)
        probabilities = [
            card(pixels[None, chosen])[0][core]
            for card, chosen in zip(cards, channels, strict=True)
        ]
        found.append(
            np.stack([(p >= t)[inside] for p, t in zip(probabilities, thresholds, strict=True)])
        )
        advance(done, len(places))
    return np.concatenate(found, axis=1)


def _wider(side: slice, halo: int, size: int) -> tuple[int, int]:
    return max(0, side.start - halo), min(side.stop + halo, size)


def _at_least(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return pixels `(band, y, x)` filled up with unobserved ones below and to the right."""
    missing = [(0, max(0, side - size)) for size in pixels.shape[1:]]
    return np.pad(pixels, [(0, 0), *missing], constant_values=np.nan)


def seen_by_all(sights: Sequence[Usable]) -> Usable:
    """Return which pixels every one of several checkpoints can see."""

    def inside(rows: slice, columns: slice) -> NDArray[np.bool_]:
        return np.asarray(np.logical_and.reduce([sight(rows, columns) for sight in sights]))

    return inside


_VOTERS = 3
"""Fewer checkpoints than this cannot outvote one: of two, each agrees with the other as much as the
other with it.
"""


def wanted(compared: Iterable[Compared], settings: SelectionConfig) -> bool:
    """Return whether the choice goes by agreement: a study knows all the checkpoints' bands, and
    there are enough checkpoints for it.
    """
    known = [
        settings.calibration(one.found.card.bands, one.found.card.simulated) for one in compared
    ]
    statistics = {one.statistic if one else None for one in known}
    return len(known) >= _VOTERS and AGREEMENT in statistics and None not in statistics


def agreement_on_scene(
    compared: Sequence[Compared],
    stack: Stack,
    area: Area | None,
    settings: SelectionConfig,
    device: Device,
    advance: Advance,
) -> dict[str, float]:
    """Return the agreement of each checkpoint with the others on windows of the scene, 0-1; empty
    where no pixel is seen by all.

    The others are those that read the same bands, as in the study that knows them; all candidates
    where they are too few.

    Raises:
        RequestError: a checkpoint's weights cannot be used.
        MachineError: out of memory, or the GPU was lost.
    """
    sights = {(one.found.card.needs_pre, one.found.card.requires) for one in compared}
    usable = seen_by_all([observed(stack, area, *sight) for sight in sorted(sights)])
    places = windows(stack, usable, settings.window_px, settings.windows)
    if not places:
        return {}
    cards = [one.found.load(device).adapted(one.scene) for one in compared]
    thresholds = [one.found.card.threshold for one in compared]
    called = calls(cards, thresholds, stack, places, usable, halo=settings.halo_px, advance=advance)
    every = agreement(list(called))
    for members in _alike(compared):
        if len(members) >= _VOTERS:
            every[members] = agreement(list(called[members]))
    return {one.found.card.name: float(value) for one, value in zip(compared, every, strict=True)}


def _alike(compared: Sequence[Compared]) -> list[list[int]]:
    """Return the numbers of the checkpoints that read the same bands, by their bands."""
    found: dict[tuple[frozenset[str], bool], list[int]] = {}
    for number, one in enumerate(compared):
        found.setdefault((frozenset(one.found.card.bands), one.found.card.simulated), []).append(
            number
        )
    return list(found.values())
