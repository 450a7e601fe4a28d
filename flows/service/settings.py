"""What the operator decided for runs that a server triggers: the service file named in
COSLIDE_SERVICE. No Prefect here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from configs.complaints import checked
from configs.files import format_of, read_yaml, write_text
from configs.run import SourceConfig
from configs.service import Runs, ServiceConfig, read_service
from flows.resolve import parse_source

SERVICE = "COSLIDE_SERVICE"
"""Environment variable with the service file's path."""
PRESET = "COSLIDE_PRESET"
"""Environment variable with a run file that goes before the service file's `preset`."""

DATABASE_PATIENCE = {
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
}
"""For the environment of a Prefect server on SQLite: seconds that a request waits for the one
writer. With Prefect's own 10 and 5 whoever pressed Submit on a busy machine was told 503; the
write-ahead log is Prefect's default already.
"""
SETTINGS = "COSLIDE_SET"
"""Environment variable with settings that go before the service file's, a line each:
``section.key=value``."""
LIMIT = "COSLIDE_RUNS_AT_ONCE"
"""Environment variable that goes before the service file's `runs.at_once`."""


def service() -> ServiceConfig:
    """Return the operator's settings; the defaults where none were given."""
    path, preset, limit = (os.environ.get(name) for name in (SERVICE, PRESET, LIMIT))
    settings = os.environ.get(SETTINGS, "").splitlines()
    found = read_service(Path(path) if path else None, settings)
    if preset:
        found = found.model_copy(update={"preset": preset})
    if limit:
        found = found.model_copy(
            update={"runs": Runs.model_validate(found.runs.model_dump() | {"at_once": int(limit)})}
        )
    return found


def preset_of(settings: ServiceConfig) -> dict[str, Any]:
    """Return the run file that triggered runs start from; empty where there is none."""
    return read_yaml(Path(settings.preset), "run") if settings.preset else {}


def write_preset(source: str, path: Path) -> None:
    """Write a run file that names a source as on the command line, folders by their whole path: a
    service may be started elsewhere.

    Raises:
        RequestError: no such source.
    """
    named = parse_source(source)
    meant = checked(named, "--source", SourceConfig)
    if meant.archive:
        named["archive"] = str(Path(meant.archive).absolute())
    if "stac" in named and meant.stac.is_local:
        named["stac"]["catalogue"] = str(Path(meant.stac.catalogue).absolute())
    content = {"format": format_of("run"), "source": named, "out": "runs"}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_text(path, f"# What every run of the service starts from.\n{text}")


def output_folder() -> Path:
    """Return the folder that triggered runs write their events to."""
    return Path(str(preset_of(service()).get("out", "runs")))
