"""An analyst's review: what people decided stays, in every later revision, whatever the machine
draws.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from shapely.affinity import translate
from small_scene import LARGE, SmallScene, about, publish, small_scene

from configs.errors import RequestError
from configs.files import sha256
from configs.layout import EventFolder
from flows.events import reviews
from inventory.formats.geopackage import read_inventory
from inventory.publish import Published, write_item
from inventory.revisions.review import ANALYST, read_review
from inventory.revisions.take_up import CUT, as_reviewed

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's own: its package python3-qgis is for no other."""
IN_QGIS = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsFeature, QgsGeometry, QgsRectangle, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
layer = QgsVectorLayer(f"{sys.argv[1]}|layername=landslides", "landslides", "ogr")
layer.startEditing()
for feature in layer.getFeatures():
    box = feature.geometry().boundingBox()
    if feature["id"] == "L00001":
        half = QgsRectangle(box.xMinimum(), box.yMinimum(), box.center().x(), box.yMaximum())
        layer.changeGeometry(feature.id(), QgsGeometry.fromRect(half))
    if feature["id"] == "L00002":
        layer.changeAttributeValue(feature.id(), layer.fields().indexOf("status"), "dismissed")
drawn = QgsFeature(layer.fields())
drawn.setGeometry(QgsGeometry.fromRect(QgsRectangle(580700, 4729840, 580780, 4729900)))
assert layer.addFeature(drawn)
assert layer.commitChanges(), layer.commitErrors()
"""

Edit = Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]


class Event:
    """An event's folder whose revisions come from one small scene."""

    def __init__(self, folder: Path) -> None:
        self.folder = EventFolder(folder / "quake")
        self.folder.folder.mkdir()
        self.scene = small_scene(folder)

    def publish(self, scene: SmallScene | None = None) -> Published:
        scene, earlier = scene or self.scene, reviews.earlier(self.folder)
        number = max(self.folder.revisions(), default=0) + 1
        folder = self.folder.revision(number).folder
        found = publish(folder, scene, about(revision=number), earlier=earlier)
        write_item(folder, found)
        reviews.taken_up(self.folder, earlier.review if earlier else None, number)
        return found

    def edit(self, change: Edit, path: Path | None = None) -> Path:
        """Edit as a GIS does: every feature read and written through OGR."""
        path = path or reviews.begin(self.folder)
        frame = pyogrio.read_dataframe(path, layer="landslides")
        pyogrio.write_dataframe(change(frame), path, layer="landslides", driver="GPKG")
        return path


@pytest.fixture
def event(tmp_path: Path) -> Event:
    event = Event(tmp_path)
    event.publish()
    return event


def status(identity: str, word: str | None) -> Edit:
    return lambda frame: frame.assign(status=frame["status"].where(frame["id"] != identity, word))


def shape(identity: str, change: Callable[[Any], Any]) -> Edit:
    def edit(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        shapes = [
            change(g) if i == identity else g
            for i, g in zip(frame["id"], frame.geometry, strict=True)
        ]
        return frame.set_geometry(shapes, crs=frame.crs)

    return edit


def row(published: Published, identity: str) -> Any:
    """Return a landslide as it stands in the published file."""
    frame = gpd.read_file(published.products["landslides.gpkg"], layer="landslides")
    assert frame["id"].is_unique
    return frame.set_index("id").loc[identity]


def changes(published: Published) -> dict[str, tuple[str, str]]:
    frame = gpd.read_file(published.products["landslides.gpkg"], layer="changes")
    return {i: (c, n) for i, c, n in zip(frame["id"], frame["change"], frame["note"], strict=True)}


def mask_of(published: Published) -> np.ndarray[Any, Any]:
    with rasterio.open(published.products["landslides.tif"]) as file:
        return np.asarray(file.read(1))


def left_half(geometry: Any) -> Any:
    west, south, east, north = geometry.bounds
    return shapely.box(west, south, (west + east) / 2, north)


def test_edits_made_in_qgis_itself_are_read_back(event: Event) -> None:
    if (
        subprocess.run(
            [SYSTEM_PYTHON, "-c", "import qgis.core"], capture_output=True, check=False
        ).returncode
        != 0
    ):
        pytest.skip("QGIS is not on this machine (Debian: qgis, python3-qgis)")
    path = reviews.begin(event.folder)
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", IN_QGIS, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    review = read_review(path)
    assert review.status == {"L00002": "dismissed"}
    assert list(review.shapes) == ["L00001"]
    assert len(review.added) == 1
    found = event.publish()
    assert row(found, "L00001")["area_m2"] == 30_000
    assert row(found, "L00002")["status"] == "dismissed"
    assert row(found, "L00005")["area_m2"] == 4800


def test_an_untouched_copy_changes_nothing(event: Event) -> None:
    path = reviews.begin(event.folder)
    assert read_review(path).edits == 0
    assert reviews.waiting(event.folder) is None
    frame = pyogrio.read_dataframe(path, layer="landslides")
    pyogrio.write_dataframe(
        frame, path, layer="landslides", driver="GPKG"
    )  # saved by a GIS without a change
    assert read_review(path).edits == 0


def test_a_dismissed_landslide_stays_dismissed_and_is_counted_nowhere(event: Event) -> None:
    event.edit(status("L00001", "dismissed"))
    for number in (2, 3):
        found = event.publish()
        assert row(found, "L00001")["status"] == "dismissed"
        assert found.summary.landslide_count == 3
        assert (mask_of(found)[LARGE] == 0).all(), "what is no landslide is none in the mask"
        assert "L00001" not in (event.folder.revision(number).folder / "report.html").read_text(
            encoding="utf-8"
        )
        assert (
            "Reviewed by an analyst: 0 confirmed; 1 dismissed and not counted (see `status`)."
            in found.words
        )
    assert (event.folder.reviews / "r002.gpkg").exists()
    assert not event.folder.review.exists()


def test_the_review_is_told_in_the_changes_once(event: Event) -> None:
    event.edit(status("L00002", " Confirmed "))
    assert changes(event.publish()) == {"L00002": ("reviewed", "confirmed by an analyst")}
    assert changes(event.publish()) == {}


def test_a_verdict_can_be_withdrawn(event: Event) -> None:
    event.edit(status("L00001", "dismissed"))
    event.publish()
    event.edit(status("L00001", None))
    assert row(event.publish(), "L00001")["status"] == "unreviewed"


def test_what_the_machine_does_not_draw_any_more_stays_if_reviewed(event: Event) -> None:
    event.edit(lambda frame: status("L00001", "dismissed")(status("L00002", "confirmed")(frame)))
    event.publish()
    nothing = replace(
        event.scene,
        probability=np.where(
            event.scene.probability > 0.5, np.float32(0.1), event.scene.probability
        ),
    )
    found = event.publish(nothing)
    assert row(found, "L00002")["status"] == "confirmed"
    assert row(found, "L00001")["status"] == "dismissed"
    assert found.summary.landslide_count == 1
    gone = {identity for identity, (kind, _) in changes(found).items() if kind == "gone"}
    assert not gone & {"L00001", "L00002"}


def test_a_larger_outline_of_the_machine_does_not_hide_behind_a_dismissed_one(event: Event) -> None:
    event.edit(status("L00001", "dismissed"))
    event.publish()
    probability = event.scene.probability.copy()
    probability[LARGE[0], 40:70] = (
        0.9  # the field that was dismissed now touches a large fresh landslide
    )
    found = event.publish(replace(event.scene, probability=probability))
    assert row(found, "L00001")["area_m2"] == 60_000
    fresh = found.inventory.landslides.set_index("id")["area_m2"]
    assert fresh.max() == 60_000
    assert (mask_of(found)[LARGE] == 0).all()
    assert (mask_of(found)[LARGE[0], 40:70] == 1).all()


def test_a_drawn_outline_replaces_the_machines_for_good_and_is_measured(event: Event) -> None:
    before = event.publish()
    event.edit(shape("L00001", left_half))
    for number in (3, 4):
        found = event.publish()
        assert max(event.folder.revisions()) == number
        slide = row(found, "L00001")
        assert slide["card"] == ANALYST
        assert slide["area_m2"] == slide.geometry.area == 30_000
        assert slide["length_m"] == 200
        assert slide["probability_mean"] == pytest.approx(0.9)
        assert slide["slope_mean_deg"] == pytest.approx(20, abs=0.1)
        assert slide["first_seen"] == row(before, "L00001")["first_seen"]
        assert (mask_of(found)[LARGE[0], 25:40] == 0).all(), "what was cut away is not drawn again"
        rejected = gpd.read_file(found.products["landslides.gpkg"], layer="rejected")
        assert rejected[rejected["reason"] == CUT]["area_m2"].tolist() == [30_000]
        assert rejected["id"].is_unique
        if number == 3:
            assert changes(found) == {
                "L00001": ("shrunk", "outline drawn by an analyst; smaller than before")
            }


def test_a_moved_outline_of_the_same_size_is_noticed(event: Event) -> None:
    path = event.edit(shape("L00002", lambda g: translate(g, 60, 0)))
    assert list(read_review(path).shapes) == ["L00002"]


def test_an_added_landslide_gets_an_id_of_its_own_once(event: Event) -> None:
    west, north = 580000 + 700, 4730000 - 100

    def add(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        frame.loc[len(frame), "geometry"] = shapely.MultiPolygon(
            [shapely.box(west, north - 60, west + 80, north)]
        )
        return frame

    event.edit(add)
    second = event.publish()
    slide = row(second, "L00005")
    assert (slide["status"], slide["card"], slide["area_m2"]) == ("confirmed", ANALYST, 4800)
    assert slide["first_seen"] is not None
    assert not np.isnan(slide["slope_mean_deg"])
    assert changes(second) == {"L00005": ("reviewed", "added by an analyst")}
    assert (mask_of(second)[10:16, 70:78] == 1).all()
    third = event.publish()
    assert row(third, "L00005")["status"] == "confirmed"
    assert len(third.inventory.landslides) == 5


def test_both_parts_of_a_split_outline_are_kept(event: Event) -> None:
    """A GIS that splits a polygon leaves the same id on both parts."""

    def split(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        at = frame.index[frame["id"] == "L00001"][0]
        west, south, east, north = frame.geometry[at].bounds
        parts = [
            shapely.box(west, south, west + 200, north),
            shapely.box(west + 210, south, east, north),
        ]
        frame.loc[len(frame)] = frame.loc[at]
        return frame.set_geometry(
            [
                parts[0] if i == at else parts[1] if i == len(frame) - 1 else g
                for i, g in enumerate(frame.geometry)
            ],
            crs=frame.crs,
        )

    event.edit(split)
    found = event.publish()
    areas = {identity: row(found, identity)["area_m2"] for identity in ("L00001", "L00005")}
    assert areas == {"L00001": 40_000, "L00005": 18_000}


def test_edits_in_place_are_heard_and_told(event: Event, caplog: pytest.LogCaptureFixture) -> None:
    path = event.folder.revision(1).folder / "landslides.gpkg"
    assert reviews.waiting(event.folder) is None
    event.edit(shape("L00001", left_half), path)
    event.edit(status("L00002", "dismissed"), path)
    review = reviews.waiting(event.folder)
    assert review is not None
    assert review.edits == 2
    assert "edited in place" in caplog.text
    found = event.publish()
    assert row(found, "L00001")["area_m2"] == 30_000
    assert row(found, "L00002")["status"] == "dismissed"
    assert (event.folder.reviews / "r002.gpkg").exists()
    assert path.exists()


def test_a_copy_of_an_older_revision_changes_only_what_was_changed_in_it(event: Event) -> None:
    old = reviews.copy(
        event.folder.revision(1).folder / "landslides.gpkg", event.folder.folder / "mine.gpkg"
    )
    event.edit(status("L00001", "dismissed"))
    event.publish()
    event.edit(status("L00002", "confirmed"), old)
    reviews.give(event.folder, old)
    found = event.publish()
    assert row(found, "L00001")["status"] == "dismissed", (
        "the older copy does not know, and so does not undo it"
    )
    assert row(found, "L00002")["status"] == "confirmed"


def test_saved_edits_that_lie_in_the_log_of_an_open_gis_are_copied(event: Event) -> None:
    path = reviews.begin(event.folder)
    with closing(sqlite3.connect(path)) as open_gis:
        open_gis.execute("PRAGMA journal_mode=WAL")
        open_gis.execute("PRAGMA wal_autocheckpoint=0")
        open_gis.create_function("ST_IsEmpty", 1, lambda g: 0)
        triggers = [
            name
            for (name,) in open_gis.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
        ]
        for name in triggers:
            open_gis.execute(f'DROP TRIGGER "{name}"')
        open_gis.execute("UPDATE landslides SET status='dismissed' WHERE id='L00003'")
        open_gis.commit()
        copied = reviews.copy(path, event.folder.folder / "copy.gpkg")
        assert read_review(copied).status == {"L00003": "dismissed"}


def test_the_past_is_never_touched(event: Event) -> None:
    sums = {
        path.name: sha256(path)
        for path in event.folder.revision(1).folder.iterdir()
        if path.is_file()
    }
    event.edit(lambda frame: shape("L00001", left_half)(status("L00002", "dismissed")(frame)))
    event.publish()
    event.publish()
    assert sums == {
        path.name: sha256(path)
        for path in event.folder.revision(1).folder.iterdir()
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (status("L00002", "maybe"), "L00002 has status `maybe`"),
        (shape("L00002", lambda g: shapely.MultiPolygon()), "L00002 has no area"),
        (lambda frame: frame.drop(columns="status"), "no field status"),
    ],
)
def test_what_cannot_be_meant_is_named(event: Event, edit: Edit, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read_review(event.edit(edit))


def test_all_slips_are_named_at_once(event: Event) -> None:
    def slips(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        drawn = frame.iloc[[0]].assign(id=None, status="perhaps")
        frame = status("L00001", "maybe")(shape("L00002", lambda g: shapely.MultiPolygon())(frame))
        return pd.concat([frame, drawn], ignore_index=True)

    path = event.edit(slips)
    row = len(gpd.read_file(path, layer="landslides"))
    with pytest.raises(RequestError) as refused:
        read_review(path)
    for words in (
        "landslide L00001 has status `maybe`",
        "landslide L00002 has no area",
        f"landslide in row {row} has status `perhaps`",
    ):
        assert words in refused.value.message
    assert "dismissed" in refused.value.remedy


def test_a_damaged_file_is_told_whatever_the_library_says(
    event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = event.edit(status("L00001", "confirmed"))
    with sqlite3.connect(path) as database:
        database.execute("update gpkg_metadata set metadata = cast(x'ff7b' as text)")
    database.close()
    with pytest.raises(RequestError, match="is no inventory of coslide"):
        read_review(path)
    with sqlite3.connect(path) as database:
        database.execute("update gpkg_metadata set metadata = ?", ('[["format", 3]]',))
    database.close()
    with pytest.raises(RequestError, match="is not a coslide inventory file"):
        read_review(path)
    for fault in (UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), pyogrio.errors.CRSError("no")):

        def broken(*_: Any, fault: Exception = fault, **__: Any) -> None:
            raise fault

        with monkeypatch.context() as patched:
            patched.setattr("inventory.revisions.review.read_metadata", lambda _: {})
            patched.setattr(pyogrio, "read_dataframe", broken)
            with pytest.raises(RequestError, match="cannot read layer"):
                read_review(path)


def test_unsaved_and_competing_reviews_are_refused(event: Event) -> None:
    copied = reviews.copy(
        event.folder.revision(1).folder / "landslides.gpkg", event.folder.folder / "mine.gpkg"
    )
    with pytest.raises(RequestError, match="changes nothing"):
        reviews.give(event.folder, copied)
    event.edit(status("L00001", "dismissed"))
    with pytest.raises(RequestError, match="no revision has taken up"):
        reviews.begin(event.folder)
    event.edit(status("L00001", "confirmed"), copied)
    with pytest.raises(RequestError, match="holds edits too"):
        reviews.give(event.folder, copied)


def test_a_review_can_be_scored_before_it_is_taken_up(event: Event) -> None:
    """Against the outlines as they are, dismissing one costs its pixels and its landslide,
    redrawing it half of them.
    """
    folder = event.folder.revision(1).folder
    found = read_inventory(folder / "landslides.gpkg")
    with rasterio.open(folder / "landslides.tif") as file:
        predicted = np.asarray(file.read(1))
    for edit, lost in ((status("L00001", "dismissed"), 600), (shape("L00001", left_half), 300)):
        event.folder.review.unlink(missing_ok=True)
        told, drawn = as_reviewed(found, predicted, read_review(event.edit(edit)))
        assert (predicted == 1).sum() - (drawn == 1).sum() == lost
        assert ((drawn == 255) == (predicted == 255)).all()
        assert ("L00001" in set(told.landslides["id"])) == (lost == 300)


def test_ground_under_overlapping_outlines_counts_once(event: Event) -> None:
    event.publish()

    def overlapping(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        frame = frame.sort_values("area_m2", ascending=False).reset_index(drop=True)
        first, second = frame.geometry[0], frame.geometry[1]
        frame.loc[[0], "geometry"] = [first.buffer(25)]
        frame.loc[[1], "geometry"] = [second.union(first.buffer(10))]
        return frame

    event.edit(overlapping)
    published = event.publish()
    frame = gpd.read_file(published.products["landslides.gpkg"], layer="landslides")
    assert frame["area_m2"].sum() == pytest.approx(frame.union_all().area, abs=len(frame))
    # a pixel belongs to an outline by its centre, so the mask may differ by a rim of its sides
    covered = (mask_of(published) == 1).sum() * 100
    assert published.summary.landslide_area_km2 * 1e6 == pytest.approx(
        frame.union_all().area, abs=100
    )
    assert covered == pytest.approx(frame.union_all().area, rel=0.1)
    assert {"L00001", "L00002"} <= set(frame["id"])
    assert not any("split" in kind for kind, _ in changes(published).values())


def test_two_rows_of_one_outline_are_named(event: Event) -> None:
    event.publish()

    def twice(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        frame.loc[[1], "geometry"] = [frame.geometry[0]]
        return frame

    event.edit(twice)
    with pytest.raises(RequestError, match="L00001 and L00002 have the same outline"):
        event.publish()
