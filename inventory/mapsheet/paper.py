"""Paper: where things stand on it in millimetres, round scales, and text that fits its column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.textpath import TextToPath

MM_PER_INCH = 25.4
_POINT_MM = MM_PER_INCH / 72
INK, SOFT, WARN = "#1a1f24", "#5a6570", "#a3001b"
_LOST = "\0"
_STEPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5, 8.0, 10.0)


class Box(NamedTuple):
    """A rectangle on the sheet in millimetres, from the lower left corner."""

    left: float
    bottom: float
    width: float
    height: float


@dataclass(frozen=True)
class Paper:
    """A size of paper and what stands where on it."""

    width: float
    height: float
    text_pt: float
    map: Box
    panel: Box
    """Legend and numbers, right of the map."""
    head: Box
    foot: Box

    def axes(self, figure: Figure, box: Box) -> Axes:
        """Return axes over a box, with millimetres as their units."""
        w, h = self.width, self.height
        place = (box.left / w, box.bottom / h, box.width / w, box.height / h)
        axes = figure.add_axes(place, xlim=(0, box.width), ylim=(0, box.height))
        axes.set_axis_off()
        return axes


def _paper(
    width: float, height: float, text_pt: float, panel: float, head: float, foot: float
) -> Paper:
    edge, gap = 9.0, 4.0
    low, high = edge + foot, height - edge - head
    chart = Box(edge + 4, low + 4, width - 2 * edge - panel - gap - 8, high - low - 6)
    return Paper(
        width,
        height,
        text_pt,
        chart,
        Box(width - edge - panel, low, panel, high - low),
        Box(edge, high, width - 2 * edge, head),
        Box(edge, edge, width - 2 * edge, foot - 2),
    )


def _both_ways(
    width: float, height: float, text_pt: float, panel: float, head: float
) -> tuple[Paper, Paper]:
    """Return a size of paper lying and standing; standing, head and foot are as many words in
    shorter lines, and the panel is narrower but taller.
    """
    foot, line = 15.0 * text_pt / 7, 1.28 * text_pt * _POINT_MM
    lying = _paper(width, height, text_pt, panel, head, foot)
    return lying, _paper(height, width, text_pt, 0.8 * panel, head + line, foot + 2 * line)


PAPERS = {"a4": _both_ways(297, 210, 7.2, 76, 14), "a3": _both_ways(420, 297, 9.8, 104, 19)}
GRAVE_PAPERS = {"a4": _both_ways(297, 210, 7.2, 76, 23), "a3": _both_ways(420, 297, 9.8, 104, 31)}
"""With room below the title for what must stand first."""
FILES = {"a4": "map.pdf", "a3": "map-a3.pdf"}


def round_scale(least: float) -> float:
    """Return the smallest usual scale denominator that is at least `least`."""
    power = 1.0
    while power * 10 < least:
        power *= 10
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


def round_length(most: float) -> float:
    """Return the longest of 1, 2, 5 times a power of ten that is at most `most`."""
    power = 1e-6
    while power * 10 <= most:
        power *= 10
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))


@cache
def _known(bold: bool) -> frozenset[int]:
    from matplotlib.font_manager import findfont

    font = FontProperties(weight="bold" if bold else "normal")
    return frozenset(get_font(findfont(font)).get_charmap())


def printable(words: str, bold: bool = False) -> str:
    """Return text with an ellipsis for each stretch that the font of the sheet cannot print."""
    known = _known(bold)
    kept = (c if ord(c) in known else "" if ord(c) < 32 else _LOST for c in words)
    return re.sub(f"{_LOST}+", "…", "".join(kept))


def width_mm(words: str, size_pt: float, bold: bool = False) -> float:
    """Return how wide a line of text is."""
    return _width(words, bold) * (size_pt / TextToPath.FONT_SCALE) * _POINT_MM


@lru_cache(8192)
def _width(words: str, bold: bool) -> float:
    """Return how wide a line is in letters of `FONT_SCALE` points: the sheets of a revision hold
    the same words.
    """
    font = FontProperties(size=TextToPath.FONT_SCALE, weight="bold" if bold else "normal")
    width, _, _ = TextToPath().get_text_width_height_descent(words, font, False)
    return float(width)


def wrapped(words: str, most_mm: float, size_pt: float, bold: bool = False) -> list[str]:
    """Return text in lines of at most a width; a word longer than that is broken."""
    lines, line = [], ""
    for word in printable(words, bold).split():
        longer = f"{line} {word}".strip()
        if width_mm(longer, size_pt, bold) <= most_mm:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while width_mm(line, size_pt, bold) > most_mm and len(line) > 1:
            keep = len(line)
            while keep > 1 and width_mm(line[:keep], size_pt, bold) > most_mm:
                keep -= 1
            lines.append(line[:keep])
            line = line[keep:]
    return [*lines, line] if line else lines


@dataclass
class Column:
    """A column of text that is filled from the top."""

    axes: Axes
    width: float
    top: float
    size_pt: float
    left: float = 0.0

    @property
    def line_mm(self) -> float:
        """Return the height of a line."""
        return 1.28 * self.size_pt * _POINT_MM

    def spent(self, words: str) -> float:
        """Return how high a paragraph is, in millimetres."""
        return len(wrapped(words, self.width, self.size_pt)) * self.line_mm

    def room(self, words: str, spare: int = 0) -> bool:
        """Return whether a paragraph fits whole, and so many lines after it."""
        return self.top - self.spent(words) - spare * self.line_mm >= 0

    def say(self, words: str, *, bold: bool = False, scale: float = 1.0, colour: str = INK) -> None:
        """Write a paragraph; what no longer fits ends in an ellipsis."""
        size = self.size_pt * scale
        lines = wrapped(words, self.width, size, bold)
        for number, line in enumerate(lines):
            step = self.line_mm * scale
            if self.top - step < 0:
                return
            last = self.top - 2 * step < 0 and number + 1 < len(lines)
            self.top -= step
            self.write(self.left, self.top, f"{line} …" if last else line, size, bold, colour)

    def write(
        self, x: float, y: float, words: str, size: float, bold: bool, colour: str = INK
    ) -> None:
        """Write one line at a place."""
        weight = "bold" if bold else "normal"
        style: dict[str, Any] = {"fontsize": size, "fontweight": weight, "color": colour}
        self.axes.text(x, y + 0.25 * self.line_mm, words, parse_math=False, va="baseline", **style)

    def heading(self, words: str) -> None:
        """Write a heading with a line below it."""
        self.top -= 0.5 * self.line_mm
        self.say(words, bold=True, scale=1.08)
        self.axes.plot([self.left, self.left + self.width], [self.top] * 2, color=SOFT, lw=0.4)
        self.top -= 0.2 * self.line_mm


def sentences(words: Sequence[str]) -> str:
    """Return sentences as one paragraph."""
    return " ".join(each.strip() for each in words if each.strip())
