"""Areas: where they lie, how large they are, and the metric grid they are mapped on, at every
corner of the Earth.
"""

from __future__ import annotations

import math
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box

from configs.area import (
    Area,
    around,
    from_bounds,
    from_file,
    from_magnitude,
    radius_of,
    utm_crs,
    wrap,
)
from configs.errors import RequestError

PLACES = {
    "Iburi": (42.69, 141.93, 32654),
    "Kaikoura": (-42.76, 173.08, 32759),
    "Fiji": (-17.8, 179.99, 32760),
    "Fiji beyond": (-17.8, -179.99, 32701),
    "zone edge": (37.0, 144.0, 32655),
    "just west of it": (37.0, 143.9999, 32654),
    "equator": (0.0, 33.0, 32636),
    "just south of it": (-0.0001, 33.0, 32736),
    "Svalbard": (79.0, 15.0, 32633),
    "Arctic": (86.0, 20.0, 3413),
    "Antarctica": (-84.0, 170.0, 3031),
}


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_grid_of_a_circle(place: str) -> None:
    latitude, longitude, epsg = PLACES[place]
    area = around(latitude, longitude, 7.0)
    assert area.crs == f"EPSG:{epsg}"
    geobox = area.geobox(10)
    assert geobox.crs is not None
    assert geobox.crs.epsg == epsg
    left, top = geobox.affine.c, geobox.affine.f
    assert left % 10 == 0
    assert top % 10 == 0
    assert geobox.affine.e == -10
    stretch = 1.0 if epsg > 32000 else 0.97  # polar stereographic is true at 70°N / 71°S only
    assert 1395 * stretch <= min(geobox.shape)
    assert max(geobox.shape) <= 1412 / stretch
    mask = area.mask(geobox)
    assert mask.sum() * 1e-4 == pytest.approx(math.pi * 49, rel=0.003 if epsg > 32000 else 0.06)
    assert area.km2 == pytest.approx(math.pi * 49, rel=0.002)
    assert area.centre[1] == pytest.approx(latitude, abs=0.01)
    assert wrap(area.centre[0] - longitude) == pytest.approx(0, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(st.floats(-79, 83), st.floats(-180, 180), st.floats(0.5, 60))
def test_every_circle_lies_in_its_grid(latitude: float, longitude: float, radius_km: float) -> None:
    area = around(latitude, longitude, radius_km)
    geobox = area.geobox(100)
    bounds = geobox.boundingbox
    west, south, east, north = area.projected().bounds
    assert bounds.left <= west
    assert bounds.bottom <= south
    assert bounds.right >= east
    assert bounds.top >= north
    assert west - bounds.left < 100
    assert bounds.top - north < 100
    assert area.polygon.is_valid
    assert area.km2 == pytest.approx(math.pi * radius_km**2, rel=0.01)


def test_the_mask_follows_the_pixel_centre_rule() -> None:
    area = around(42.69, 141.93, 1.0)
    geobox = area.geobox(10)
    mask, outline = area.mask(geobox), area.projected()
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, min(geobox.shape), (300, 2)):
        x, y = geobox.affine @ (column + 0.5, row + 0.5)
        if outline.boundary.distance(Point(x, y)) > 0.01:
            assert mask[row, column] == outline.contains(Point(x, y))


def test_an_area_survives_the_run_file() -> None:
    area = around(-17.8, 179.99, 12)
    again = Area.from_plain(area.as_plain())
    assert again.origin == area.origin
    assert again.polygon.hausdorff_distance(area.polygon) < 1e-6
    assert again.geobox(10) == area.geobox(10)
    for wrong in ({}, {"wkt": "CIRCLE (1 2)", "origin": "x"}, {"wkt": 5, "origin": "x"}):
        with pytest.raises(RequestError, match="outline"):
            Area.from_plain(wrong)


@pytest.mark.parametrize("radius_km", [0, -1, 501, math.nan, math.inf])
def test_a_radius_has_limits(radius_km: float) -> None:
    with pytest.raises(RequestError, match="--radius-km"):
        around(10, 10, radius_km)


@pytest.mark.parametrize("latitude", [89.9, -89.9, 90])
def test_a_circle_around_a_pole_is_refused(latitude: float) -> None:
    with pytest.raises(RequestError, match="pole"):
        around(latitude, 10, 50)


def test_magnitude_sets_the_radius() -> None:
    # Keefer & Wilson 1989: log10 A = M - 3.46; M 6.6 -> 1380 km2, M 7.46 -> 10 000 km2.
    assert math.pi * radius_of(7.46) ** 2 == pytest.approx(10_000)
    assert from_magnitude(42.69, 141.93, 6.6).km2 == pytest.approx(10**3.14, rel=0.002)
    radii = [radius_of(magnitude) for magnitude in np.arange(3, 10, 0.1)]
    assert radii == sorted(radii)
    assert min(radii) == 3
    assert max(radii) == 200
    assert "Keefer" in from_magnitude(42.69, 141.93, 6.6).origin


def test_bounds() -> None:
    area = from_bounds("141.8,42.6,142.0,42.8")
    assert area.polygon.bounds == (141.8, 42.6, 142.0, 42.8)
    assert area.km2 == pytest.approx(16.4 * 22.2, rel=0.01)
    fiji = from_bounds("179,-18,-179,-16")
    assert fiji.polygon.bounds == (179, -18, 181, -16)
    assert fiji.km2 == pytest.approx(2 * 106 * 2 * 110.6, rel=0.01)
    assert max(fiji.geobox(1000).shape) < 240


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3",
        "a,b,c,d",
        "10,10,10,20",
        "10,20,20,10",
        "-190,0,1,1",
        "0,0,1,91",
        "nan,0,1,1",
        "",
        "1;2;3;4",
    ],
)
def test_bad_bounds(text: str) -> None:
    with pytest.raises(RequestError, match="--area"):
        from_bounds(text)


def _save(path: Path, geometries: list[object], crs: str | None = "EPSG:4326") -> Path:
    geopandas.GeoDataFrame(geometry=geometries, crs=crs).to_file(path)
    return path


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "shp"])
def test_files_of_polygons(tmp_path: Path, suffix: str) -> None:
    parts = [box(141.8, 42.6, 141.9, 42.7), box(141.85, 42.65, 142.0, 42.8)]
    area = from_file(_save(tmp_path / f"a.{suffix}", parts))
    assert area.polygon.area == pytest.approx(0.01 + 0.0225 - 0.0025)
    assert area.origin == f"file a.{suffix}"


def test_files_in_another_crs_and_with_other_things_in_them(tmp_path: Path) -> None:
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32654", always_xy=True)
    x, y = to_utm.transform(141.93, 42.69)
    area = from_file(
        _save(tmp_path / "a.gpkg", [Point(x, y).buffer(1000), Point(x, y)], "EPSG:32654")
    )
    assert area.km2 == pytest.approx(math.pi, rel=0.01)
    assert area.centre == pytest.approx((141.93, 42.69), abs=1e-4)
    bow_tie = Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    assert from_file(_save(tmp_path / "b.gpkg", [bow_tie])).polygon.area == pytest.approx(0.5)


def test_a_file_cut_at_the_antimeridian_becomes_one_piece(tmp_path: Path) -> None:
    halves = MultiPolygon([box(179, -18, 180, -16), box(-180, -18, -179, -16)])
    area = from_file(_save(tmp_path / "fiji.gpkg", [halves]))
    assert area.polygon.bounds == (179, -18, 181, -16)
    assert area.polygon.geom_type == "Polygon"


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("missing.gpkg", lambda path: None, "no such file"),
        ("empty.geojson", lambda path: path.write_bytes(b""), "cannot read"),
        ("text.gpkg", lambda path: path.write_text("hello"), "cannot read"),
        (
            "half.geojson",
            lambda path: path.write_text('{"type": "FeatureCollection", "features": [{"ty'),
            "cannot read",
        ),
        ("table.csv", lambda path: path.write_text("a,b\n1,2\n"), "not a vector file"),
        ("points.gpkg", lambda path: _save(path, [Point(1, 1)]), "no polygon"),
        (
            "none.gpkg",
            lambda path: geopandas.GeoDataFrame(geometry=[], crs="EPSG:4326").to_file(path),
            "no polygon",
        ),
        (
            "nocrs.shp",
            lambda path: _save(path, [box(0, 0, 1, 1)], None),
            "does not say its coordinate system",
        ),
        ("folder.gpkg", lambda path: path.mkdir(), "is a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_files(tmp_path: Path, name: str, make: object, words: str) -> None:
    make(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(RequestError, match=words):
        from_file(tmp_path / name)


@given(st.floats(-720, 720))
@example(math.nextafter(-180, -181))
def test_wrap(longitude: float) -> None:
    assert -180 <= wrap(longitude) < 180
    assert math.isclose(
        math.cos(math.radians(wrap(longitude))), math.cos(math.radians(longitude)), abs_tol=1e-9
    )


@given(st.floats(-80, 84), st.floats(-180, 180))
def test_a_point_is_within_three_degrees_of_its_zones_middle(
    latitude: float, longitude: float
) -> None:
    zone = int(utm_crs(longitude, latitude)[-2:])
    assert 1 <= zone <= 60
    assert abs(wrap(longitude - (zone * 6 - 183))) <= 3 + 1e-9
