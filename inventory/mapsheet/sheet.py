"""One sheet of paper with everything a map needs to be handed over: written as PDF, the same bytes
for the same run.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyproj
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from configs.bands import When
from configs.files import replacing
from configs.product import MapConfig
from inventory import basemap
from inventory.about import About
from inventory.colours import CONFIDENCE, OBSERVATION
from inventory.mapsheet import furniture
from inventory.mapsheet.chart import (
    AREA,
    HATCH,
    ROAD,
    SHAKING,
    UNSEEN,
    WATER,
    Frame,
    Shown,
    draw,
    frame_of,
    label,
    named_places,
)
from inventory.mapsheet.paper import (
    GRAVE_PAPERS,
    INK,
    PAPERS,
    SOFT,
    WARN,
    Box,
    Column,
    Paper,
    printable,
    width_mm,
    wrapped,
)
from inventory.outline.words import numeral, said, words_of
from inventory.summary import Summary, headline, number

_CROWDED = ((0.3, 1.0), (0.3, 0.92), (0.25, 0.92), (0.25, 0.85), (0.22, 0.8))
"""Share of the overview in the panel, and size of its text, from few words to many."""
_MOST_PLACES = {"a4": 18, "a3": 32}
_STYLE: Any = {
    "pdf.fonttype": 42,
    "pdf.compression": 9,
    "font.family": "DejaVu Sans",
    "hatch.linewidth": 0.45,
    "axes.linewidth": 0.8,
}


@dataclass(frozen=True)
class Sheet:
    """What a sheet says beside the map."""

    shown: Shown
    summary: Summary
    config: MapConfig

    @property
    def words(self) -> dict[str, Any]:
        """Return the words of the sheet in its language."""
        return dict(words_of(self.config.language)["sheet"])

    @property
    def sentences(self) -> list[str]:
        """Return the headline in the language of the sheet."""
        return headline(self.summary, self.config.language)

    @property
    def grave(self) -> list[str]:
        """Return what stands below the title in red."""
        about = self.shown.about
        first = self.sentences[:1] if about.choice.out_of_domain else []
        return [*first, *([self.words["simulated"]] if about.simulated else [])]


def _facts(about: About, w: dict[str, Any], language: str) -> str:
    event = about.event
    known = "%Y-%m-%d %H:%M UTC" if event.time_of_day_known else "%Y-%m-%d"
    place = furniture.degrees(round(event.latitude * 60) / 60, w["hemispheres"][:2])
    parts = [
        event.time.strftime(known),
        f"{place} {furniture.degrees(round(event.longitude * 60) / 60, w['hemispheres'][2:])}",
    ]
    if event.magnitude is not None:
        parts.insert(0, w["magnitude"].format(value=numeral(f"{event.magnitude:.1f}", language)))
    if event.depth_km is not None:
        parts.append(w["depth"].format(value=numeral(f"{event.depth_km:g}", language)))
    return str(w["event"].format(facts=", ".join(parts)))


def _dates(about: About, w: dict[str, Any]) -> str:
    told = {}
    for when in When:
        days = sorted(f"{s.acquired:%Y-%m-%d}" for s in about.scenes if s.when is when)
        told[str(when)] = " – ".join(dict.fromkeys(days[:: max(1, len(days) - 1)]))
    return str(w["images"].format(**{k: v or w["no_images"] for k, v in told.items()}))


def _head(figure: Figure, paper: Paper, sheet: Sheet) -> None:
    """Write title and event; where nothing is known of the checkpoint here, that stands first."""
    axes, w, about = paper.axes(figure, paper.head), sheet.words, sheet.shown.about
    column = Column(axes, paper.head.width, paper.head.height, paper.text_pt)
    title, size = printable(about.name, bold=True), 2.1
    while width_mm(title, size * paper.text_pt, bold=True) > paper.head.width and size > 1:
        size -= 0.1
    column.say(title, bold=True, scale=size)
    facts = _facts(about, w, sheet.config.language)
    column.say(f"{w['subtitle'].format(revision=about.revision)}   ·   {facts}", colour=SOFT)
    if sheet.grave:
        column.top -= 0.35 * column.line_mm
        column.left, column.width = 1.5, paper.head.width - 3
        start = column.top
        column.top -= 0.25 * column.line_mm
        for words in sheet.grave:
            column.say(words, bold=True, colour="white")
        high = start - column.top + 0.15 * column.line_mm
        axes.add_patch(
            Rectangle(
                (0, start - high), paper.head.width, high, fc=WARN, ec="none", zorder=0,
                clip_on=False,
            )
        )  # fmt: skip


def _unseen(sheet: Sheet) -> str:
    classes, w = words_of(sheet.config.language)["classes"], sheet.words
    blind = [name for name, _ in OBSERVATION.values() if name not in ("clear", "water")]
    areas = sorted(((sheet.summary.classes_km2.get(n, 0), n) for n in blind), reverse=True)
    parts = [
        f"{classes[name]} {numeral(number(km2), sheet.config.language)} km²"
        for km2, name in areas
        if km2 > 0
    ]
    return str(w["unseen_share"].format(parts=", ".join(parts)) if parts else w["unseen_none"])


def _entries(sheet: Sheet) -> list[tuple[str, dict[str, Any], str]]:
    """Return (kind, style, words) of the legend: only what the map shows."""
    w, shown = sheet.words, sheet.shown
    names = words_of(sheet.config.language)["confidence"]
    entries: list[tuple[str, dict[str, Any], str]] = [
        ("fill", {"fc": colour + "d9", "ec": colour}, w["confidence"].format(name=names[name]))
        for name, colour in CONFIDENCE.items()
    ]
    entries += [
        ("fill", {"fc": "white", "ec": UNSEEN, "hatch": HATCH, "lw": 0.4}, w["not_observed"]),
        ("fill", {"fc": WATER, "ec": WATER}, words_of(sheet.config.language)["classes"]["water"]),
        ("fill", {"fc": "none", "ec": AREA, "lw": 1.1}, w["area"]),
        ("mark", {"marker": "*", "mfc": "#ffd92f", "mec": "black", "ms": 8}, w["epicentre"]),
    ]
    if shown.shaking is not None:
        entries.append(("line", {"color": SHAKING, "dashes": (5, 2), "lw": 0.9}, w["shaking"]))
    if shown.roads is not None:
        entries.append(("line", {"color": ROAD, "lw": 1.1}, w["road"]))
    entries.append(("line", {"color": "#555555", "dashes": (6, 2, 1, 2), "lw": 0.8}, w["border"]))
    entries.append(("mark", {"marker": "o", "mfc": "white", "mec": "black", "ms": 3}, w["place"]))
    return entries


def _legend(column: Column, entries: Sequence[tuple[str, dict[str, Any], str]]) -> None:
    """Draw the legend in one column, symbols left of their words."""
    symbol, step = 7.0, 1.2 * column.line_mm
    for kind, style, words in entries:
        if column.top - step < 0:
            return
        column.top -= step
        y, high = column.top + 0.12 * step, 0.72 * step
        if kind == "fill":
            column.axes.add_patch(Rectangle((0.3, y), symbol - 0.6, high, **style))
        elif kind == "line":
            column.axes.add_line(Line2D([0, symbol], [y + high / 2] * 2, **style))
        else:
            mark = Line2D([symbol / 2], [y + high / 2], ls="", mew=0.7, **style)
            column.axes.add_line(mark)
        column.write(symbol + 2, column.top, printable(words), column.size_pt, False)


def _panel(figure: Figure, paper: Paper, sheet: Sheet) -> None:
    """Draw overview, legend and words; where they are many, smaller, so that none is lost."""
    w, box, entries = sheet.words, paper.panel, _entries(sheet)
    found = sheet.sentences[1:] if sheet.shown.about.choice.out_of_domain else sheet.sentences
    told = [*found, _unseen(sheet), *_warnings_of(sheet)]
    tried = [(share, size * paper.text_pt) for share, size in _CROWDED]
    share, size = next(
        (
            (share, size)
            for share, size in tried
            if _needed(told, len(entries), box.width, size) <= (1 - share) * box.height - 1
        ),
        tried[-1],
    )
    high = share * box.height
    inset = paper.axes(figure, Box(box.left, box.bottom + box.height - high, box.width, high))
    inset.set_axis_on()
    inset.set(xticks=[], yticks=[])
    furniture.overview(inset, sheet.shown, box.width, high, paper.text_pt)
    column = Column(paper.axes(figure, box), box.width, box.height - high - 1, size)
    column.heading(w["legend"])
    _legend(column, entries)
    column.heading(w["numbers"])
    last = column.spent(_unseen(sheet)) + 5 * column.line_mm  # what was not seen, and one line
    for number_of, sentence in enumerate(found):
        if column.top - column.spent(sentence) < last:
            break  # of a longer list than any sheet holds the report has the rest
        column.say(sentence, bold=number_of == 0)
    column.heading(w["unseen"])
    column.say(_unseen(sheet))
    _beware(column, sheet)


def _needed(told: Sequence[str], entries: int, width: float, size_pt: float) -> float:
    """Return how high, in millimetres, a column of a legend, three headings and paragraphs is."""
    line = 1.28 * size_pt * 25.4 / 72
    lines = sum(len(wrapped(words, width, size_pt)) for words in told)
    return line * (lines + 1.2 * entries + 3 * 1.8 + 1)


def _warnings_of(sheet: Sheet) -> list[str]:
    """Return what to beware of, in the language of the sheet."""
    w, language = sheet.words, sheet.config.language
    return [
        w["beware"].format(words=said(each, language).replace("`", ""))
        for each in sheet.shown.about.warnings
    ]


def _beware(column: Column, sheet: Sheet) -> None:
    """Write the warnings that fit whole, and how many more the report holds."""
    told = _warnings_of(sheet)
    for number_of, words in enumerate(told):
        left = len(told) - number_of
        if not column.room(words, spare=left > 1):
            more = sheet.words["more_warnings"].format(count=left)
            column.say(more, colour=WARN, bold=True)
            return
        column.say(words, colour=WARN)


def _foot(figure: Figure, paper: Paper, sheet: Sheet, frame: Frame, size: str) -> None:
    axes, w, about = paper.axes(figure, paper.foot), sheet.words, sheet.shown.about
    column = Column(axes, paper.foot.width, paper.foot.height, 0.88 * paper.text_pt)
    scale = w["scale"].format(scale=f"{frame.scale:,.0f}".replace(",", " "), paper=w["paper"][size])
    name = pyproj.CRS(sheet.shown.crs).name
    lines = [f"{scale}  ·  {w['grid'].format(crs=name)}  ·  {_dates(about, w)}"]
    credit = w["sources"].format(
        imagery="; ".join((about.source, *about.attribution)).rstrip("."), base=basemap.CREDIT
    )
    made = w["made"].format(
        version=version("coslide"),
        checkpoint=about.choice.card,
        as_of=about.windows.as_of.strftime("%Y-%m-%d %H:%M"),
    )
    whose = [
        w[key].format(**{key: value.rstrip(".")})
        for key in ("publisher", "contact", "licence")
        if (value := getattr(sheet.config, key))
    ]
    if "…" in printable(credit):
        credit = f"{credit} {w['in_full']}"
    for words in (*lines, " ".join((*whose, made)), credit):
        column.say(words, colour=SOFT if words == credit else INK)


def write_sheet(path: Path, sheet: Sheet, size: str) -> Path:
    """Return the path of a map as PDF on a size of paper, ``a4`` or ``a3``, turned the way in which
    the area is larger.
    """
    shown, w = sheet.shown, sheet.words
    ways = (GRAVE_PAPERS if sheet.grave else PAPERS)[size]
    paper, frame = min(((way, frame_of(shown, way)) for way in ways), key=lambda p: p[1].scale)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks is printed with marks in place of its letters.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(paper.width / 25.4, paper.height / 25.4))
        axes = paper.axes(figure, paper.map)
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        draw(axes, shown, frame, size)
        small = 0.85 * paper.text_pt
        furniture.graticule(axes, frame, shown.crs, small, w["hemispheres"])
        star = furniture.epicentre(axes, shown.about, shown.crs)
        avoid = [furniture.marked(star, frame), *furniture.corners(frame)]
        label(axes, named_places(shown, frame, _MOST_PLACES[size]), frame, paper.text_pt, avoid)
        furniture.scale_bar(axes, frame, small)
        furniture.north_arrow(axes, frame, shown.crs, paper.text_pt, w["north"])
        axes.set(xlim=(frame.west, frame.east), ylim=(frame.south, frame.north))
        _head(figure, paper, sheet)
        _panel(figure, paper, sheet)
        _foot(figure, paper, sheet, frame, size)
        metadata = {
            "Title": printable(shown.about.name),
            "Subject": " ".join(sheet.sentences),
            "Creator": f"coslide {version('coslide')}",
            "CreationDate": shown.about.windows.as_of,
            "ModDate": shown.about.windows.as_of,
        }
        with replacing(path) as part, part.open("wb") as file:
            FigureCanvasPdf(figure)
            figure.savefig(file, format="pdf", metadata=metadata)
    return path
