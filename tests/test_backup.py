"""What docs/operations.md says about backups brings everything back: the server's history on
SQLite and PostgreSQL, and the products.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import REPOSITORY

from benchmarks.local_service import LocalService, local_server
from benchmarks.postgres import postgres, programs

PAGE = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")


def _commands(before: str) -> list[str]:
    """Return the lines of the shell block that follows some words of the page."""
    block = re.search(r"```sh\n(.*?)```", PAGE[PAGE.index(before) :], re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def _type(lines: list[str], places: Mapping[str, Path | str], **variables: str) -> None:
    """Give commands of the page, with this machine's folders for the page's."""
    for line in lines:
        for written, here in places.items():
            line = line.replace(written, str(here))
        subprocess.run(
            shlex.split(line), check=True, capture_output=True, env=os.environ | variables
        )


def _flow_runs(service: LocalService) -> list[str]:
    status, found = service.call("flow_runs/filter", {"limit": 10})
    assert status == 200
    return [run["name"] for run in found]


@pytest.mark.slow
def test_a_server_on_sqlite_is_backed_up_while_it_runs_and_comes_back(tmp_path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("sqlite3 is not on this machine (Debian: sqlite3)")
    lines = _commands("**A server on SQLite**")
    stop = next(number for number, line in enumerate(lines) if "systemctl stop" in line)
    start = next(number for number, line in enumerate(lines) if "systemctl start" in line)
    assert stop < start
    backup = tmp_path / "backups" / "prefect.db"
    backup.parent.mkdir()
    places = {"/var/lib/coslide/prefect": tmp_path / "a" / "home", "/var/backups": backup.parent}
    with local_server(tmp_path / "a", {}, {}) as service:
        status, flow = service.call("flows/", {"name": "history"})
        assert status in (200, 201)
        status, _ = service.call("flow_runs/", {"flow_id": flow["id"], "name": "kept"})
        assert status in (200, 201)
        _type(lines[:stop], places)
        service.call("flow_runs/", {"flow_id": flow["id"], "name": "after the backup"})
    _type(lines[stop + 1 : start], places)
    with local_server(tmp_path / "a", {}, {}) as service:
        assert _flow_runs(service) == ["kept"]


@pytest.mark.slow
def test_a_server_on_postgresql_comes_back_from_its_dump(tmp_path: Path) -> None:
    tools = programs()
    if tools is None:
        pytest.skip("PostgreSQL is not on this machine (Debian: postgresql)")
    backup = [one for one in _commands("## Back up") if "pg_dump" in one]
    restore = [one for one in _commands("**Restore:**") if "pg_restore" in one]
    assert len(backup) == len(restore) == 1
    places: dict[str, Path | str] = {"sudo -u postgres ": f"{tools}/", "/var/backups": tmp_path}
    with postgres() as address:
        login = urlsplit(address)
        user = {"PGHOST": "127.0.0.1", "PGPORT": str(login.port), "PGUSER": str(login.username)}
        user |= {"PGPASSWORD": str(login.password)}
        own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address}
        with local_server(tmp_path / "a", {}, {}, **own) as service:
            _, flow = service.call("flows/", {"name": "history"})
            service.call("flow_runs/", {"flow_id": flow["id"], "name": "kept"})
            _type(backup, places, **user)
            service.call("flow_runs/", {"flow_id": flow["id"], "name": "after the backup"})
            assert len(_flow_runs(service)) == 2
        _type(restore, places, **user)
        with local_server(tmp_path / "a", {}, {}, **own) as service:
            assert _flow_runs(service) == ["kept"]


def test_products_come_back_whole_without_what_can_be_made_again(tmp_path: Path) -> None:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not on this machine")
    event = tmp_path / "events" / "e"
    for name in ("event.yaml", "r001/landslides.gpkg", "r001/stack/x", ".work/q/x"):
        (event / name).parent.mkdir(parents=True, exist_ok=True)
        (event / name).write_text(name)
    (tmp_path / "copy").mkdir()
    places = {"/var/lib/coslide/events": tmp_path / "events"}
    places |= {"BACKUP:/coslide/events": tmp_path / "copy"}
    kept = {"e/event.yaml", "e/r001/landslides.gpkg"}
    _type([one for one in _commands("## Back up") if one.startswith("rsync")], places)
    assert _files(tmp_path / "copy") == kept
    shutil.rmtree(tmp_path / "events")
    _type([one for one in _commands("**Restore:**") if one.startswith("rsync")], places)
    assert _files(tmp_path / "events") == kept


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
