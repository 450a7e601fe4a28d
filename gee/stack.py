"""Assemble: every band of a run onto one grid on disk, block by whole block, in bounded memory, and
go on where it stopped.

A block is done when its marker exists; the marker is written after the block's chunks and holds
their checksum, so that a run killed at any moment asks only for what is missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import BANDS, DERIVED, RADAR, StackBand, When, parse_band
from configs.errors import CoslideError, RequestError, from_os_error
from configs.places import zarr_at
from configs.records import Advance, ObservationClass, silent
from configs.stack import CHUNK_PX, FORMAT, Stack, encode, grid_attributes
from gee.chunks import HANDS
from gee.derive import MARGIN_PX, hillshade_attributes, index, terrain
from gee.previous import Earlier, Policy, earlier, merge, news
from gee.shadow import darken, margin_px, suns_in
from gee.source import Plan, Pulled, Source
from gee.store import (
    Block,
    blocks_of,
    is_done,
    mark_complete,
    open_or_create,
    stored_names,
    write_block,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filling:
    """What whoever fills a stack's blocks must know besides the source; small enough to travel to
    another machine.
    """

    plan: Plan
    names: tuple[str, ...]
    path: Path
    key: str
    earlier: Earlier | None = None
    """What is kept of the revision before."""


Fill = Callable[[Source, Filling, Sequence[Block]], Iterator[Block]]
"""Writes blocks, each whole and with its marker, and yields them as they are done: here, or by
workers elsewhere.
"""


def fill_blocks(
    source: Source, filling: Filling, missing: Sequence[Block], workers: int | None = None
) -> Iterator[Block]:
    """Yield blocks as they are finished; never more of them in memory than the source has workers
    (or `workers`).
    """
    group = zarr.open_group(zarr_at(filling.path), mode="r+", use_consolidated=False)
    waiting, running = iter(missing), set[Future[Block]]()
    most = max(1, source.workers if workers is None else workers)

    def work(block: Block) -> Block:
        stored, notes = _block(source, filling, block.geobox(filling.plan.geobox))
        write_block(filling.path, group, block, filling.key, stored, notes)
        return block

    pool = ThreadPoolExecutor(most, thread_name_prefix="assemble")
    try:
        while True:
            for block in waiting:
                running.add(pool.submit(work, block))
                if len(running) >= most:
                    break
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def assemble(
    source: Source,
    plan: Plan,
    bands: Iterable[str],
    path: Path,
    *,
    progress: Advance = silent,
    fill: Fill = fill_blocks,
    before: Stack | None = None,
    policy: Policy = "keep",
) -> Stack:
    """Return the stack of a plan, written to `path` or completed there.

    Args:
        source: where the pixels come from.
        plan: what `source.plan` said about these bands.
        bands: stack bands to write, measured and derived, in the order of the stack.
        path: the Zarr group; one of another plan is replaced, one of this plan is gone on with.
        progress: called with (blocks done, blocks in all).
        fill: who pulls and writes the missing blocks.
        before: the stack of the revision before; what was clear there is kept, and blocks that were
            clear are not asked for.
        policy: keep, or prefer the latest clear pixel (`carry`).

    Raises:
        RequestError: a band the plan does not cover, or a source whose blocks are not whole chunks.
        MachineError: the disk is full or memory ran out; the same call goes on afterwards.
        CoslideError: whatever the source raises.
    """
    names = tuple(dict.fromkeys(bands))
    _check(source, plan, names)
    kept = earlier(before, source, plan, names, policy) if before is not None else None
    key = plan_key(source, plan, names, kept)
    filling = Filling(plan, names, path, key, kept)
    try:
        open_or_create(path, key, source, plan, names, kept)
        blocks = list(blocks_of(plan, plan.block_px or source.block_px))
        missing = [block for block in blocks if not is_done(path, block, key, names)]
        progress(len(blocks) - len(missing), len(blocks))
        if len(missing) < len(blocks):
            logger.info(
                "%d of %d blocks are there already", len(blocks) - len(missing), len(blocks)
            )
        for done, _ in enumerate(fill(source, filling, missing), len(blocks) - len(missing) + 1):
            progress(done, len(blocks))
        mark_complete(path, blocks)
    except (OSError, MemoryError) as error:
        raise from_os_error(error) from error
    return Stack(path)


def plan_key(
    source: Source, plan: Plan, bands: tuple[str, ...], kept: Earlier | None = None
) -> str:
    """Return the identity of a stack's pixels: source, scenes, grid, area, bands, what is kept; not
    the clock nor estimates.
    """
    suns = [scene.sun for scene in plan.scenes if scene.sun and plan.elevation_step_m]
    content = {
        "format": FORMAT,
        "source": source.name,
        "block_px": plan.block_px or source.block_px,
        "bands": bands,
        "measured": plan.bands,
        "grid": grid_attributes(plan.geobox),
        "area": hashlib.sha256(plan.area.polygon.wkb).hexdigest(),
        "scenes": [
            (scene.id, scene.when, scene.acquired.isoformat(), scene.product)
            for scene in plan.scenes
        ],
        "details": dict(plan.details),
        **({"suns": suns} if suns else {}),
        **hillshade_attributes(),
        **({"kept": kept.key} if kept else {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[
        :24
    ]


def _check(source: Source, plan: Plan, names: tuple[str, ...]) -> None:
    block_px = plan.block_px or source.block_px
    if block_px <= 0 or block_px % CHUNK_PX:
        raise RequestError(
            f"blocks of {block_px} px are not whole chunks of {CHUNK_PX} px",
            f"Set the source's block size to a multiple of {CHUNK_PX}.",
        )
    for name in names:
        missing = [need for need in _needs(name, plan) if need not in plan.bands]
        if missing:
            raise RequestError(
                f"`{name}` needs {', '.join(missing)}, which the plan does not pull",
                "Plan with all bands of the stack.",
            )


def _needs(name: str, plan: Plan) -> tuple[str, ...]:
    """Return the measured bands that one band of the stack needs, elevation left out where the plan
    has it.
    """
    if name in plan.bands:
        return (name,)
    parsed = parse_band(name)
    bases = DERIVED.get(parsed.band.name, (parsed.band.name,))
    if bases == ("dem",):
        return () if plan.needs_elevation else (name,)
    return tuple(StackBand(BANDS[base], parsed.when).name for base in bases)


def _block(
    source: Source, filling: Filling, block: GeoBox
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return what a block's arrays store, and notes for its marker: values refused, what was kept
    and what is new.
    """
    plan, names, inside = filling.plan, filling.names, filling.plan.area.mask(block)
    if filling.earlier is None:
        stored, implausible = _values(source, plan, names, block)
        return stored, {"implausible": implausible}
    kept = filling.earlier.on(block, names)
    requested = filling.earlier.still_to_ask(plan, kept, inside)
    known = {name for name in names if filling.earlier.knows(name, kept, requested)}
    stored, implausible = _values(
        source, requested, tuple(name for name in names if name not in known), block
    )
    for when in When:
        if (
            all(parse_band(name).when is not when for name in requested.bands)
            and when in kept.settled
        ):
            stored |= {
                name: values for name, values in kept.stored.items() if name.startswith(f"{when}_")
            }
    stored |= {name: kept.stored[name] for name in known}
    for when in When:
        merge(kept, filling.earlier.policy, when, stored)
    notes = {
        "implausible": implausible,
        "asked": bool(requested.bands),
        "news_px": news(kept, stored, inside),
    }
    return {name: stored[name] for name in stored_names(names)}, notes


def _values(
    source: Source, plan: Plan, names: tuple[str, ...], block: GeoBox
) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    """Return what a block's arrays store, by name, and how many values per band were refused as
    implausible.
    """
    pulled = source.pull(plan, block) if plan.bands else Pulled({}, {}, {})
    relief = [name for name in names if name not in pulled.bands and _needs(name, plan) == ()]
    suns = suns_in(plan, pulled)
    margins = [margin_px(sun, plan.elevation_step_m) for sun in suns.values()]
    margin = max([*margins, MARGIN_PX]) if relief or suns else 0
    heights = source.elevation(plan, block, margin) if margin else None
    with HANDS:
        observation = darken(pulled, suns, heights, block) if heights else pulled.observation
        stored: dict[str, NDArray[Any]] = {
            name: pulled.stored[name] for name in names if name in pulled.stored
        }
        others = [name for name in names if name not in stored]
        inputs = dict.fromkeys(need for name in others for need in _needs(name, plan))
        measured, implausible = _plausible({name: pulled.bands[name] for name in inputs})
        black = _black({name: pulled.bands[name] for name in inputs})
        made = terrain(heights, block, relief) if heights and relief else {}
        for name in others:
            if name in measured:
                made[name] = measured[name]
            elif name not in made:
                parsed = parse_band(name)
                bases = {
                    base: measured[f"{parsed.when}_{base}"] for base in DERIVED[parsed.band.name]
                }
                made[name] = index(parsed.band.name, bases)
            stored[name] = encode(made.pop(name), name)
    shape = tuple(int(side) for side in block.shape)
    for when in When:
        seen = observation.get(when, np.zeros(shape, np.uint8))
        day = pulled.date.get(when, np.zeros(shape, np.int32))
        if when in black:
            seen = np.where(black[when], np.uint8(ObservationClass.NOT_IMAGED), seen)
            day = np.where(black[when], np.int32(0), day)
        stored[f"{when}_observation"], stored[f"{when}_date"] = seen, day
    for name, values in stored.items():
        if values.shape != shape:
            raise CoslideError(f"{source.name} gave `{name}` as {values.shape}, not {shape}")
    return {name: stored[name] for name in stored_names(names)}, implausible


def _black(measured: Mapping[str, NDArray[np.float32]]) -> dict[When, NDArray[np.bool_]]:
    """Return, by window, the pixels that are exactly 0 in every optical band: an image's edge whose
    nodata nobody declared, not ground.
    """
    optical: dict[When, list[NDArray[np.bool_]]] = {}
    for name, values in measured.items():
        parsed = parse_band(name)
        if parsed.when is not None and parsed.band.name not in RADAR:
            optical.setdefault(parsed.when, []).append(values == 0)
    black = {when: np.logical_and.reduce(zeros) for when, zeros in optical.items()}
    return {when: pixels for when, pixels in black.items() if pixels.any()}


def _plausible(
    bands: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[str, NDArray[np.float32]], dict[str, int]]:
    """Return the bands with NaN for values that cannot be: infinite, negative reflectance, beyond
    what the band can hold.
    """
    kept, refused = {}, {}
    for name, values in bands.items():
        band = parse_band(name).band
        with np.errstate(invalid="ignore"):
            wrong = (values < band.low - band.scale / 2) | (values > band.high)  # a NaN is neither
        if wrong.any():
            refused[name] = int(np.count_nonzero(wrong))
            values = np.where(wrong, np.float32(np.nan), values)
        kept[name] = values
    return kept, refused
