"""Ordinary slips in arguments and files are told in words, exit 2; none of them is a defect."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from small_archive import make_archive

from configs import area as areas
from configs.errors import RequestError
from configs.event import parse_moment
from configs.files import inside, read_yaml
from configs.run import LookConfig
from flows.events.reviews import copy
from flows.resolve import _check_area
from gee.catalog import parse_event
from gee.fetch import _check

SYSTEMD = Path(__file__).parents[1] / "deploy" / "systemd" / "coslide-prefect.service"


@pytest.mark.parametrize(
    "line",
    [
        "zzz: 2018-02-30",
        "zzz: 2018-02-03T25:61:00Z",
        "zzz: !!int x",
        "zzz: !!bool x",
        "zzz: " + "9" * 5000,
        "zzz: " + "[" * 5000 + "]" * 5000,
        "? {a: 1}\n: 3",
    ],
)
def test_values_that_yaml_stumbles_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"format: coslide/run/1\n{line}\n")
    with pytest.raises(RequestError) as told:
        read_yaml(path, "run")
    assert len(told.value.message) < 600


def test_odd_arguments(tmp_path: Path) -> None:
    for year in ("9999-12-31", "0001-01-01"):
        with pytest.raises(RequestError, match="outside the years"):
            parse_moment(year)
    with pytest.raises(RequestError, match="no https address"):
        _check("https://[::1", None)
    with pytest.raises(RequestError, match="no name of a file"):
        inside(make_archive(tmp_path / "a"), "a\0b", "scene")
    with pytest.raises(RequestError, match="a list of 0 events"):
        parse_event(b'{"type":"FeatureCollection","features":3}', "x")
    with pytest.raises(RequestError, match="smaller than a pixel"):
        _check_area(areas.around(42.7, 142.1, 1e-9), LookConfig())


def test_an_answer_that_cannot_be_written_is_this_machines_failure() -> None:
    code = "from flows.cli import main; main(['cards', '--json'])"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr or "disk is full" in done.stderr


def test_a_copy_for_review_follows_the_umask(tmp_path: Path) -> None:
    for umask, mode in ((0o077, 0o600), (0o022, 0o644), (0o002, 0o664)):
        before = os.umask(umask)
        try:
            sqlite3.connect(tmp_path / "a.gpkg").close()
            found = copy(tmp_path / "a.gpkg", tmp_path / f"b{umask}.gpkg")
        finally:
            os.umask(before)
        assert found.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(("password", "code"), [("", 1), ("user:secret", 0)])
def test_a_server_without_a_password_does_not_start(password: str, code: int) -> None:
    line = next(x for x in SYSTEMD.read_text().splitlines() if x.startswith("ExecStartPre="))
    script = line.partition("-c '")[2].rstrip("'")
    env = {"PATH": "/usr/bin:/bin", "PREFECT_SERVER_API_AUTH_STRING": password}
    done = subprocess.run(["/bin/sh", "-c", script], env=env, check=False, capture_output=True)
    assert done.returncode == code
