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
from configs.complaints import checked
from configs.errors import RequestError
from configs.event import check_name, parse_moment
from configs.files import check_format, inside, read_yaml
from configs.overrides import overlaid
from configs.run import LookConfig, RunConfig
from flows.cli import _at_home
from flows.events.reviews import copy
from flows.resolve import _check_area, make_request, resolve
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
        "zzz: {a: 1, a: 2}",
        "zzz: 1\nzzz: 1",
        "? " + "x" * 10_000 + "\n: 1\n? " + "x" * 10_000 + "\n: 1",
    ],
)
def test_values_that_yaml_stumbles_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"format: coslide/run/1\n{line}\n")
    with pytest.raises(RequestError) as told:
        read_yaml(path, "run")
    assert len(told.value.message) < 600


def test_a_setting_that_stands_twice_is_told_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\n  <<: *a\nout: 1\nc: 2\nout: 3\n")
    with pytest.raises(RequestError, match="`out` stands twice, in lines 6 and 8"):
        read_yaml(path)
    path.write_text("a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\n")
    assert read_yaml(path)["b"] == {"x": 2}


@pytest.mark.parametrize("written", ["x" * 100_000, "9" * 4000, "../" * 9999, "a\0" * 999])
def test_what_was_given_is_never_echoed_at_length(tmp_path: Path, written: str) -> None:
    with pytest.raises(RequestError) as told:
        checked({"event": {"name": written, "time": written}}, "x", RunConfig)
    assert len(told.value.message) < 1000
    with pytest.raises(RequestError) as told:
        check_format(written, "run", "x")
    assert len(told.value.message) < 300
    (tmp_path / "run.yaml").write_text(f"format: coslide/run/1\nsource: {written!a}\n")
    with pytest.raises(RequestError) as told:
        resolve(make_request(), read_yaml(tmp_path / "run.yaml"))
    assert len(told.value.message) < 300


def test_a_tilde_is_the_home_folder_wherever_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "any.yaml"
    path.write_text("a: ~/x\nb: [{c: ~/y}, z~/]\nd: ~\n")
    assert read_yaml(path) == {
        "a": str(tmp_path / "x"),
        "b": [{"c": str(tmp_path / "y")}, "z~/"],
        "d": None,
    }
    set_ = overlaid({}, ["model.card_dirs=[~/cards]"])
    assert set_["model"]["card_dirs"] == [str(tmp_path / "cards")]
    assert _at_home("--area=~/a.gpkg:x") == f"--area={tmp_path / 'a.gpkg:x'}"
    assert _at_home("~/a b") == str(tmp_path / "a b")
    assert _at_home("-31.2,~") == "-31.2,~"


@pytest.mark.parametrize("name", ["index.html", "catalog.json", "Index.HTML"])
def test_an_event_cannot_take_the_name_of_a_file_of_ours(name: str) -> None:
    with pytest.raises(RequestError, match="a file of ours"):
        check_name(name)
    event = {"name": name, "time": "2018-09-05", "latitude": 42.7, "longitude": 142.1}
    preset = {"event": event, "source": {"kind": "simulated"}}
    with pytest.raises(RequestError, match="a file of ours"):
        resolve(make_request(), preset)


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
