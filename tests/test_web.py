"""What a service shows on the loopback: its health, its figures, and its events to who knows the
token; and its log as lines of JSON.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from test_events import make_event

from configs.errors import MachineError, RequestError
from configs.service import ServiceConfig
from flows.service import logs
from flows.service.figures import Standing
from flows.service.web import application, show
from flows.watch.ledger import Book

_STARTED: list[tuple[uvicorn.Server, threading.Thread]] = []
_OPENED: list[httpx.Client] = []
TOKEN = "a long word"
MOMENT = datetime(2018, 9, 6, 3, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()
    while _STARTED:
        server, thread = _STARTED.pop()
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    folder = make_event(out, "iburi", state="open", latest_revision=2)
    (out / "index.html").write_text("<title>all events</title>")
    (folder / "r002" / "landslides.tif").write_bytes(bytes(range(100)))
    (folder / ".work").mkdir()
    (folder / ".work" / "secret.txt").write_text("unfinished")
    steps = {"pull": {"seconds": 8.0}, "map": {"seconds": 2.5, "pixels": 1000}}
    account = {"requests": 12, "rate_limited": 3}
    for number in ("r001", "r002"):
        (folder / number).mkdir(exist_ok=True)
        text = json.dumps({"steps": steps, "account": account})
        (folder / number / "provenance.json").write_text(text)
    with Book.open(out / ".watch" / "book.sqlite") as book:
        book.feed_answered(MOMENT)
    return out


def pages(out: Path, standing: Standing | None = None, token: str = TOKEN) -> httpx.Client:
    now = standing or Standing(True, {"running": 1, "failed": 2}, queue=4)
    application_ = application(ServiceConfig(), out, token, lambda: now)
    server = uvicorn.Server(uvicorn.Config(application_, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _STARTED.append((server, thread))
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    _OPENED.append(client)
    return client


def figures(client: httpx.Client) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        ".".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_prometheus_reads_runs_costs_and_the_feed(out: Path) -> None:
    client = pages(out)
    found = figures(client)
    assert found["coslide_runs.running"] == 1
    assert found["coslide_runs.failed"] == 2
    assert found["coslide_queue"] == 4
    assert found["coslide_step_seconds_total.pull"] == 16
    assert found["coslide_step_seconds_total.map"] == 5
    assert found["coslide_pixels_total"] == 2000
    assert found["coslide_requests_total"] == 24
    assert found["coslide_refusals_total"] == 6
    assert found["coslide_revisions_total"] == 2
    assert found["coslide_events.open"] == 1
    assert found["coslide_feed_success_timestamp_seconds"] == MOMENT.timestamp()
    assert found["coslide_feed_failures"] == 0
    with Book.open(out / ".watch" / "book.sqlite") as book:
        book.feed_failed(MOMENT, "no answer")
    (out / "iburi" / "r002" / "provenance.json").write_text("torn {")
    found = figures(client)
    assert found["coslide_feed_failures"] == 1
    assert found["coslide_revisions_total"] == 1


def test_health_is_bad_where_the_server_is_away(out: Path) -> None:
    good = pages(out).get("/health")
    assert (good.status_code, good.json()["status"], good.json()["queue"]) == (200, "ok", 4)
    assert good.json()["feed"]["last"] == MOMENT.isoformat()
    away = pages(out, Standing(False, {}))
    bad = away.get("/health")
    assert bad.status_code == 503
    assert "does not answer" in bad.json()["status"]
    found = figures(away)
    assert found["coslide_server_answers"] == 0
    assert "coslide_queue" not in found


def test_a_fresh_folder_and_a_damaged_book_are_no_end(tmp_path: Path) -> None:
    client = pages(tmp_path / "none yet")
    assert client.get("/health").json()["feed"] is None
    assert figures(client)["coslide_revisions_total"] == 0
    book = tmp_path / ".watch" / "book.sqlite"
    book.parent.mkdir()
    book.write_text("no database at all, but long enough to be one " * 20)
    client = pages(tmp_path)
    assert "damaged" in client.get("/health").json()["feed"]["error"]
    assert figures(client)["coslide_server_answers"] == 1


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def test_events_are_shown_to_who_knows_the_token(out: Path) -> None:
    client = pages(out)
    refused = client.get("/")
    assert refused.status_code == 401
    assert "Basic" in refused.headers["www-authenticate"]
    for wrong in (_basic("x", "y"), {"Authorization": "Bearer y"}, {"Authorization": "Basic ?"}):
        assert client.get("/", headers=wrong).status_code == 401
    for right in (_basic("anybody", TOKEN), {"Authorization": f"Bearer {TOKEN}"}):
        assert "all events" in client.get("/", headers=right).text
    assert pages(out, token="").get("/", headers=_basic("x", "")).status_code == 403


def test_products_are_shown_by_ranges_and_hidden_files_to_nobody(out: Path) -> None:
    client, known = pages(out), _basic("officer", TOKEN)
    part = client.get("/iburi/r002/landslides.tif", headers={**known, "Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == bytes(range(10, 20))
    hidden = ("/iburi/.work/secret.txt", "/.watch/book.sqlite", "/%2ewatch/book.sqlite")
    outside = ("/../service.yaml", "/iburi/..%2f..%2fservice.yaml", "/%2e%2e/x")
    for path in (*hidden, *outside):
        assert client.get(path, headers=known).status_code == 404, path
    assert client.post("/", headers=known).status_code == 405


def test_the_log_is_lines_of_json_by_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log" / "coslide.jsonl"
    settings = ServiceConfig.model_validate({"log": {"file": str(path)}})
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "0f1e")
    logger = logging.getLogger("flows.service.test")
    logging.getLogger("flows").setLevel(logging.INFO)
    try:
        logs.keep(settings)
        logs.keep(settings)  # a second time changes nothing
        logger.info("one\nrun")
        path.rename(path.with_suffix(".1"))  # as logrotate does
        try:
            raise ValueError("x")
        except ValueError:
            logger.exception("two")
    finally:
        for name in (*logs.PACKAGES, "prefect"):
            one = logging.getLogger(name)
            for each in [each for each in one.handlers if each.get_name() == logs._NAME]:
                one.removeHandler(each)
                each.close()
    first = [json.loads(line) for line in path.with_suffix(".1").read_text().splitlines()]
    second = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message"] for line in first] == ["one\nrun"]
    assert first[0]["run"] == "0f1e"
    assert {"time", "level", "logger", "process"} <= set(first[0])
    assert "ValueError: x" in second[0]["traceback"]


def test_a_port_that_is_missing_or_taken_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"`web\.port` is not set"):
        show(ServiceConfig(), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = ServiceConfig.model_validate({"web": {"port": port}})
        with pytest.raises(MachineError, match=f"port {port} of 127.0.0.1 cannot be opened"):
            show(settings, tmp_path)


def test_nothing_is_written_where_no_file_is_named(tmp_path: Path) -> None:
    logs.keep(ServiceConfig())
    assert not list(tmp_path.iterdir())
