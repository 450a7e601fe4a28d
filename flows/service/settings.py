"""What the operator decided for runs that a server triggers: the service file named in
COSLIDE_SERVICE. No Prefect here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from configs.files import read_yaml
from configs.service import Runs, ServiceConfig, read_service

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


def output_folder() -> Path:
    """Return the folder that triggered runs write their events to."""
    return Path(str(preset_of(service()).get("out", "runs")))
