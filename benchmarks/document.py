"""Documents whose numbers come from a command: a template in docs/, filled with what was just
measured.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

import torch

DOCS = Path(__file__).resolve().parent.parent / "docs"


def machine() -> str:
    """Return hardware, versions and date in words."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{platform.machine()}, {torch.get_num_threads()} CPU threads, {gpu}, torch "
        f"{torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"
    )


def fill(name: str, **values: str) -> Path:
    """Return the document written from its template ``docs/templates/NAME.md``, ``{{key}}``
    replaced by values.
    """
    text = (DOCS / "templates" / f"{name}.md").read_text(encoding="utf-8")
    for key, value in {"machine": machine(), **values}.items():
        text = text.replace("{{" + key + "}}", value)
    path = DOCS / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path
