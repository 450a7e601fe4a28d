"""Probability over the whole area, strip by strip to disk, here or by workers elsewhere; only what
is missing is mapped.

A strip is done when its marker exists, which is written after its chunks and names the weights and
the stack. What a shard is depends on the grid alone, so that every engine makes the same pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr

from configs.checkpoint import CheckpointCard, read_card
from configs.errors import RequestError
from configs.files import write_text
from configs.places import drop, place, zarr_at
from configs.reading import open_to_read
from configs.records import Advance, ObservationClass, silent
from configs.run import ModelConfig
from configs.stack import CHUNK_PX, Rows, Stack
from flows.flat import near_slopes
from flows.run import engine
from flows.run.engine import Cluster, Report
from flows.run.shards import Begun, check_worker, report_workers, versions
from flows.strips import shards_of
from gee.observation import Observed
from models import registry
from models.architectures import tiling_of
from models.inference.adaptation import Adaptation
from models.inference.devices import everywhere, share_out
from models.inference.mapping import for_tiles, tiles_at_once
from models.inference.predict import Device, Precision, Predictor
from models.inference.runtime import Runtime
from models.registry import Checkpoint
from tiles.grid import TileGrid
from tiles.stitch import map_tiles
from tiles.views import Is

logger = logging.getLogger(__name__)

COMPUTED = "computed"
"""Attribute of a map on disk: what it was computed by (`Predictor.manner`)."""


@dataclass(frozen=True)
class _MapShard:
    """Some strips of a map, by paths and names."""

    card: str
    folder: str
    """Where the checkpoint is; empty for one that comes with coslide."""
    weights: str
    bands: tuple[str, ...]
    """Those that it reads here."""
    device: Device
    stack: str
    observed: str
    where: int
    path: str
    batch: int | None
    precision: Precision
    runtime: Runtime
    adaptation: str
    """How the scene is adapted to the checkpoint (`Adaptation.as_text`); empty for a checkpoint
    that takes it as it is.
    """
    versions: Mapping[str, str]
    strips: tuple[int, int]
    skip_flat_deg: float | None = None


class _Target(NamedTuple):
    """What is mapped, and where to."""

    stack: Stack
    classes: Rows
    """Observation classes, `(y, x)`."""
    where: int
    path: Path
    key: str
    """What every marker must say: these weights over this stack, adapted so."""
    asked: Rows | None
    """Where the checkpoint is asked, `(y, x)`; everywhere where None."""

    @classmethod
    def of(
        cls,
        card: CheckpointCard,
        stack: Stack,
        classes: Rows,
        where: int,
        path: Path,
        adaptation: str = "",
        precision: Precision = "auto",
        runtime: Runtime = "torch",
        skip_flat_deg: float | None = None,
    ) -> _Target:
        key = {
            "weights": card.weights_sha256,
            "stack": stack.attributes["plan_key"],
            "tiles": "lattice",
            "where": int(where),
        }
        if adaptation:
            key["adaptation"] = hashlib.sha256(adaptation.encode()).hexdigest()
        if precision != "auto":
            key["precision"] = precision
        if runtime != "torch":
            key["runtime"] = runtime
        if skip_flat_deg is not None:
            key["skip_flat_deg"] = skip_flat_deg
        asked = None if skip_flat_deg is None else near_slopes(skip_flat_deg, card, stack)
        return cls(stack, classes, int(where), path, json.dumps(key), asked)


def map_card(
    found: Checkpoint,
    model: ModelConfig,
    stack: Stack,
    observed: Observed,
    where: ObservationClass,
    path: Path,
    progress: Advance,
    adaptation: Adaptation | None = None,
) -> zarr.Array[Any]:
    """Return a checkpoint's landslide probability, `(y, x)` float32 on disk, NaN but where the
    observation is `where`.
    """
    maps = adaptation.as_text() if adaptation else ""
    grid, cluster = grid_on(found.card, stack), engine.current()
    device = cluster.device(model.device) if cluster else model.device
    predictor = engine.ready(found, model, device, len(grid), here=cluster is None)
    target = _Target.of(
        found.card, stack, observed.array, where, path, maps, model.precision, predictor.runtime,
        model.skip_flat_deg,
    )  # fmt: skip
    done = _kept(target, grid)
    array = zarr.open_array(zarr_at(path), mode="r+") if done else _create(path, stack.shape)
    manner = predictor.manner
    if cluster is not None:
        manner["device"] = device
    array.update_attributes({COMPUTED: manner})
    if cluster is not None:
        missing = [strips for strips in shards_of(grid) if not done.issuperset(strips)]
        shards = _shards(
            cluster, found, model, stack, observed, target, maps, predictor.runtime, missing
        )
        _by_workers(cluster, shards, grid, progress)
        return array
    predictors = everywhere(replace(predictor, adaptation=adaptation))
    if len(predictors) == 1:
        for strips in runs(range(grid.strips), done):
            _map_strips(predictors[0], grid, target, strips, model.batch, progress)
    else:
        _by_devices(predictors, grid, target, done, model.batch, progress)
    return array


def _by_devices(
    predictors: list[Predictor],
    grid: TileGrid,
    target: _Target,
    done: set[int],
    batch: int | None,
    progress: Advance,
) -> None:
    """Map what is not done, a shard at a time on each of this machine's GPUs."""
    pieces = [strips for shard in shards_of(grid) for strips in runs(shard, done)]
    total, mapped = sum(map(len, pieces)), list[int]()
    batch = tiles_at_once(predictors[0], batch)  # the same for all: the last bits hang on it

    def work(predictor: Predictor, strips: range) -> None:
        _map_strips(predictor, grid, target, strips, batch)
        mapped.append(len(strips))
        progress(sum(mapped) * len(grid) // total, len(grid))

    share_out(pieces, predictors, work)


def grid_on(card: CheckpointCard, stack: Stack) -> TileGrid:
    """Return the tiles of the lattice by which a checkpoint maps a stack."""
    return TileGrid.for_card(stack.shape, *tiling_of(card), stack.origin)


def _map_strips(
    predictor: Predictor,
    grid: TileGrid,
    target: _Target,
    strips: range,
    batch: int | None,
    progress: Advance = silent,
) -> None:
    tiles = target.stack.view(predictor.bands).stored
    map_tiles(
        tiles,
        grid,
        for_tiles(predictor.of_stored(tiles.coding)),
        out=zarr.open_array(zarr_at(target.path), mode="r+"),
        valid=Is(target.classes, target.where),
        asked=target.asked,
        batch=tiles_at_once(predictor, batch),
        progress=progress,
        rows=strips,
        finished=lambda strip: write_text(
            _markers(target.path) / str(strip), _marker(target, grid.strip(strip))
        ),
    )


def _shards(
    cluster: Cluster,
    found: Checkpoint,
    model: ModelConfig,
    stack: Stack,
    observed: Observed,
    target: _Target,
    maps: str,
    runtime: Runtime,
    missing: list[range],
) -> list[_MapShard]:
    whole = _MapShard(
        card=found.card.name,
        folder="" if found.folder.parent == registry.SHIPPED else _absolute(found.folder),
        weights=found.card.weights_sha256,
        bands=found.card.bands,
        device=cluster.device(model.device),
        stack=_absolute(stack.path),
        observed=_absolute(observed.path),
        where=target.where,
        path=_absolute(target.path),
        batch=model.batch,
        precision=model.precision,
        runtime=runtime,
        adaptation=maps,
        versions=versions(),
        strips=(0, 0),
        skip_flat_deg=model.skip_flat_deg,
    )
    return [replace(whole, strips=(strips.start, strips.stop)) for strips in missing]


def _by_workers(
    cluster: Cluster, shards: list[_MapShard], grid: TileGrid, progress: Advance
) -> None:
    rows = [
        sum(len(group) for strip in range(*shard.strips) for group in grid.rows_of(strip))
        for shard in shards
    ]
    reports, mapped = [], 0
    for number, report in cluster.work(
        _map_shard, shards, gpu=bool(shards) and shards[0].device == "cuda"
    ):
        reports.append(report)
        mapped += rows[number]
        progress(mapped * len(grid.columns), sum(rows) * len(grid.columns))
    report_workers(reports)


def _map_shard(shard: _MapShard) -> Report:
    """Map the strips of a shard that are not done, in the shared store. What a worker runs.

    Raises:
        RequestError: the worker has other versions or another checkpoint, or does not see the
            stores.
        MachineError: memory or the GPU failed.
    """
    begun, path = Begun.now(), place(shard.path)
    check_worker(shard.versions, path)
    predictor = _predictor(
        shard.card, shard.folder, shard.weights, shard.bands, shard.device, shard.precision,
        shard.runtime,
    )  # fmt: skip
    if shard.adaptation:
        predictor = replace(predictor, adaptation=Adaptation.read(shard.adaptation))
    stack, classes = (Stack(place(shard.stack)), open_to_read(place(shard.observed)))
    target = _Target.of(
        predictor.card,
        stack,
        classes,
        shard.where,
        path,
        shard.adaptation,
        shard.precision,
        shard.runtime,
        shard.skip_flat_deg,
    )
    strips = range(*shard.strips)
    grid = grid_on(predictor.card, stack)
    done = {strip for strip in strips if _is_done(target, grid, strip)}
    for missing in runs(strips, done):
        _map_strips(predictor, grid, target, missing, shard.batch)
    return begun.report(len(strips) - len(done), shard.device)


@lru_cache(maxsize=2)
def _predictor(
    card: str,
    folder: str,
    weights: str,
    bands: tuple[str, ...],
    device: Device,
    precision: Precision,
    runtime: Runtime,
) -> Predictor:
    """Return a checkpoint's network, loaded once a process. `weights` is the checksum the run goes
    by.
    """
    candidate = Path(folder) if folder else registry.SHIPPED / card
    if not candidate.is_dir():
        raise RequestError(
            f"the worker does not see the checkpoint {candidate}",
            "Put `model.card_dirs` where all machines see it.",
        )
    found = Checkpoint(candidate, read_card(candidate)).fed(bands)
    if found.card.weights_sha256 != weights:
        raise RequestError(
            f"the worker's checkpoint `{card}` is another one",
            "Install the same checkpoints on all machines.",
        )
    return found.load(device, precision, runtime)


def _absolute(path: Path) -> str:
    return str(path.absolute()) if isinstance(path, Path) else str(path)


def _create(path: Path, shape: tuple[int, int]) -> zarr.Array[Any]:
    chunks, names = (CHUNK_PX, CHUNK_PX), ("y", "x")
    return zarr.create_array(
        zarr_at(path),
        shape=shape,
        chunks=chunks,
        dtype="float32",
        fill_value=np.nan,
        dimension_names=names,
        overwrite=True,
    )


def _markers(path: Path) -> Path:
    return path.with_name(f"{path.name}.strips")


def _marker(target: _Target, rows: slice) -> str:
    """Return what the marker of a strip must say: the mapping, and the checksum of its pixels."""
    array = open_to_read(target.path)
    crc = zlib.crc32(np.ascontiguousarray(np.asarray(array[rows, :])).data)
    return json.dumps({"key": target.key, "crc": crc})


def _kept(target: _Target, grid: TileGrid) -> set[int]:
    """Return the strips that this very mapping has finished and whose pixels are still what they
    were; another checkpoint's or stack's are thrown away, with whatever is damaged.
    """
    folder = _markers(target.path)
    found = (
        {int(marker.name) for marker in folder.iterdir() if marker.name.isdigit()}
        if folder.exists()
        else set()
    )
    if found and target.path.exists() and all(_is_done(target, grid, strip) for strip in found):
        return found
    if found:
        logger.warning(
            "%s was mapped from something else, or is damaged; it is made anew", target.path.name
        )
    drop(target.path)
    drop(folder)
    return set()


def _is_done(target: _Target, grid: TileGrid, strip: int) -> bool:
    marker = _markers(target.path) / str(strip)
    try:
        return marker.read_text(encoding="utf-8") == _marker(target, grid.strip(strip))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # lost, empty or torn
        return False


def runs(strips: range, done: set[int]) -> Iterator[range]:
    """Yield the runs of consecutive strips that are not done."""
    first: int | None = None
    for strip in range(strips.start, strips.stop + 1):
        if strip < strips.stop and strip not in done:
            first = strip if first is None else first
        elif first is not None:
            yield range(first, strip)
            first = None
