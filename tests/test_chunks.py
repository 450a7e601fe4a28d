"""Chunks written straight to disk are what Zarr would have written: any reader reads them, whatever
the edges hold.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.stack import CHUNK_PX
from gee.chunks import COMPRESSION, write_window


def array(path: Path, shape: tuple[int, int], dtype: str, fill: int) -> zarr.Array:
    return zarr.create_array(
        path,
        shape=shape,
        chunks=(CHUNK_PX, CHUNK_PX),
        dtype=dtype,
        fill_value=fill,
        compressors=COMPRESSION,
    )


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 3 * CHUNK_PX),
    width=st.integers(1, 2 * CHUNK_PX),
    kind=st.sampled_from(
        [("uint16", 0), ("int16", -32768), ("uint8", 255), ("int32", 0), ("float32", 7)]
    ),
    seed=st.integers(0, 9),
)
def test_what_is_written_is_what_zarr_reads(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    kind: tuple[str, int],
    seed: int,
) -> None:
    dtype, fill = kind
    path = tmp_path_factory.mktemp("array")
    made = array(path / "ours", (height, width), dtype, fill)
    values = np.random.default_rng(seed).integers(0, 120, (height, width)).astype(dtype)
    values[: CHUNK_PX // 2] = fill
    write_window(path / "ours", slice(0, height), slice(0, width), values, fill)
    np.testing.assert_array_equal(made[:], values)
    theirs = array(path / "theirs", (height, width), dtype, fill)
    theirs[:] = values
    ours_files, their_files = (
        {
            file.relative_to(path / one): file.read_bytes()
            for file in (path / one / "c").rglob("*")
            if file.is_file()
        }
        for one in ("ours", "theirs")
    )
    assert ours_files == their_files, "not the bytes that zarr-python writes"


def test_a_window_leaves_its_neighbours_alone_and_takes_back_what_is_gone(tmp_path: Path) -> None:
    made = array(tmp_path / "a", (2 * CHUNK_PX, 2 * CHUNK_PX), "uint16", 0)
    made[:] = 5
    window = slice(CHUNK_PX, 2 * CHUNK_PX)
    write_window(tmp_path / "a", window, window, np.zeros((CHUNK_PX, CHUNK_PX), np.uint16), 0)
    assert not (tmp_path / "a" / "c" / "1" / "1").exists()
    assert (made[:CHUNK_PX] == 5).all()
    assert (made[CHUNK_PX:, CHUNK_PX:] == 0).all()


def test_many_threads_write_at_once(tmp_path: Path) -> None:
    side = 6 * CHUNK_PX
    made = array(tmp_path / "a", (side, side), "uint16", 0)
    values = np.random.default_rng(0).integers(1, 9000, (side, side)).astype("uint16")

    def write(row: int) -> None:
        for column in range(6):
            rows, columns = (
                slice(place * CHUNK_PX, (place + 1) * CHUNK_PX) for place in (row, column)
            )
            write_window(tmp_path / "a", rows, columns, values[rows, columns], 0)

    threads = [threading.Thread(target=write, args=(row,)) for row in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(made[:], values)
