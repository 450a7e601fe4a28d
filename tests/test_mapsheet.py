"""The map to hand over: what stands on it, in both languages and sizes; the same bytes for the same
run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
import yaml
from small_scene import GEOBOX, SmallScene, about, publish, small_scene

from configs.area import Area
from configs.errors import RequestError
from configs.product import MapConfig, ProductConfig
from inventory import basemap
from inventory.about import About
from inventory.mapsheet.chart import Shown
from inventory.mapsheet.furniture import degrees
from inventory.mapsheet.paper import round_length, round_scale, width_mm, wrapped
from inventory.mapsheet.sheet import Sheet, write_sheet
from inventory.summary import count_seen, summarise

TITLE = "A quake\x07 at $x^2$ æ 山 <b>"
OWN = MapConfig(publisher="Survey of X", contact="maps@example.org", licence="CC BY 4.0")


def _sheets(folder: Path, scene: SmallScene, config: MapConfig, **choice: Any) -> dict[str, Path]:
    run = about()
    run = replace(
        run,
        event=run.event.model_copy(update={"title": TITLE}),
        choice=replace(run.choice, **choice),
    )
    done = publish(folder, scene, run, product=ProductConfig(exports=(), map=config))
    return {name: path for name, path in done.products.items() if name.endswith(".pdf")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SmallScene:
    return small_scene(tmp_path_factory.mktemp("scene"))


def _text(path: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not on this machine (Debian: poppler-utils)")
    done = subprocess.run(
        ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True, timeout=60
    )
    return " ".join(done.stdout.split())


def _size_mm(path: Path) -> tuple[int, int]:
    found = re.search(rb"MediaBox \[ *0 0 ([\d.]+) ([\d.]+)", path.read_bytes())
    assert found
    return round(float(found[1]) / 72 * 25.4), round(float(found[2]) / 72 * 25.4)


def test_both_sizes_the_same_bytes_and_light(scene: SmallScene, tmp_path: Path) -> None:
    first = _sheets(tmp_path / "a", scene, OWN)
    again = _sheets(tmp_path / "b", scene, OWN)
    assert sorted(first) == ["map-a3.pdf", "map.pdf"]
    for name, path in first.items():
        assert path.read_bytes() == again[name].read_bytes()
        assert path.stat().st_size < 5_000_000
    assert _size_mm(first["map.pdf"]) == (297, 210)
    assert _size_mm(first["map-a3.pdf"]) == (420, 297)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ("NOT KNOWN TO WORK HERE", "a single event", "4 possible simulated", "Legend")),
        ("es", ("NO SE SABE SI FUNCIONA", "a single event", "simulados posibles", "Leyenda")),
    ],
)
def test_what_is_not_known_stands_on_the_map(
    scene: SmallScene, tmp_path: Path, language: str, said: tuple[str, ...]
) -> None:
    config = OWN.model_copy(update={"language": language, "sheets": ("a4",)})
    path = _sheets(
        tmp_path / "m", scene, config, out_of_domain="unknown", trained_on="a single event"
    )["map.pdf"]
    text = _text(path)
    for words in (*said, "Survey of X", "maps@example.org", "CC BY 4.0", "Natural Earth", "$x^2$"):
        assert words in text, words
    assert text.index(said[0]) < text.index(said[3])


def test_what_does_not_fit_or_cannot_be_printed_is_said_to_stand_elsewhere(
    scene: SmallScene, tmp_path: Path
) -> None:
    run = about()
    beware = tuple(f"warning {n}: {'words ' * 30}" for n in range(9))
    run = replace(run, warnings=beware, attribution=("Polygons: 「地図データ」 by K.",))
    done = publish(tmp_path / "m", scene, run, product=ProductConfig(exports=(), map=OWN))
    for name in ("map.pdf", "map-a3.pdf"):
        text = _text(done.products[name])
        told = len(re.findall(r"Beware: ", text))
        assert 0 <= told < len(beware)
        assert f"and {len(beware) - told} more: see report.html" in text
        assert "What was not seen" in text
        assert "Polygons: … by K" in text
        assert "In full in report.html" in text
        assert "??" not in text


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_usual_number_of_warnings_stands_on_the_sheet_whole(
    scene: SmallScene, tmp_path: Path, language: str
) -> None:
    beware = tuple(f"warning {n}, {'long words ' * 8}the end of {n}" for n in range(5))
    run = replace(about(), warnings=beware)
    config = OWN.model_copy(update={"language": language})
    product = ProductConfig(exports=(), map=config)
    done = publish(tmp_path / "m", scene, run, product=product)
    for name in ("map.pdf", "map-a3.pdf"):
        text = _text(done.products[name])
        assert [n for n in range(5) if f"warning {n}" not in text] == []
        assert "report.html" not in text


def test_no_sheet_where_none_is_asked_for(scene: SmallScene, tmp_path: Path) -> None:
    assert _sheets(tmp_path / "m", scene, MapConfig(sheets=())) == {}


def test_the_users_own_places_roads_and_shaking(scene: SmallScene, tmp_path: Path) -> None:
    box = GEOBOX.boundingbox
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    line = shapely.LineString([(box.left, y), (box.right, y)])
    files = {
        "places": gpd.GeoDataFrame({"name": ["Middleton"]}, geometry=[shapely.Point(x, y + 200)]),
        "roads": gpd.GeoDataFrame({"ref": ["A 1"]}, geometry=[line]),
        "shaking": gpd.GeoDataFrame({"value": [6.5]}, geometry=[line]),
    }
    config = {"sheets": ("a4",)}
    for name, frame in files.items():
        frame.set_crs("EPSG:32654").to_crs(4326).to_file(tmp_path / f"{name}.gpkg")
        config[name] = str(tmp_path / f"{name}.gpkg")
    text = _text(_sheets(tmp_path / "m", scene, MapConfig(**config))["map.pdf"])  # type: ignore[arg-type]
    for words in ("Middleton", "6.5", "road", "shaking intensity"):
        assert words in text, words
    for wrong, message in ((tmp_path / "none.gpkg", "product.map.places"), (
        tmp_path / "roads.gpkg", "no field `name`")):  # fmt: skip
        with pytest.raises(RequestError, match=message):
            _sheets(tmp_path / message[-6:-1], scene, MapConfig(places=str(wrong)))


def _keys(content: Any, where: str = "") -> dict[str, set[str]]:
    if isinstance(content, dict):
        found: dict[str, set[str]] = {}
        for key, value in content.items():
            found |= _keys(value, f"{where}/{key}")
        return found
    return {where: set(re.findall(r"{(\w+)[^}]*}", str(content)))}


def test_a_translation_has_the_words_and_places_of_the_english_file() -> None:
    folder = resources.files("inventory") / "templates"
    english = _keys(yaml.safe_load((folder / "words.en.yaml").read_text(encoding="utf-8")))
    spanish = _keys(yaml.safe_load((folder / "words.es.yaml").read_text(encoding="utf-8")))
    needed = {key for key in english if not key.startswith("/events/")}
    recorded = {key for key in needed if key.startswith("/rules/") and key.endswith("/reason")}
    assert needed - recorded <= set(spanish)  # what layers record is English
    assert {key: english[key] for key in spanish} == spanish


def test_scales_and_bars_are_round() -> None:
    assert [round_scale(n) for n in (9_000, 10_001, 26_000, 1e6)] == [10_000, 12_500, 30_000, 1e6]
    assert [round_length(n) for n in (0.9, 7, 19_999)] == [0.5, 5, 10_000]


def test_text_fits_its_column() -> None:
    lines = wrapped("a sentence of some words andoneverylongwordthatfitsinnocolumn", 20, 8)
    assert all(width_mm(line, 8) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == (
        "asentenceofsomewordsandoneverylongwordthatfitsinnocolumn"
    )


def test_angles_are_written_as_maps_write_them() -> None:
    assert degrees(-42.5, "NS") == "42°30′S"
    assert degrees(0.00417, "NS") == "0°00′15″N"
    assert degrees(0, "NS") == "0°"


def test_the_packaged_earth_is_where_it_should_be() -> None:
    land = shapely.union_all(basemap.shapes("land", (141, 42, 143, 44)))
    assert land.contains(shapely.Point(142.4, 43.5))
    assert not land.contains(shapely.Point(141.5, 42.2))
    across = basemap.shapes("land", (175, -42, 185, -35))
    assert shapely.union_all(across).contains(shapely.Point(176.5, -38.5))
    assert basemap.places((141.5, 42.5, 142.5, 43), 1)[0].name == "Tomakomai"
    assert basemap.places((177, -40, 183, -17), 1)[0].lon <= 183


def _sheet_of(scene: SmallScene, area: Area, about: About) -> Sheet:
    run, inventory = replace(about, area=area), scene.outline()
    crs = "EPSG:32654"
    unseen = gpd.GeoDataFrame({"class": []}, geometry=[], crs=crs)
    shown = Shown(run, scene.stack, inventory.landslides, unseen, area.projected(crs))
    summary = summarise(inventory, count_seen(scene.probability, scene.observation), run)
    return Sheet(shown, summary, OWN)


def test_a_wide_map_draws_coast_and_places(scene: SmallScene, tmp_path: Path) -> None:
    wide = Area(shapely.box(140.0, 41.8, 143.5, 43.6), "bounds")
    path = write_sheet(tmp_path / "map.pdf", _sheet_of(scene, wide, about()), "a4")
    assert _size_mm(path) == (297, 210)
    text = _text(path)
    assert all(words in text for words in ("Sapporo", "Tomakomai", "1 : 2 000 000"))


def test_a_tall_area_stands_on_the_paper_whole_and_larger(
    scene: SmallScene, tmp_path: Path
) -> None:
    tall = Area(shapely.box(141.0, 41.8, 142.2, 43.8), "bounds")
    run = replace(about(), warnings=tuple(f"warning {n}, {'words ' * 12}" for n in range(4)))
    path = write_sheet(tmp_path / "map.pdf", _sheet_of(scene, tall, run), "a4")
    assert _size_mm(path) == (210, 297)
    text = _text(path)
    assert len(re.findall(r"Beware: ", text)) == 4
    for words in ("Sapporo", "Legend", "CC BY 4.0", "Natural Earth", "GeoNames"):
        assert words in text, words
