"""Who may be affected: the answer is drawn first. Within, below, neither; each road, house and
person once.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import zarr
from calls import call, on_archive
from hypothesis import given, settings
from hypothesis import strategies as st
from small_archive import make_archive, make_cards, make_preset
from small_scene import SmallScene, about, publish, small_scene

from configs.area import Area
from configs.errors import RequestError
from configs.product import AffectedConfig
from inventory.exposure.affected import assess
from inventory.exposure.runout import below, reach_angles_deg
from inventory.exposure.user_layers import UserLayers
from inventory.outline.words import words_of
from inventory.publish import Published

CRS = "EPSG:32654"
X, Y = 580000, 4730000


# ---- what lies below


def _plane(shape: tuple[int, int], drop_m: float) -> np.ndarray[Any, Any]:
    """Return ground that falls to the south by `drop_m` a row."""
    return np.repeat(1000 - drop_m * np.arange(shape[0])[:, None], shape[1], axis=1)


def test_on_a_plane_the_reach_ends_where_the_angle_says() -> None:
    mask = np.zeros((200, 21), bool)
    mask[5:10, 10] = True
    found = below(
        mask, _plane(mask.shape, 4.0), 10.0, 15.0, 5000.0
    )  # 21.8 degrees steep, 15 allowed
    assert not (found & mask).any()
    assert found[10:, 10].all(), "as steep all the way: nothing stops it"
    flat = _plane(mask.shape, 4.0)
    flat[30:] = flat[29]
    ends = np.flatnonzero(below(mask, flat, 10.0, 15.0, 5000.0)[:, 10]).max()
    # 24 rows of 4 m from the crown in row 5: the line dips 15 degrees as far as 96 / tan(15) m
    # along the path
    assert ends == 5 + int(24 * 4 / np.tan(np.radians(15)) / 10)


def test_debris_goes_down_only_and_stops_at_a_ridge_a_pit_and_the_unknown() -> None:
    mask = np.zeros((60, 21), bool)
    mask[10:13, 10] = True
    ground = _plane(mask.shape, 5.0)
    free = below(mask, ground, 10.0, 10.0, 5000.0)
    assert not free[:13].any(), "nothing above or beside it"
    for barrier in (ground.max() + 1, np.nan):
        blocked = ground.copy()
        blocked[30] = barrier
        found = below(mask, blocked, 10.0, 10.0, 5000.0)
        assert found[29, 10]
        assert not found[30:].any()


def test_the_limit_ends_the_path() -> None:
    mask = np.zeros((100, 11), bool)
    mask[2, 5] = True
    found = below(mask, _plane(mask.shape, 8.0), 10.0, 10.0, 120.0)
    assert np.flatnonzero(found[:, 5]).max() == 2 + 12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(6, 40), st.floats(6, 40))
def test_a_steeper_angle_never_reaches_farther(seed: int, one: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    ground = _plane((40, 40), 4.0) + rng.normal(0, 2, (40, 40))
    mask = np.zeros((40, 40), bool)
    mask[4:8, 15:25] = True
    wide, narrow = (below(mask, ground, 10.0, angle, 3000.0) for angle in sorted((one, other)))
    assert not (narrow & ~wide).any()
    assert not (wide & mask).any()


def test_no_ground_no_reach() -> None:
    mask = np.ones((3, 3), bool)
    assert not below(mask, np.full((3, 3), np.nan), 10.0, 20.0, 100.0).any()


def test_large_landslides_reach_farther() -> None:
    angles = reach_angles_deg(np.array([400.0, 1e4, 1e6]), AffectedConfig())
    assert (np.diff(angles) < 0).all()
    # 10 000 m²: V = 0.074 * 10 000^1.45 = 46 691 m³, log10(H/L) = -0.047 - 0.085 * 4.669 = -0.4439
    assert angles[1] == pytest.approx(np.degrees(np.arctan(10**-0.4439)), abs=0.01)
    assert (reach_angles_deg(np.array([1.0, 1e6]), AffectedConfig(reach_angle_deg=30)) == 30).all()


# ---- the user's layers


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SmallScene:
    return small_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> AffectedConfig:
    """Return three layers over the small scene: LARGE is x 100-400, y 100-300; its ground falls
    south by 11.3 degrees.
    """
    folder = tmp_path_factory.mktemp("layers")
    lines = [
        shapely.LineString(
            [(X + 200, Y - 50), (X + 200, Y - 350)]
        ),  # across LARGE, 200 m, and below it
        shapely.LineString([(X + 300, Y - 200), (X + 300, Y - 250)]),  # within LARGE, 50 m
        shapely.LineString([(X + 800, Y - 10), (X + 800, Y - 890)]),  # near none
    ]
    roads = gpd.GeoDataFrame(
        {"name": ["Route <1>", "Route <1>", "far"], "highway": "primary"}, geometry=lines, crs=CRS
    )
    roads.to_crs(4326).to_file(folder / "osm.gpkg", layer="roads")
    roads.iloc[:1].to_file(folder / "osm.gpkg", layer="more")
    houses = [
        (150, 150),
        (398, 200),
        (200, 310),
        (1000, 800),
    ]  # within, on the edge, below, nowhere
    boxes = [shapely.box(X + x, Y - y - 10, X + x + 10, Y - y) for x, y in houses]
    gpd.GeoDataFrame({"building": "yes"}, index=range(4), geometry=boxes, crs=CRS).to_crs(
        3857
    ).to_file(folder / "houses.fgb")
    with rasterio.open(
        folder / "people.tif",
        "w",
        driver="GTiff",
        height=9,
        width=12,
        count=1,
        dtype="float32",
        crs=CRS,
        transform=rasterio.Affine(100, 0, X, 0, -100, Y),
        nodata=-99999,
    ) as file:
        count = np.full((9, 12), 10, "float32")
        count[1, 1] = -99999
        file.write(count, 1)
    return AffectedConfig(
        roads=f"{folder / 'osm.gpkg'}:roads",
        buildings=str(folder / "houses.fgb"),
        population=str(folder / "people.tif"),
        reach_angle_deg=8,
        reach_limit_m=100,
    )


def _published(folder: Path, scene: SmallScene, config: AffectedConfig) -> Published:
    return publish(folder, scene, concern=config)


@pytest.fixture(scope="module")
def done(
    scene: SmallScene, layers: AffectedConfig, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    return _published(tmp_path_factory.mktemp("affected") / "r001", scene, layers)


def test_lengths_houses_and_people_are_those_drawn(done: Published) -> None:
    large = done.inventory.landslides.set_index("area_m2").loc[60000]
    assert large["roads_m"] == pytest.approx(250, rel=1e-3)
    assert large["roads_below_m"] == pytest.approx(50, rel=1e-3), "the road ends 50 m below it"
    assert (large["buildings"], large["buildings_below"]) == (2, 1)
    assert large["people"] == pytest.approx(50), "six cells of ten people, one of them without data"
    assert 0 < large["people_below"] < 60


def test_totals_count_everything_once(done: Published) -> None:
    totals, frame = done.summary.affected, done.inventory.landslides
    assert totals is not None
    assert totals["people"] == pytest.approx(frame["people"].sum(), abs=0.1)
    assert totals["buildings"] <= frame["buildings"].sum()
    assert totals["people_below"] <= frame["people_below"].sum() + 0.1
    package = done.products["landslides.gpkg"]
    roads = gpd.read_file(package, layer="affected_roads")
    inside = shapely.union_all(roads.geometry[roads["where"] == "within"].to_numpy())
    assert totals["roads_m"] == pytest.approx(inside.length, abs=0.1)
    assert "far" not in set(roads["name"])
    assert set(roads["landslide"]) <= set(frame["id"])


def test_layers_say_that_they_are_indicative(done: Published) -> None:
    package = done.products["landslides.gpkg"]
    for name in ("affected_roads", "affected_buildings", "reach"):
        layer = gpd.read_file(package, layer=name)
        assert len(layer)
        assert layer.crs == CRS
    houses = gpd.read_file(package, layer="affected_buildings")
    assert sorted(houses["where"]) == ["below", "within", "within"]
    assert done.summary.as_plain()["affected"]["indicative"] is True
    assert any(line.startswith("Indicative") for line in done.words)


def test_the_report_lists_the_roads(done: Published) -> None:
    html = done.products["report.html"].read_text()
    assert words_of()["affected"]["title"] in html
    assert "Route &lt;1&gt;" in html
    assert "Route <1>" not in html
    assert 'id="show-affected"' in html


def test_without_layers_nothing_is_said(scene: SmallScene, tmp_path: Path) -> None:
    plain = _published(tmp_path / "r", scene, AffectedConfig())
    html = plain.products["report.html"].read_text()
    assert words_of()["affected"]["title"] not in html
    assert "affected" not in plain.summary.as_plain()
    assert "roads_m" not in plain.inventory.landslides.columns


def test_an_empty_inventory_affects_nobody(
    scene: SmallScene, layers: AffectedConfig, tmp_path: Path
) -> None:
    nothing = replace(
        scene, probability=np.where(np.isnan(scene.probability), np.nan, np.float32(0.1))
    )
    plain = _published(tmp_path / "r", nothing, layers)
    assert plain.summary.affected is not None
    assert set(plain.summary.affected.values()) == {0.0}
    assert words_of()["affected"]["no_roads"] in plain.products["report.html"].read_text()


def test_without_elevation_only_what_lies_within_is_told(
    scene: SmallScene, layers: AffectedConfig, tmp_path: Path
) -> None:
    flat = small_scene(tmp_path)
    zarr.open_group(flat.stack.path, mode="r+").attrs["bands"] = [
        "slope",
        "post_B4",
        "post_B3",
        "post_B2",
    ]
    flat = replace(flat, stack=type(flat.stack)(flat.stack.path))
    _, affected = assess(flat.outline(), flat.stack, UserLayers.open(layers), layers)
    assert affected.totals["buildings_below"] == 0
    assert any("no elevation" in warning for warning in affected.warnings)


def test_one_layer_alone_is_enough(
    scene: SmallScene, layers: AffectedConfig, tmp_path: Path
) -> None:
    only = AffectedConfig(population=layers.population)
    plain = _published(tmp_path / "r", scene, only)
    assert set(plain.summary.affected or ()) == {"people", "people_below"}
    assert "roads_m" not in plain.inventory.landslides.columns


def test_a_layer_of_another_place_is_not_silence(layers: AffectedConfig) -> None:
    there, warnings = UserLayers.open(layers).in_area(
        Area(shapely.box(10, 45, 10.1, 45.1), "elsewhere")
    )
    assert there == UserLayers(None, None, None)
    assert len(warnings) == 3
    here, none = UserLayers.open(layers).in_area(about().area)
    assert here.roads is not None
    assert none == ()


def test_people_off_the_raster_are_unknown_not_none(layers: AffectedConfig) -> None:
    people = UserLayers.open(layers).people
    assert people is not None
    boxes = np.array(
        [
            shapely.box(X + 5000, Y, X + 5100, Y + 100),
            shapely.box(X + 450, Y - 250, X + 500, Y - 200),
        ],
        dtype=object,
    )
    found = people.within(boxes, CRS)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(2.5), "a quarter of a cell of ten"


# ---- bad files


@pytest.mark.parametrize(
    ("field", "name", "named"),
    [
        ("roads", "absent.gpkg", "no such file"),
        ("roads", "text.gpkg", "cannot read"),
        ("roads", "points.geojson", "holds Point, not LineString"),
        ("roads", "nocrs.shp", "coordinate system"),
        ("roads", "two.gpkg", "2 layers"),
        ("roads", "two.gpkg:c", "no layer"),
        ("roads", "list.csv", "not a vector file"),
        ("buildings", "lines.geojson", "holds LineString"),
        ("population", "absent.tif", "no such file"),
        ("population", "text.gpkg", "cannot read"),
        ("population", "nocrs.tif", "coordinate system"),
        ("population", "rgb.tif", "3 bands"),
    ],
)
def test_a_bad_file_is_named_with_a_remedy(
    tmp_path: Path, field: str, name: str, named: str
) -> None:
    (tmp_path / "text.gpkg").write_text("no database")
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    line, point = shapely.LineString([(0, 0), (1, 1)]), shapely.Point(0, 0)
    gpd.GeoDataFrame(geometry=[point], crs=4326).to_file(tmp_path / "points.geojson")
    gpd.GeoDataFrame(geometry=[line], crs=4326).to_file(tmp_path / "lines.geojson")
    gpd.GeoDataFrame({"a": [1]}, geometry=[line]).to_file(tmp_path / "nocrs.shp")
    for layer in "ab":
        gpd.GeoDataFrame(geometry=[line], crs=4326).to_file(tmp_path / "two.gpkg", layer=layer)
    for file, count, crs in (("nocrs.tif", 1, None), ("rgb.tif", 3, "EPSG:4326")):
        options = {
            "driver": "GTiff",
            "height": 2,
            "width": 2,
            "dtype": "uint8",
            "transform": rasterio.Affine(1, 0, 0, 0, -1, 0),
        }
        with rasterio.open(tmp_path / file, "w", count=count, crs=crs, **options):
            pass
    with pytest.raises(RequestError, match=named) as caught:
        UserLayers.open(AffectedConfig.model_validate({field: str(tmp_path / name)}))
    assert f"affected.{field}" in caught.value.message
    assert caught.value.remedy
    assert caught.value.code == 2


def test_a_bad_file_stops_a_run_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_archive(tmp_path / "archive")
    preset = make_preset(
        tmp_path / "run.yaml",
        make_cards(tmp_path / "cards"),
        affected={"roads": str(tmp_path / "no.gpkg")},
    )
    code, answer = call(capsys, "-q", *on_archive(tmp_path, preset))
    assert (code, answer["code"]) == (2, 2)
    assert "affected.roads: no such file" in answer["message"]
    assert answer["remedy"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_map_draws_them(done: Published) -> None:
    text = done.products["report.html"].read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert len(data["affected"]["roads"]) >= 2
    assert data["affected"]["reach"]
    assert data["columns"][data["in_table"] :] == [
        "roads_m",
        "roads_below_m",
        "buildings",
        "buildings_below",
        "people",
        "people_below",
    ]


@pytest.mark.browser
def test_the_map_shows_and_hides_them(done: Published) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as play:
        engine = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = engine.new_context(offline=True).new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(done.products["report.html"].as_uri())
        page.wait_for_selector("#map[data-ready=yes]", timeout=60_000)
        shown = page.locator("#map").screenshot()
        page.locator("#show-affected").uncheck()
        page.wait_for_timeout(300)
        assert page.locator("#map").screenshot() != shown
        page.locator("#slides tbody tr").first.click()
        assert "people below" in page.locator("#about").inner_text()
        assert faults == []
        engine.close()
