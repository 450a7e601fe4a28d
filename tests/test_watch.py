"""The watch: a replayed fortnight gives exactly the right runs, once each, whatever breaks or is
killed.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_archive import make_archive, make_cards, make_preset
from usgs import HOST, Usgs, make_certificate, serving

from configs.errors import RequestError, SourceError
from configs.layout import EventFolder
from configs.service import read_service
from configs.watch import Rule, WatchConfig
from flows.cli import main
from flows.events import state as event_state
from flows.watch.launch import Outcome, Turn
from flows.watch.ledger import Book, Run
from flows.watch.rules import screen
from flows.watch.watch import Watch
from gee import fetch as fetching
from gee.feed import Quake, read_detail, read_feed

START = datetime(2018, 9, 5, 18, tzinfo=UTC)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def usgs(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Usgs]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with serving(Usgs(now=START), certificate) as loopback:
        yield loopback


SIMULATED = {"source": {"kind": "simulated"}}
"""Nothing is mapped in these tests."""


def config_for(usgs: Usgs, **changes: Any) -> WatchConfig:
    return WatchConfig(
        feed=f"{usgs.url}/feed/4.5_month.geojson",
        detail=f"{usgs.url}/detail/{{id}}",
        catalogue=f"{usgs.url}/query?format=geojson",
        **changes,
    )


class Killed(BaseException):
    """The process died."""


class Ledger:
    """A launcher that writes down what was begun; it may say that there is nothing to see, or
    die.
    """

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.script: dict[tuple[str, int], Callable[[], Outcome]] = {}

    def start(self, run: Run) -> Outcome:
        self.begun.append((run.key, run.attempt))
        assert run.config is not None, "a run is written down whole before it is begun"
        return self.script.get((run.key, run.attempt), lambda: Outcome("done", "made"))()

    def look(self, run: Run) -> Outcome:
        assert any(key == run.key for key, _ in self.begun)
        return Outcome("done", "made before the crash")


def detail(real: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (real / "events" / "comcat" / f"{name}_detail.geojson").read_text()
    )
    return content


def moved(content: dict[str, Any], name: str, place: tuple[float, float, float]) -> dict[str, Any]:
    content = copy.deepcopy(content)
    content["id"] = name
    content["properties"]["ids"] = f",{name},"
    content["geometry"]["coordinates"] = list(place)
    return content


def magnitude(value: float) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        content["properties"]["mag"] = value

    return edit


def fill(usgs: Usgs, real: Path) -> None:
    """Lay out the fortnight: five real events, one moved to sea, one to flat ground, a hundred that
    are too small.
    """
    at = START.replace
    usgs.add(detail(real, "us2000h8ty"), datetime(2018, 9, 5, 18, 7, 59, 150_000, tzinfo=UTC))
    usgs.edits += [
        (at(minute=8), "us2000h8ty", magnitude(6.9)),
        (at(minute=24), "us2000h8ty", magnitude(6.6)),
    ]
    usgs.renamed["us2000h8ty"] = (datetime(2018, 9, 6, 10, tzinfo=UTC), "at00pelgzo")
    usgs.add(detail(real, "us10007uph"), datetime(2018, 9, 6, 4, tzinfo=UTC))  # 135 km deep
    usgs.add(detail(real, "usp0006dzc"), datetime(2018, 9, 7, 0, tzinfo=UTC))  # 631 km deep
    usgs.add(detail(real, "ci3144585"), datetime(2018, 9, 8, 12, 30, tzinfo=UTC), shakemap=3)
    sea = moved(detail(real, "us10007uph"), "us0000sea1", (-120.0, -40.0, 10.0))
    sea["properties"]["products"] = {}
    usgs.add(sea, datetime(2018, 9, 9, 1, tzinfo=UTC))
    flat = moved(detail(real, "ci3144585"), "us000flat1", (21.0, 47.0, 10.0))
    usgs.add(flat, datetime(2018, 9, 9, 5, tzinfo=UTC), shakemap=0.05)
    usgs.vs30["us000flat1"] = 200.0
    usgs.add(detail(real, "nn00570710"), datetime(2018, 9, 10, 8, tzinfo=UTC))
    usgs.deleted["nn00570710"] = datetime(2018, 9, 12, 0, 30, tzinfo=UTC)
    listed = json.loads(
        (real / "events" / "comcat" / "query_summary_m0_20170101_20170111.geojson").read_text()
    )
    for feature in listed["features"]:
        feature["properties"]["time"] += int(
            (START - datetime(2017, 1, 1, tzinfo=UTC)).total_seconds() * 1000
        )
    usgs.summaries = [*listed["features"], {"id": "broken", "properties": {}, "geometry": None}]


def ticks() -> list[datetime]:
    """Return when the watch looks in the fortnight."""
    first = [START + timedelta(minutes=minutes) for minutes in (5, 15, 25, 40)]
    hourly = [
        START + timedelta(hours=hours)
        for hours in (*range(1, 16), *range(16, 64, 4), *range(64, 162, 3))
    ]
    return [*first, *hourly, *(START + timedelta(days=day) for day in range(7, 15))]


EXPECTED = {
    (
        "us2000h8ty.m6.9-42.69-141.93",
        1,
    ),  # first magnitude, no ShakeMap yet; M 6.6 half an hour later was superseded
    ("us2000h8ty.shakemap-us-1536172437093", 1),  # versions 2 and 3 outline the same area
    ("us2000h8ty.shakemap-us-1536185655923", 1),
    (
        "us2000h8ty.shakemap-us-1536216236752",
        1,
    ),  # version 6 outlines the same area, under the event's new id
    ("ci3144585.m6.7-34.21--118.54", 1),  # no image yet, then superseded by its ShakeMap
    ("ci3144585.shakemap-atlas-1536420600000", 1),
    ("nn00570710.shakemap-nn-1536568230534", 1),  # no image yet
    ("nn00570710.shakemap-nn-1536568230534", 2),  # half a day later; then the event is deleted
}


def test_a_replayed_fortnight_gives_exactly_the_right_runs(
    usgs: Usgs, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates, updates, a deleted, an offshore, a flat and two deep ones, time-outs, malformed
    answers, restarts, a kill.
    """
    fill(usgs, real)
    ledger, faults, kills, turns = Ledger(), fault_plan(), [0], list[Turn]()
    none = Outcome("nothing", "no image yet")
    ledger.script["ci3144585.m6.7-34.21--118.54", 1] = lambda: none
    ledger.script["nn00570710.shakemap-nn-1536568230534", 1] = lambda: none

    def die() -> Outcome:
        kills[0] += 1
        raise Killed

    ledger.script["us2000h8ty.shakemap-us-1536185655923", 1] = die
    event = EventFolder(tmp_path / "nn00570710")
    event.folder.mkdir()
    event_state.write_state(event)
    for now in ticks():
        usgs.now = now
        silent = any(moment == now and kind == "timeout" for (moment, _), kind in faults.items())
        monkeypatch.setattr(
            fetching, "TIMEOUT_S", 0.8 if silent else 60.0
        )  # patient: this machine may be busy
        usgs.fault = lambda path, now=now: faults.get((now, path.split("/")[1]))  # type: ignore[misc]
        try:
            with Book.open(tmp_path / "book.sqlite") as book:  # a process of its own every time
                preset = SIMULATED | {"out": str(tmp_path), "refresh": {}}
                watch = Watch(
                    config_for(usgs),
                    book,
                    ledger,
                    preset=preset,
                    hosts=(HOST,),
                    clock=lambda now=now: now,  # type: ignore[misc]
                )
                turns.append(watch.turn())
        except Killed:
            continue
    assert kills == [1]
    assert sorted(ledger.begun) == sorted(EXPECTED)
    assert sum(turn.withdrawn.count("nn00570710") for turn in turns) == 1
    assert event_state.read_state(event).state == "closed"
    assert sum(bool(turn.feed_error) for turn in turns) >= 4
    notes = "\n".join(note for turn in turns for note in turn.notes)
    for words in ("lies in the sea", "is flat", "feature broken", "changes its area little"):
        assert words in notes, words
    asked = {path.rsplit("/", 1)[1] for path in usgs.asked if path.startswith("/detail/")}
    assert not asked & {"us10007uph", "usp0006dzc"}, "what the feed rules out is not asked for"
    with Book.open(tmp_path / "book.sqlite") as book:
        assert {run.state for run in book.runs()} == {"done", "superseded"}


def fault_plan() -> dict[tuple[datetime, str], str]:
    """Return what breaks when: the feed four times in a row, details and ShakeMaps at the moments
    that matter.
    """
    hour = START.replace
    later = {
        START + timedelta(hours=n): kind
        for n, kind in ((32, "malformed"), (36, "truncated"), (40, "503"))
    }
    return {
        (hour(hour=19), "feed"): "malformed",
        (hour(hour=20), "feed"): "timeout",
        (hour(hour=23), "detail"): "503",
        (START + timedelta(hours=6), "detail"): "malformed",
        (START + timedelta(hours=13), "product"): "timeout",
        (START + timedelta(hours=14), "product"): "503",
        **{(moment, "feed"): kind for moment, kind in later.items()},
    }


def quake(**changes: Any) -> Quake:
    plain: dict[str, Any] = {
        "id": "us1",
        "ids": frozenset({"us1"}),
        "updated": 0,
        "time": START,
        "latitude": 36.0,
        "longitude": 140.0,
        "depth_km": 10.0,
        "magnitude": 6.0,
    }
    return Quake(**(plain | changes))


JAPAN = Rule(name="Japan", region=(128, 30, 147, 46), min_magnitude=5.8, min_pager="yellow")


@pytest.mark.parametrize(
    ("changes", "qualifies", "words"),
    [
        ({"pager": "orange"}, True, "meets the rule `Japan`"),
        ({"pager": "green"}, False, "PAGER alert green, yellow is asked for"),
        ({}, False, "no PAGER alert so far"),
        ({"longitude": 20.0}, True, "everywhere"),
        ({"longitude": 20.0, "magnitude": 5.4}, False, "M 5.4 is below 5.5"),
        ({"longitude": 20.0, "magnitude": None}, False, "not known yet"),
        ({"longitude": 20.0, "depth_km": 71.0}, False, "71 km deep"),
        ({"longitude": 20.0, "depth_km": None}, True, "everywhere"),
        ({"kind": "quarry blast"}, False, "quarry blast"),
        ({"time": START - timedelta(days=31)}, False, "older than 30 days"),
    ],
)
def test_rules_one_by_one(changes: dict[str, Any], qualifies: bool, words: str) -> None:
    config = WatchConfig(rules=(JAPAN, Rule(name="everywhere")))
    decision = screen(quake(**changes), config, START, begun=False)
    assert (decision.qualifies, words in decision.reason) == (qualifies, True), decision
    if "older" in words:
        assert screen(quake(pager="red", **changes), config, START, begun=True).qualifies


def test_a_region_may_cross_the_antimeridian() -> None:
    rule = Rule(name="Fiji", region=(175, -25, -170, -10))
    assert rule.holds(-17, 179)
    assert rule.holds(-17, -175)
    assert not rule.holds(-17, 0)
    with pytest.raises(ValueError, match="no west, south, east, north"):
        Rule(name="x", region=(0, 10, 5, -10))


def test_one_bad_feature_does_not_hide_the_others() -> None:
    good = {
        "id": "us1",
        "properties": {"time": 0, "updated": 1},
        "geometry": {"coordinates": [190, 1, None]},
    }
    bad = [None, {}, {**good, "id": "../../etc"}, {**good, "geometry": {"coordinates": [0, 100]}}]
    feed = read_feed(json.dumps({"features": [*bad, good]}).encode(), "feed")
    assert [one.id for one in feed.quakes] == ["us1"]
    assert feed.quakes[0].longitude == -170
    assert len(feed.skipped) == len(bad)
    for content in (b"", b"[]", b'{"features": 3}', b"[" * 100_000):
        with pytest.raises(SourceError):
            read_feed(content, "feed")


def test_alerts_of_real_details(real: Path) -> None:
    def alerts(name: str) -> tuple[str | None, str | None]:
        found = read_detail(json.dumps(detail(real, name)).encode(), name)
        return found.quake.pager, found.landslide_alert

    assert alerts("us2000h8ty") == ("orange", "orange")
    assert alerts("usp0006dzc") == (None, "green")
    assert alerts("us10007uph") == ("yellow", None)


def test_links_of_other_hosts_are_never_followed(usgs: Usgs, real: Path, tmp_path: Path) -> None:
    usgs.add(detail(real, "us2000h8ty"), START)
    usgs.now = START + timedelta(hours=1)
    with Book.open(tmp_path / "book.sqlite") as book:
        watch = Watch(
            config_for(usgs),
            book,
            Ledger(),
            preset=SIMULATED,
            hosts=("earthquake.usgs.gov",),
            clock=lambda: usgs.now,
        )
        turn = watch.turn()
    assert f"{HOST} is not on the list of hosts" in turn.feed_error
    assert usgs.asked == []


def test_a_long_pause_is_made_up_from_the_catalogue(usgs: Usgs, real: Path, tmp_path: Path) -> None:
    usgs.add(detail(real, "ci3144585"), START + timedelta(days=20), shakemap=1)
    for days in (0, 45):
        usgs.now = START + timedelta(days=days)
        with Book.open(tmp_path / "book.sqlite") as book:
            ledger = Ledger()
            preset = SIMULATED | {"out": str(tmp_path)}
            config = config_for(usgs, min_steep=0)
            Watch(config, book, ledger, preset=preset, hosts=(HOST,), clock=lambda: usgs.now).turn()
    assert any("updatedafter=2018-09-05T18:00:00" in path for path in usgs.asked)
    assert len(ledger.begun) == 1


def test_a_book_from_the_future_or_damaged_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "new.sqlite") as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    (tmp_path / "bad.sqlite").write_bytes(b"no book" * 1000)
    for name, words in (("new", "newer coslide"), ("bad", "damaged")):
        with pytest.raises(RequestError, match=words), Book.open(tmp_path / f"{name}.sqlite"):
            pass


# the whole thing as processes


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    make_archive(folder / "archive")
    source = {"kind": "archive", "archive": str(folder / "archive")}
    cards = make_cards(folder / "cards")
    make_preset(folder / "preset.yaml", cards, "post", source=source)
    return folder


def service_file(ground: Path, usgs: Usgs) -> Path:
    rules = [{"name": "everywhere", "min_magnitude": 3}]
    # The network is untrained, so nothing is known of it anywhere.
    config = config_for(usgs, oldest_days=200, min_steep=0, publish_unknown=True)
    watch = config.model_dump(mode="json") | {"rules": rules}
    content = {
        "format": "coslide/service/1",
        "preset": "preset.yaml",
        "watch": watch,
        "allow": {"hosts": [HOST]},
    }
    (ground / "service.yaml").write_text(yaml.safe_dump(content))
    return ground / "service.yaml"


def small_quake(usgs: Usgs) -> None:
    content = {
        "type": "Feature",
        "id": "us1234test",
        "properties": {
            "mag": 3.6,
            "time": 0,
            "updated": 0,
            "ids": ",us1234test,",
            "type": "earthquake",
            "products": {},
            "title": "M 3.6 - a valley",
        },
        "geometry": {"coordinates": [142.11, 42.70, 8]},
    }
    usgs.add(content, datetime(2018, 9, 5, 6, tzinfo=UTC))
    usgs.now = datetime(2018, 12, 1, tzinfo=UTC)


def arguments(service: Path, out: Path, *more: str) -> list[str]:
    as_of = ["--as-of", "2018-12-01T00:00"]
    return ["watch", "--config", str(service), "--out", str(out), "--once", "--json", *as_of, *more]


def run(capsys: pytest.CaptureFixture[str], given: list[str]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        main(given)
    code = left.value.code
    assert isinstance(code, int)
    return code, json.loads(capsys.readouterr().out)


def test_killed_with_its_run_it_makes_one_revision(
    usgs: Usgs, ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL of the watch alone (its run lives on), then of both; a run that ended unseen is not
    made again.
    """
    small_quake(usgs)
    service = service_file(ground, usgs)
    code, answer = run(capsys, arguments(service, tmp_path, "--dry-run"))
    assert (code, answer["intended"]) == (0, ["us1234test.m3.6-42.70-142.11"])
    assert not list(tmp_path.iterdir())
    key = answer["intended"][0]
    event = EventFolder(tmp_path / "us1234test")
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments(service, tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not list((event.folder / ".work").glob("*/run.yaml")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    code, answer = run(capsys, arguments(service, tmp_path))
    assert (code, answer["intended"]) == (0, [])
    assert answer["ended"][key] == "running"
    os.killpg(process.pid, signal.SIGKILL)  # the orphan too
    while (
        answer["ended"][key] == "running" and time.monotonic() < deadline
    ):  # the kernel takes its time to bury it
        code, answer = run(capsys, arguments(service, tmp_path))
    assert answer["ended"][key].startswith("done: ")
    assert "revision 1: " in answer["ended"][key]
    assert list(event.revisions()) == [1]
    with Book.open(
        tmp_path / ".watch" / "book.sqlite"
    ) as book:  # as if it had been killed before writing that down
        config = book.runs()[0].config
        book.begin(key, config, usgs.now)
    code, answer = run(capsys, arguments(service, tmp_path))
    assert answer["ended"][key] == "done: r001 was there already"
    assert list(event.revisions()) == [1]
    code, answer = run(capsys, arguments(service, tmp_path))
    assert (code, answer["intended"], answer["ended"]) == (0, [], {})
    asked = ["watch", "--config", str(service), "--out", str(tmp_path), "--verdicts", "--json"]
    code, answer = run(capsys, asked)
    assert [one["id"] for one in answer["verdicts"]] == ["us1234test"]
    assert answer["verdicts"][0]["verdict"]
    assert answer["verdicts"][0]["runs"] == [f"{key} done: r001 was there already"]
    asked[4] = str(tmp_path / "nowhere")
    assert run(capsys, asked)[0] == 2  # no watch has looked there, and it is not that none was told


def test_a_watch_on_the_simulated_earth_is_refused_unless_it_is_a_drill(
    usgs: Usgs, ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_quake(usgs)
    content = yaml.safe_load(service_file(ground, usgs).read_text())
    preset = yaml.safe_load((ground / "preset.yaml").read_text())
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(preset | SIMULATED))
    service = tmp_path / "service.yaml"
    for drill, right in ((False, 2), (True, 0)):
        service.write_text(yaml.safe_dump(content | {"drill": drill}))
        code, answer = run(capsys, arguments(service, tmp_path / "out", "--dry-run"))
        assert code == right, answer


def test_a_feed_that_is_down_is_exit_four(
    usgs: Usgs, ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usgs.fault = lambda path: "503"
    service = service_file(ground, usgs)
    for requests in (1, 1):  # the second time it is left alone: it waits
        code, answer = run(capsys, arguments(service, tmp_path))
        assert (code, answer["error"]) == (4, "source")
        assert "HTTP 503" in answer["message"]
        assert len(usgs.asked) == requests


def test_the_shipped_service_file_is_valid() -> None:
    import configs

    service = read_service(Path(configs.__file__).parent / "services" / "service.yaml")
    assert service.watch.rules[0].name == "Japan"


ODD: list[Any] = [
    None,
    [],
    {},
    "",
    "x",
    -1,
    1e308,
    float("nan"),
    float("inf"),
    1e30,
    10**30,
    True,
    "a\ud800b",
]


def _announced(name: str, minutes: int) -> dict[str, Any]:
    time_ms = int((START - timedelta(minutes=minutes)).timestamp() * 1000)
    known = {"mag": 6.6, "time": time_ms, "updated": time_ms, "ids": f",{name},", "title": name}
    words = {"place": "x", "type": "earthquake", "status": "reviewed", "alert": "red"}
    place = {"type": "Point", "coordinates": [141.9, 42.7, 10.0]}
    return {"type": "Feature", "id": name, "properties": known | words, "geometry": place}


def _owed(tmp_path: Path, listed: list[Any], odd_detail: dict[str, Any] | None = None) -> set[str]:
    """Return the earthquakes of a feed that a watch owes a run."""

    def ask(url: str, **_: Any) -> bytes:
        if url.endswith("feed"):
            return json.dumps({"features": listed}).encode()
        name = url.rsplit("/", 1)[1]
        found = _announced(name, 60)
        return json.dumps(odd_detail if odd_detail and name == "odd1" else found).encode()

    config = WatchConfig(
        feed="https://x.example/feed",
        detail="https://x.example/detail/{id}",
        catalogue="https://x.example/q",
    )
    with Book.open(tmp_path / "book.sqlite", pretend=True) as book:
        preset = SIMULATED | {"out": str(tmp_path)}
        clock = lambda: START  # noqa: E731
        watch = Watch(config, book, Ledger(), preset=preset, hosts=(), clock=clock, ask=ask)
        watch.turn()
        assert all(row["updated"] for row in book.verdicts())
        return {run.quake for run in book.runs()}


@pytest.mark.parametrize("field", [*_announced("x", 0)["properties"], "id", "geometry"])
def test_an_odd_earthquake_never_hides_another(tmp_path: Path, field: str) -> None:
    for value in ODD:
        for inside_detail in (False, True):
            odd = _announced("odd1", 60)
            (odd if field in odd else odd["properties"])[field] = value
            first = _announced("odd1", 60) if inside_detail else odd
            listed = [_announced("good1", 90), first, _announced("good2", 30)]
            owed = _owed(tmp_path, listed, odd if inside_detail else None)
            assert {"good1", "good2"} <= owed, (field, value, owed)


def test_a_launcher_that_breaks_on_one_run_pays_the_others(tmp_path: Path) -> None:
    """A defect is that run's failure, a full disk is tried again, and the third is made."""
    ledger = Ledger()
    config = WatchConfig(feed="https://x/f", detail="https://x/{id}", catalogue="https://x/q")

    def fail(error: Exception) -> Callable[[], Outcome]:
        def start() -> Outcome:
            raise error

        return start

    def ask(url: str, **_: Any) -> bytes:
        listed = [_announced(name, 60) for name in ("one1", "two2", "tri3")]
        name = url.rsplit("/", 1)[1]
        return json.dumps({"features": listed} if name == "f" else _announced(name, 60)).encode()

    with Book.open(tmp_path / "book.sqlite") as book:
        preset = SIMULATED | {"out": str(tmp_path)}
        clock = lambda: START  # noqa: E731
        watch = Watch(config, book, ledger, preset=preset, hosts=(), clock=clock, ask=ask)
        watch.turn(dry=True)
        keys = [run.key for run in book.runs()]
        ledger.script[keys[0], 1] = fail(OverflowError("odd"))
        ledger.script[keys[1], 1] = fail(OSError(28, "No space left on device"))
        watch._debts.pay(Turn())
        assert [run.state for run in book.runs()] == ["failed", "waiting", "done"]
