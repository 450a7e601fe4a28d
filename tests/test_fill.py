"""Fill that no nodata declares is found before anything is averaged, whatever the resolution, and
is said.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from small_archive import NORTH, WEST, make_archive, write

from configs.area import around
from configs.event import Event, default_windows
from configs.stack import Stack
from gee.archive.source import ArchiveSource
from gee.source import DOUBTS
from gee.stack import assemble

EVENT = Event(
    name="e", title="e", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42.70, longitude=142.11
)
AREA = around(42.70, 142.11, 0.8)
BANDS = ("post_B4", "dem", "slope")


def mapped(folder: Path, out: Path) -> tuple[Stack, str]:
    """Return a stack of an archive, and what is doubted about it."""
    source = ArchiveSource(folder)
    windows = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    plan = source.plan(AREA, AREA.geobox(10.0), EVENT, windows, BANDS)
    return assemble(source, plan, BANDS, out), " ".join(plan.details.get(DOUBTS, ()))


def plane(pixel_m: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return a plane of 20 degrees above 300 m over the archive's ground."""
    side = int(3300 / pixel_m)
    east = np.arange(side, dtype=np.float32) * np.float32(pixel_m)
    return np.tile(300 + east * np.float32(np.tan(np.deg2rad(20))), (side, 1))


@pytest.mark.parametrize("fill", [-9999, -32768, 65535, 3.4028234663852886e38, 0])
@pytest.mark.parametrize("pixel_m", [2.0, 5.0, 10.0, 30.0])
def test_fill_in_an_elevation_makes_no_cliff(tmp_path: Path, fill: float, pixel_m: float) -> None:
    folder = make_archive(tmp_path / "archive", static={"dem": {"file": "dem.tif"}})
    heights = plane(pixel_m)
    rng = np.random.default_rng(0)
    specks = rng.random(heights.shape) < 0.01
    specks[:, int(1500 / pixel_m)] = True
    heights[specks] = fill
    write(folder / "dem.tif", heights, pixel_m, nodata=None)
    stack, doubts = mapped(folder, tmp_path / "stack.zarr")
    assert np.nanmin(stack.read("dem")) >= 299
    assert np.nanmax(stack.read("dem")) < 1600
    # half of a group void moves its mean by a quarter of a cell: up to 4 degrees on this plane
    assert np.nanmax(stack.read("slope")) < 24
    assert np.isfinite(stack.read("dem")).any()
    assert "dem.tif look like fill" in doubts
    assert "nodata" in doubts


def test_the_sea_is_no_fill(tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive", static={"dem": {"file": "dem.tif"}})
    write(folder / "dem.tif", np.maximum(plane(10.0) - 800, 0), nodata=None)
    stack, doubts = mapped(folder, tmp_path / "stack.zarr")
    assert np.nanmin(stack.read("dem")) == 0
    assert np.isfinite(stack.read("dem")).all()
    assert not doubts


def test_fill_in_a_fine_image_is_left_out_of_the_mean(tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive")
    text = (folder / "archive.yaml").read_text()
    (folder / "archive.yaml").write_text(text.replace("nodata: 0\n", "nodata: null\n"))
    values = np.full((1500, 1500), 1000, np.uint16)
    values[::7, ::11] = 65535
    write(folder / "post_B4.tif", values, 2.0, nodata=None, corner=(WEST, NORTH))
    stack, doubts = mapped(folder, tmp_path / "stack.zarr")
    np.testing.assert_allclose(stack.read("post_B4"), 0.1, atol=1e-4)
    assert "post_B4.tif look like fill" in doubts
