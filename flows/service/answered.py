"""Was this request answered while it waited? Two triggers of one earthquake at once make one revision."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from configs.errors import CoslideError
from configs.layout import EventFolder
from configs.run import RunConfig, read_run


def answered(config: RunConfig, asked: datetime) -> str | None:
    """Return the words about a revision that was made from the same request after it was asked; None where there is none.

    The same request asked again later is another matter: that makes a new revision.

    Args:
        config: the resolved request; its identity leaves out the clock.
        asked: when the trigger was pulled.
    """
    for number, layout in reversed(EventFolder(Path(config.out) / config.event.name).revisions().items()):
        try:
            made = datetime.fromtimestamp(layout.config.stat().st_mtime, UTC)
            if made <= asked:
                return None
            if read_run(layout.config).request_id == config.request_id:
                return (
                    f"revision {number} was made from the same request while this one waited{_headline(layout.folder)}"
                )
        except (CoslideError, ValidationError, OSError):
            continue
    return None


def _headline(folder: Path) -> str:
    path = folder / "item.json"
    if not path.exists():
        return ""
    return f": {json.loads(path.read_text(encoding='utf-8')).get('properties', {}).get('description', '')}"
