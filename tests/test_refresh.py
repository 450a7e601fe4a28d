"""The same event again: due or not, what a new image adds, what stays; and the story of clouds that
clear.
"""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from calls import call
from small_archive import AREA, RUN, SIDE, make_archive, make_cards, make_preset, write

from configs.bands import When
from configs.errors import NothingToSeeError, RequestError
from configs.files import sha256
from configs.layout import EventFolder
from configs.records import ObservationClass
from configs.stack import Stack
from flows.cli import main
from flows.events import state as event_state
from flows.refresh import refresh, refresh_events, words
from flows.resolve import make_request, resolve
from flows.respond import respond
from flows.run import workspace

pytestmark = pytest.mark.slow

FROZEN = Path(__file__).parent / "frozen"
CLEAR = ObservationClass.CLEAR


def on(month: int, day: int, hour: int = 6) -> datetime:
    return datetime(2018, month, day, hour, tzinfo=UTC)


def sums(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir() if path.is_file()}


def landslides(event: EventFolder, number: int, layer: str = "landslides") -> gpd.GeoDataFrame:
    return gpd.read_file(event.revision(number).folder / "landslides.gpkg", layer=layer)


def mask(event: EventFolder, number: int) -> np.ndarray[Any, Any]:
    with rasterio.open(event.revision(number).folder / "landslides.tif") as file:
        return np.asarray(file.read(1))


# ---- clouds that clear over four acquisitions (simulated)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cards(tmp_path_factory.mktemp("cards") / "cards")


def first_run(out: Path, cards: Path) -> dict[str, Any]:
    """Return the first revision of a simulated event of which 9 September shows 40 %, 14th, 19th
    and 24th the rest.
    """
    rules = {
        "min_area_m2": None,
        "min_slope_deg": None,
        "max_edge_fraction": None,
        "max_water_fraction": None,
    }
    preset = {
        "source": {"kind": "simulated", "landscape": "tephra-hills", "seed": 22},
        "model": {"card_dirs": [str(cards)], "checkpoint": "post", "device": "cpu"},
        "clean": rules,
        "product": {"map": {"sheets": []}},
        "keep": "all",
        "out": str(out),
    }
    request = make_request(
        latitude=43.1,
        longitude=141.9,
        date="2018-09-05T18:00",
        magnitude=6.6,
        radius_km=1.6,
        name="quake",
        as_of="2018-09-10",
    )
    return respond(resolve(request, preset))


@pytest.fixture(scope="module")
def begun(cards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with the first revision of the simulated event."""
    out = tmp_path_factory.mktemp("begun")
    first_run(out, cards)
    return out


def copied(begun: Path, out: Path) -> EventFolder:
    """Return the event as it was after its first revision, in another output folder."""
    shutil.copytree(begun, out, dirs_exist_ok=True)
    event = EventFolder(out / "quake")
    path = event.revision(1).config
    path.write_text(path.read_text().replace(str(begun), str(out)))
    return event


@pytest.fixture(scope="module")
def story(
    begun: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EventFolder, dict[int, dict[str, Any]]]:
    """Return an event that was looked at on many mornings of three weeks, and what each look
    said.
    """
    out = tmp_path_factory.mktemp("story")
    event = copied(begun, out)
    before = sums(event.revision(1).folder)
    turns = {
        day: refresh_events(out, now=on(9, day))
        for day in (12, 13, 14, 15, 18, 19, 20, 23, 24, 25, 30)
    }
    assert sums(event.revision(1).folder) == before, "a revision never changes an earlier file"
    return event, turns


def test_it_is_refreshed_until_the_target_and_then_left_alone(
    story: tuple[EventFolder, dict[int, dict[str, Any]]],
) -> None:
    event, turns = story
    told = {
        day: turn["events"][0]["action"] if turn["events"] else "" for day, turn in turns.items()
    }
    assert [day for day, action in told.items() if action == "refreshed"] == [14, 19, 24]
    assert {told[day] for day in (12, 13, 15, 18, 20, 23)} == {"waiting"}
    assert {told[25], told[30]} == {""}, "an event that is closed is not even looked at"
    assert list(event.revisions()) == [1, 2, 3, 4]
    shares = [turns[day]["events"][0]["observed_fraction"] for day in (14, 19, 24)]
    assert shares == sorted(shares)
    assert 0.55 < shares[0] < 0.7 < shares[1] < 0.9 < 0.95 <= shares[2]
    state = event_state.read_state(event)
    assert (state.state, state.closed_by, state.latest_revision) == ("closed", "coverage", 4)
    assert "coverage target reached" in state.reason
    assert "quake: refreshed (revision 4): 1 new image (2018-09-24); closed: coverage" in words(
        turns[24]
    )
    assert turns[24]["next_look"] is None
    assert turns[20]["next_look"] == on(9, 21).isoformat()


def test_what_was_clear_keeps_image_and_date_and_what_was_not_is_filled(
    story: tuple[EventFolder, dict[int, dict[str, Any]]],
) -> None:
    event, _ = story
    stacks = [Stack(event.revision(number).stack) for number in (1, 2, 3, 4)]
    for old, new in itertools.pairwise(stacks):
        was = old.observation(When.POST) == CLEAR
        assert (new.observation(When.POST)[was] == CLEAR).all()
        assert (new.date(When.POST)[was] == old.date(When.POST)[was]).all()
        for band in ("post_B4", "post_NDVI"):
            assert np.array_equal(new.read(band)[was], old.read(band)[was])
        filled = ~was & (new.observation(When.POST) == CLEAR)
        assert filled.any()
        assert new.attributes["carried"]["news_px"] > 0
        assert (new.date(When.POST)[filled] > old.date(When.POST)[was].max()).all()


def test_ids_last_and_changes_speak_of_what_was_observed(
    story: tuple[EventFolder, dict[int, dict[str, Any]]],
) -> None:
    event, _ = story
    given: set[str] = set()
    for number in (2, 3, 4):
        before, after = landslides(event, number - 1), landslides(event, number)
        given |= set(before["id"])
        changes = landslides(event, number, "changes").set_index("id")
        assert set(changes["change"]) <= {
            "new",
            "grown",
            "shrunk",
            "split",
            "merged",
            "gone",
            "not observed",
        }
        unseen, seen_now = mask(event, number - 1) == 255, mask(event, number) != 255
        assert not (changes["change"] == "not observed").any(), (
            "with `keep` nothing once seen is unseen again"
        )
        fresh = set(after["id"]) - set(before["id"])
        assert not fresh & given, "a number is never given twice"
        assert set(changes[changes["change"] == "new"].index) == fresh - set(
            changes[changes["change"] == "split"].index
        )
        untouched = set(before["id"]) - set(changes.index)
        same = (
            before.set_index("id").loc[sorted(untouched)],
            after.set_index("id").loc[sorted(untouched)],
        )
        assert (
            same[0].geometry.intersection(same[1].geometry).area > 0.8 * same[0].geometry.area
        ).all()
        assert (same[0]["first_seen"] == same[1]["first_seen"]).all()
        assert (unseen & seen_now).any()


def test_landslides_far_from_the_clouds_keep_their_id_and_shape(
    story: tuple[EventFolder, dict[int, dict[str, Any]]],
) -> None:
    """With one more image at least 95 % of the landslides that nothing has happened to keep their
    id.
    """
    event, _ = story
    for number in (2, 3, 4):
        before, after = landslides(event, number - 1), landslides(event, number).set_index("id")
        was = mask(event, number - 1)
        with rasterio.open(event.revision(number).folder / "landslides.tif") as file:
            transform = file.transform
        reach = 60  # pixels: the checkpoint's halo
        far = []
        for identity, geometry in zip(before["id"], before.geometry, strict=True):
            west, south, east, north = geometry.bounds
            left, top = ~transform @ (west, north)
            right, bottom = ~transform @ (east, south)
            rows = slice(max(0, int(top) - reach), int(bottom) + reach)
            columns = slice(max(0, int(left) - reach), int(right) + reach)
            if (was[rows, columns] != 255).all():
                far.append((identity, geometry))
        kept = [
            identity
            for identity, geometry in far
            if identity in after.index and after.geometry[identity].equals(geometry)
        ]
        assert len(kept) >= 0.95 * len(far)


def test_a_missed_schedule_is_made_up_once(
    story: tuple[EventFolder, dict[int, dict[str, Any]]], begun: Path, tmp_path: Path
) -> None:
    event, _ = story
    copied(begun, tmp_path)
    late = refresh_events(tmp_path, now=on(9, 30))
    assert [row["action"] for row in late["events"]] == ["refreshed"]
    assert (
        late["events"][0]["reason"] == "3 new images (2018-09-14 to 2018-09-29)"
        or "new images" in late["events"][0]["reason"]
    )
    assert refresh_events(tmp_path, now=on(9, 30, 7))["events"] == []
    assert list(EventFolder(tmp_path / "quake").revisions()) == [1, 2]
    once, daily = (
        Stack(EventFolder(tmp_path / "quake").revision(2).stack),
        Stack(event.revision(4).stack),
    )
    assert np.array_equal(once.date(When.POST), daily.date(When.POST)), (
        "late or in time, the pixels are the same"
    )
    assert np.array_equal(once.read("post_B4"), daily.read("post_B4"), equal_nan=True)


# ---- an archive that grows


@pytest.fixture(scope="module")
def mapped(cards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive whose only image after the earthquake misses the north, and
    the event mapped from it.
    """
    ground = tmp_path_factory.mktemp("mapped")
    folder = make_archive(ground / "archive")
    for band in ("B2", "B3", "B4"):
        with rasterio.open(folder / f"post_{band}.tif", "r+") as file:
            values = file.read(1)
            write(folder / f"later_{band}.tif", values)
            values[: SIDE // 2] = 0
            file.write(values, 1)
    rules = {
        "min_area_m2": None,
        "min_slope_deg": None,
        "max_edge_fraction": None,
        "max_water_fraction": None,
    }
    sees_something = rules | {"threshold": 0.02}  # of an untrained network
    more = {"keep": "all", "refresh": {"coverage_target": 0.9}, "clean": sees_something}
    preset = make_preset(ground / "preset.yaml", cards, "both", **more)
    arguments = ["respond", *RUN, *AREA, "--config", str(preset), "--source", f"archive:{folder}"]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--out", str(ground / "out"), "--name", "quake", "--as-of", "2018-10-01"])
    assert left.value.code == 0
    return ground


@pytest.fixture
def archive(mapped: Path, tmp_path: Path) -> EventFolder:
    """Return a copy of the mapped event with an archive of its own."""
    for name in ("archive", "out"):
        shutil.copytree(mapped / name, tmp_path / name)
    event = EventFolder(tmp_path / "out" / "quake")
    path = event.revision(1).config
    path.write_text(path.read_text().replace(str(mapped), str(tmp_path)))
    return event


def add_scene(event: EventFolder, day: str, prefix: str = "later", **changes: Any) -> None:
    path = event.folder.parent.parent / "archive" / "archive.yaml"
    content = yaml.safe_load(path.read_text())
    bands = {
        b: {"file": f"{prefix}_{b}.tif", "scale": 0.0001, "offset": 0, "nodata": 0}
        for b in ("B2", "B3", "B4")
    }
    content["scenes"].append({"id": f"scene-{day}", "acquired": day, "bands": bands} | changes)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_nothing_new_is_a_word_not_an_error(archive: EventFolder) -> None:
    answer = refresh(archive.folder, as_of=on(10, 5))
    assert (answer["action"], answer["reason"], answer["revision"]) == (
        "waiting",
        "no new image since revision 1",
        1,
    )
    assert list(archive.revisions()) == [1]
    assert event_state.read_state(archive).checked == on(10, 5)


def test_a_new_image_fills_the_gap_and_nothing_else(archive: EventFolder) -> None:
    add_scene(archive, "2018-10-03")
    assert refresh(archive.folder, as_of=on(10, 2))["action"] == "waiting", "it does not exist yet"
    before = sums(archive.revision(1).folder)
    answer = refresh(archive.folder, as_of=on(10, 5))
    assert (answer["action"], answer["revision"]) == ("refreshed", 2)
    assert answer["observed_fraction"] > 0.9
    assert answer["event_state"] == "closed"
    first, second = (Stack(archive.revision(number).stack) for number in (1, 2))
    was = first.observation(When.POST) == CLEAR
    assert (second.date(When.POST)[was] == first.date(When.POST)[was]).all()
    assert (second.date(When.POST)[~was & (second.observation(When.POST) == CLEAR)] == 17807).all()
    assert sums(archive.revision(1).folder) == before
    provenance = json.loads(archive.revision(2).provenance.read_text())
    assert [scene["id"] for scene in provenance["scenes"]] == [
        "scene-pre",
        "scene-post",
        "scene-2018-10-03",
    ]


def test_an_image_that_adds_nothing_makes_no_revision_but_with_force(archive: EventFolder) -> None:
    add_scene(archive, "2018-10-03", "post")
    answer = refresh(archive.folder, as_of=on(10, 5))
    assert answer["action"] == "waiting"
    assert (
        answer["reason"]
        == "1 new image (2018-10-03), but the new images show nothing that had not been seen"
    )
    assert list(archive.revisions()) == [1]
    assert not list((archive.folder / ".work").glob("*/run.yaml"))
    forced = refresh(archive.folder, as_of=on(10, 5), force=True)
    assert (forced["action"], forced["revision"]) == ("refreshed", 2)
    assert landslides(archive, 2)["id"].tolist() == landslides(archive, 1)["id"].tolist()
    assert len(landslides(archive, 2, "changes")) == 0


def test_latest_takes_the_newest_image_instead(archive: EventFolder) -> None:
    path = archive.revision(1).config
    path.write_text(path.read_text().replace("policy: keep", "policy: latest"))
    add_scene(archive, "2018-10-03")
    refresh(archive.folder, as_of=on(10, 5))
    dates = Stack(archive.revision(2).stack).date(When.POST)
    assert set(np.unique(dates)) <= {0, 17807}


def test_a_scene_that_was_withdrawn_is_not_kept(archive: EventFolder) -> None:
    add_scene(archive, "2018-10-03")
    path = archive.folder.parent.parent / "archive" / "archive.yaml"
    content = yaml.safe_load(path.read_text())
    content["scenes"] = [scene for scene in content["scenes"] if scene["id"] != "scene-post"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    refresh(archive.folder, as_of=on(10, 5))
    assert set(np.unique(Stack(archive.revision(2).stack).date(When.POST))) <= {0, 17807}
    scenes = json.loads(archive.revision(2).provenance.read_text())["scenes"]
    assert "scene-post" not in {scene["id"] for scene in scenes}


def test_without_the_earlier_stack_it_works_all_the_same(archive: EventFolder) -> None:
    path = archive.revision(1).config
    path.write_text(path.read_text().replace("keep: all", "keep: none"))
    workspace.forget(archive.revision(1))
    add_scene(archive, "2018-10-03")
    answer = refresh(archive.folder, as_of=on(10, 5))
    assert answer["observed_fraction"] > 0.9
    assert not archive.revision(2).scratch.exists()
    assert set(landslides(archive, 1)["id"]) & set(landslides(archive, 2)["id"])


def test_close_force_and_reopen_do_what_they_say(
    archive: EventFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    event, later = str(archive.folder), ["--as-of", "2018-10-05"]
    add_scene(archive, "2018-10-03", "post")
    code, answer = call(capsys, "refresh", event, "--close", "the field team has it")
    assert (code, answer["action"]) == (0, "closed")
    code, answer = call(capsys, "refresh", event, *later)
    assert (code, answer["action"], answer["reason"], answer["revision"]) == (
        0,
        "closed",
        "the field team has it",
        1,
    )
    code, answer = call(capsys, "refresh", event, *later, "--force")
    assert (code, answer["action"], answer["revision"], answer["event_state"]) == (
        0,
        "refreshed",
        2,
        "closed",
    )
    code, answer = call(capsys, "refresh", event, *later, "--reopen")
    assert (code, answer["action"], answer["event_state"]) == (0, "waiting", "open")
    code, answer = call(capsys, "refresh", event, "--as-of", "2019-05-05")
    assert (code, answer["action"]) == (0, "closed")
    assert "age limit reached" in answer["reason"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["refresh", "{}", "--as-of", "2018-09-20"], "lies before revision 1"),
        (["refresh", "{}", "--as-of", "soon"], "`soon` is not a date"),
        (["refresh", "{}/r001"], "is a revision, not an event"),
        (["refresh", "{}/../nobody"], "is no event"),
        (["refresh", "{}", "--close", "x", "--force"], "--close goes with neither"),
        (["refresh", "{}", "--all", "--force"], "--all goes with"),
        (["refresh", "{}", "--checkpoint", "nobody"], "nobody"),
        (["refresh", "{}", "--review", "{}/r001/landslides.gpkg"], "changes nothing"),
        (["refresh", "{}", "--review", "{}/nothing.gpkg"], "no such file"),
    ],
)
def test_wrong_wishes_are_refused_by_name(
    archive: EventFolder, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    add_scene(archive, "2018-10-03")
    code, answer = call(capsys, *(each.format(archive.folder) for each in arguments))
    assert code == 2
    assert words in answer["message"]
    assert list(archive.revisions()) == [1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("format: coslide/event/2", "newer than this coslide reads"),
        ("coverage_target: 95", "coverage_target"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_by_name(
    archive: EventFolder, line: str, words: str
) -> None:
    begun = [] if line.startswith("format") else ["format: coslide/event/1"]
    archive.state.write_text("\n".join([*begun, line]) + "\n")
    with pytest.raises(RequestError, match=words):
        refresh(archive.folder, as_of=on(10, 5))


def test_a_review_is_taken_up_without_a_new_image(
    archive: EventFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    code, answer = call(capsys, "review", str(archive.folder))
    assert (code, answer["review"]) == (0, str(archive.review))
    identity = landslides(archive, 1)["id"].iloc[0]
    frame = gpd.read_file(archive.review, layer="landslides")
    frame.loc[frame["id"] == identity, "status"] = "dismissed"
    frame.to_file(archive.review, layer="landslides", driver="GPKG", engine="pyogrio")
    code, answer = call(capsys, "refresh", str(archive.folder), "--as-of", "2018-10-05")
    assert (code, answer["action"], answer["reason"]) == (
        0,
        "refreshed",
        "an analyst's review is to be taken up",
    )
    assert answer["landslide_count"] == len(landslides(archive, 1)) - 1
    assert landslides(archive, 2).set_index("id").loc[identity, "status"] == "dismissed"
    assert json.loads(archive.revision(2).provenance.read_text())["review"]["edits"] == 1
    assert (
        call(capsys, "refresh", str(archive.folder), "--as-of", "2018-10-05")[1]["action"]
        == "waiting"
    )


# ---- an event that no image shows yet; many events; an older format


def test_an_event_without_an_image_gets_its_first_revision_once_there_is_one(
    archive: EventFolder,
) -> None:
    config = event_state.latest_run(archive)
    early = config.model_copy(
        update={
            "event": config.event.model_copy(update={"name": "early"}),
            "windows": config.windows.model_copy(
                update={
                    "as_of": on(9, 6),
                    "post": config.windows.post.model_copy(update={"last": on(9, 6).date()}),
                }
            ),
        }
    )
    with pytest.raises(NothingToSeeError):
        respond(early)


def test_one_events_trouble_is_not_anothers(archive: EventFolder) -> None:
    out = archive.folder.parent
    shutil.copytree(archive.folder, out / "broken")
    (out / "broken" / "event.yaml").write_text("format: coslide/event/9\n")
    (out / "empty").mkdir()
    (out / "empty" / "event.yaml").write_text("format: coslide/event/1\n")
    (out / "not-an-event").mkdir()
    add_scene(archive, "2018-10-03")
    turn = refresh_events(out, now=on(10, 5))
    rows = {row["event"]: row for row in turn["events"]}
    assert {name: row["action"] for name, row in rows.items()} == {
        "broken": "failed",
        "empty": "failed",
        "quake": "refreshed",
    }
    assert "newer than this coslide reads" in rows["broken"]["reason"]
    assert rows["empty"]["code"] == 2
    assert (turn["refreshed"], turn["failed"]) == (1, 2)


def test_an_event_that_another_process_refreshes_is_left_to_it(archive: EventFolder) -> None:
    add_scene(archive, "2018-10-03")
    with workspace.locked(archive.work("refresh.lock").folder, "refreshing this event"):
        turn = refresh_events(archive.folder.parent, now=on(10, 5))
    assert [row["action"] for row in turn["events"]] == ["busy"]
    assert turn["next_look"] == on(10, 5, 7).isoformat(), "after an hour, not at once"
    assert list(archive.revisions()) == [1]


def test_an_event_of_the_first_format_is_refreshed_and_keeps_its_ids(tmp_path: Path) -> None:
    """`tests/frozen/event-1.zip` was written before events were followed: four lines of state, no
    stack, no verdicts.
    """
    folder = tmp_path / "out" / "quake"
    with zipfile.ZipFile(FROZEN / "event-1.zip") as packed:
        packed.extractall(folder)
    make_archive(tmp_path / "archive", gap=True)
    make_cards(tmp_path / "cards")
    path = folder / "r001" / "run.yaml"
    text = (
        path.read_text()
        .replace("ARCHIVE", str(tmp_path / "archive"))
        .replace("CARDS", str(tmp_path / "cards"))
    )
    path.write_text(text.replace("out: OUT", f"out: {tmp_path / 'out'}"))
    event = EventFolder(folder)
    before = sums(folder / "r001")
    state = event_state.read_state(event)
    assert (state.latest_revision, state.observed_fraction, state.coverage_target) == (
        1,
        0.9182,
        0.95,
    )
    assert refresh(folder, as_of=on(12, 2))["action"] == "waiting"
    answer = refresh(folder, as_of=on(12, 2), force=True)
    assert answer["revision"] == 2
    # That revision's tiles began at the area's corner; an untrained network maps a little else now.
    first, second = (set(landslides(event, number)["id"]) for number in (1, 2))
    assert 2 * len(first & second) > len(first)
    assert sums(folder / "r001") == before
    assert event_state.read_state(event).format == "coslide/event/1"
