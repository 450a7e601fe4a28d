"""Influencing factors: distances are exact, windows agree bit for bit, and a file that makes no
sense is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from affine import Affine
from fake_source import an_event, small_world
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pydantic import ValidationError
from shapely.geometry import LineString, Point, Polygon, box

from configs.area import around
from configs.errors import RequestError
from configs.event import default_windows
from configs.factors import FactorsConfig
from configs.run import SourceConfig
from gee.factors.distance import distance_m, segments_of
from gee.factors.layers import Factors
from gee.factors.source import FactoredSource
from gee.sources import make_source
from gee.stack import assemble

EVENT = an_event()
AREA = around(EVENT.latitude, EVENT.longitude, 1.2)
GRID = AREA.geobox(10)
WEST, SOUTH, EAST, NORTH = GRID.boundingbox.bbox
MIDDLE = ((WEST + EAST) / 2, (SOUTH + NORTH) / 2)
WINDOWS = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 200, 80)


def layer(path: Path, shapes: list[Any], crs: Any = GRID.crs, **columns: list[Any]) -> Path:
    frame = gpd.GeoDataFrame(columns, geometry=shapes, crs=str(crs))
    frame.to_file(path, engine="pyogrio")
    return path


def river(path: Path, crs: Any = GRID.crs) -> Path:
    line = LineString([(WEST - 3000, MIDDLE[1] - 200), MIDDLE, (EAST + 3000, NORTH + 50)])
    frame = gpd.GeoDataFrame(geometry=[line], crs=str(GRID.crs)).to_crs(str(crs))
    frame.to_file(path, engine="pyogrio")
    return path


def halves(path: Path, names: tuple[Any, Any] = ("granite", "tuff")) -> Path:
    west, east = (
        box(WEST - 500, SOUTH - 500, MIDDLE[0], NORTH + 500),
        box(MIDDLE[0], SOUTH, EAST + 500, NORTH),
    )
    return layer(path, [west, east], rock=list(names))


def opened(name: str, path: Path, **more: Any) -> Any:
    config = FactorsConfig.model_validate({name: {"file": str(path), **more}})
    return Factors(config).open(name, GRID)


@settings(max_examples=25, deadline=None)
@given(
    points=st.lists(
        st.tuples(st.integers(-900, 3300), st.integers(-900, 3300)), min_size=2, max_size=9
    ),
    cap=st.sampled_from([150.0, 2500.0]),
)
def test_the_distance_is_the_one_shapely_measures_and_no_window_changes_it(
    points: list[tuple[int, int]], cap: float
) -> None:
    line = LineString([(WEST + x, SOUTH + y + 0.125) for x, y in points])
    segments = segments_of(np.array([line], dtype=object))
    whole = distance_m(segments, GRID, cap)
    rows, columns = slice(11, 170), slice(47, 131)
    np.testing.assert_array_equal(
        distance_m(segments, GRID[rows, columns], cap), whole[rows, columns]
    )
    for row, column in ((0, 0), (17, 200), (239, 3), (120, 121)):
        x, y = WEST + (column + 0.5) * 10, NORTH - (row + 0.5) * 10
        assert whole[row, column] == pytest.approx(min(line.distance(Point(x, y)), cap), abs=2e-3)


def test_segments_never_join_two_lines() -> None:
    lines = np.array(
        [
            LineString([(0, 0), (1, 0), (2, 0)]),
            shapely.MultiLineString([[(5, 5), (6, 6)], [(8, 8), (9, 9)]]),
        ]
    )
    assert segments_of(lines).tolist() == [
        [[0, 0], [1, 0]],
        [[1, 0], [2, 0]],
        [[5, 5], [6, 6]],
        [[8, 8], [9, 9]],
    ]


@pytest.mark.parametrize("name", ["rivers.gpkg", "rivers.geojson", "rivers.shp"])
def test_lines_of_any_crs_and_format_become_distances(tmp_path: Path, name: str) -> None:
    found = opened("river_distance", river(tmp_path / name, 4326), cap_m=800).on(GRID)
    row, column = GRID.shape[0] // 2, GRID.shape[1] // 2
    assert found[row, column] < 15
    assert found.max() == 800
    assert found[0, 0] == 800
    down = found[row, column - 40 : column + 1 : 40]
    assert down[0] < 15  # along the river


def test_a_lake_is_no_distance_from_itself(tmp_path: Path) -> None:
    lake = box(MIDDLE[0] - 200, MIDDLE[1] - 200, MIDDLE[0] + 200, MIDDLE[1] + 200)
    found = opened("river_distance", layer(tmp_path / "lakes.gpkg", [lake])).on(GRID)
    row, column = GRID.shape[0] // 2, GRID.shape[1] // 2
    assert found[row, column] == 0
    assert found[row, column + 50] == pytest.approx(300, abs=10)


def test_polygons_become_codes_and_gaps_are_not_known(tmp_path: Path) -> None:
    path = halves(tmp_path / "geology.gpkg")
    table = {"granite": 4, "tuff": 2}
    rock = opened("lithology", path, attribute="rock", codes=table)
    found = rock.on(GRID)
    assert found[100, 10] == 4
    assert found[100, -10] == 2
    np.testing.assert_array_equal(rock.on(GRID[5:90, 60:200]), found[5:90, 60:200])
    half = layer(tmp_path / "half.gpkg", [box(WEST, SOUTH, MIDDLE[0], NORTH)], rock=["granite"])
    assert np.isnan(opened("lithology", half, attribute="rock", codes=table).on(GRID)[100, -10])
    assert (
        opened("lithology", half, attribute="rock", codes=table, elsewhere=9).on(GRID)[100, -10]
        == 9
    )


def test_a_condition_chooses_features_and_may_leave_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = halves(tmp_path / "g.gpkg", (7, 12))
    found = opened("lithology", path, attribute="rock", where="rock = 12", elsewhere=0).on(GRID)
    assert set(np.unique(found)) == {0, 12}
    with pytest.raises(RequestError, match="no polygon in the area where rock = 3"):
        opened("lithology", path, attribute="rock", where="rock = 3")
    with pytest.raises(RequestError, match="cannot read"):
        opened("lithology", path, attribute="rock", where="no such thing")
    away = opened("river_distance", path, where="rock = 3", cap_m=700).on(GRID)
    assert (away == 700).all()
    assert "no line" in caplog.text


def test_whole_numbers_are_their_own_codes(tmp_path: Path) -> None:
    path = halves(tmp_path / "numbered.gpkg", (7, 12))
    found = opened("lithology", path, attribute="rock").on(GRID)
    assert set(np.unique(found)) == {7, 12}


def written(
    path: Path, values: Any, crs: Any = GRID.crs, step: float = 30.0, nodata: float | None = None
) -> Path:
    array = np.asarray(values)
    profile = {
        "driver": "GTiff",
        "height": array.shape[0],
        "width": array.shape[1],
        "count": 1,
        "dtype": array.dtype,
    }
    affine = Affine(step, 0, WEST - 30, 0, -step, NORTH + 30)
    with rasterio.open(path, "w", **profile, crs=str(crs), transform=affine, nodata=nodata) as file:
        file.write(array, 1)
    return path


def test_rasters_are_warped_codes_by_their_nearest_pixel(tmp_path: Path) -> None:
    codes = np.tile(np.array([[3, 8]], np.uint8), (90, 45))
    found = opened("lithology", written(tmp_path / "rock.tif", codes)).on(GRID)
    assert set(np.unique(found)) == {3, 8}
    ramp = np.tile(np.arange(90, dtype=np.float32) * 30, (90, 1))
    away = opened("fault_distance", written(tmp_path / "faults.tif", ramp)).on(GRID)
    assert np.diff(away[50]).mean() == pytest.approx(10, rel=0.05)


def test_they_are_bands_beside_any_imagery(tmp_path: Path) -> None:
    inner = small_world(AREA, EVENT)
    config = FactorsConfig.model_validate(
        {
            "river_distance": {"file": str(river(tmp_path / "r.gpkg"))},
            "lithology": {
                "file": str(halves(tmp_path / "g.gpkg")),
                "attribute": "rock",
                "codes": {"granite": 1, "tuff": 5},
            },
        }
    )
    source = FactoredSource(inner, config)
    bands = ("post_B4", "river_distance", "slope", "lithology")
    assert {*bands, "dem"} <= source.offer().bands
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, bands)
    assert plan.bands == ("post_B4", "river_distance", "lithology")
    assert set(plan.details["factors"]) == {"river_distance", "lithology"}
    stack = assemble(source, plan, bands, tmp_path / "stack.zarr")
    whole = Factors(config).open("river_distance", GRID).on(GRID)
    np.testing.assert_allclose(stack.read("river_distance"), whole, atol=1.001)
    assert set(np.unique(stack.read("lithology"))) == {1, 5}
    without = source.plan(AREA, GRID, EVENT, WINDOWS, ("post_B4", "slope"))
    assert "factors" not in without.details


def test_another_file_is_another_stack(tmp_path: Path) -> None:
    path = river(tmp_path / "r.gpkg")
    config = FactorsConfig.model_validate({"river_distance": {"file": str(path)}})
    before = Factors(config).details(("river_distance",))
    layer(path, [LineString([(WEST, SOUTH), (EAST, NORTH)])])
    assert Factors(config).details(("river_distance",)) != before
    capped = replace_cap(config, 500.0)
    assert Factors(capped).details(("river_distance",)) != Factors(config).details(
        ("river_distance",)
    )


def replace_cap(config: FactorsConfig, cap_m: float) -> FactorsConfig:
    assert config.river_distance is not None
    return config.model_copy(
        update={"river_distance": config.river_distance.model_copy(update={"cap_m": cap_m})}
    )


def test_the_simulated_earth_takes_the_file_instead_of_its_own(tmp_path: Path) -> None:
    factors = {
        "lithology": {"file": str(halves(tmp_path / "g.gpkg", (11, 22))), "attribute": "rock"}
    }
    source = make_source(
        SourceConfig.model_validate({"landscape": "tephra-hills", "factors": factors})
    )
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, ("lithology", "fault_distance"))
    pulled = source.pull(plan, GRID[:64, 100:164])
    assert set(np.unique(pulled.bands["lithology"])) == {11, 22}
    assert pulled.bands["fault_distance"].max() > 0


def test_an_archive_names_its_factors_inside_its_folder(tmp_path: Path) -> None:
    values = np.full((90, 90), 0.2, np.float32)
    written(tmp_path / "b4.tif", values)
    river(tmp_path / "r.gpkg")
    manifest: dict[str, Any] = {
        "format": "coslide/archive/1",
        "sensor": "aerial",
        "level": "L1C",
        "scenes": [{"id": "a", "acquired": "2018-09-20", "bands": {"B4": {"file": "b4.tif"}}}],
        "factors": {"river_distance": {"file": "r.gpkg"}},
    }
    (tmp_path / "archive.yaml").write_text(yaml.safe_dump(manifest))
    source = make_source(SourceConfig(kind="archive", archive=str(tmp_path)))
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, ("post_B4", "river_distance"))
    assert source.pull(plan, GRID).bands["river_distance"].min() < 10
    manifest["factors"] = {"river_distance": {"file": "../r.gpkg"}}
    (tmp_path / "archive.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(RequestError, match="leads out of"):
        make_source(SourceConfig(kind="archive", archive=str(tmp_path))).plan(
            AREA, GRID, EVENT, WINDOWS, ("post_B4", "river_distance")
        )


def _no_crs(path: Path) -> Path:
    with pytest.warns(UserWarning, match="crs"):
        gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1, 1)])]).to_file(path, engine="pyogrio")
    return path


def _text(path: Path) -> Path:
    path.write_text("not a map")
    return path


def _empty(path: Path) -> Path:
    gpd.GeoDataFrame({"rock": []}, geometry=[], crs=str(GRID.crs)).to_file(path, engine="pyogrio")
    return path


BAD_LINES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing.gpkg": (lambda p: p, "no such file"),
    "text.gpkg": (_text, "not a vector file"),
    "table.csv": (_text, "not a vector file coslide reads"),
    "nocrs.gpkg": (_no_crs, "coordinate system"),
    "empty.gpkg": (_empty, "is empty"),
    "far.gpkg": (
        lambda p: layer(p, [LineString([(2.0, 48.0), (2.1, 48.1)])], 4326),
        "lies elsewhere",
    ),
    "degrees.gpkg": (
        lambda p: layer(p, [LineString([(141.9, 42.6), (142.0, 42.7)])]),
        "lies elsewhere",
    ),
    "points.gpkg": (lambda p: layer(p, [Point(*MIDDLE)]), "no line"),
    "beside.tif": (
        lambda p: written(p, np.ones((3, 3), np.float32), "EPSG:3857"),
        "shows nothing of the area",
    ),
    "negative.tif": (lambda p: written(p, np.full((90, 90), -5, np.float32)), "no distance"),
}


@pytest.mark.parametrize("name", sorted(BAD_LINES))
def test_files_that_cannot_be_lines_are_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    make, words = BAD_LINES[name]
    with pytest.raises(RequestError, match=words) as told:
        opened("river_distance", make(tmp_path / name))
    assert told.value.remedy
    assert told.value.code == 2


def test_classes_that_cannot_be_coded_are_refused_by_name(tmp_path: Path) -> None:
    path = halves(tmp_path / "g.gpkg")
    with pytest.raises(RequestError, match="no field `unit`") as told:
        opened("lithology", path, attribute="unit")
    assert "rock" in told.value.remedy
    with pytest.raises(RequestError, match="says no `attribute:`"):
        opened("lithology", path)
    with pytest.raises(RequestError, match="`tuff` of field `rock` has no code"):
        opened("lithology", path, attribute="rock", codes={"granite": 1})
    with pytest.raises(RequestError, match="no polygon"):
        opened("lithology", river(tmp_path / "r.gpkg"), attribute="rock")
    with pytest.raises(RequestError, match="an empty value"):
        opened(
            "lithology",
            halves(tmp_path / "n.gpkg", ("granite", None)),
            attribute="rock",
            codes={"granite": 1},
        )
    with pytest.raises(RequestError, match="no code"):
        opened("lithology", written(tmp_path / "x.tif", np.full((90, 90), 2.5, np.float32)))
    with pytest.raises(ValidationError, match="between 0 and"):
        FactorsConfig.model_validate({"lithology": {"file": "x.gpkg", "codes": {"granite": 4000}}})


def test_a_hole_in_a_polygon_is_a_hole(tmp_path: Path) -> None:
    x, y = MIDDLE
    ring = Polygon(
        [(WEST, SOUTH), (EAST, SOUTH), (EAST, NORTH), (WEST, NORTH)],
        [[(x - 100, y - 100), (x + 100, y - 100), (x + 100, y + 100), (x - 100, y + 100)]],
    )
    found = opened(
        "lithology", layer(tmp_path / "ring.gpkg", [ring], rock=[3]), attribute="rock"
    ).on(GRID)
    row, column = GRID.shape[0] // 2, GRID.shape[1] // 2
    assert np.isnan(found[row, column])
    assert found[row, column + 30] == 3


def test_the_grid_need_not_be_the_whole(tmp_path: Path) -> None:
    factors = Factors(
        FactorsConfig.model_validate({"river_distance": {"file": str(river(tmp_path / "r.gpkg"))}})
    )
    small = GeoBox((50, 60), GRID.affine @ Affine.translation(90, 70), GRID.crs)
    np.testing.assert_array_equal(
        factors.open("river_distance", small).on(small),
        factors.open("river_distance", GRID).on(GRID)[70:120, 90:150],
    )
