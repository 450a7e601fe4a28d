"""`coslide doctor`: every item is looked at, and what is missing comes with the command that mends
it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.records import Finding
from flows import doctor
from models import registry


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "COSLIDE_SERVICE", "COSLIDE_PRESET"):
        monkeypatch.delenv(name, raising=False)


def by_name(out: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in doctor.examine(out)}


@contextmanager
def server(deployments: list[str], secret: bool) -> Iterator[str]:
    """Answer as a Prefect server does: health is open, everything else may ask for a secret."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, True)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            known = not secret or self.headers.get("authorization") == "Basic ZHV0eTpvbmU="
            self._answer(200 if known else 401, [{"name": name} for name in deployments])

        def _answer(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/api"
        running.shutdown()
        thread.join()


def test_every_item_is_looked_at_and_whatever_is_missing_can_be_mended(tmp_path: Path) -> None:
    found = by_name(tmp_path)
    for what in (
        "PROJ",
        "GDAL",
        "output folder",
        "GPU",
        "Earth Engine client",
        "Earth Engine credentials",
        "Prefect",
    ):
        assert what in found, what
    assert sum(what.startswith("checkpoint ") for what in found) == len(list(registry.find(())))
    assert found["service file"].state == "ok"
    for finding in found.values():
        assert finding.state == "ok" or finding.remedy, finding


@pytest.mark.parametrize(
    ("deployments", "secret", "given", "what", "state", "words"),
    [
        (["map-event"], False, None, "deployments", "ok", ""),
        ([], False, None, "deployments", "warn", "coslide serve"),
        (["map-event"], True, None, "Prefect server", "missing", "PREFECT_API_AUTH_STRING"),
        (["map-event"], True, "duty:one", "Prefect server", "ok", ""),
    ],
)
def test_the_prefect_server(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deployments: list[str],
    secret: bool,
    given: str | None,
    what: str,
    state: str,
    words: str,
) -> None:
    if given:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", given)
    with server(deployments, secret) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        finding = by_name(tmp_path)[what]
    assert (finding.state, words in finding.remedy) == (state, True), finding
    assert "duty:one" not in repr(finding)


def test_a_server_that_is_away_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    finding = by_name(tmp_path)["Prefect server"]
    assert (finding.state, "prefect server start" in finding.remedy) == ("missing", True)


def test_a_service_file_that_cannot_be_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(
        yaml.safe_dump({"format": "coslide/service/1", "notify": {"webhooks": ["NO_SUCH_HOOK"]}})
    )
    monkeypatch.setenv("COSLIDE_SERVICE", str(path))
    missing = [finding for finding in doctor.examine(tmp_path) if finding.state == "missing"]
    assert any("NO_SUCH_HOOK is not set" in finding.detail for finding in missing)


def test_damaged_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, card = next(iter(registry.find(())))
    copy = tmp_path / card.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    monkeypatch.setattr(registry, "find", lambda folders: iter([(copy, card)]))
    missing = [finding for finding in doctor.examine(tmp_path) if finding.state == "missing"]
    assert len(missing) == 1
    assert card.name in missing[0].detail
    assert missing[0].remedy
