"""``report.html``: one page for people that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from configs.files import write_text
from configs.stack import Rows, Stack
from inventory.about import About
from inventory.outline import Inventory
from inventory.summary import Summary


@dataclass(frozen=True)
class Page:
    """What the report says."""

    about: About
    inventory: Inventory
    summary: Summary
    words: tuple[str, ...]
    provenance: Mapping[str, Any]


def write_report(path: Path, page: Page, probability: Rows, observation: Rows, stack: Stack) -> Path:
    """Return the path of the report, written whole or not at all."""
    environment = Environment(loader=PackageLoader("inventory"), autoescape=True, undefined=StrictUndefined)
    write_text(path, environment.get_template("report.html.j2").render(page=page))
    return path
