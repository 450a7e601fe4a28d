"""A file that is replaced in place, under its name, with its size and its date, is another one:
whatever was made of it before is not kept.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from small_archive import make_archive, write

from configs import content as contents
from configs.area import around
from configs.content import content
from configs.event import Event, default_windows
from configs.factors import FactorsConfig
from configs.files import sha256
from configs.stack import Stack
from gee.archive.source import ArchiveSource
from gee.factors.source import FactoredSource
from gee.stack import assemble

EVENT = Event(
    name="e", title="e", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42.70, longitude=142.11
)
AREA = around(42.70, 142.11, 1.0)
BANDS = ("pre_B4", "post_B4", "dem", "slope", "river_distance")


def replaced(path: Path, other: Path) -> None:
    """Put another file's bytes in a file's place, and turn its clock back."""
    before = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def rivers(path: Path, shift_m: float) -> Path:
    line = shapely.LineString([(591_000 + shift_m, 4_728_000), (592_000 + shift_m, 4_729_500)])
    gpd.GeoDataFrame(geometry=[line], crs="EPSG:32654").to_file(path)
    return path


def stack_of(folder: Path, out: Path, before: Stack | None = None) -> Stack:
    config = FactorsConfig.model_validate({"river_distance": {"file": "rivers.shp", "cap_m": 5000}})
    source = FactoredSource(ArchiveSource(folder), config, folder)
    windows = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    plan = source.plan(AREA, AREA.geobox(10.0), EVENT, windows, BANDS)
    return assemble(source, plan, BANDS, out, before=before)


@pytest.mark.parametrize("name", ["post_B4", "pre_B4", "dem", "rivers"])
def test_pixels_of_a_replaced_file_are_not_kept(tmp_path: Path, name: str) -> None:
    folder = make_archive(tmp_path / "archive")
    other = tmp_path / "other"
    other.mkdir()
    rivers(folder / "rivers.shp", 0)
    first = stack_of(folder, tmp_path / "r1.zarr")
    if name == "rivers":
        file = "rivers.shp"
        rivers(other / file, 120)
        band = "river_distance"
    else:
        file, band = f"{name}.tif", name
        with rasterio.open(folder / file) as now:
            values = np.full(now.shape, 1234, now.dtypes[0])
            pixel_m, nodata = now.transform.a, now.nodata
            corner = (now.transform.c, now.transform.f)
        write(other / file, values, pixel_m, nodata=nodata, corner=corner)
    replaced(folder / file, other / file)
    again = stack_of(folder, tmp_path / "r2.zarr", before=first)
    fresh = stack_of(folder, tmp_path / "r3.zarr")
    assert not np.array_equal(first.read(band), fresh.read(band), equal_nan=True)
    np.testing.assert_array_equal(again.read(band), fresh.read(band))


def test_the_files_beside_a_file_are_part_of_what_it_says(tmp_path: Path) -> None:
    for file, beside in (
        ("a.tif", "a.tif.aux.xml"),
        ("a.tif", "a.tfw"),
        ("rocks.shp", "rocks.dbf"),
        ("rocks.shp", "rocks.prj"),
    ):
        (tmp_path / file).write_bytes(b"same")
        alone = content(tmp_path / file)
        (tmp_path / beside).write_bytes(b"one")
        one = content(tmp_path / file)
        (tmp_path / beside).write_bytes(b"two")
        assert len({alone, one, content(tmp_path / file)}) == 3
        (tmp_path / beside).unlink()
        (tmp_path / "a.dbf").write_bytes(b"of something else")
        assert content(tmp_path / file) == alone


def test_a_checksum_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "a.tif", list[Path]()
    path.write_bytes(b"one")
    monkeypatch.setattr(contents, "_SETTLED_S", -60.0)

    def counting(file: Path) -> str:
        read.append(file)
        return sha256(file)

    monkeypatch.setattr(contents, "sha256", counting)
    first = content(path)
    assert content(path) == first
    assert len(read) == 1
    other = tmp_path / "other"
    other.write_bytes(b"two")
    replaced(path, other)
    assert content(path) != first
    assert len(read) == 2
