"""`coslide evaluate` for inventories: what is written, what is said, and the sizes side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from small_scene import about, publish, small_scene

from configs.errors import RequestError
from configs.run import RunConfig
from flows.evaluate import evaluate, words
from inventory.report.statistics import compare_sizes

CRS = "EPSG:32654"


@pytest.fixture(scope="module")
def revision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a published revision of the small scene, four landslides."""
    scene = small_scene(tmp_path_factory.mktemp("scene"))
    folder = tmp_path_factory.mktemp("runs") / "quake" / "r001"
    run = about()
    publish(folder, scene, run)
    RunConfig(event=run.event, area=run.area.as_plain(), windows=run.windows).write(
        folder / "run.yaml"
    )
    return folder


def _reference(
    revision: Path, path: Path, keep: slice = slice(None), more: tuple[Any, ...] = ()
) -> str:
    """Return a file of the revision's own landslides, some of them left out, some added."""
    own = gpd.read_file(revision / "landslides.gpkg", layer="landslides")
    shapes = [*own.geometry.iloc[keep], *more]
    gpd.GeoDataFrame(geometry=shapes, crs=CRS).to_file(path)
    return str(path)


def _one(revision: Path, reference: str, **more: Any) -> dict[str, Any]:
    (scores,) = evaluate([str(revision)], reference, **more)["evaluations"]
    return dict(scores)


def test_an_inventory_against_itself_is_perfect(revision: Path, tmp_path: Path) -> None:
    scores = _one(revision, _reference(revision, tmp_path / "own.gpkg"), out=tmp_path / "out")
    assert scores["pixels_observed"]["f1"] == 1
    assert scores["landslides"]["recall"] == scores["landslides"]["precision"] == 1
    assert scores["landslides"]["one_to_one_f1"] == scores["landslides"]["ceiling_f1"] == 1
    assert all(score["f1"] == 1 for score in scores["boundaries"].values())
    assert scores["sizes"]["ks_distance"] == 0
    for name in ("missed", "false"):
        assert len(gpd.read_file(tmp_path / "out" / "evaluation.gpkg", layer=name)) == 0


def test_missed_and_false_are_layers_to_look_at(revision: Path, tmp_path: Path) -> None:
    lonely = shapely.box(580700, 4729250, 580760, 4729310)
    reference = _reference(revision, tmp_path / "other.gpkg", slice(1, None), (lonely,))
    scores = _one(revision, reference, out=tmp_path / "out")
    package = tmp_path / "out" / "evaluation.gpkg"
    false, missed = (gpd.read_file(package, layer=name) for name in ("false", "missed"))
    assert false["id"].tolist() == ["L00001"]
    assert missed.geometry.iloc[0].equals(lonely)
    assert scores["landslides"]["recall"] == pytest.approx(3 / 4)
    sizes = {row["size"]: row for row in scores["landslides"]["by_size"]}
    assert sizes["> 10000 m²"]["precision"] == 0
    assert "<svg" in (tmp_path / "out" / "size-frequency.svg").read_text()


def test_only_the_extent_counts(revision: Path, tmp_path: Path) -> None:
    lonely = shapely.box(580700, 4729250, 580760, 4729310)
    reference = _reference(revision, tmp_path / "other.gpkg", slice(None), (lonely,))
    gpd.GeoDataFrame(geometry=[shapely.box(580000, 4729000, 580600, 4730000)], crs=CRS).to_file(
        tmp_path / "extent.geojson"
    )
    everywhere = _one(revision, reference, out=tmp_path / "a")
    inside = _one(revision, reference, extent=str(tmp_path / "extent.geojson"), out=tmp_path / "b")
    assert everywhere["landslides"]["recall"] < 1
    assert inside["landslides"]["recall"] == 1
    assert inside["pixels_observed"]["f1"] == 1


def test_nothing_in_common_is_written_as_null(revision: Path, tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[shapely.box(580700, 4729250, 580701, 4729251)], crs=CRS).to_file(
        tmp_path / "speck.gpkg"
    )
    scores = _one(revision, str(tmp_path / "speck.gpkg"), out=tmp_path / "out")
    text = (tmp_path / "out" / "evaluation.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["landslides"]["found"] == 0
    assert words({"evaluations": [scores]})


def test_each_revision_has_a_folder_of_its_own(revision: Path, tmp_path: Path) -> None:
    reference = _reference(revision, tmp_path / "own.gpkg")
    evaluate([str(revision), str(revision)], reference, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["quake-r001"]
    evaluate([str(revision)], reference)
    assert (revision.parent / "evaluation-r001" / "evaluation.json").is_file()


def test_a_folder_that_is_no_revision_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no revision"):
        evaluate([str(tmp_path)], "simulated")


def test_sizes_side_by_side() -> None:
    rng = np.random.default_rng(0)
    one = 900 * (1 - rng.random(800)) ** (-1 / 1.4)
    same, twice = compare_sizes(one, one), compare_sizes(one, 2 * one)
    assert same.ks_distance == 0
    assert twice.ks_distance > 0.2
    assert twice.predicted.quantiles_m2["0.5"] == pytest.approx(
        2 * same.reference.quantiles_m2["0.5"], abs=0.2
    )
    assert same.reference.tail is not None
    assert same.reference.tail.alpha == pytest.approx(2.4, abs=0.25)
    nothing = compare_sizes(np.empty(0), one)
    assert np.isnan(nothing.ks_distance)
    assert nothing.reference.tail is None
