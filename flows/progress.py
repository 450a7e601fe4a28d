"""Progress of long steps: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from configs.records import Advance

LOG_EVERY_SECONDS = 10.0


@contextmanager
def progress(title: str, unit: str = "block") -> Iterator[Advance]:
    """Yield an `Advance` that shows how far a step is: on standard error, never on standard output."""
    if sys.stderr.isatty():
        with tqdm(desc=title, unit=unit, leave=False, file=sys.stderr) as bar:

            def advance(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield advance
        return
    logger, last = logging.getLogger(__name__), [time.monotonic()]

    def report(done: int, total: int) -> None:
        if time.monotonic() - last[0] >= LOG_EVERY_SECONDS or done == total:
            last[0] = time.monotonic()
            logger.info("%s: %d of %d %ss", title, done, total, unit)

    yield report
