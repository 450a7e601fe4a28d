"""Archives: rasters of any kind come onto the grid without seams, scenes are chosen as documented,
bad ones are refused.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject

from configs.area import Area, around, from_bounds
from configs.bands import When
from configs.errors import CoslideError, NothingToSeeError, RequestError
from configs.event import Event, Windows, default_windows, parse_range
from configs.records import ObservationClass
from gee.archive import ArchiveSource
from gee.observation import observe
from gee.rasters import look_at
from gee.source import DOUBTS, Plan
from gee.stack import assemble

CRS = "EPSG:32654"
LEFT, TOP = 574000, 4731000
AFFINE = Affine(10, 0, LEFT, 0, -10, TOP)
EVENT = Event(
    name="q", time=datetime(2018, 9, 5, 18, 8, tzinfo=UTC), latitude=42.71, longitude=141.92
)
WINDOWS = Windows(
    pre=parse_range("2017-09-01/2018-09-05", "--pre"),
    post=parse_range("2018-09-05/2018-12-31", "--post"),
    as_of=datetime(2019, 1, 1, tzinfo=UTC),
)


def write(
    path: Path, values: NDArray[Any], affine: Affine = AFFINE, crs: str | None = CRS, **profile: Any
) -> Path:
    """Write one band as GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    given = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": values.dtype,
        "transform": affine,
    }
    with rasterio.open(path, "w", **(given | {"crs": crs} | profile)) as file:
        file.write(values, 1)
    return path


def smooth(size: int = 300, seed: int = 0) -> NDArray[np.uint16]:
    """Return a smooth picture of digital numbers, 500 ... 3500."""
    y, x = np.mgrid[:size, :size]
    return (2000 + 1500 * np.sin(x / 23 + seed) * np.cos(y / 31)).astype(np.uint16)


def manifest(folder: Path, scenes: list[dict[str, Any]], **more: Any) -> Path:
    """Write a manifest."""
    content = {
        "format": "coslide/archive/1",
        "sensor": "sentinel-2",
        "level": "L1C",
        "resolution_m": 10,
        "scenes": scenes,
    }
    path = folder / "archive.yaml"
    path.write_text(yaml.safe_dump(content | more))
    return path


def scene(identity: str, acquired: str, file: str = "b4.tif", **more: Any) -> dict[str, Any]:
    """Return a scene with one band."""
    return {
        "id": identity,
        "acquired": acquired,
        "bands": {"B4": {"file": file, "scale": 1e-4, "nodata": 0}},
    } | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an archive of one post-event band and elevation."""
    here = tmp_path / "archive"
    write(here / "b4.tif", smooth())
    write(
        here / "dem.tif",
        smooth(120)[:120, :120].astype(np.float32) / 10,
        Affine(30, 0, LEFT - 150, 0, -30, TOP + 150),
    )
    manifest(here, [scene("one", "2018-10-01")], static={"dem": {"file": "dem.tif"}})
    return here


def whole(source: ArchiveSource) -> Area:
    """Return all that a source covers."""
    extent = source.extent()
    assert extent is not None
    return Area(extent, "all of it")


def planned(
    source: ArchiveSource, *bands: str, area: Area | None = None, event: Event = EVENT
) -> Plan:
    place = area or whole(source)
    return source.plan(place, place.geobox(10), event, WINDOWS, bands)


def pull(
    source: ArchiveSource, *bands: str
) -> tuple[dict[str, NDArray[np.float32]], dict[When, Any], dict[When, Any]]:
    """Return one block with everything on the file's own grid."""
    plan = planned(source, *bands)
    found = source.pull(plan, GeoBox((300, 300), Affine(10, 0, LEFT, 0, -10, TOP), CRS))
    return dict(found.bands), dict(found.observation), dict(found.date)


def test_on_its_own_grid_a_raster_comes_back_as_it_is(folder: Path) -> None:
    bands, seen, day = pull(ArchiveSource(folder), "post_B4")
    np.testing.assert_allclose(bands["post_B4"], smooth() * 1e-4, rtol=1e-6)
    assert (seen[When.POST] == ObservationClass.CLEAR).all()
    assert (day[When.POST] == (datetime(2018, 10, 1) - datetime(1970, 1, 1)).days).all()


@pytest.mark.parametrize(
    ("dtype", "scale", "offset", "nodata"),
    [
        ("uint16", 1e-4, 0.0, 0),
        ("int16", 1e-4, -0.1, -9999),
        ("float32", 1.0, 0.0, float("nan")),
        ("uint8", 1 / 255, 0.0, 255),
    ],
)
def test_any_number_type_scale_offset_and_nodata(
    tmp_path: Path, dtype: str, scale: float, offset: float, nodata: float
) -> None:
    truth = (smooth() * 1e-4).astype(np.float64)
    numbers = np.round((truth - offset) / scale) if dtype != "float32" else truth
    numbers[50:60, 70:90] = nodata
    write(tmp_path / "b4.tif", numbers.astype(dtype))
    band = {"file": "b4.tif", "scale": scale, "offset": offset, "nodata": nodata}
    manifest(tmp_path, [{"id": "a", "acquired": "2018-10-01", "bands": {"B4": band}}])
    bands, seen, _ = pull(ArchiveSource(tmp_path), "post_B4")
    gap = np.zeros((300, 300), bool)
    gap[50:60, 70:90] = True
    np.testing.assert_array_equal(np.isnan(bands["post_B4"]), gap)
    np.testing.assert_array_equal(seen[When.POST] == ObservationClass.NOT_IMAGED, gap)
    np.testing.assert_allclose(
        bands["post_B4"][~gap], truth[~gap], atol=scale if dtype != "float32" else 1e-6
    )


def test_scale_and_nodata_of_the_file_itself(tmp_path: Path) -> None:
    numbers = smooth()
    numbers[:5] = 7
    path = write(tmp_path / "b4.tif", numbers, nodata=7)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (2e-4,), (0.05,)
    manifest(tmp_path, [{"id": "a", "acquired": "2018-10-01", "bands": {"B4": {"file": "b4.tif"}}}])
    bands, _, _ = pull(ArchiveSource(tmp_path), "post_B4")
    assert np.isnan(bands["post_B4"][:5]).all()
    np.testing.assert_allclose(bands["post_B4"][5:], numbers[5:] * 2e-4 + 0.05, rtol=1e-5)


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32653", "EPSG:3857"])
def test_any_crs_as_gdal_warps_it(tmp_path: Path, crs: str, method: str) -> None:
    block = GeoBox((200, 200), Affine(10, 0, LEFT + 500, 0, -10, TOP - 500), CRS)
    native = _native_around(crs)
    values = smooth(500)
    write(tmp_path / "b4.tif", values, native.affine, crs)
    manifest(tmp_path, [scene("a", "2018-10-01")], resampling=method)
    source = ArchiveSource(tmp_path)
    found = source.pull(planned(source, "post_B4"), block).bands["post_B4"]
    theirs = np.zeros((200, 200), np.float32)
    reproject(
        values.astype(np.float32),
        theirs,
        src_transform=native.affine,
        src_crs=crs,
        dst_transform=block.affine,
        dst_crs=CRS,
        resampling=Resampling[method],
        tolerance=0,
        warp_mem_limit=64,
        XSCALE=1,
        YSCALE=1,
    )
    if method == "bilinear":
        np.testing.assert_allclose(found, theirs * 1e-4, atol=2e-4)
    else:
        assert (
            np.abs(found - theirs * 1e-4) < 1e-6
        ).mean() > 0.99  # GDAL interpolates coordinates; ours are exact to 1e-4 px


def _native_around(crs: str) -> GeoBox:
    """Return a grid of about 10 m in another CRS, somewhat larger than the test's block, at an odd
    origin.
    """
    to_crs = pyproj.Transformer.from_crs(CRS, crs, always_xy=True)
    x, y = to_crs.transform(LEFT, TOP)
    step = 9.1e-5 if crs == "EPSG:4326" else 10.3
    return GeoBox((500, 500), Affine(step, 0, x - 100.3 * step, 0, -step, y + 100.7 * step), crs)


def test_blocks_have_no_seams(tmp_path: Path) -> None:
    native = _native_around("EPSG:4326")
    values = smooth(500)
    values[::17, ::13] = 0
    write(tmp_path / "b4.tif", values, native.affine, "EPSG:4326")
    write(tmp_path / "fine.tif", smooth(900), Affine(3.3, 0, LEFT + 1, 0, -3.3, TOP - 2))
    bands = {
        "B4": {"file": "b4.tif", "scale": 1e-4, "nodata": 0},
        "B3": {"file": "fine.tif", "scale": 1e-4},
    }
    manifest(tmp_path, [{"id": "a", "acquired": "2018-10-01", "bands": bands}])
    source = ArchiveSource(tmp_path)
    plan = planned(source, "post_B4", "post_B3")
    large = GeoBox((260, 250), Affine(10, 0, LEFT + 100, 0, -10, TOP - 100), CRS)
    all_at_once = source.pull(plan, large)
    for rows, columns in (
        (slice(0, 64), slice(0, 64)),
        (slice(33, 260), slice(101, 250)),
        (slice(7, 8), slice(9, 10)),
    ):
        part = source.pull(plan, large[rows, columns])
        for name in plan.bands:
            np.testing.assert_array_equal(part.bands[name], all_at_once.bands[name][rows, columns])
        np.testing.assert_array_equal(
            part.observation[When.POST], all_at_once.observation[When.POST][rows, columns]
        )
    assert 0.5 < np.isfinite(all_at_once.bands["post_B4"]).mean() < 1


def test_a_finer_raster_is_averaged_not_picked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(1000, 3000, (900, 900)).astype(np.uint16)
    write(tmp_path / "b4.tif", noise, Affine(2, 0, LEFT, 0, -2, TOP))
    manifest(tmp_path, [scene("a", "2018-10-01")])
    source = ArchiveSource(tmp_path)
    block = GeoBox((180, 180), Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    found = source.pull(planned(source, "post_B4"), block).bands["post_B4"]
    means = noise.reshape(180, 5, 180, 5).mean(axis=(1, 3)) * 1e-4
    np.testing.assert_allclose(found, means, rtol=1e-5)


def test_a_gap_neither_grows_nor_bleeds(tmp_path: Path) -> None:
    values = np.full((300, 300), 3000, np.uint16)
    values[100:200, 100:200] = 0
    write(tmp_path / "b4.tif", values, Affine(10, 0, LEFT + 4, 0, -10, TOP - 3))
    manifest(tmp_path, [scene("a", "2018-10-01")])
    bands, _, _ = pull(ArchiveSource(tmp_path), "post_B4")
    known = np.isfinite(bands["post_B4"])
    np.testing.assert_allclose(
        bands["post_B4"][known], 0.3, rtol=1e-6
    )  # never darkened by the nodata number beside it
    assert abs((~known[50:250, 50:250]).sum() - 100 * 100) <= 200


MASK = {
    "file": "mask.tif",
    "clear": [4, 5],
    "cloud": [8, 9],
    "shadow": [3],
    "snow": [11],
    "water": [6],
}


def test_cloud_masks_say_what_was_seen(folder: Path) -> None:
    classes = np.full((300, 300), 4, np.uint8)
    for row, value in enumerate((5, 8, 9, 3, 11, 6, 7)):
        classes[10 * row : 10 * row + 10] = value
    classes[290:] = 0
    write(folder / "mask.tif", classes, nodata=0)
    manifest(folder, [scene("one", "2018-10-01", cloud_mask=MASK)])
    bands, seen, day = pull(ArchiveSource(folder), "post_B4")
    kinds = [int(seen[When.POST][10 * row, 5]) for row in range(8)] + [int(seen[When.POST][295, 5])]
    names = ["CLEAR", "CLOUD", "CLOUD", "SHADOW", "SNOW", "WATER", "CLOUD", "CLEAR", "NOT_IMAGED"]
    assert [ObservationClass(kind).name for kind in kinds] == names
    assert np.isfinite(bands["post_B4"][15, 5])
    assert np.isnan(bands["post_B4"][295, 5])
    assert day[When.POST][295, 5] == 0
    without_clear = {key: value for key, value in MASK.items() if key != "clear"}
    manifest(folder, [scene("one", "2018-10-01", cloud_mask=without_clear)])
    _, seen, _ = pull(ArchiveSource(folder), "post_B4")
    assert seen[When.POST][65, 5] == ObservationClass.CLEAR  # 7 is in no list


def test_each_pixel_comes_from_the_first_scene_that_is_clear_there(tmp_path: Path) -> None:
    for number, name in enumerate(("early", "late")):
        write(tmp_path / f"{name}.tif", np.full((300, 300), 1000 * (number + 1), np.uint16))
    clouds = np.zeros((300, 300), np.uint8)
    clouds[:, :150] = 1
    write(tmp_path / "left.tif", clouds)
    write(tmp_path / "top.tif", np.ascontiguousarray(clouds.T))
    scenes = [
        scene("b-late", "2018-11-20", "late.tif", cloud_mask={"file": "top.tif", "cloud": [1]}),
        scene("a-early", "2018-09-20", "early.tif", cloud_mask={"file": "left.tif", "cloud": [1]}),
    ]
    manifest(tmp_path, scenes)
    source = ArchiveSource(tmp_path)
    plan = planned(source, "post_B4")
    assert [one.id for one in plan.scenes] == ["a-early", "b-late"]
    assert plan.scenes[0].clear_fraction == pytest.approx(0.5, abs=0.03)
    bands, seen, day = pull(source, "post_B4")
    right, lower_left, upper_left = (10, 200), (200, 10), (10, 10)
    assert bands["post_B4"][right] == pytest.approx(0.1)
    assert bands["post_B4"][lower_left] == pytest.approx(0.2)
    assert bands["post_B4"][upper_left] == pytest.approx(
        0.1
    )  # cloudy in both: the first that imaged it
    assert seen[When.POST][upper_left] == ObservationClass.CLOUD
    assert (seen[When.POST][150:] == ObservationClass.CLEAR).all()
    assert day[When.POST][lower_left] - day[When.POST][right] == 61


def test_a_scene_that_shows_almost_nothing_comes_last(tmp_path: Path) -> None:
    write(tmp_path / "b4.tif", smooth())
    clouds = np.ones((300, 300), np.uint8)
    clouds[:, :20] = 0
    write(tmp_path / "clouds.tif", clouds)
    cloudy = scene("cloudy", "2018-09-08", cloud_mask={"file": "clouds.tif", "cloud": [1]})
    manifest(tmp_path, [cloudy, scene("clear", "2018-10-20")])
    assert [one.id for one in planned(ArchiveSource(tmp_path), "post_B4").scenes] == [
        "clear",
        "cloudy",
    ]


def test_before_the_event_season_counts_more_than_age(tmp_path: Path) -> None:
    write(tmp_path / "b4.tif", smooth())
    manifest(
        tmp_path,
        [
            scene("spring", "2018-04-25"),
            scene("last-autumn", "2017-09-10"),
            scene("july", "2018-07-20"),
        ],
    )
    found = [one.id for one in planned(ArchiveSource(tmp_path), "pre_B4").scenes]
    assert found == ["last-autumn", "july", "spring"]


def test_windows_event_and_clock_hide_scenes(tmp_path: Path) -> None:
    write(tmp_path / "b4.tif", smooth())
    dates = {
        "too-early": "2016-01-01",
        "pre": "2018-08-01",
        "event-day": "2018-09-05",
        "after-noon": "2018-09-05T23:00",
        "post": "2018-09-20",
        "hidden": "2018-11-11",
    }
    manifest(
        tmp_path,
        [scene(name, day) for name, day in dates.items()]
        + [scene("hinted", "2018-09-21", when="pre")],
    )
    source = ArchiveSource(tmp_path)
    place = whole(source)
    windows = WINDOWS.model_copy(update={"as_of": datetime(2018, 11, 1, tzinfo=UTC)})
    plan = source.plan(place, place.geobox(10), EVENT, windows, ("pre_B4", "post_B4"))
    assert [(one.when, one.id) for one in plan.scenes] == [
        (When.PRE, "pre"),
        (When.POST, "after-noon"),
        (When.POST, "post"),
    ]


def test_permanent_water_from_the_static_layer(folder: Path) -> None:
    occurrence = np.zeros((300, 300), np.uint8)
    occurrence[:, 100:120], occurrence[:, 120:130] = 95, 50
    write(folder / "water.tif", occurrence)
    values = smooth()
    values[:10] = 0
    write(folder / "b4.tif", values)
    manifest(folder, [scene("one", "2018-10-01")], static={"water": {"file": "water.tif"}})
    _, seen, _ = pull(ArchiveSource(folder), "post_B4")
    assert (seen[When.POST][20:, 100:120] == ObservationClass.WATER).all()
    assert (seen[When.POST][20:, 120:] == ObservationClass.CLEAR).all()
    assert (seen[When.POST][:10] == ObservationClass.NOT_IMAGED).all()


def test_terrain_is_derived_where_there_is_a_dem(folder: Path, tmp_path: Path) -> None:
    write(folder / "slope.tif", np.full((300, 300), 77, np.float32))
    both = {"dem": {"file": "dem.tif"}, "slope": {"file": "slope.tif"}}
    manifest(folder, [scene("one", "2018-10-01")], static=both)
    source = ArchiveSource(folder)
    plan = planned(source, "post_B4", "slope", "hillshade")
    assert plan.needs_elevation
    assert plan.bands == ("post_B4",)
    slope = assemble(source, plan, ("slope",), tmp_path / "a.zarr").read("slope")
    assert np.nanmax(slope) < 70
    manifest(folder, [scene("one", "2018-10-01")], static={"slope": {"file": "slope.tif"}})
    supplied = ArchiveSource(folder)
    assert any("slope as supplied" in text for text in supplied.offer().warnings)
    assert "hillshade" not in supplied.offer().bands
    plan = planned(supplied, "post_B4", "slope")
    assert not plan.needs_elevation
    slope = assemble(supplied, plan, ("slope",), tmp_path / "b.zarr").read("slope")
    assert np.nanmin(slope) == np.nanmax(slope) == 77


def test_heights_that_cannot_be_are_void(folder: Path) -> None:
    heights = np.full((120, 120), 200, np.int16)
    heights[40:50, 40:50] = -32768
    write(folder / "dem.tif", heights, Affine(30, 0, LEFT - 150, 0, -30, TOP + 150))
    source = ArchiveSource(folder)
    block = GeoBox((300, 300), Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    found = source.elevation(planned(source, "slope"), block, 3)
    assert np.isnan(found.values).sum() == 100


def test_names_stay_inside_the_folder(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside.tif", smooth())
    (folder / "link.tif").symlink_to(tmp_path / "outside.tif")
    for name in (
        "../outside.tif",
        str(tmp_path / "outside.tif"),
        "link.tif",
        "/vsicurl/https://x/y.tif",
        "a/../../outside.tif",
    ):
        manifest(folder, [scene("one", "2018-10-01", name)])
        with pytest.raises(RequestError, match="leads out of"):
            planned(ArchiveSource(folder), "post_B4", area=around(42.71, 141.92, 1))


def test_a_manifest_may_stand_elsewhere(folder: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((folder / "archive.yaml").read_text()) | {"folder": "archive"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    bands, _, _ = pull(ArchiveSource(tmp_path / "mine.yaml"), "post_B4")
    np.testing.assert_allclose(bands["post_B4"], smooth() * 1e-4, rtol=1e-6)
    shutil.copytree(folder, tmp_path / "other")
    write(tmp_path / "other" / "b4.tif", smooth(seed=2))
    bands, _, _ = pull(ArchiveSource(tmp_path / "mine.yaml", tmp_path / "other"), "post_B4")
    np.testing.assert_allclose(bands["post_B4"], smooth(seed=2) * 1e-4, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "coslide/archive/2"}, "newer"),
        ({"format": "coslide/card/1"}, "not a coslide archive"),
        ({"sensor": None}, "sensor"),
        ({"level": "L3"}, "level"),
        ({"scenes": []}, "scenes"),
        ({"scenes": [scene("a", "yesterday")]}, r"scenes\.0\.acquired"),
        (
            {"scenes": [scene("a", "2018-10-01"), scene("a", "2018-10-02")]},
            "two scenes are called a",
        ),
        ({"scenes": [scene("a", "2018-10-01", bands={"red": {"file": "x"}})]}, "`red` is no band"),
        (
            {"scenes": [scene("a", "2018-10-01", bands={"NDVI": {"file": "x"}})]},
            "indices are computed",
        ),
        ({"scenes": [scene("a", "2018-10-01", bands={"B4": {"fil": "x"}})]}, r"B4\.file"),
        (
            {"scenes": [scene("a", "2018-10-01", cloud_mask={"file": "m.tif"})]},
            "at least one value",
        ),
        (
            {
                "scenes": [
                    scene(
                        "a", "2018-10-01", cloud_mask={"file": "m.tif", "clear": [1], "cloud": [1]}
                    )
                ]
            },
            "two lists",
        ),
        ({"static": {"B4": {"file": "x"}}}, "no static layer"),
        ({"folder": "not/there"}, "folder"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_bad_manifests_name_the_field(folder: Path, change: dict[str, Any], words: str) -> None:
    content = yaml.safe_load((folder / "archive.yaml").read_text()) | change
    (folder / "archive.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError, match=words):
        ArchiveSource(folder)


def test_no_archive_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no archive"):
        ArchiveSource(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="no archive"):
        ArchiveSource(tmp_path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("not a raster at all")


def _vrt(path: Path) -> None:
    path.write_text(
        '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" '
        'band="1"/></VRTDataset>'
    )


def _gone(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _no_crs(path: Path) -> None:
    write(path, smooth(), crs=None)


def _local(path: Path) -> None:
    write(path, smooth(), crs='LOCAL_CS["WGS 84 / UTM zone 54N",UNIT["metre",1]]')


def _no_place(path: Path) -> None:
    write(path, smooth(), Affine.identity())


def _complex(path: Path) -> None:
    write(path, smooth().astype(np.complex64))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_empty, "is empty"),
        (_text, "no raster"),
        (_vrt, "no raster"),
        (_gone, "there is no file"),
        (_truncated, "truncated"),
        (_header_only, "cannot read|truncated"),
        (_no_crs, "no coordinate reference system"),
        (_local, "a local system"),
        (_no_place, "no geotransform"),
        (_complex, "complex64"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_bad_rasters_are_refused_before_anything_is_pulled(
    folder: Path, damage: Any, words: str
) -> None:
    damage(folder / "b4.tif")
    with pytest.raises(RequestError, match=words) as caught:
        planned(ArchiveSource(folder), "post_B4", area=around(42.71, 141.92, 1))
    assert "scene one, B4" in caught.value.message
    assert caught.value.remedy


def test_a_damaged_dem_is_refused_too(folder: Path) -> None:
    _truncated(folder / "dem.tif")
    with pytest.raises(RequestError, match=r"static layer dem.*truncated"):
        planned(ArchiveSource(folder), "slope", area=around(42.71, 141.92, 1))


def test_a_file_that_breaks_while_it_is_read(folder: Path) -> None:
    source = ArchiveSource(folder)
    plan = planned(source, "post_B4")
    _truncated(folder / "b4.tif")
    with pytest.raises(RequestError, match="cannot read"):
        source.pull(plan, plan.geobox)


def test_a_band_that_is_not_there(folder: Path) -> None:
    source = ArchiveSource(folder)
    with pytest.raises(RequestError, match="no band post_B8"):
        planned(source, "post_B4", "post_B8")
    with pytest.raises(RequestError, match="no band post_NDVI"):
        planned(source, "post_NDVI")
    manifest(
        folder,
        [scene("one", "2018-10-01"), scene("two", "2018-08-01", bands={"B3": {"file": "b4.tif"}})],
    )
    with pytest.raises(RequestError, match="no scene in the post window has B3"):
        planned(ArchiveSource(folder), "post_B3")
    content = scene("one", "2018-10-01", bands={"B4": {"file": "b4.tif", "band": 2}})
    manifest(folder, [content])
    with pytest.raises(RequestError, match="has no band 2, only 1"):
        planned(ArchiveSource(folder), "post_B4", area=around(42.71, 141.92, 1))


def test_nothing_to_see(folder: Path) -> None:
    source = ArchiveSource(folder)
    with pytest.raises(NothingToSeeError, match=r"no scene .* pre window .*one \(2018-10-01\)"):
        planned(source, "pre_B4")
    with pytest.raises(NothingToSeeError, match="outside the archive's imagery"):
        planned(source, "post_B4", area=around(10, 20, 5))
    write(folder / "b4.tif", np.zeros((300, 300), np.uint16))
    with pytest.raises(NothingToSeeError, match="every pixel of the area is nodata in one"):
        planned(ArchiveSource(folder), "post_B4")


def test_an_area_partly_outside_is_partly_not_imaged(folder: Path, tmp_path: Path) -> None:
    source = ArchiveSource(folder)
    area = around(42.73, 141.905, 1.5)
    plan = planned(source, "post_B4", area=area)
    stack = assemble(source, plan, ("post_B4",), tmp_path / "stack.zarr")
    seen = observe(stack, ("post_B4",), area, tmp_path / "seen.zarr")
    assert 0 < seen.counts[ObservationClass.NOT_IMAGED] < seen.area_px
    assert 0 < seen.observed_fraction < 1


def test_across_the_antimeridian(tmp_path: Path) -> None:
    values = smooth(400)
    write(tmp_path / "b4.tif", values, Affine(1e-4, 0, 179.98, 0, -1e-4, -16.98), "EPSG:4326")
    manifest(tmp_path, [scene("one", "2018-10-01")])
    source = ArchiveSource(tmp_path)
    for bounds in ("179.99,-17.01,-179.99,-16.99", "-179.995,-17.01,-179.99,-17.0"):
        area = from_bounds(bounds)
        plan = source.plan(area, area.geobox(10), EVENT, WINDOWS, ("post_B4",))
        found = source.pull(plan, plan.geobox).bands["post_B4"]
        inside = area.mask(plan.geobox)
        assert np.isfinite(found[inside]).all()
    assert found[inside].mean() == pytest.approx(values[200:300, 250:300].mean() * 1e-4, rel=0.05)


def test_a_large_raster_is_checked_block_by_block(tmp_path: Path) -> None:
    path = write(
        tmp_path / "tiled.tif",
        smooth(512),
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )
    assert look_at(tmp_path, "tiled.tif", 1, "x").masked is False
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    with pytest.raises(CoslideError, match=r"truncated|cannot read"):
        look_at(tmp_path, "tiled.tif", 1, "x")


def test_the_real_pair(real: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent.parent / "configs" / "archives" / "iburi-2018.yaml"
    source = ArchiveSource(here, real / "iburi-2018")
    offer = source.offer()
    assert offer.resolution_m == 10
    assert not offer.simulated
    assert {"pre_B2", "post_B4", "slope", "hillshade"} <= offer.bands
    assert not any(name.endswith(("B8", "NDVI")) for name in offer.bands)
    assert sum("assumed" in text for text in offer.warnings) == 2
    area = whole(source)
    bands = ("pre_B4", "post_B2", "post_B3", "post_B4", "slope", "hillshade")
    plan = planned(source, *bands)
    assert all(one.date_assumed for one in plan.scenes)
    stack = assemble(source, plan, bands, tmp_path / "stack.zarr")
    assert stack.geobox.crs is not None
    assert stack.geobox.crs.epsg == 32654
    assert stack.shape == (976, 612)
    # The README of the data counts 581 513 valid post pixels and 386 578 valid in both, by nearest
    # neighbour.
    post = observe(stack, ("post_B2", "post_B3", "post_B4"), area, tmp_path / "post.zarr")
    both = observe(stack, bands, area, tmp_path / "both.zarr")
    assert post.clear_px == pytest.approx(581_513, rel=0.001)
    assert both.clear_px == pytest.approx(386_578, rel=0.003)
    assert both.counts[ObservationClass.NO_PRE] == pytest.approx(581_513 - 386_578, rel=0.003)
    b4 = stack.read("post_B4")
    assert 0.03 <= np.nanmin(b4) < np.nanmax(b4) <= 0.4467
    slope = stack.read("slope")
    assert np.nanmax(slope) < 60
    assert np.isfinite(slope[np.isfinite(b4)]).mean() > 0.9999


def test_an_offset_left_in_is_said_first_and_a_transparent_half_is_seen_in_the_quick_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from small_archive import AREA, RUN, make_archive

    from flows.cli import main

    folder = make_archive(tmp_path / "archive")
    area = [*RUN, *AREA, "--source", f"archive:{folder}", "--out", str(tmp_path / "out")]

    def ahead() -> dict[str, Any]:
        with pytest.raises(SystemExit) as left:
            main(["-q", "respond", *area, "--dry-run", "--json"])
        assert left.value.code == 0
        return dict(json.loads(capsys.readouterr().out))

    assert not [words for words in ahead()["warnings"] if "offset" in words]
    for path in folder.glob("post_B*.tif"):
        with rasterio.open(path, "r+") as file:
            numbers = file.read(1)
            file.write(np.where(numbers > 0, numbers + 1000, numbers).astype(numbers.dtype), 1)
    assert "as if the offset of Sentinel-2 files" in ahead()["warnings"][0]
    for path in folder.glob("post_B*.tif"):
        with rasterio.open(path) as file:
            numbers, profile = file.read(1), file.profile | {"nodata": None}
        seen = np.full(numbers.shape, 255, np.uint8)
        seen[:, : numbers.shape[1] // 2] = 0
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **profile) as file,
        ):
            file.write(numbers, 1)
            file.write_mask(seen)
    content = yaml.safe_load((folder / "archive.yaml").read_text())
    for scene in content["scenes"]:
        for band in scene["bands"].values():
            band.pop("nodata", None)
    (folder / "archive.yaml").write_text(yaml.safe_dump(content))
    post = next(scene for scene in ahead()["scenes"] if scene["window"] == "post")
    assert 0.2 < post["clear_fraction"] < 0.8


def _planned(folder: Path) -> Plan:
    area = around(42.70, 142.11, 1.0)
    windows = default_windows(HERE, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
    return ArchiveSource(folder).plan(area, area.geobox(10.0), HERE, windows, ("post_B4", "slope"))


HERE = Event(
    name="e", title="e", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42.70, longitude=142.11
)


@pytest.mark.parametrize(
    ("scale", "level", "kind", "remedy"),
    [
        (1, "L1C", np.uint16, "scale: 0.0001"),
        (1, "L2A", np.float32, "scale: 0.0001"),
        (None, "L2A", np.uint16, "scale: 0.0001"),
        (1, "L2A", np.uint8, "1/255"),
        (1, "display", np.uint8, "1/255"),
    ],
)
def test_numbers_without_their_scale_are_refused(
    tmp_path: Path, scale: float | None, level: str, kind: Any, remedy: str
) -> None:
    from small_archive import make_archive

    folder = make_archive(tmp_path / "archive", level=level)
    _stored(folder, scale, kind)
    with pytest.raises(RequestError, match=r"post_B4\.tif holds no reflectance") as told:
        _planned(folder)
    assert remedy in told.value.remedy


def _stored(folder: Path, scale: float | None, kind: Any) -> None:
    """Store the red band after the event as another kind of number."""
    with rasterio.open(folder / "post_B4.tif") as file:
        numbers, profile = file.read(1), file.profile | {"dtype": np.dtype(kind).name}
    with rasterio.open(folder / "post_B4.tif", "w", **profile) as file:
        file.write((numbers / 16).astype(kind) if kind is np.uint8 else numbers.astype(kind), 1)
    content = yaml.safe_load((folder / "archive.yaml").read_text())
    for scene in content["scenes"]:
        for name, band in scene["bands"].items():
            if name == "B4" and scene["id"] == "scene-post":
                band["scale"] = scale
    (folder / "archive.yaml").write_text(yaml.safe_dump(content))


def test_pictures_of_eight_bits_that_pass_for_reflectance_are_said(tmp_path: Path) -> None:
    from small_archive import make_archive

    folder = make_archive(tmp_path / "archive")
    assert DOUBTS not in _planned(folder).details
    _stored(folder, 1 / 255, np.uint8)
    assert "level: display" in " ".join(_planned(folder).details[DOUBTS])
