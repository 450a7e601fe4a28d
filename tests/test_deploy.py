"""What is deployed exists: every program, option, variable, path and port of deploy/ and
docs/operations.md.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from conftest import REPOSITORY

from flows.cli import coslide

DEPLOY = REPOSITORY / "deploy"
MOST_EXPOSED = 3.0
"""systemd calls less than 5 OK; memory that is written and run (torch) and devices (GPUs) cost."""
UNITS = sorted((DEPLOY / "systemd").iterdir())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
FOREIGN = {
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "DO_NOT_TRACK",
    "OMP_NUM_THREADS",
    "AWS_ACCESS_KEY_ID",
}
FOREIGN |= {"AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"}
"""Variables of others: the postgres image, OpenMP, botocore, pip."""


def _takes(command: click.Command, words: list[str]) -> None:
    """Parse words as a click command would, running nothing."""
    command.make_context(command.name or "", list(words), resilient_parsing=False)


def check_command(line: list[str]) -> None:
    """Refuse a command line that its program would refuse."""
    program, words = Path(line[0]).name, line[1:]
    if program == "coslide":
        verb = coslide.get_command(click.Context(coslide), words[0])
        assert verb is not None, f"coslide has no verb {words[0]}"
        if "--help" not in words:
            _takes(verb, words[1:])
    elif program == "dask":
        from distributed.cli import dask_scheduler, dask_worker

        verbs = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
        _takes(verbs[words[0]], words[1:])
    elif program == "prefect":
        from prefect.cli._app import _app

        _app.parse_args(words, exit_on_error=False, print_error=False)
    else:
        raise AssertionError(f"nobody knows {program}")


@cache
def known_variables() -> frozenset[str]:
    """Return the variables that Prefect or our own code reads."""
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_valid_setting_names

    sources = [
        path for room in ("configs", "gee", "flows") for path in (REPOSITORY / room).rglob("*.py")
    ]
    own = {
        name
        for path in sources
        for name in re.findall(r'"((?:COSLIDE|EE|GOOGLE)_[A-Z_]+)"', path.read_text())
    }
    return frozenset(own | set(_get_valid_setting_names(Settings)) | FOREIGN)


def test_a_wrong_line_is_found() -> None:
    for line in (
        "coslide serv",
        "coslide serve --confg x",
        "prefect server start --hots 1",
        "dask worker --gpu 1",
    ):
        with pytest.raises(Exception, match=r"(?i)no such|unknown|no verb|unexpected"):
            check_command(shlex.split(line))


@pytest.mark.parametrize(
    "name", [name for name, one in COMPOSE["services"].items() if "command" in one]
)
def test_the_containers_commands_exist(name: str) -> None:
    command = COMPOSE["services"][name]["command"]
    check_command(
        [
            str(DEPLOY / "service" / "service.yaml") if w.startswith("/etc/coslide") else w
            for w in command
        ]
    )


def _environment(service: dict[str, Any]) -> dict[str, Any]:
    return dict(service.get("environment") or {})


def test_the_containers_variables_and_secrets() -> None:
    example = (DEPLOY / ".env.example").read_text()
    offered = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert set(offered) <= known_variables()
    assert not [
        n
        for n, value in offered.items()
        if value and re.search("PASSWORD|SECRET|AUTH|KEY|CONNECTION_URL", n)
    ]
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) <= set(offered)
    for name, service in COMPOSE["services"].items():
        used = _environment(service)
        assert set(used) <= known_variables(), name
        passed_on = {variable for variable, value in used.items() if value is None}
        assert passed_on <= set(offered), name
        for variable, value in used.items():
            if re.search("PASSWORD|SECRET|AUTH", variable) and value is not None:
                assert str(value).startswith("${"), f"{name}: {variable} is written down"


def test_nothing_listens_beyond_the_loopback_and_the_server_wants_a_password() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), name
    server = _environment(COMPOSE["services"]["prefect"])
    assert ":?" in server["PREFECT_SERVER_API_AUTH_STRING"], "an empty one must stop the start"
    unit = (DEPLOY / "systemd" / "coslide-prefect.service").read_text()
    assert "--host 127.0.0.1" in unit
    assert "PREFECT_SERVER_API_AUTH_STRING" in (DEPLOY / ".env.example").read_text()
    for path in UNITS:
        assert "0.0.0.0" not in path.read_text()


def test_compose_itself_takes_the_file() -> None:
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "--profile", "cluster"]
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0
    ):
        pytest.skip("docker compose is not here: the file was checked by its parts")
    secrets = {"POSTGRES_PASSWORD": "x"}
    secrets |= dict.fromkeys(("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"), "a:b")
    done = subprocess.run(
        [*command, "config", "--quiet"],
        env=os.environ | secrets,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_containers_paths_volumes_and_needs() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file(), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).is_dir(), f"{name}: {mount}"
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(services)
    hosts = re.findall(r"(?:@|tcp://|http://)([a-z-]+):\d+", (DEPLOY / "compose.yaml").read_text())
    assert set(hosts) <= set(services)


def test_the_image_gets_all_that_the_package_needs() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    copied = [
        word
        for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert all((REPOSITORY / name).exists() for name in copied)
    packages = {
        name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    assert packages <= set(copied)
    assert {"pyproject.toml", "constraints.txt", project["project"]["readme"]} <= set(copied)
    extras = re.findall(r"\.\[([a-z,]+)\]", text)
    assert extras
    assert set(",".join(extras).split(",")) <= set(project["project"]["optional-dependencies"])
    variables = re.findall(r"\b([A-Z][A-Z_]+)=", text) + re.findall(
        r"^ARG ([A-Z_]+)", text, re.MULTILINE
    )
    assert set(variables) <= known_variables()
    assert "USER coslide" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_are_what_systemd_and_our_programs_take(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    command = shlex.split(re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)[1])  # type: ignore[index]
    check_command(
        [
            str(DEPLOY / "service" / Path(w).name) if w.startswith("/etc/coslide") else w
            for w in command
        ]
    )
    variables = [
        v for line in re.findall(r"^Environment=(.+)$", text, re.MULTILINE) for v in line.split()
    ]
    assert {variable.partition("=")[0] for variable in variables} <= known_variables()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: the rest of the unit was checked")
    for other in UNITS:
        here = str(Path(sys.executable).parent)
        (tmp_path / other.name).write_text(
            other.read_text().replace("/opt/coslide/.venv/bin", here)
        )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name.replace("@", "@1"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nknown" not in done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_may_do_no_more_than_it_must(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: how exposed the units are was not counted")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "nknown option" in done.stderr or "nrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250: it rates running units only")
    exposed = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposed is not None, done.stderr
    assert float(exposed[1]) <= MOST_EXPOSED, done.stdout


def test_the_service_files_are_read() -> None:
    from configs.service import read_service

    settings = read_service(DEPLOY / "service" / "service.yaml")
    assert settings.preset == str(DEPLOY / "service" / "preset.yaml")


def _lines(document: Path) -> list[str]:
    """Return every command of a document: fenced blocks, and what stands in backticks."""
    text = document.read_text()
    fenced = [
        re.split(r" [>&]", line)[0]
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    return fenced + re.findall(
        r"`((?:coslide|prefect|dask|docker|make) [^`]+)`",
        re.sub(r"```.*?```", "", text, flags=re.DOTALL),
    )


SYSTEM = {
    "apt-get",
    "useradd",
    "git",
    "python3",
    "pip",
    "createuser",
    "createdb",
    "install",
    "systemctl",
    "pg_dump",
}
SYSTEM |= {"pg_restore", "rsync", "docker", "sqlite3", "rm"}
SYSTEM |= {"cd", "cp", "curl", "export", "kill", "wait"}
"""What the walk types besides (`test_operator.py`)."""


@pytest.mark.parametrize("line", _lines(REPOSITORY / "docs" / "operations.md"))
def test_the_runbooks_commands_exist(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "sudo":
        words = words[3:] if words[1] == "-u" else words[1:]
    program = Path(words[0]).name
    if program in ("coslide", "prefect", "dask"):
        if line != "coslide serve":
            check_command(
                [
                    word.replace("ID", "6f1bd2b8-9d63-4bd6-98f0-32a42d3a4a77")
                    if word == "ID"
                    else word
                    for word in words
                ]
            )
    else:
        assert program in SYSTEM
    for word in words:
        if word.startswith("deploy/") and word != "deploy/.env":
            assert (REPOSITORY / word).exists(), word
    if program == "systemctl":
        known = {path.name for path in UNITS}
        named = {re.sub(r"@\w+", "@", word) for word in words if word.startswith("coslide-")}
        assert named <= known


def test_the_runbook_names_units_and_containers_that_exist() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    named = {
        re.sub(r"@\w*", "@", name) for name in re.findall(r"`(coslide-[a-z@0-9-]+\.service)`", text)
    }
    assert named == {path.name for path in UNITS}
    assert all(f"`{name}`" in text for name in COMPOSE["services"])
