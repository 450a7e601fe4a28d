"""Probability over the whole area, strip by strip to disk, so that a killed run maps only what is missing."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from configs.checkpoint import CheckpointCard
from configs.files import write_text
from configs.records import Advance, ObservationClass
from configs.stack import CHUNK_PX, Rows, Stack
from flows.views import Is
from models.predict import Chance
from tiles.grid import TileGrid
from tiles.stitch import map_tiles

logger = logging.getLogger(__name__)


def map_card(
    chance: Chance,
    card: CheckpointCard,
    stride: int,
    stack: Stack,
    observed: Rows,
    where: ObservationClass,
    path: Path,
    batch: int,
    progress: Advance,
) -> zarr.Array[Any]:
    """Return a card's landslide probability, `(y, x)` float32 on disk, NaN but where `observed` is `where`.

    Strips that are done are kept: a marker beside the array, written after the strip's chunks, names each.
    """
    grid = TileGrid.for_card(stack.shape, card.tiles, stride)
    key = json.dumps({"weights": card.weights_sha256, "stack": stack.attributes["plan_key"], "where": int(where)})
    done = _done(path, key)
    array = zarr.open_array(path, mode="r+") if done else _create(path, stack.shape)

    def finished(strip: int) -> None:
        done.add(strip)
        write_text(_marker(path), json.dumps({"key": key, "strips": sorted(done)}))

    for rows in _missing(grid.strips, done):
        map_tiles(
            stack.view(card.bands),
            grid,
            chance,
            out=array,
            valid=Is(observed, where),
            batch=batch,
            progress=progress,
            rows=rows,
            finished=finished,
        )
    return array


def _create(path: Path, shape: tuple[int, int]) -> zarr.Array[Any]:
    chunks, names = (CHUNK_PX, CHUNK_PX), ("y", "x")
    return zarr.create_array(
        path, shape=shape, chunks=chunks, dtype="float32", fill_value=np.nan, dimension_names=names, overwrite=True
    )


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.strips.json")


def _done(path: Path, key: str) -> set[int]:
    """Return the strips that this very mapping has finished; another card's or stack's are thrown away."""
    if path.exists() and _marker(path).exists():
        content = json.loads(_marker(path).read_text())
        if content["key"] == key:
            return set(content["strips"])
        logger.warning("%s was mapped from something else; it is made anew", path.name)
    shutil.rmtree(path, ignore_errors=True)
    _marker(path).unlink(missing_ok=True)
    return set()


def _missing(strips: int, done: set[int]) -> Iterator[range]:
    """Yield the runs of consecutive strips that are not done."""
    first: int | None = None
    for strip in range(strips + 1):
        if strip < strips and strip not in done:
            first = strip if first is None else first
        elif first is not None:
            yield range(first, strip)
            first = None
