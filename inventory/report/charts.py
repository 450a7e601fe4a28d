"""The report's plots as SVG: sharp on paper, no script, colours from one place.

Not by matplotlib: its SVG brings fonts as outlines and some 40 kB a plot; these are 2 kB of text
that the page's own style sheet sets and a screen reader reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from inventory.colours import CONFIDENCE
from inventory.outline.words import signed
from inventory.report.statistics import Density, Floats, Shares, Tail

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 44
INK, GROUND, REFERENCE = CONFIDENCE["high"], "#8d99a6", "#08306b"


@dataclass
class _Plot:
    """A frame with two axes; logarithmic where the limits' logarithms are given."""

    x: tuple[float, float]
    y: tuple[float, float]
    parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a value on the page."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )

    def text(self, x: float, y: float, words: str, anchor: str = "middle", turn: str = "") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'
        )

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, width: float = 2, dash: str = ""
    ) -> None:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (self.at(x, y) for x, y in points))
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            f'stroke-width="{width:g}"{dashes}/>'
        )

    def bar(self, x0: float, x1: float, y: float) -> None:
        (left, top), (right, bottom) = self.at(x0, y), self.at(x1, self.y[0])
        box = (
            f'x="{left + 1:.1f}" y="{top:.1f}" width="{max(right - left - 2, 1):.1f}" '
            f'height="{bottom - top:.1f}"'
        )
        self.parts.append(f'<rect {box} fill="{INK}" fill-opacity="0.75"/>')

    def dot(self, x: float, y: float, colour: str = INK) -> None:
        a, b = self.at(x, y)
        self.parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.2" fill="{colour}"/>')

    def axes(
        self,
        titles: tuple[str, str],
        x: Sequence[tuple[float, str]],
        y: Sequence[tuple[float, str]],
    ) -> None:
        """Draw ticks (value, words) and titles."""
        for value, words in x:
            a, b = self.at(value, self.y[0])
            self.parts.insert(
                0, f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{a:.1f}" y2="{TOP}" class="grid"/>'
            )
            self.text(a, b + 15, words)
        for value, words in y:
            a, b = self.at(self.x[0], value)
            self.parts.insert(
                0,
                f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{WIDTH - RIGHT}" y2="{b:.1f}" class="grid"/>',
            )
            self.text(a - 6, b + 4, words, "end")
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, titles[0])
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.text(14, middle, titles[1], turn=f' transform="rotate(-90 14 {middle:.1f})"')

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Draw (colour, words) in the upper right corner."""
        for number, (colour, words) in enumerate(entries):
            y = TOP + 12 + 16 * number
            self.text(WIDTH - RIGHT - 20, y, words, "end")
            x = WIDTH - RIGHT - 14
            self.parts.append(f'<rect x="{x}" y="{y - 8}" width="10" height="8" fill="{colour}"/>')

    def svg(self, title: str) -> Markup:
        """Return the plot."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'role="img" aria-label="{escape(title)}" class="chart">'
        )
        return Markup(head + "".join(self.parts) + "</svg>")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    """Return ticks at whole powers of ten between two logarithms."""
    return [
        (float(p), f"10{str(p).translate(_RAISED)}" if abs(p) > 2 else f"{10.0**p:,g}")
        for p in range(int(np.ceil(low)), int(np.floor(high)) + 1)
    ]


def _signed(ticks: list[tuple[float, str]], words: dict[str, Any]) -> list[tuple[float, str]]:
    """Return ticks with their numbers as in the language of the words."""
    return [(value, signed(text, words)) for value, text in ticks]


def _even(limit: float, percent: bool = False) -> list[tuple[float, str]]:
    """Return about five even ticks from zero."""
    raw = limit / 4
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    values = np.arange(0, limit + step / 2, step)
    return [
        (float(v), f"{100 * v:.3g} %" if percent else f"{v:g}")
        for v in values
        if v <= limit * 1.0001
    ]


def area_frequency(
    density: Density, tail: Tail | None, total: int, words: dict[str, Any]
) -> Markup | None:
    """Return the area-frequency plot, double logarithmic, with the fitted tail; None with fewer
    than three points.
    """
    if len(density.area_m2) < 3:
        return None
    x, y = np.log10(density.area_m2), np.log10(density.density)
    plot = _Plot((x.min() - 0.2, x.max() + 0.2), (y.min() - 0.4, y.max() + 0.4))
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        plot.dot(a, b)
    entries = [(INK, words["landslides"])]
    if tail:
        ends = np.array([np.log10(tail.x_min_m2), x.max()])
        height = np.log10(tail.count / total * (tail.alpha - 1) / tail.x_min_m2)
        line = height - tail.alpha * (ends - ends[0])
        plot.line(
            [(float(a), float(b)) for a, b in zip(ends, line, strict=True)], "#08306b", dash="6 3"
        )
        entries.append(
            (
                "#08306b",
                f"{words['tail']}: "
                + signed(f"A^-{tail.alpha:.2f} ± {tail.standard_error:.2f}", words),
            )
        )
    plot.axes(
        (words["area_axis"], words["density_axis"]),
        _signed(_powers(*plot.x), words),
        _signed(_powers(*plot.y), words),
    )
    plot.legend(entries)
    return plot.svg(words["area_title"])


def sizes_compared(inventory: Density, reference: Density, words: dict[str, str]) -> Markup | None:
    """Return the area-frequency densities of an inventory and of a reference; None where a side has
    none.
    """
    if not len(inventory.area_m2) or not len(reference.area_m2):
        return None
    sides = [(np.log10(each.area_m2), np.log10(each.density)) for each in (reference, inventory)]
    x, y = (np.concatenate([side[axis] for side in sides]) for axis in (0, 1))
    plot = _Plot((x.min() - 0.2, x.max() + 0.2), (y.min() - 0.4, y.max() + 0.4))
    for (across, up), colour in zip(sides, (REFERENCE, INK), strict=True):
        for a, b in zip(across.tolist(), up.tolist(), strict=True):
            plot.dot(a, b, colour)
        plot.line(list(zip(across.tolist(), up.tolist(), strict=True)), colour, 1)
    plot.axes((words["area_axis"], words["density_axis"]), _powers(*plot.x), _powers(*plot.y))
    plot.legend([(INK, words["landslides"]), (REFERENCE, words["reference"])])
    return plot.svg(words["area_title"])


def _outline(edges: Floats, values: Floats) -> list[tuple[float, float]]:
    """Return a histogram's outline as points."""
    return [(float(x), float(v)) for i, v in enumerate(values) for x in (edges[i], edges[i + 1])]


def slopes(shares: Shares, words: dict[str, Any]) -> Markup | None:
    """Return landslides and observed ground by slope; None where neither slope is known."""
    top = max(shares.landslides.max(initial=0), shares.ground.max(initial=0)) * 1.15
    if top <= 0:
        return None
    plot = _Plot((float(shares.edges[0]), float(shares.edges[-1])), (0, top))
    for i, value in enumerate(shares.landslides.tolist()):
        plot.bar(float(shares.edges[i]), float(shares.edges[i + 1]), value)
    plot.line(_outline(shares.edges, shares.ground), GROUND)
    ticks = [(float(v), f"{v:g}°") for v in shares.edges[::2]]
    plot.axes(
        (words["slope_axis"], words["share_axis"]), ticks, _signed(_even(top, percent=True), words)
    )
    plot.legend([(INK, words["landslides"]), (GROUND, words["ground"])])
    return plot.svg(words["slope_title"])


def distances(shares: Shares, words: dict[str, Any]) -> Markup | None:
    """Return the landslide share of the observed ground by distance to the epicentre; None where
    there is nothing.
    """
    top = shares.landslides.max(initial=0) * 1.15
    if top <= 0:
        return None
    plot = _Plot((float(shares.edges[0]), float(shares.edges[-1])), (0, top))
    for i, value in enumerate(shares.landslides.tolist()):
        plot.bar(float(shares.edges[i]), float(shares.edges[i + 1]), value)
    every = max(1, len(shares.edges) // 7)
    ticks = [(float(v), f"{v:g}") for v in np.round(shares.edges[::every], 6)]
    plot.axes(
        (words["distance_axis"], words["landslide_share_axis"]),
        _signed(ticks, words),
        _signed(_even(top, percent=True), words),
    )
    return plot.svg(words["distance_title"])
