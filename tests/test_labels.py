"""Labels: the pixel-centre rule, any CRS, strips as the whole, and friendly words for every
unusable file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import LineString, Point, Polygon, box

from configs.errors import RequestError
from configs.vectors import Layer
from tiles.labels import burn, covers, read_layer, truth

CRS = "EPSG:32654"
GRID = GeoBox((60, 50), Affine(10, 0, 500_000, 0, -10, 4_700_000), CRS)


def frame(*shapes: Any, crs: str | None = CRS, **columns: Any) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs)


def centres() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x = 500_000 + 10 * (np.arange(50) + 0.5)
    y = 4_700_000 - 10 * (np.arange(60) + 0.5)
    return np.meshgrid(x, y)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-80, 580), st.floats(-680, 80)), min_size=3, max_size=7),
    st.lists(st.tuples(st.floats(-80, 580), st.floats(-680, 80)), min_size=3, max_size=5),
)
def test_a_pixel_is_a_landslide_exactly_when_its_centre_lies_in_a_polygon(
    one: list[tuple[float, float]], two: list[tuple[float, float]]
) -> None:
    hulls = [
        shapely.MultiPoint([(500_000 + x, 4_700_000 + y) for x, y in p]).convex_hull
        for p in (one, two)
    ]
    polygons = [hull for hull in hulls if hull.geom_type == "Polygon"]
    burnt = covers(GRID, frame(*polygons))
    points = shapely.points(*centres())
    expected = np.zeros(GRID.shape, bool)
    unsure = np.zeros(GRID.shape, bool)  # centres on an outline belong to either side
    for polygon in polygons:
        expected |= shapely.contains(polygon, points)
        unsure |= shapely.distance(polygon.exterior, points) < 1e-3
    assert ((burnt == expected) | unsure).all()


def test_strips_are_labelled_as_the_whole() -> None:
    rng = np.random.default_rng(1)
    landslides = frame(
        *(Point(500_000 + x, 4_700_000 - y).buffer(37) for x, y in rng.random((30, 2)) * (500, 600))
    )
    whole = burn(GRID, landslides)
    parts = [burn(GRID[rows : min(rows + 7, 60), :], landslides) for rows in range(0, 60, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_holes_stay_holes_overlaps_count_once_and_ignore_wins() -> None:
    ring = Polygon(
        box(500_050, 4_699_600, 500_250, 4_699_900).exterior,
        [box(500_100, 4_699_700, 500_150, 4_699_800).exterior],
    )
    landslides = frame(ring, box(500_050, 4_699_600, 500_100, 4_699_650))
    inside = frame(
        box(500_000, 4_699_500, 500_200, 4_700_000), box(500_100, 4_699_500, 500_300, 4_700_000)
    )
    ignore = frame(box(500_050, 4_699_850, 500_060, 4_699_900))
    label = burn(GRID, landslides, inside=inside, ignore=ignore)
    assert label.dtype == np.uint8
    assert (label == 1).sum() == 20 * 30 - 5 * 10 - 5
    assert (label == 255).sum() == 50 * 60 - 30 * 50 + 5
    assert label[25, 12] == 0


def test_truth_from_files_in_another_crs(tmp_path: Path) -> None:
    file = tmp_path / "truth.gpkg"
    landslides = frame(box(500_100, 4_699_700, 500_200, 4_699_900), kind=["slide"])
    extent = frame(
        box(500_000, 4_699_400, 500_500, 4_700_000),
        box(0, 0, 1, 1),
        kind=["interpreted", "cloud_gap"],
    )
    landslides.to_crs("EPSG:4326").to_file(file, layer="slides")
    extent.to_file(file, layer="extent")
    frame(Point(500_150, 4_699_750).buffer(15)).to_file(
        tmp_path / "uncertain.geojson", driver="GeoJSON"
    )
    label = truth(
        GRID,
        [Layer.parse(f"{file}:slides")],
        inside=Layer(file, "extent", "kind = 'interpreted'"),
        ignore=[
            Layer.parse(str(tmp_path / "uncertain.geojson")),
            Layer(file, "extent", "kind = 'no such'"),
        ],
    )
    assert (label == 255).sum() in range(4, 13)
    assert (label == 1).sum() == 200 - (label == 255).sum()
    assert read_layer(Layer(file, "slides"), CRS).crs == CRS


def test_points_beside_polygons_are_left_out_and_broken_polygons_mended(tmp_path: Path) -> None:
    bow = Polygon(
        [(500_100, 4_699_800), (500_200, 4_699_700), (500_200, 4_699_800), (500_100, 4_699_700)]
    )
    frame(bow, Point(500_000, 4_699_999)).to_file(tmp_path / "mixed.geojson", driver="GeoJSON")
    read = read_layer(Layer(tmp_path / "mixed.geojson"), CRS)
    assert read.geometry.is_valid.all()
    assert set(read.geom_type) == {"Polygon"}
    assert covers(GRID, read).sum() == 50


def write(tmp_path: Path, name: str) -> str:
    """Return what a user might write for a file that cannot serve."""
    path = tmp_path / name
    if name == "lines.gpkg":
        frame(LineString([(0, 0), (1, 1)])).to_file(path)
    elif name == "nocrs.gpkg":
        frame(box(0, 0, 1, 1), crs=None).to_file(path)
    elif name == "two.gpkg":
        for layer in ("a", "b"):
            frame(box(0, 0, 1, 1)).to_file(path, layer=layer)
    elif name == "elsewhere.gpkg":
        frame(box(0, 0, 1, 1)).to_file(path)
    elif name == "garbage.gpkg":
        path.write_bytes(b"not a database")
    elif name == "virtual.json":
        path.write_text("<OGRVRTDataSource><OGRVRTLayer name='x'/></OGRVRTDataSource>")
    elif name == "table.txt":
        path.write_text("x")
    return str(path)


@pytest.mark.parametrize(
    ("name", "layer", "named"),
    [
        ("missing.gpkg", "", "no such file"),
        ("missing.gpkg", ":slides", "no such file"),
        ("two.gpkg", "", "holds 2 layers: a, b"),
        ("two.gpkg", ":c", "no layer `c`"),
        ("lines.gpkg", "", "no polygon: it has LineString"),
        ("nocrs.gpkg", "", "coordinate system"),
        ("garbage.gpkg", "", "damaged"),
        ("virtual.json", "", "points elsewhere"),
        ("table.txt", "", "not a vector file"),
        ("elsewhere.gpkg", "", "outside the imagery"),
    ],
)
def test_unusable_truth_is_named_with_a_remedy(
    tmp_path: Path, name: str, layer: str, named: str
) -> None:
    with pytest.raises(RequestError, match=named) as caught:
        truth(GRID, [Layer.parse(write(tmp_path, name) + layer)])
    assert caught.value.remedy


def test_the_real_truth_has_the_shares_its_readme_states(real: Path) -> None:
    """README of iburi-2018: on 10 m UTM 54N, pixel centres, 13.05 % of pixels inside the extent are
    source areas.
    """
    file = real / "iburi-2018" / "truth.gpkg"
    area = frame(box(141.890336, 42.682373, 141.963729, 42.769509), crs="EPSG:4326").to_crs(CRS)
    geobox = GeoBox.from_bbox(area.total_bounds, crs=CRS, resolution=10)
    label = truth(
        geobox,
        [Layer(file, "source_areas")],
        inside=Layer(file, "interpretation_extent", "kind = 'interpreted'"),
    )
    assert (label == 1).sum() == pytest.approx(72_275, rel=0.01)
    assert (label == 1).sum() / (label != 255).sum() == pytest.approx(0.1305, abs=0.003)
