"""Tables and numbers as the study writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 3) -> str:
    """Return a number, a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def span(pair: tuple[float, float]) -> str:
    """Return an interval of differences, a dash for NaN."""
    return f"{pair[0]:+.3f} to {pair[1]:+.3f}" if math.isfinite(pair[0]) else "–"
