"""Reading a stack for the tiles: as stored integers, many chunks at once, and the same numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from cards import make_card, make_network
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reading import measured
from benchmarks.tiling import BANDS as STACK_BANDS
from benchmarks.tiling import write_stack
from configs.bands import BANDS, parse_band
from configs.checkpoint import CardTiles
from configs.stack import Coding, Part, Stack, decode
from models.inference.adaptation import Matching
from models.inference.decode import decoded
from models.inference.predict import Predictor
from tiles.grid import TileGrid
from tiles.stitch import map_tiles

NAMES = [name if band.static else f"post_{name}" for name, band in BANDS.items()]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    path: Path = tmp_path_factory.mktemp("stack") / "stack.zarr"
    write_stack(path, 700)
    group = zarr.open_group(path, mode="r+")
    for name in STACK_BANDS:  # not known here; and one chunk that has no file
        array = group[name]
        assert isinstance(array, zarr.Array)
        array[100:120, 30:400] = parse_band(name).band.nodata
        array[256:512, 256:512] = parse_band(name).band.nodata
    return Stack(path)


def test_every_bit_pattern_of_every_band_means_the_same_on_a_device_as_on_disk() -> None:
    bits = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    stored = np.broadcast_to(bits.view(np.int16), (1, len(NAMES), 256, 256))
    found = decoded(torch.from_numpy(stored.copy()), Coding.of(NAMES)).numpy()[0]
    for name, values in zip(NAMES, found, strict=True):
        expected = decode(bits.view(parse_band(name).band.dtype), name)
        assert values.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("part", [None, Part(13, 270, 500, 411)])
def test_stored_bands_are_the_bands(stack: Stack, part: Part | None) -> None:
    view = Stack(stack.path, part).view(STACK_BANDS)
    window = slice(1, 4), slice(90, 333), slice(7, 300)
    stored = view.stored[window]
    names = STACK_BANDS[window[0]]
    values = decoded(torch.from_numpy(stored[None]), Coding.of(names))
    assert values.numpy()[0].tobytes() == view[window].tobytes()


@pytest.mark.parametrize("adapt", [False, True])
def test_a_map_of_stored_integers_is_the_map_of_their_values(stack: Stack, adapt: bool) -> None:
    card = make_card(STACK_BANDS)
    predictor = Predictor(card, make_network(card), "cpu")
    grid = TileGrid.for_card(stack.shape, CardTiles(size=96, mode="blend", halo=32), 8)
    view = stack.view(STACK_BANDS)
    by_values = map_tiles(view, grid, predictor)
    by_bits = map_tiles(view.stored, grid, predictor.of_stored(view.stored.coding))
    assert by_bits.tobytes() == by_values.tobytes()
    assert np.ptp(by_bits) > 0


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
    st.floats(0, 3),
)
def test_a_scene_is_matched_on_a_device_by_the_same_numbers(
    quantiles: list[float], seed: int, gain: float
) -> None:
    rng = np.random.default_rng(seed)
    of = np.sort(np.asarray(quantiles))
    matching = Matching.of_quantiles(of, np.sort(rng.normal(size=len(of))), gain)
    values = np.append(rng.normal(0, 40, 200), [*of, np.nan]).astype(np.float32)
    there = matching.tensor(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(there, matching(values), rtol=1e-6, atol=1e-6)


def test_stacks_read_many_chunks_at_once_and_leave_the_settings_of_zarr_alone(stack: Stack) -> None:
    before = zarr.config.get("codec_pipeline.path")
    with ThreadPoolExecutor(8) as pool:
        opened = [pool.submit(lambda: Stack(stack.path).stored(STACK_BANDS[0])) for _ in range(32)]
    assert {type(array.result().async_array.codec_pipeline).__name__ for array in opened} == {
        "ZarrsCodecPipeline"
    }
    assert zarr.config.get("codec_pipeline.path") == before


def test_the_benchmark_of_reading_measures_every_way(tmp_path: Path) -> None:
    found = measured(tmp_path, side=512, rounds=1)
    assert len(found) >= 6
    assert all(rate.wall[0] > 0 and rate.cpu[0] > 0 for rate in found.values())
