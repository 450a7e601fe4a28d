"""The grid's promises: every pixel has its tile, tiles never pad, blending weights are positive and
sum to one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from configs.checkpoint import CardTiles
from configs.errors import RequestError
from configs.stack import CHUNK_PX, origin_of
from tiles.grid import TileGrid, covering
from tiles.stitch import map_tiles

SIDES = st.one_of(st.integers(1, 40), st.integers(1, 1300))
TILES = st.one_of(st.sampled_from([64, 88, 128, 256, 512, 1024]), st.integers(64, 1024))
STRIDES = st.sampled_from([1, 8, 16, 32])


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, TILES, st.integers(0, 256), STRIDES)
def test_cores_partition_the_raster_and_windows_never_pad(
    height: int, width: int, tile: int, halo: int, stride: int
) -> None:
    grid = TileGrid((height, width), tile, halo, stride=stride)
    written = np.zeros(grid.shape, np.uint8)
    for t in grid:
        written[t.core] += 1
        for span, length in ((t.y, height), (t.x, width)):
            assert 0 <= span.start <= span.core_start < span.core_stop <= span.stop <= length
            assert span.start % stride == span.core_start % stride == 0
            assert span.core_stop - span.core_start <= tile
            # Either the halo is whole, or the window ends where the raster ends.
            assert span.core_start - span.start >= halo or span.start == 0
            assert span.stop - span.core_stop >= halo or span.stop == length
            # A window that ends inside the raster needs no padding by the network.
            assert span.stop == length or (span.stop - span.start) % stride == 0
    assert (written == 1).all()
    # One size of window along each axis, and beside the far border at most one more.
    for spans, length in ((grid.rows, height), (grid.columns, width)):
        inside = {span.stop - span.start for span in spans if span.stop < length}
        beside = {span.stop - span.start for span in spans if span.stop == length}
        assert len(inside) <= 1
        assert len(beside) == 1
        assert not inside or 0 <= beside.pop() - inside.pop() < stride


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, TILES, st.floats(0, 0.5))
def test_blending_weights_are_positive_and_sum_to_one(
    height: int, width: int, tile: int, share: float
) -> None:
    grid = TileGrid((height, width), tile, int(share * tile), "blend")
    total = np.zeros(grid.shape)
    for t in grid:
        weights = grid.weights(t)
        assert weights.shape == t.shape == (min(tile, height), min(tile, width))
        assert (weights > 0).all()
        total[t.window] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(SIDES, TILES, st.floats(0, 0.5))
def test_neighbours_overlap_by_at_least_the_halo(height: int, tile: int, share: float) -> None:
    halo = int(share * tile)
    rows = TileGrid((height, 1), tile, halo, "blend").rows
    assert all(a.stop - b.start >= halo for a, b in pairwise(rows))
    assert rows[-1].stop == height


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), TILES, st.sampled_from(["core", "blend"]), STRIDES)
def test_every_tile_row_belongs_to_one_strip_and_reaches_at_most_into_the_next(
    height: int, tile: int, mode: str, stride: int
) -> None:
    grid = TileGrid((height, 1), tile, tile // 4, mode, stride)  # type: ignore[arg-type]
    assert grid.strip_px % CHUNK_PX == 0
    assert grid.strip_px >= tile
    seen = []
    for number in range(grid.strips):
        ending, crossing = grid.rows_of(number)
        seen += ending + crossing
        assert all(grid.rows[i].core_stop <= grid.strip(number).stop for i in ending)
        assert all(
            grid.rows[i].core_stop <= grid.strip(number).stop + grid.strip_px for i in crossing
        )
        assert mode == "blend" or not crossing
    assert seen == list(range(len(grid.rows)))


def test_a_card_says_how_it_is_tiled() -> None:
    grid = TileGrid.for_card((500, 400), CardTiles(size=88, mode="blend", halo=22), stride=8)
    assert grid == TileGrid((500, 400), 88, 22, "blend", 8)
    assert len(grid) == len(list(grid)) == 8 * 6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (((0, 5), 64, 0), "nothing to tile"),
        (((5, 5), 16, 0, "core", 32), "stride 32"),
        (((5, 5), 64, -1), "halo"),
        (((5, 5), 64, 33, "blend"), "at most half the tile: 32"),
    ],
)
def test_impossible_grids_are_refused(arguments: tuple[object, ...], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        TileGrid(*arguments)  # type: ignore[arg-type]


def of_ground(top: int, left: int, height: int, width: int) -> GeoBox:
    """Return a grid of 10 m pixels whose first one is number (top, left) of the lattice."""
    return GeoBox((height, width), Affine(10, 0, 10 * left, 0, -10, -10 * top), "EPSG:32654")


FRAMES = st.tuples(
    st.integers(-3000, 3000), st.integers(-3000, 3000), st.integers(1, 900), st.integers(1, 900)
)


@settings(max_examples=60, deadline=None)
@given(FRAMES, TILES, st.floats(0, 0.5), st.sampled_from(["core", "blend"]), STRIDES)
def test_no_tile_that_keeps_a_pixel_of_the_area_is_cut(
    frame: tuple[int, int, int, int], tile: int, share: float, mode: str, stride: int
) -> None:
    tiles = CardTiles(size=tile, mode=mode, halo=min(int(share * tile), 256))  # type: ignore[arg-type]
    other = CardTiles(size=320, mode="blend", halo=100)
    area = of_ground(*frame)
    whole = covering(area, [(tiles, stride), (other, 8)])
    shape = (int(whole.shape[0]), int(whole.shape[1]))
    grid = TileGrid.for_card(shape, tiles, stride, origin_of(whole))
    size = {tile} if mode == "blend" else {grid.columns[0].stop - grid.columns[0].start}
    step = tile - tiles.halo if mode == "blend" else tile // stride * stride
    for axis, spans in enumerate((grid.rows, grid.columns)):
        first = origin_of(whole)[axis]
        start, stop = frame[axis] - first, frame[axis] + frame[axis + 2] - first
        kept = np.zeros(shape[axis], int)
        for span in spans:
            kept[span.core_start : span.core_stop] += 1
            assert 0 <= span.start <= span.core_start < span.core_stop <= span.stop <= shape[axis]
            if span.core_start < stop and span.core_stop > start:
                assert (span.core_start + first) % step == 0
                assert span.stop - span.start in size
        assert (kept[start:stop] >= 1).all()
        assert (kept >= 1).all()


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_frames_that_share_ground_get_the_same_map_of_it(mode: str) -> None:
    world = np.random.default_rng(0).normal(size=(1, 2400, 2400)).astype(np.float32)
    tiles = CardTiles(size=128, mode=mode, halo=32)  # type: ignore[arg-type]

    def wide(batch: np.ndarray) -> np.ndarray:
        """A network that pools over the whole tile and knows where in it a pixel lies."""
        place = np.arange(batch.shape[-1])[None, None, :] * 1e-3
        return batch[:, 0] + batch.mean(axis=(1, 2, 3))[:, None, None] + place

    found = []
    for top, left in ((700, 800), (811, 733)):
        whole = covering(of_ground(top, left, 900, 700), [(tiles, 8)])
        y, x = origin_of(whole)
        height, width = whole.shape
        grid = TileGrid.for_card((height, width), tiles, 8, (y, x))
        made = map_tiles(world[:, y : y + height, x : x + width], grid, wide, batch=3)
        found.append(made[811 - y : 1600 - y, 800 - x : 1433 - x])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)  # float sums in another order
