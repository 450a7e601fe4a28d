"""What was there before is no new landslide: the same post-only checkpoint maps the image from
before the event, and what it finds there is taken away (Xu et al. (preprint), §2.3: post AND NOT
pre). Where the earlier image is not clear nothing is taken away.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from configs.bands import When, parse_band
from configs.errors import RequestError
from configs.layout import RunLayout
from configs.places import drop, zarr_at
from configs.records import ObservationClass
from configs.run import RunConfig
from configs.stack import CHUNK_PX, Rows, Stack, StackView
from flows.computing import ready
from flows.flat import near_slopes
from flows.run.journal import progress
from flows.strips import grid_on
from gee.observation import Observed
from gee.observation import observe as observe_stack
from models.histogram import BandHistogram
from models.inference.adaptation import Adaptation, Matching
from models.inference.mapping import for_tiles, tiles_at_once
from models.registry import Candidates, Checkpoint
from models.selection.adaptation import adaptation_before, adaptation_of
from tiles.stitch import map_tiles
from tiles.views import Is, Without

logger = logging.getLogger(__name__)


def earlier(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the bands of the image from before the event that stand for those from after it."""
    return tuple(
        f"{When.PRE}_{name.removeprefix('post_')}" if name.startswith("post_") else name
        for name in names
    )


def bands_to_pull(cards: Candidates) -> tuple[str, ...]:
    """Return what a run needs beside its checkpoints' own bands in order to subtract."""
    return tuple(dict.fromkeys(band for found in cards for band in earlier(found.card.bands)))


def subtractable(cards: Candidates) -> Candidates:
    """Return those of the candidates that read the later image alone.

    Raises:
        RequestError: the named checkpoint, or every one, reads the image from before the event
            itself.
    """
    alone = tuple(found for found in cards if not found.card.needs_pre)
    if not alone or (cards.named and cards.by_name(cards.named).card.needs_pre):
        name = f"`{cards.named}` reads" if cards.named else "all checkpoints that fit read"
        raise RequestError(
            f"model.subtract_pre: {name} the image from before the event",
            "Name a post-only checkpoint with --checkpoint, or set `model.subtract_pre: false`.",
        )
    return replace(cards, cards=alone)


def subtract(
    run: RunConfig,
    found: Checkpoint,
    stack: Stack,
    observed: Observed,
    probability: Rows,
    layout: RunLayout,
) -> Rows:
    """Return `probability` `(y, x)` with 0 where the earlier image shows a landslide already.

    Raises:
        RequestError: the images share no clear pixel, and are to be matched.
    """
    names = earlier(found.card.bands)
    with progress("observing before") as advance:
        before = observe_stack(stack, names, run.place, layout.observed_before, progress=advance)
    logger.info(
        "%d of %d clear pixels were clear before the event too", before.clear_px, observed.clear_px
    )
    view: Rows = stack.view(names)
    if run.model.match_histograms and before.clear_px:
        view = Matched(
            stack.view(names), matchings(stack, found.card.bands, observed.array, before.array)
        )
    if (
        run.model.match_histograms or not before.clear_px
    ):  # matched, the earlier image has the later one's statistics
        adaptation = adaptation_of(found, stack, run.place, layout)
    else:
        adaptation = adaptation_before(found, stack, names, before.array)
    mapped = _map(run, found, stack, view, before, layout.probability_before, adaptation)
    threshold = run.clean.threshold or found.card.threshold
    return Without(probability, mapped, threshold)


def _map(
    run: RunConfig,
    found: Checkpoint,
    stack: Stack,
    view: Rows,
    before: Observed,
    path: Path,
    adaptation: Adaptation | None,
) -> zarr.Array[Any]:
    shape = (view.shape[1], view.shape[2])
    grid = grid_on(found.card, stack)
    drop(path)
    array = zarr.create_array(
        zarr_at(path), shape=shape, chunks=(CHUNK_PX, CHUNK_PX), dtype="float32", fill_value=np.nan
    )
    predictor = ready(found, run.model, run.model.device, len(grid))
    predictor = replace(predictor, adaptation=adaptation)
    with progress(f"mapping what was there before with {found.card.name}", "tile") as advance:
        map_tiles(
            view,
            grid,
            for_tiles(predictor),
            out=array,
            valid=Is(before.array, ObservationClass.CLEAR),
            asked=near_slopes(run.model.skip_flat_deg, found.card, stack),
            batch=tiles_at_once(predictor, run.model.batch),
            progress=advance,
        )
    return array


def matchings(
    stack: Stack, bands: tuple[str, ...], later: Rows, before: Rows
) -> tuple[Matching | None, ...]:
    """Return for each of a checkpoint's bands how the earlier image is made to look like the later
    one; None for static bands.

    Fitted to the pixels that are clear in both.
    """
    names = earlier(bands)
    moving = [i for i, name in enumerate(bands) if parse_band(name).when]
    both = {i: (BandHistogram.empty(names[i]), BandHistogram.empty(bands[i])) for i in moving}
    height, width = stack.shape
    for top in range(0, height, CHUNK_PX):
        rows = slice(top, min(top + CHUNK_PX, height))
        clear = np.ones((rows.stop - rows.start, width), bool)
        for classes in (later, before):
            clear &= np.asarray(classes[rows, :]) == ObservationClass.CLEAR
        for i, pair in both.items():
            seen = [
                stack.view([name])[slice(0, 1), rows, slice(0, width)][0][clear]
                for name in (names[i], bands[i])
            ]
            both[i] = (
                pair[0] + BandHistogram.of(seen[0], names[i]),
                pair[1] + BandHistogram.of(seen[1], bands[i]),
            )
    return tuple(Matching.between(*both[i]) if i in both else None for i in range(len(bands)))


@dataclass(frozen=True)
class Matched:
    """Some bands of a stack `(band, y, x)`, each through its matching as it is read."""

    view: StackView
    matchings: tuple[Matching | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (band, y, x)."""
        return self.view.shape

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        values = np.array(self.view[key], np.float32)
        for band, matching in zip(values, self.matchings[key[0]], strict=True):
            if matching is not None:
                band[...] = matching(band)
        return values
