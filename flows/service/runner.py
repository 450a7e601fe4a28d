"""Prefect's runner as an operator wants to read it: said once what repeats, no traceback where
nothing is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from prefect.runner import Runner

from configs.errors import CoslideError

logger = logging.getLogger(__name__)

_FORGET_S = 60.0
"""A queue that was not spoken of for so long was empty meanwhile (Prefect speaks every 2 s)."""


class QuietRunner(Runner):
    """A runner that ends by itself when it is asked to.

    Prefect 3.8.8 leaves its loop by SystemExit from inside the signal's handler, with tasks cut off
    in the middle: a traceback and a warning for every ordinary restart.
    """

    _work: asyncio.Task[None] | None = None

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """End the loop from inside: whatever it began is closed in order."""
        logger.info("asked to stop: no further run is begun")
        if self._work is not None:
            self._work.get_loop().call_soon_threadsafe(self._work.cancel)

    def until_stopped(self) -> None:
        """Execute runs until the process is asked to stop."""

        async def work() -> None:
            self._work = asyncio.current_task()
            await self.start()

        try:
            asyncio.run(work())
        except asyncio.CancelledError:
            logger.info("stopped")


class SaidOnce(logging.Filter):
    """Of Prefect's line about runs that wait, which comes every few seconds, let the first through
    and each that says another number.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting, self._heard = 0, 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if "(at capacity)" not in str(record.msg):
            return True
        waiting = record.args[0] if isinstance(record.args, tuple) and record.args else 0
        fresh = waiting != self._waiting or time.monotonic() - self._heard > _FORGET_S
        self._waiting, self._heard = int(str(waiting)), time.monotonic()
        record.msg = "%d runs wait: as many are at work as `runs.at_once` allows"
        return fresh


def foreseen(record: logging.LogRecord) -> bool:
    """Leave out Prefect's traceback of a failure that was foreseen: the run says it in one line."""
    failure = record.exc_info[1] if record.exc_info else None
    return not isinstance(failure, CoslideError | OSError | MemoryError)


def quieten() -> None:
    """Let the log of flows and their steps say foreseen failures once, without traceback."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(foreseen)
