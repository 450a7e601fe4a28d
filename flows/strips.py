"""How the strips of a map are shared out: by the grid alone, so that whoever maps them makes the
same pixels.
"""

from __future__ import annotations

from math import ceil

from tiles.grid import TileGrid

_SEAM = 1 / 8
"""Share of a shard's tiles that its neighbour computes as well: blended tiles belong to two strips.
Larger shards share fewer tiles, smaller ones share out better (chosen; docs/results.md tells what
it costs)."""


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
