"""How far a long step is, in the Prefect UI: one progress artifact a step, renewed every few seconds."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows import progress

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3.0


@contextmanager
def shown(wanted: bool) -> Iterator[None]:
    """Show the progress of whatever runs in the block as artifacts of the running task."""
    if not wanted:
        yield
        return
    with progress.told_to(_Artifacts()):
        yield


class _Artifacts:
    """One artifact a title; made when the title is first told of, in the thread of the task."""

    def __init__(self) -> None:
        self._ids: dict[str, UUID] = {}
        self._last: dict[str, float] = {}

    def begin(self, title: str) -> None:
        """Make the artifact of a step that begins."""
        key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        made = create_progress_artifact(0.0, key=key, description=title)
        if isinstance(made, UUID):
            self._ids[title] = made

    def advance(self, title: str, done: int, total: int) -> None:
        """Renew the artifact, every few seconds and at the end."""
        now = time.monotonic()
        if title not in self._ids or (now - self._last.get(title, 0.0) < EVERY_SECONDS and done < total):
            return
        self._last[title] = now
        try:
            update_progress_artifact(self._ids[title], progress=round(100.0 * done / max(total, 1), 1))
        except Exception as error:  # a picture of progress must never stop the work
            logger.debug("progress not shown: %s", error)
