"""What others read our products with: OGR's own tools, GDAL's GeoPackage rules, rio-cogeo, and QGIS
itself, headless.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pytest
from PIL import Image
from rio_cogeo.cogeo import cog_validate
from small_scene import NO_SHEETS, publish, small_scene

from configs.product import ProductConfig
from inventory.colours import CONFIDENCE, rgb

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's own: its packages python3-gdal and python3-qgis are for no other."""
PACKAGES = ("landslides.gpkg", "ems.gpkg")

DRAW = """
import json, os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
from qgis.core import QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
package, picture, *names = sys.argv[1:]
layers = [QgsVectorLayer(f"{package}|layername={name}", name, "ogr") for name in names]
def shown(layer):
    if not layer.isValid():
        return [False, "", []]
    drawn = layer.renderer()
    return [True, drawn.type(), [item.label() for item in drawn.legendSymbolItems()]]
told = {each.name(): shown(each) for each in layers}
settings = QgsMapSettings()
settings.setLayers(layers)
settings.setOutputSize(QSize(480, 360))
settings.setBackgroundColor(QColor(255, 255, 255))
settings.setDestinationCrs(layers[0].crs())
settings.setExtent(layers[-1].extent())
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
job.renderedImage().save(picture)
print(json.dumps({"layers": told, "errors": [each.message for each in job.errors()]}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = small_scene(tmp_path_factory.mktemp("scene"))
    target = tmp_path_factory.mktemp("readers") / "r001"
    publish(target, scene, product=ProductConfig(exports=("ems", "kml"), map=NO_SHEETS.map))
    return target


OPEN = """
import json, os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.PyQt.QtCore import QSize
from qgis.core import QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsProject
app = QgsApplication([], False)
app.initQgis()
project = QgsProject.instance()
opened = project.read(sys.argv[1])
root = project.layerTreeRoot()
layers = {layer.name(): layer.isValid() for layer in project.mapLayers().values()}
settings = QgsMapSettings()
if len(sys.argv) > 3:
    shown = [each for each in project.mapLayers().values() if each.name() in sys.argv[3:]]
else:
    shown = root.checkedLayers()
settings.setLayers(shown)
settings.setOutputSize(QSize(640, 480))
settings.setDestinationCrs(project.crs())
settings.setExtent(project.mapLayers()["coslide_layer_area"].extent())
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
job.renderedImage().save(sys.argv[2])
told = {"opened": opened, "layers": layers, "crs": project.crs().authid(),
        "groups": [group.name() for group in root.children()],
        "aliases": {layer.name(): {one.name(): one.alias() for one in layer.fields()}
                    for layer in project.mapLayers().values() if hasattr(layer, "fields")},
        "errors": [each.message for each in job.errors()]}
print(json.dumps(told))
"""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", [*PACKAGES, "landslides.kml"])
def test_ogrinfo_reads_everything_without_a_word_of_warning(folder: Path, name: str) -> None:
    if shutil.which("ogrinfo") is None:
        pytest.skip("ogrinfo is not on this machine (Debian: gdal-bin)")
    done = _run("ogrinfo", "-al", "-q", str(folder / name))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "L00001" in done.stdout


@pytest.mark.parametrize("name", PACKAGES)
def test_gdals_rules_of_geopackage_hold(folder: Path, name: str) -> None:
    if _run(SYSTEM_PYTHON, "-c", "import osgeo_utils.samples.validate_gpkg").returncode != 0:
        pytest.skip("GDAL's validate_gpkg is not on this machine (Debian: python3-gdal)")
    done = _run(SYSTEM_PYTHON, "-m", "osgeo_utils.samples.validate_gpkg", str(folder / name))
    assert done.returncode == 0, done.stderr


def test_geopandas_reads_every_layer(folder: Path) -> None:
    for name in PACKAGES:
        for layer in gpd.list_layers(folder / name)["name"]:
            assert len(gpd.read_file(folder / name, layer=layer)), (name, layer)


@pytest.mark.parametrize("name", ["landslides.tif", "probability.tif", "observation.tif"])
def test_rio_cogeo_is_content(folder: Path, name: str) -> None:
    valid, errors, warnings = cog_validate(folder / name, strict=True, quiet=True)
    assert valid, (errors, warnings)


def _drawn(package: Path, picture: Path, *layers: str) -> dict[str, list[object]]:
    if _run(SYSTEM_PYTHON, "-c", "import qgis.core").returncode != 0:
        pytest.skip("QGIS is not on this machine (Debian: qgis, python3-qgis)")
    done = _run(SYSTEM_PYTHON, "-c", DRAW, str(package), str(picture), *layers)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["errors"] == []
    return dict(answer["layers"])


def test_qgis_draws_the_inventory_in_our_colours(folder: Path, tmp_path: Path) -> None:
    names = ("landslides", "rejected", "not_observed", "scenes", "event", "area")
    told = _drawn(folder / "landslides.gpkg", tmp_path / "map.png", *names)
    assert all(valid for valid, *_ in told.values())
    assert told["landslides"] == [
        True,
        "categorizedSymbol",
        ["high confidence", "medium confidence", "low confidence", "dismissed by an analyst"],
    ]
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int).reshape(-1, 3)
    for name in ("high", "medium", "low"):
        away = np.abs(pixels - rgb(CONFIDENCE[name])).sum(axis=1)
        assert away.min() < 30, f"no outline of {name} confidence in the picture"


def test_qgis_draws_the_ems_package(folder: Path, tmp_path: Path) -> None:
    told = _drawn(
        folder / "ems.gpkg",
        tmp_path / "ems.png",
        "observedEventA",
        "imageFootprintA",
        "areaOfInterestA",
    )
    assert all(valid for valid, *_ in told.values())
    assert told["imageFootprintA"][1] == "categorizedSymbol"
    pixels = np.asarray(Image.open(tmp_path / "ems.png").convert("RGB")).astype(int).reshape(-1, 3)
    assert np.abs(pixels - (168, 0, 0)).sum(axis=1).min() < 30


def test_qgis_opens_the_project_wherever_the_folder_is_moved(folder: Path, tmp_path: Path) -> None:
    if _run(SYSTEM_PYTHON, "-c", "import qgis.core").returncode != 0:
        pytest.skip("QGIS is not on this machine (Debian: qgis, python3-qgis)")
    moved = shutil.copytree(folder, tmp_path / "moved here")
    picture = tmp_path / "project.png"
    done = _run(SYSTEM_PYTHON, "-c", OPEN, str(moved / "landslides.qgz"), str(picture))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["opened"]
    assert told["errors"] == []
    assert all(told["layers"].values()), told["layers"]
    assert {"Landslides", "Not observed", "Epicentre", "Landslide probability"} <= set(
        told["layers"]
    )
    for layer, names in told["aliases"].items():
        assert all(name == "fid" or shown for name, shown in names.items()), layer
    assert told["aliases"]["Landslides"]["slope_mean_deg"] == "Slope mean (°)"
    assert told["aliases"]["Landslides"]["area_m2"] == "Area (m²)"
    assert told["groups"] == ["Landslides", "Where and when", "Rasters"]
    assert told["crs"] == "EPSG:32654"
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int).reshape(-1, 3)
    for name in ("high", "medium", "low"):
        away = np.abs(pixels - rgb(CONFIDENCE[name])).sum(axis=1)
        assert away.min() < 30, f"no outline of {name} confidence in the picture"


def test_the_project_names_only_files_beside_it(folder: Path) -> None:
    with zipfile.ZipFile(folder / "landslides.qgz") as archive:
        root = ET.fromstring(archive.read("landslides.qgs"))
    sources = [str(element.text) for element in root.iter("datasource")]
    assert len(sources) >= 8
    for source in sources:
        assert source.startswith("./")
        assert (folder / source.split("|")[0]).is_file(), source
    listed = {element.get("id") for element in root.iter("layer-tree-layer")}
    assert listed == {element.text for element in root.iter("id")}
