"""The service's log as lines of JSON, written by all its processes into one file: the parts of
`coslide serve` and every run that they start.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

from configs.service import ServiceConfig
from flows.run.journal import PACKAGES

_NAME = "coslide's log file"
_RUN = "PREFECT__FLOW_RUN_ID"
"""Set by Prefect for the process of a run."""


class _Lines(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment,
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "run": os.environ.get(_RUN, ""),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def keep(settings: ServiceConfig) -> None:
    """Write what this process logs from now on into the service's log file, where it has one.

    A file that is moved away is begun anew (logrotate needs no signal). Lines of several processes
    do not mix: each is one write to the end of the file.
    """
    heard = [logging.getLogger(name) for name in (*PACKAGES, "prefect")]
    if settings.log.file is None or any(
        one.get_name() == _NAME for logger in heard for one in logger.handlers
    ):
        return
    path = Path(settings.log.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = WatchedFileHandler(path, encoding="utf-8")
    handler.set_name(_NAME)
    handler.setLevel(logging.INFO)
    handler.setFormatter(_Lines())
    for logger in heard:
        logger.addHandler(handler)
