"""Who is told, and what never leaves: webhooks and a mailbox, allowed hosts, addresses that are
secrets.
"""

from __future__ import annotations

import logging
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from usgs import HOST, Usgs, make_certificate, serving

from configs.errors import RequestError
from configs.service import (
    Schedule,
    ServiceConfig,
    allowed_address,
    allowed_file,
    read_service,
    write_service,
)
from flows import notify

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Usgs]:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with serving(Usgs(), certificate) as loopback:
        yield loopback


def settings(**parts: Any) -> ServiceConfig:
    return ServiceConfig.model_validate(parts)


def test_a_webhook_is_told_only_where_its_host_is_allowed(
    listener: Usgs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOK", f"{listener.url}/very-secret-path")
    wanted = {"notify": {"webhooks": ["HOOK"]}}
    caplog.set_level(logging.DEBUG, "flows")
    refused = notify.send(
        settings(**wanted, allow={"webhooks": ["elsewhere.example"]}), "quake done", "3 landslides"
    )
    assert refused == [f"HOOK: HOOK: {HOST} is not an allowed host"]
    assert listener.asked == []
    assert (
        notify.send(settings(**wanted, allow={"webhooks": [HOST]}), "quake done", "3 landslides")
        == []
    )
    assert "quake done" in listener.asked[0]
    assert "very-secret-path" not in caplog.text


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://notify.example/x", "no https address"),
        ("https://user:secret@notify.example/x", "no https address"),
        ("https://notify.example@evil.example/x", "no https address"),
        ("https://evil.example/x?notify.example", "evil.example is not an allowed host"),
        ("file:///etc/passwd", "no https address"),
    ],
)
def test_no_address_leads_anywhere_else(address: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        allowed_address(address, ("notify.example",), "HOOK")
    assert "secret" not in str(refused.value)


def test_a_webhook_that_is_not_set_is_named_before_anything_is_served() -> None:
    with pytest.raises(RequestError, match="NO_SUCH_HOOK is not set"):
        notify.check(settings(notify={"webhooks": ["NO_SUCH_HOOK"]}).notify, ())
    with pytest.raises(ValueError, match="pattern"):
        settings(notify={"webhooks": ["https://notify.example/secret"]})


class Mailbox(socketserver.StreamRequestHandler):
    """Just enough of SMTP."""

    lines: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        in_data = False
        while line := self.rfile.readline():
            text = line.decode().rstrip()
            self.server.lines.append(text)  # type: ignore[attr-defined]
            if in_data:
                in_data = text != "."
                if in_data:
                    continue
            in_data = text.upper() == "DATA"
            self.wfile.write(
                b"354 go on\r\n"
                if in_data
                else b"221 bye\r\n"
                if text.lower() == "quit"
                else b"250 fine\r\n"
            )


def test_a_mailbox_is_told() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.lines = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        port = server.server_address[1]
        email = {
            "host": "127.0.0.1",
            "port": port,
            "encrypted": False,
            "sender": "a@b.example",
            "to": ["c@d.example"],
        }
        failed = notify.send(
            settings(notify={"email": email}), "quake\nBcc: all@x.example", "3 landslides"
        )
        server.shutdown()
        thread.join()
    said = server.lines  # type: ignore[attr-defined]
    assert failed == []
    assert "Subject: coslide: quake Bcc: all@x.example" in said
    assert not [line for line in said if line.startswith("Bcc:")], "a subject cannot add headers"
    assert "3 landslides" in said


def test_a_mailbox_that_is_away_fails_no_run() -> None:
    email = {"host": "127.0.0.1", "port": 9, "sender": "a@b.example", "to": ["c@d.example"]}
    assert len(notify.send(settings(notify={"email": email}), "x", "y")) == 1


def test_files_of_served_runs_lie_in_allowed_folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.yaml").write_text("")
    (tmp_path / "out.yaml").write_text("")
    (tmp_path / "in" / "link.yaml").symlink_to(tmp_path / "out.yaml")
    folders = (str(tmp_path / "in"),)
    assert allowed_file(f"{folders[0]}/good.yaml", folders, "config").name == "good.yaml"
    for name in ("link.yaml", "../out.yaml", "../in/../out.yaml"):
        with pytest.raises(RequestError, match="none of the allowed folders"):
            allowed_file(f"{folders[0]}/{name}", folders, "config")
    with pytest.raises(RequestError, match="no such file"):
        allowed_file(f"{folders[0]}/none.yaml", folders, "config")
    with pytest.raises(RequestError, match="none of the allowed folders"):
        allowed_file(f"{folders[0]}/good.yaml", (), "config")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"refresh": {"cron": "daily"}}, "five fields"),
        ({"runs": {"at_once": 0}}, "runs.at_once"),
        ({"unknown": 1}, "unknown"),
        ({"preset": "none.yaml"}, "no such file"),
        ({"format": "coslide/service/9"}, "newer than this coslide"),
        ({"watch": {"detail": "https://x.example/"}}, "no {id}"),
        ({"watch": {"feed": "http://x.example/"}}, "watch.feed"),
    ],
)
def test_a_wrong_service_file_is_refused_with_the_field(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(yaml.safe_dump({"format": "coslide/service/1"} | change))
    with pytest.raises(RequestError) as refused:
        read_service(path)
    assert words in str(refused.value)


def test_the_written_settings_are_the_settings(tmp_path: Path) -> None:
    given = settings(
        timezone="Asia/Tokyo", watch={"rules": [{"name": "Japan", "region": [128, 30, 147, 46]}]}
    )
    write_service(given, tmp_path / "service.yaml")
    assert read_service(tmp_path / "service.yaml") == given
    text = (tmp_path / "service.yaml").read_text()
    assert "# Time zone of all schedules." in text
    with pytest.raises(RequestError, match="exists"):
        write_service(given, tmp_path / "service.yaml")


def test_the_work_pool_file_says_what_the_service_says() -> None:
    """Entry points exist, and schedules and tags are those of `coslide serve`."""
    content = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    deployments = {one["name"]: one for one in content["deployments"]}
    assert set(deployments) == {
        "map-event",
        "refresh-events",
        "watch-earthquakes",
        "train",
        "evaluate",
        "tend",
    }
    source = (REPOSITORY / "flows" / "service" / "flow_runs.py").read_text()
    for name, one in deployments.items():
        path, function = one["entrypoint"].split(":")
        assert path == "flows/service/flow_runs.py"
        assert f"def {function}(" in source
        assert f'@flow(name="{name}"' in source
        assert one["tags"] == ["coslide"]
    default = ServiceConfig()
    for name, schedule in (
        ("refresh-events", default.refresh),
        ("watch-earthquakes", default.watch_every),
        ("tend", default.tend_every),
    ):
        (told,) = deployments[name]["schedules"]
        assert (Schedule(cron=told["cron"]), told["timezone"]) == (schedule, default.timezone)
