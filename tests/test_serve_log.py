"""What `coslide serve` writes: what repeats once, failures that were foreseen without traceback."""

from __future__ import annotations

import io
import json
import logging
import re
import signal
import time
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from benchmarks.local_service import free_port, local_server, wait_for
from configs.errors import SourceError
from flows.service import launcher
from flows.service.runner import SaidOnce, foreseen


def _heard(*filters: logging.Filter | object) -> tuple[logging.Logger, io.StringIO]:
    logger, text = logging.getLogger("a runner of the test"), io.StringIO()
    logger.handlers, logger.filters = [logging.StreamHandler(text)], list(filters)  # type: ignore[arg-type]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger, text


def test_runs_that_wait_are_said_once_and_whenever_their_number_changes() -> None:
    logger, text = _heard(SaidOnce())
    for waiting in (3, 3, 3, 2, 2, 3):
        logger.info("%d scheduled runs skipped (at capacity)", waiting)
    logger.info("another matter")
    assert [line.split()[0] for line in text.getvalue().splitlines()] == ["3", "2", "3", "another"]
    assert "`runs.at_once`" in text.getvalue()


@pytest.mark.parametrize(
    ("failure", "lines"),
    [(SourceError("the feed is down", "wait"), 0), (OSError(28, "full"), 0), (KeyError("x"), 2)],
)
def test_only_what_nobody_foresaw_has_a_traceback(failure: Exception, lines: int) -> None:
    logger, text = _heard(foreseen)
    try:
        raise failure
    except Exception:
        logger.exception("Encountered exception during execution")
    assert len(text.getvalue().splitlines()) >= lines
    assert bool(text.getvalue()) == bool(lines)


def test_a_server_that_comes_up_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port, asked = free_port(), []
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    monkeypatch.setattr(launcher, "_PAUSE_S", 0.01)

    def answers(url: str, timeout: float) -> BytesIO:
        asked.append(url)
        if len(asked) < 3:
            raise TimeoutError
        return BytesIO()

    monkeypatch.setattr(launcher.urllib.request, "urlopen", answers)
    assert launcher.check_server(patience_s=60).endswith(f":{port}/api")
    assert len(asked) == 3
    asked.clear()
    with pytest.raises(SourceError, match="does not answer"):
        launcher.check_server()
    assert len(asked) == 1


@pytest.mark.slow
def test_it_says_when_it_is_ready_and_ends_when_asked(tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "drill": True,
        "web": {"port": port},
        "log": {"file": str(tmp_path / "coslide.jsonl")},
        "watch": {"feed": "https://127.0.0.1:9/feed.geojson"},
        "allow": {"hosts": ["127.0.0.1", "localhost"]},
    }
    with local_server(tmp_path, settings, {"source": {"kind": "simulated"}}) as service:
        process, log = service.serve(), tmp_path / "serve.log"
        wait_for(lambda: log.read_text().count(" at a time") >= 2 or None, "both parts")
        assert log.read_text().startswith("INFO    starting")
        status, run = service.trigger("watch-earthquakes", {})
        assert status == 201
        assert service.finished(run["id"])["state_name"] == "Feed down"
        health = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        assert health.status_code == 200
        assert health.json()["feed"]["failures"] == 1
        figures = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert "coslide_feed_failures 1.0" in figures
        assert re.search(r'coslide_runs\{state="completed"\} [1-9]', figures)
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 403
        lines = map(json.loads, (tmp_path / "coslide.jsonl").read_text().splitlines())
        assert any(line["run"] and "the feed is down" in line["message"] for line in lines)
        time.sleep(3)  # the end of the run is still being written
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        told = log.read_text()
    assert told.count("the feed is down") == 1
    assert told.count(" at a time") == 2  # not again by Prefect's own handler
    for nothing in ("Traceback", "RuntimeWarning", "CancelledError", "never awaited"):
        assert nothing not in told, told[-3000:]
