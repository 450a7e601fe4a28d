"""The operator's page, followed literally: the commands of its walk are read from it and typed into
one shell, as they stand, but for ports and the address of the hook.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browser import browser_page, clicked
from conftest import REPOSITORY
from usgs import make_certificate

from benchmarks.local_service import LocalService, free_port
from benchmarks.ui import QUAKE, SMALL, fill_form, submit

PAGE = REPOSITORY / "docs" / "operations.md"
PARTS = ("Start", "Trigger", "Look", "Drill", "Back up, lose everything, restore")
TOOLS = ("bash", "curl", "sqlite3", "rsync")
USER = "operator:exercise"


def walk() -> dict[str, list[str]]:
    """Return the commands of each part of the page's walk."""
    text = PAGE.read_text(encoding="utf-8").partition("## Walk through it once\n")[2]
    parts = re.findall(
        r"^\*\*([^*]+)\*\*.*?```sh\n(.*?)```", text.partition("\n## ")[0], re.M | re.S
    )
    return {name.rstrip("."): commands.splitlines() for name, commands in parts}


class Shell:
    """One bash, as somebody sits at it: variables, the folder and processes stay."""

    def __init__(self, folder: Path, places: dict[str, str], environment: dict[str, str]) -> None:
        self.places = places
        self.process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, line: str, ends: tuple[int, ...] = (0,)) -> str:
        """Return what a line of the page prints; it must end as it should."""
        for written, here in self.places.items():
            line = line.replace(written, here)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\nprintf '\\n=ended %d\\n' $?\n")
        self.process.stdin.flush()
        told = ""
        while not (ended := re.search(r"^=ended (\d+)$", told, re.MULTILINE)):
            more = self.process.stdout.readline()
            assert more, f"the shell ended at: {line}\n{told}"
            told += more
        assert int(ended[1]) in ends, f"{line}\n{told}"
        return told[: ended.start()]

    def close(self) -> None:
        """End the shell and whatever it started."""
        os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@contextmanager
def receiver(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the address of a chat of our own, over https, and what it was told."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(folder))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://localhost:{server.server_address[1]}/hooks/exercise", heard
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def sitting(tmp_path: Path) -> Iterator[tuple[Shell, dict[str, str], list[dict[str, Any]]]]:
    """Yield a shell in a checkout, what stands for the page's ports, and what the chat hears."""
    if missing := [name for name in TOOLS if shutil.which(name) is None]:
        pytest.skip(f"the page's own tools are not on this machine: {', '.join(missing)}")
    with receiver(tmp_path) as (address, heard):
        ports = {"4200": str(free_port()), "4280": str(free_port())}
        places = {f":{port}": f":{here}" for port, here in ports.items()}
        places |= {f"port {port}": f"port {here}" for port, here in ports.items()}
        places |= {f"port: {port}": f"port: {here}" for port, here in ports.items()}
        places |= {"https://chat.example.org/hooks/exercise": address}
        places |= {"chat.example.org": "localhost"}
        shutil.copytree(REPOSITORY / "deploy" / "exercise", tmp_path / "deploy" / "exercise")
        settings = tmp_path / "deploy" / "exercise" / "service.yaml"
        text = settings.read_text()
        for written, here in places.items():
            text = text.replace(written, here)
        settings.write_text(text)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": "200",  # tables are cut to the width of the terminal
            "SSL_CERT_FILE": str(tmp_path / "certificate.pem"),
        }
        shell = Shell(tmp_path, places, environment)
        try:
            yield shell, ports, heard
        finally:
            shell.close()


def test_the_page_has_every_part_of_the_walk() -> None:
    assert tuple(walk()) == PARTS


@pytest.mark.slow
def test_the_walk(
    tmp_path: Path, sitting: tuple[Shell, dict[str, str], list[dict[str, Any]]]
) -> None:
    shell, ports, heard = sitting
    here, parts = tmp_path / "exercise", walk()
    for line in parts["Start"]:
        shell.type(line)
    triggered = "".join(map(shell.type, parts["Trigger"]))
    assert re.search(r"^from-curl +open +r001", triggered, re.MULTILINE)
    assert re.search(r"^from-prefect +open +r001", triggered, re.MULTILINE)
    told = [each["subject"] for each in heard]
    assert any("from-curl" in each and "Completed" in each for each in told), told
    looked = "".join(map(shell.type, parts["Look"]))
    assert '"failed"' not in looked or re.search(r'"completed": *[2-9]', looked)
    assert re.search(r'coslide_runs\{state="completed"\} [2-9]', looked)
    assert "from-curl/r001/report.html" in (here / "page.html").read_text()
    assert (here / "part.tif").read_bytes()[:4] in (b"II*\0", b"II+\0")
    in_the_browser(tmp_path, ports)
    drill = "".join(map(shell.type, parts["Drill"]))
    assert re.search(r"^  drill0001\.\S*: done", drill, re.MULTILINE)
    assert "M 4.1 is below 4.5" in drill
    assert (here / "events-drill" / "index.html").is_file()
    stopped = (0, 143, 130)  # who is ended by a signal says so
    last = "".join(shell.type(line, stopped) for line in parts[PARTS[-1]])
    assert re.search(r"events/from-curl/r001: \d+ checksums hold", last)
    assert "from-curl" in last.rpartition("checksums hold")[2]
    assert "Traceback" not in (here / "serve.log").read_text()


def in_the_browser(tmp_path: Path, ports: dict[str, str]) -> None:
    """Trigger from the form, and click every link of the run's artifacts, of the report and
    of the page of all events.
    """
    url, pages = (f"http://127.0.0.1:{ports[name]}" for name in ("4200", "4280"))
    service = LocalService(tmp_path / "exercise", url, dict(os.environ), USER)
    known = {"Authorization": f"Basic {b64encode(USER.encode()).decode()}"}  # both take it
    size = {"width": 1280, "height": 860}
    with browser_page(extra_http_headers=known, viewport=size) as page:
        fill_form(page, service, {**QUAKE, **SMALL, "Event name": "from-the-form"})
        status, words = submit(page)
        assert status == 201, words
        service.finished(json.loads(words)["id"])
        asked = {"artifacts": {"key": {"like_": "%-inventory"}}, "limit": 9}
        artifacts = service.call("artifacts/filter", asked)[1]
        assert {one["key"] for one in artifacts} >= {"from-the-form-inventory"}
        shown = f"{url}/artifacts/artifact/{artifacts[0]['id']}"
        found = clicked(page, shown, f"a[href^='{pages}']")
        assert len(found) >= 4
        for place in ("/", "/from-the-form/r001/report.html"):
            found |= clicked(page, f"{pages}{place}")
        assert {one: status for one, status in found.items() if status not in (200, 206)} == {}
        assert len(found) > 10
