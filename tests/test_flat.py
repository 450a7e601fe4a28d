"""Ground far from every slope is not computed where a run says so: the pixels that are asked for
come out as ever, and whether they are hangs on the ground alone, never on the frame.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from affine import Affine
from cards import make_card, save_card
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area
from configs.checkpoint import CardTiles
from configs.records import ObservationClass, silent
from configs.run import ModelConfig
from configs.stack import FORMAT, Stack, encode, grid_attributes, origin_of
from flows.flat import near_slopes, told
from flows.probability import map_card
from gee.observation import Observed
from models.registry import Checkpoint
from tiles.grid import TileGrid, covering
from tiles.stitch import map_tiles
from tiles.views import Near

SIDE, STEEP = 700, (slice(40, 60), slice(100, 140))
CARD = make_card(tiles=CardTiles(size=128, mode="blend", halo=52))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return a plain with one steep place, and one of unknown slope."""
    path = tmp_path_factory.mktemp("plain") / "stack.zarr"
    group, rng = zarr.open_group(path, mode="w"), np.random.default_rng(0)
    slope = np.full((SIDE, SIDE), 1.0, np.float32)
    slope[STEEP], slope[650, 20] = 25.0, np.nan
    bands = {"slope": slope} | {
        name: rng.uniform(0.05, 0.3, (SIDE, SIDE)).astype(np.float32)
        for name in ("post_B4", "post_B3")
    }
    for name, values in bands.items():
        group.create_array(name, data=encode(values, name), chunks=(256, 256))
    geobox = GeoBox((SIDE, SIDE), Affine(10, 0, 580000, 0, -10, 4730000), "EPSG:32654")
    about = {"format": FORMAT, "grid": grid_attributes(geobox), "bands": list(bands)}
    group.attrs.update(about | {"plan_key": "plan"})
    return Stack(path)


def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder, save_card(CARD, folder))


def everything_clear(path: Path) -> Observed:
    classes = zarr.create_array(path, shape=(SIDE, SIDE), chunks=(256, 256), dtype="uint8")
    classes[:] = ObservationClass.CLEAR
    classes[:, 690:] = ObservationClass.WATER
    clear, water = SIDE * 690, SIDE * 10
    counts = {ObservationClass.CLEAR: clear, ObservationClass.WATER: water}
    return Observed(path, counts, SIDE * SIDE, 0)


def test_a_map_is_the_same_within_reach_of_slopes_and_zero_beyond(
    stack: Stack, tmp_path: Path
) -> None:
    found, observed = checkpoint(tmp_path / "tiny"), everything_clear(tmp_path / "seen.zarr")
    whole, part = (
        np.asarray(
            map_card(
                found, ModelConfig(device="cpu", skip_flat_deg=degrees), stack, observed,
                ObservationClass.CLEAR, tmp_path / f"{degrees}.zarr", silent,
            )[:]
        )
        for degrees in (None, 10)
    )  # fmt: skip
    near = near_slopes(10, found.card, stack)
    assert near is not None
    asked, seen = near[slice(0, SIDE), slice(0, SIDE)], np.isfinite(whole)
    assert 0 < (asked & seen).sum() < 0.2 * seen.sum()
    assert (np.isfinite(part) == seen).all()
    # Other tiles share a batch, and are added up in another order: rounding.
    np.testing.assert_allclose(part[asked & seen], whole[asked & seen], rtol=0, atol=1e-5)
    assert (part[~asked & seen] == 0).all()
    assert (whole[~asked & seen] > 0).all()
    area = Area(stack.geobox.extent.to_crs("EPSG:4326").geom, "bounds")
    part_of = SimpleNamespace(of_area=lambda _: stack, band_names=stack.band_names,
                              geobox=stack.geobox, view=stack.view)  # fmt: skip
    (words,) = told(10, found.card, part_of, area, observed)  # type: ignore[arg-type]  # as a stack
    assert words.startswith(f"{(~asked & seen).sum() / observed.clear_px:.0%} of what counts")


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_what_nobody_asks_for_is_neither_read_nor_computed(mode: Any) -> None:
    rng, grid = np.random.default_rng(0), TileGrid((1100, 900), 128, 32, mode)
    pixels = rng.random((1, *grid.shape), np.float32)
    valid, asked = (rng.random(grid.shape) < share for share in (0.9, 0.5))
    asked[:, 300:] = False
    tiles = []

    def fn(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        tiles.append(len(batch))
        return batch[:, 0]

    whole = map_tiles(pixels, grid, fn, valid=valid)
    every, tiles[:] = sum(tiles), []
    for more in ({}, {"rows": range(1, 2)}):
        part = map_tiles(pixels, grid, fn, valid=valid, asked=asked, **more)
        there = np.zeros(grid.shape, bool)
        there[grid.strip(1) if more else slice(None)] = True
        expected = np.where(asked | ~valid, whole, 0)
        # Blended tiles are added up in the order of the batches: the last bit may differ.
        np.testing.assert_allclose(part[there], expected[there], rtol=0, atol=2e-7)
    assert 0 < sum(tiles) < 0.8 * every
    alone = map_tiles(pixels, grid, fn, asked=asked)
    np.testing.assert_array_equal(alone[~asked], 0)


@given(
    top=st.integers(-500, 500), left=st.integers(-500, 500),
    height=st.integers(1, 600), width=st.integers(1, 600),
    tiles=st.sampled_from([CardTiles(size=256, mode="blend", halo=64),
                           CardTiles(size=128, mode="core", halo=56)]),
)  # fmt: skip
def test_every_frame_is_widened_by_what_tiles_see_around_themselves(
    top: int, left: int, height: int, width: int, tiles: CardTiles
) -> None:
    affine = Affine(10, 0, 10 * left, 0, -10, -10 * top)
    asked = GeoBox((height, width), affine, "EPSG:32654")
    wide = covering(asked, [(tiles, 8)])
    low = np.subtract(origin_of(asked), origin_of(wide))
    high = np.subtract(wide.shape, asked.shape) - low
    assert min(*low, *high) >= tiles.halo


def test_whether_a_slope_is_near_does_not_hang_on_the_frame() -> None:
    rng = np.random.default_rng(1)
    slope = rng.uniform(0, 5, (1, 300, 400)).astype(np.float32)
    slope[0, rng.integers(0, 300, 20), rng.integers(0, 400, 20)] = 30
    slope[0, 7, 9] = np.nan
    whole = Near(slope, 10, 20)
    frame = Near(slope[:, 100:250, 50:350], 10, 20)
    inner = slice(20, 130), slice(20, 280)
    expected = whole[slice(120, 230), slice(70, 330)]
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(frame[inner], expected)
    assert whole[slice(20, 28), slice(20, 30)].all()  # where the slope is not known
    by_hand = np.array(
        [[(~(slope[0, max(y - 20, 0) : y + 21, max(x - 20, 0) : x + 21] < 10)).any()
          for x in range(100, 160)] for y in range(100, 120)]
    )  # fmt: skip
    np.testing.assert_array_equal(whole[slice(100, 120), slice(100, 160)], by_hand)


def test_the_rule_needs_tiles_that_see_as_far_as_it_reaches(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = make_card(tiles=CardTiles(size=128, mode="blend", halo=32))
    with caplog.at_level(logging.WARNING):
        assert near_slopes(10, narrow, stack) is None
    assert "everything is computed" in caplog.text
    assert near_slopes(None, CARD, stack) is None
