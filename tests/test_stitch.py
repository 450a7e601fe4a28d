"""map_tiles: identity in, identity out; each pixel written once; tiled equals whole; shards agree;
memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import RequestError
from models.nets.resu_net import ResUNet
from tiles.grid import TileGrid
from tiles.seams import seams
from tiles.stitch import map_tiles

SIDES = st.one_of(st.integers(1, 12), st.integers(1, 300), st.integers(500, 1100))
TILES = st.sampled_from([64, 88, 100, 128, 256, 512, 1024])


def identity(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels[:, 0]


class Counted:
    """A `(y, x)` canvas that counts how often each pixel is written, and how."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.values = np.full(shape, -1, np.float32)
        self.written = np.zeros(shape, np.int32)
        self.keys: list[tuple[slice, slice]] = []
        self.shape, self.dtype = shape, self.values.dtype

    def __setitem__(self, key: tuple[slice, slice], value: NDArray[Any]) -> None:
        self.values[key] = value
        self.written[key] += 1
        self.keys.append(key)


class Watched:
    """A stack that remembers the largest read."""

    def __init__(self, array: NDArray[np.float32]) -> None:
        self.array, self.shape, self.largest, self.read = array, array.shape, 0, 0

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        part = self.array[key]
        self.largest, self.read = max(self.largest, part.size), self.read + part.size
        return part


def picture(height: int, width: int, seed: int, bands: int = 1) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.random((bands, height, width), dtype=np.float32)


def holes(height: int, width: int, seed: int) -> NDArray[np.bool_]:
    """Return a mask that is false over whole tiles and over single pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 60 + 1, width // 60 + 1)) < 0.5
    return coarse.repeat(60, 0).repeat(60, 1)[:height, :width] & (rng.random((height, width)) < 0.9)


@settings(max_examples=60, deadline=None)
@given(
    SIDES,
    SIDES,
    TILES,
    st.integers(0, 130),
    st.sampled_from([1, 8, 32]),
    st.booleans(),
    st.integers(1, 9),
)
def test_core_returns_the_input_bit_for_bit_and_writes_each_pixel_once(
    height: int, width: int, tile: int, halo: int, stride: int, masked: bool, batch: int
) -> None:
    stack = picture(height, width, height * width)
    stack[0, ::7, ::5] = np.nan
    valid = holes(height, width, tile) if masked else None
    out = Counted((height, width))
    map_tiles(
        stack,
        TileGrid((height, width), tile, halo, stride=stride),
        identity,
        out=out,
        valid=valid,
        batch=batch,
    )
    expected = stack[0] if valid is None else np.where(valid, stack[0], np.float32(np.nan))
    assert out.values.tobytes() == expected.tobytes()
    assert (out.written == 1).all()
    assert all(key[0].start % 256 == 0 and key[1].start % 256 == 0 for key in out.keys)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, TILES, st.floats(0, 0.5), st.booleans())
def test_blend_returns_the_input_within_a_millionth(
    height: int, width: int, tile: int, share: float, masked: bool
) -> None:
    stack = picture(height, width, height + width)
    valid = holes(height, width, tile) if masked else None
    out = Counted((height, width))
    map_tiles(
        stack,
        TileGrid((height, width), tile, int(share * tile), "blend"),
        identity,
        out=out,
        valid=valid,
    )
    expected = stack[0] if valid is None else np.where(valid, stack[0], np.float32(np.nan))
    np.testing.assert_allclose(out.values, expected, rtol=0, atol=1e-6)
    assert (out.written == 1).all()


def by_tile(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A model that looks at the whole tile, as networks with squeeze-excitation do, and at its
    batch size not at all.
    """
    return pixels[:, 0] * pixels.mean(axis=(1, 2, 3), keepdims=True)[:, 0]


@pytest.mark.parametrize("mode", ["core", "blend"])
@pytest.mark.parametrize("tile", [88, 300, 512])
@pytest.mark.parametrize("masked", [False, True])
def test_strips_come_out_the_same_however_they_are_shared_out(
    mode: Any, tile: int, masked: bool
) -> None:
    shape = (1700, 700)
    stack, valid = picture(*shape, seed=3), holes(*shape, seed=4) if masked else None
    grid = TileGrid(shape, tile, tile // 3, mode)
    whole = map_tiles(stack, grid, by_tile, valid=valid)
    assert grid.strips > 2
    for cuts in ([1], [2], [1, 2, 3], [3]):
        edges = [0, *cuts, grid.strips]
        out = np.full(shape, -1, np.float32)
        for first, last in reversed(list(pairwise(edges))):
            map_tiles(stack, grid, by_tile, out=out, valid=valid, rows=range(first, last))
        assert out.tobytes() == whole.tobytes()


def test_a_strip_writes_nothing_but_itself_and_says_when_it_is_done() -> None:
    grid = TileGrid((1300, 90), 88, 22, "blend")
    out, done = Counted(grid.shape), []

    def finished(strip: int) -> None:
        rows = grid.strip(strip)
        assert (out.written[rows] == 1).all()
        done.append(strip)

    map_tiles(picture(1300, 90, 1), grid, identity, out=out, rows=range(1, 3), finished=finished)
    assert done == [1, 2]
    assert out.written[:512].max() == 0


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_batches_depend_on_nothing_but_the_grid(mode: Any) -> None:
    """The same windows meet in the same batch whoever computes them, so that not even rounding
    differs.
    """
    grid = TileGrid((1200, 650), 200, 80, mode)
    stack = picture(1200, 650, 5)

    def calls(rows: range) -> set[tuple[bytes, ...]]:
        seen = set()

        def fn(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            seen.add(tuple(tile.tobytes() for tile in pixels))
            assert len(pixels) <= 3
            return pixels[:, 0]

        map_tiles(stack, grid, fn, rows=rows, batch=3)
        return seen

    shards = [calls(range(s, s + 1)) for s in range(grid.strips)]
    assert set().union(*shards) == calls(range(grid.strips))


def network(seed: int, width: int = 4) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    torch.manual_seed(seed)
    net = ResUNet(2, width=width).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    torch.nn.init.normal_(net.head.weight, std=0.5)

    def fn(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return net(torch.from_numpy(pixels))[:, 0].numpy()

    return fn


@pytest.mark.parametrize("shape", [(1, 1), (7, 130), (64, 64), (301, 219), (602, 97)])
@pytest.mark.parametrize("tile", [64, 88, 128])
def test_a_tiled_network_equals_the_whole_image_borders_included(
    shape: tuple[int, int], tile: int
) -> None:
    fn, stack = network(tile), picture(*shape, seed=9, bands=2)
    whole = fn(stack[None])[0]
    tiled = map_tiles(
        stack, TileGrid(shape, tile, halo=ResUNet.reach_px or 0, stride=ResUNet.stride), fn, batch=3
    )
    assert whole.std() > 0.05 or whole.size == 1
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4)


def test_too_small_a_halo_or_the_wrong_stride_shows() -> None:
    """The test above can fail: without the halo, or with origins off the stride, seams appear."""
    fn, stack = network(0), picture(300, 300, seed=9, bands=2)
    whole = fn(stack[None])[0]
    assert np.abs(map_tiles(stack, TileGrid((300, 300), 88, 0, stride=8), fn) - whole).max() > 1e-2
    assert np.abs(map_tiles(stack, TileGrid((300, 300), 91, 57, stride=1), fn) - whole).max() > 1e-2


def test_tiles_without_a_valid_pixel_are_neither_read_nor_computed() -> None:
    stack, valid = Watched(picture(1024, 2048, 1)), np.zeros((1024, 2048), bool)
    valid[700, 1800] = True
    calls = []

    def fn(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        calls.append(pixels.shape)
        return pixels[:, 0]

    out = map_tiles(stack, TileGrid((1024, 2048), 128, 16), fn, valid=valid)
    assert calls == [(1, 1, 160, 160)]
    assert stack.read <= 544 * 512
    assert np.isfinite(out).sum() == 1
    assert out[700, 1800] == stack.array[0, 700, 1800]


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_reads_are_bounded_whatever_the_raster_and_hardly_repeated(mode: Any) -> None:
    largest = {}
    for side in (1600, 4096):
        stack = Watched(np.zeros((1, side, side), np.float32))
        map_tiles(stack, TileGrid((side, side), 88, 16, mode), identity)
        largest[side] = stack.largest
        assert stack.read < 1.5 * side * side
    assert largest[4096] <= largest[1600] <= 700 * 1024


def test_from_zarr_to_zarr_and_progress(tmp_path: Path) -> None:
    shape, seen = (600, 700), []
    stored = zarr.create_array(
        tmp_path / "in.zarr", shape=(2, *shape), chunks=(1, 256, 256), dtype="float32"
    )
    stored[:] = picture(*shape, seed=2, bands=2)
    valid = zarr.create_array(
        tmp_path / "valid.zarr", shape=shape, chunks=(256, 256), dtype="uint8"
    )
    valid[:400] = 1
    out = zarr.create_array(
        tmp_path / "out.zarr", shape=shape, chunks=(256, 256), dtype="float32", fill_value=9
    )
    back = map_tiles(
        stored,
        TileGrid(shape, 128, 8),
        identity,
        out=out,
        valid=valid,
        progress=lambda *at: seen.append(at),
    )
    assert back is out
    np.testing.assert_array_equal(out[:400], stored[0, :400])
    assert np.isnan(out[400:]).all()
    total = len(TileGrid(shape, 128, 8))
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_whole_numbers_can_be_mapped_too() -> None:
    stack = np.arange(300, dtype=np.uint16).reshape(1, 1, 300)
    valid = np.arange(300)[None] < 200
    out = map_tiles(
        stack,
        TileGrid((1, 300), 64, 4),
        identity,
        out=np.zeros((1, 300), np.uint16),
        valid=valid,
        nodata=7,
    )
    np.testing.assert_array_equal(out, np.where(valid, stack[0], 7))


def test_errors_of_the_model_and_of_the_stack_come_through() -> None:
    class Broken(Watched):
        def __getitem__(self, key: Any) -> NDArray[np.float32]:
            raise OSError(5, "unreadable")

    def fails(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        raise MemoryError

    grid = TileGrid((300, 300), 64, 0)
    with pytest.raises(OSError, match="unreadable"):
        map_tiles(Broken(picture(300, 300, 0)), grid, identity)
    with pytest.raises(MemoryError):
        map_tiles(picture(300, 300, 0), grid, fails)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stack": np.zeros((300, 300), np.float32)}, "the stack is"),
        ({"out": np.zeros((300, 299), np.float32)}, "`out` is"),
        ({"valid": np.zeros((1, 1), bool)}, "`valid` is"),
        ({"batch": 0}, "batches of 0"),
        ({"rows": range(9)}, "strips 0 to 9"),
        ({"fn": lambda pixels: pixels}, "must return"),
        ({"out": np.zeros((300, 300), np.uint8), "valid": np.ones((300, 300), bool)}, "no NaN"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], named: str) -> None:
    arguments = {"stack": np.zeros((1, 300, 300), np.float32), "fn": identity, **changes}
    with pytest.raises(RequestError, match=named):
        map_tiles(
            arguments.pop("stack"), TileGrid((300, 300), 64, 0), arguments.pop("fn"), **arguments
        )


def test_an_output_whose_chunks_two_strips_would_share_is_refused(tmp_path: Path) -> None:
    out = zarr.create_array(
        tmp_path / "out.zarr", shape=(1100, 64), chunks=(300, 64), dtype="float32"
    )
    with pytest.raises(RequestError, match="two strips"):
        map_tiles(
            np.zeros((1, 1100, 64), np.float32), TileGrid((1100, 64), 64, 0), identity, out=out
        )


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_seams_show_where_tiles_differ_and_nowhere_else(mode: Any) -> None:
    grid = TileGrid((300, 260), 64, 0 if mode == "core" else 16, mode)
    smooth = np.add.outer(np.arange(300.0), np.arange(260.0))
    assert seams(smooth, grid) == (1, 1)
    count = iter(range(1000))

    def steps(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack(
            [np.full(pixels.shape[2:], (next(count) * 7) % 5, np.float32) for _ in pixels]
        )

    patched = map_tiles(np.zeros((1, 300, 260), np.float32), grid, steps)
    found = seams(patched, grid)
    if mode == "core":
        assert found.interior == 0
        assert found.across > 1
    else:  # blending spreads each step over the overlap
        assert found.ratio < 1
    holed = smooth.copy()
    holed[:, 100] = np.nan
    assert seams(holed, grid) == (1, 1)
