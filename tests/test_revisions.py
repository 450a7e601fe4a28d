"""Landslides over revisions: ids survive, every change has its name, and the past is never
touched.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import zarr
from small_scene import GEOBOX, SHAPE, SmallScene, about, publish, small_scene

from configs.clean import CleanConfig
from configs.files import sha256
from inventory.formats.geopackage import read_inventory
from inventory.publish import Published
from inventory.revisions.reconcile import Earlier
from inventory.revisions.revisions import Matched, in_words, match_revisions

ALL = CleanConfig(
    min_area_m2=None, min_slope_deg=None, max_water_fraction=None, max_edge_fraction=None
)
Block = tuple[int, int, int, int]


class Story:
    """Draws revisions of blocks (top, bottom, left, right) and matches them."""

    def __init__(self, folder: Path) -> None:
        self.scene = small_scene(folder)
        self.folder = folder

    def revision(
        self, name: str, blocks: list[Block], unseen: list[Block] | None = None
    ) -> tuple[SmallScene, Path]:
        probability = np.full(SHAPE, 0.1, np.float32)
        for top, bottom, left, right in blocks:
            probability[top:bottom, left:right] = 0.9
        for top, bottom, left, right in unseen or []:
            probability[top:bottom, left:right] = np.nan
        mask = np.where(np.isnan(probability), 255, probability > 0.5).astype(np.uint8)
        path = self.folder / f"{name}.tif"
        profile = {
            "driver": "GTiff",
            "width": SHAPE[1],
            "height": SHAPE[0],
            "count": 1,
            "dtype": "uint8",
        }
        with rasterio.open(path, "w", **profile, crs="EPSG:32654", transform=GEOBOX.affine) as file:
            file.write(mask, 1)
        return SmallScene(probability, np.ones(SHAPE, np.uint8), self.scene.stack), path

    def match(
        self, before: list[Block], after: list[Block], kept: bool = False, **unseen: list[Block]
    ) -> Matched:
        old, old_mask = self.revision("before", before, unseen.get("unseen_before"))
        new, new_mask = self.revision("after", after, unseen.get("unseen_after"))
        return match_revisions(
            new.outline(ALL), old.outline(ALL), old_mask, new_mask, len(before), kept=kept
        )


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


A, B, C = (10, 20, 10, 20), (30, 36, 40, 50), (60, 64, 70, 75)


def _changes(matched: Matched) -> dict[str, str]:
    return dict(zip(matched.changes["id"], matched.changes["change"], strict=True))


def test_the_same_again_changes_nothing(story: Story) -> None:
    matched = story.match([A, B, C], [A, B, C])
    assert matched.inventory.landslides["id"].tolist() == ["L00001", "L00002", "L00003"]
    assert len(matched.changes) == 0
    assert in_words(matched, 1) == "Since revision 1: 3 unchanged."


def test_a_shifted_threshold_keeps_ids(story: Story) -> None:
    larger = [(top - 1, bottom + 1, left - 1, right + 1) for top, bottom, left, right in (A, B, C)]
    matched = story.match([A, B, C], larger)
    assert sorted(matched.inventory.landslides["id"]) == ["L00001", "L00002", "L00003"]
    assert set(_changes(matched).values()) == {"grown"}
    assert set(_changes(story.match(larger, [A, B, C])).values()) == {"shrunk"}


def test_new_ones_get_new_numbers_even_where_larger(story: Story) -> None:
    matched = story.match([B, C], [A, B, C])
    ids = matched.inventory.landslides.set_index("area_m2")["id"]
    assert ids.to_dict() == {10_000.0: "L00003", 6000.0: "L00001", 2000.0: "L00002"}
    assert _changes(matched) == {"L00003": "new"}


def test_gone_is_only_said_of_what_was_seen(story: Story) -> None:
    assert _changes(story.match([A, B], [A])) == {"L00002": "gone"}
    assert _changes(story.match([A, B], [A], unseen_after=[(28, 40, 38, 52)])) == {
        "L00002": "not observed"
    }


def test_new_says_whether_one_had_looked(story: Story) -> None:
    seen = story.match([A], [A, B])
    blind = story.match([A], [A, B], unseen_before=[(28, 40, 38, 52)])
    assert seen.changes["note"].tolist() == ["not there before"]
    assert blind.changes["note"].tolist() == ["first seen: not observed in the revision before"]
    assert "nothing had been seen before" in in_words(blind, 1)


def test_growth_tells_what_was_seen_from_what_was_seen_differently(story: Story) -> None:
    """A landslide cut by a cloud is larger once the cloud has gone; one on the same image has only
    been drawn otherwise.
    """
    cut, whole, wider = (10, 20, 10, 15), (10, 20, 10, 20), (10, 20, 8, 22)
    cloud = story.match([cut], [whole], unseen_before=[(8, 22, 15, 30)], kept=True)
    same = story.match([whole], [wider], kept=True)
    anew = story.match([whole], [wider])
    notes = [matched.changes["note"].iloc[0] for matched in (cloud, same, anew)]
    assert notes[0] == "larger: more of it could be seen"
    assert notes[1].startswith("drawn larger on the same image")
    assert notes[2] == "larger than before"
    assert "1 change is on an unchanged image" in in_words(same, 1)
    assert "unchanged image" not in in_words(cloud, 1)


def test_gone_from_the_same_image_is_not_said_of_the_ground(story: Story) -> None:
    kept, anew = story.match([A, B], [A], kept=True), story.match([A, B], [A])
    assert kept.changes["note"].iloc[0].startswith("not drawn any more on the same image")
    assert anew.changes["note"].iloc[0] == "observed again, and no longer a landslide"


def test_a_split_keeps_the_id_on_the_largest_part(story: Story) -> None:
    matched = story.match([(10, 20, 10, 30)], [(10, 20, 10, 22), (10, 20, 24, 30)])
    assert matched.inventory.landslides["id"].tolist() == ["L00001", "L00002"]
    assert _changes(matched) == {"L00001": "split", "L00002": "split"}
    assert matched.changes.set_index("id")["related"].to_dict() == {
        "L00001": "L00002",
        "L00002": "L00001",
    }


def test_a_merger_keeps_the_id_of_the_largest_part(story: Story) -> None:
    matched = story.match([(10, 20, 10, 22), (10, 20, 24, 30)], [(10, 20, 10, 30)])
    assert matched.inventory.landslides["id"].tolist() == ["L00001"]
    assert _changes(matched) == {"L00001": "merged", "L00002": "merged"}
    assert matched.changes.set_index("id")["area_before_m2"].to_dict() == {
        "L00001": 18_000,
        "L00002": 6000,
    }
    assert matched.changes.set_index("id")["area_after_m2"].to_dict() == {
        "L00001": 20_000,
        "L00002": 0,
    }


def test_numbers_are_never_given_twice(story: Story) -> None:
    old, old_mask = story.revision("before", [A])
    new, new_mask = story.revision("after", [A, C])
    matched = match_revisions(new.outline(ALL), old.outline(ALL), old_mask, new_mask, last=7)
    assert matched.inventory.landslides["id"].tolist() == ["L00001", "L00008"]
    assert matched.last_number == 8


def test_ids_are_unique_whatever_happens(story: Story) -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        blocks = [
            [
                (t, t + h, l, l + w)
                for t, l, h, w in rng.integers([0, 0, 2, 2], [78, 100, 12, 20], (14, 4)).tolist()
            ]
            for _ in range(2)
        ]
        matched = story.match(*blocks)
        assert matched.inventory.landslides["id"].is_unique
        assert not matched.changes["id"].duplicated().any()
        counted = sum(matched.counts.values())
        gone = len(matched.changes) - sum(
            i in set(matched.inventory.landslides["id"]) for i in matched.changes["id"]
        )
        assert counted == len(matched.inventory.landslides) + gone


# ---- through published folders


def _publish(
    folder: Path, scene: SmallScene, number: int, previous: Path | None = None
) -> Published:
    earlier = Earlier(previous) if previous else None
    return publish(folder, scene, about(revision=number), earlier=earlier)


def test_an_analysts_verdict_survives_and_the_past_stays(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    first = tmp_path / "r001"
    _publish(first, scene, 1)
    frame = gpd.read_file(first / "landslides.gpkg", layer="landslides")
    _review(first / "landslides.gpkg", frame["id"].iloc[1], "dismissed")
    sums = {path.name: sha256(path) for path in first.iterdir()}
    second = _publish(tmp_path / "r002", scene, 2, previous=first)
    again = read_inventory(second.products["landslides.gpkg"]).landslides
    assert again["id"].tolist() == frame["id"].tolist()
    assert again["status"].tolist() == ["unreviewed", "dismissed", "unreviewed", "unreviewed"]
    assert {path.name: sha256(path) for path in first.iterdir()} == sums
    assert any("4 unchanged" in sentence for sentence in second.words)


def test_changes_is_a_layer_from_the_second_revision_on(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    first = _publish(tmp_path / "r001", scene, 1)
    fewer = replace(
        scene, probability=np.where(scene.probability > 0.85, np.float32(0.1), scene.probability)
    )
    second = _publish(tmp_path / "r002", fewer, 2, previous=tmp_path / "r001")
    third = _publish(tmp_path / "r003", scene, 3, previous=tmp_path / "r002")
    assert "changes" not in _layers(first)
    changes = gpd.read_file(second.products["landslides.gpkg"], layer="changes")
    assert changes["change"].tolist() == ["gone", "gone"]
    reborn = set(third.inventory.landslides["id"]) - set(second.inventory.landslides["id"])
    assert not reborn & set(first.inventory.landslides["id"]), (
        "an id that was gone is not given to another"
    )


def test_first_seen_stays_and_last_seen_moves(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    first = _publish(tmp_path / "r001", scene, 1)
    group = zarr.open_group(scene.stack.path, mode="r+")
    group["post_date"][:] = group["post_date"][:] + 30
    second = _publish(tmp_path / "r002", scene, 2, previous=tmp_path / "r001")
    before, after = first.inventory.landslides, second.inventory.landslides
    assert after["first_seen"].tolist() == before["first_seen"].tolist()
    assert ((after["last_seen"] - before["last_seen"]).dt.days == 30).all()


def _layers(published: Published) -> list[str]:
    return [str(name) for name in pyogrio.list_layers(published.products["landslides.gpkg"])[:, 0]]


def _review(package: Path, identity: str, status: str) -> None:
    """Edit the status as a GIS would: through OGR."""
    frame = pyogrio.read_dataframe(package, layer="landslides", fid_as_index=True)
    frame.loc[frame["id"] == identity, "status"] = status
    pyogrio.write_dataframe(frame, package, layer="landslides", driver="GPKG")
