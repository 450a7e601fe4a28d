"""How the strips of a map are shared out: by the grid alone, so that whoever maps them makes the
same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from configs.checkpoint import CheckpointCard
from configs.stack import Stack
from models.architectures import tiling_of
from tiles.grid import TileGrid

_SEAM = 1 / 8
"""Share of a shard's tiles that its neighbour computes as well: blended tiles belong to two strips.
Larger shards share fewer tiles, smaller ones share out better (chosen; docs/results.md tells what
it costs)."""


def grid_on(card: CheckpointCard, stack: Stack) -> TileGrid:
    """Return the tiles of the lattice by which a checkpoint maps a stack."""
    return TileGrid.for_card(stack.shape, *tiling_of(card), stack.origin)


def shards_of(grid: TileGrid) -> list[range]:
    """Return the strips of each shard: one where strips share no tile, else so many that shared
    tiles stay few.
    """
    crossing = [len(grid.rows_of(strip)[1]) for strip in range(grid.strips - 1)]
    if not any(crossing):
        return [range(strip, strip + 1) for strip in range(grid.strips)]
    shared, own = sum(crossing) / len(crossing), len(grid.rows) / grid.strips
    step = ceil(shared / (_SEAM * own))
    return [range(first, min(first + step, grid.strips)) for first in range(0, grid.strips, step)]


def runs(strips: range, done: set[int]) -> Iterator[range]:
    """Yield the runs of consecutive strips that are not done."""
    first: int | None = None
    for strip in range(strips.start, strips.stop + 1):
        if strip < strips.stop and strip not in done:
            first = strip if first is None else first
        elif first is not None:
            yield range(first, strip)
            first = None
