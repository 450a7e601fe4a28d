"""``report.html``: one page for people under pressure. It needs nothing but itself: no network, no
other file.

Everything that comes from outside (titles, scene ids, reasons) is escaped by Jinja2; the page's
security policy allows only its own script, by hash. The words are in `templates/words.en.yaml`; a
translation is another such file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from configs.bands import When
from configs.files import write_text
from configs.records import ObservationClass, Scene
from configs.stack import Rows, Stack
from inventory.about import About
from inventory.colours import AFFECTED, CONFIDENCE, OBSERVATION
from inventory.exposure.affected import Affected
from inventory.outline.clean import counted
from inventory.outline.outline import Inventory
from inventory.outline.words import LANGUAGE, numeral, signed, words_of
from inventory.report import charts
from inventory.report.pictures import HEAT, NOT_IMAGED
from inventory.report.statistics import (
    area_density,
    distance_shares,
    epicentre,
    ground,
    power_law_tail,
    slope_shares,
)
from inventory.report.viewer import COLUMNS, payload
from inventory.summary import Summary, confidence_explained, length, number, percent, spoken


@dataclass(frozen=True)
class Page:
    """What the report says."""

    about: About
    inventory: Inventory
    summary: Summary
    words: tuple[str, ...]
    """The headline in the report's language, and the changes since the revision before."""
    provenance: Mapping[str, Any]
    affected: Affected | None = None
    files: tuple[str, ...] = ()
    """Files written so far that lie beside the page."""
    used_km2: tuple[float, ...] = ()
    """For every scene of the run the area drawn from acquisitions of its day."""
    language: str = LANGUAGE


def _text(name: str) -> str:
    return (files("inventory") / "templates" / name).read_text(encoding="utf-8")


def _warnings(page: Page, w: dict[str, Any]) -> list[str]:
    """Return what to beware of, the gravest first."""
    grave = [w["simulated"]] if page.about.simulated else []
    choice = page.about.choice
    if choice.out_of_domain:
        words = w["unknown" if choice.out_of_domain == "unknown" else "out_of_domain"]
        grave.append(words.format(checkpoint=choice.card, trained_on=choice.trained_on))
    is_simulated = page.about.simulated  # the source says so itself, in fewer words
    return [
        *grave,
        *(
            line
            for line in page.about.warnings
            if not (is_simulated and line.startswith("simulated imagery"))
        ),
    ]


def _cards(summary: Summary, language: str) -> list[tuple[str, str]]:
    w, n = words_of(language), partial(numeral, language=language)
    high, count = summary.by_confidence["high"], summary.landslide_count
    return [
        (n(f"{count:,}"), w["count"]),
        (n(f"{number(summary.landslide_area_km2)} km²"), w["area"]),
        (n(percent(summary.observed_fraction)), w["seen"]),
        (n(percent(high / count)) if count else "–", w["sure"]),
    ]


def _charts(
    page: Page, stack: Stack, probability: Rows, observation: Rows, w: dict[str, Any]
) -> list[Any]:
    """Return (title, plot, note) of every plot that has something to show."""
    frame = page.inventory.landslides
    areas = frame["area_m2"].to_numpy(dtype=float)
    on = ground(stack, probability, observation, page.about.event)
    tail = power_law_tail(areas)
    n = partial(numeral, language=page.language)
    resolution = n(f"{abs(page.inventory.geobox.affine.a):g}")
    note = w["tail_none"].format(resolution=resolution)
    if tail:
        values = {
            "x_min": n(f"{tail.x_min_m2:,.0f}"),
            "count": n(f"{tail.count:,}"),
            "resolution": resolution,
        }
        note = w["tail_words"].format(
            **values, alpha=n(f"{tail.alpha:.2f}"), error=n(f"{tail.standard_error:.2f}")
        )
    x0, y0 = epicentre(stack, page.about.event)
    centres = frame.geometry.centroid
    away_km = np.hypot(centres.x - x0, centres.y - y0).to_numpy(dtype=float) / 1000
    found = [
        (w["area_title"], charts.area_frequency(area_density(areas), tail, len(areas), w), note),
        (
            w["slope_title"],
            charts.slopes(slope_shares(frame["slope_mean_deg"].to_numpy(dtype=float), on), w),
            "",
        ),
        (w["distance_title"], charts.distances(distance_shares(away_km, areas, on), w), ""),
    ]
    return [entry for entry in found if entry[1] is not None and len(areas)]


def _scenes(page: Page) -> tuple[list[tuple[Scene, float]], list[tuple[Scene, float]]]:
    """Return the scenes with the area drawn from each: those that were used, most first, and the
    others.
    """
    used_km2 = page.used_km2 or (float("nan"),) * len(page.about.scenes)
    rows = list(zip(page.about.scenes, used_km2, strict=True))
    used = [row for row in rows if not row[1] <= 0]
    return sorted(used, key=lambda row: (row[0].when != When.PRE, -row[1])), [
        row for row in rows if row[1] <= 0
    ]


def _coverage(summary: Summary, w: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    """Return (class, colour, km², share of the area), what was seen first."""
    total = sum(summary.classes_km2.values()) or 1.0
    rows = [(name, colour, summary.classes_km2[name]) for name, colour in OBSERVATION.values()]
    rows = sorted(rows, key=lambda row: -row[2])
    return [
        (_class(name, km2, w), colour, km2, km2 / total) for name, colour, km2 in rows if km2 > 0
    ]


def _class(name: str, km2: float, w: dict[str, Any]) -> str:
    """Return a class of the observation; of cast shadow, which lies in narrow strips, the hectares
    too.
    """
    shaded = name == OBSERVATION[ObservationClass.CAST_SHADOW][0]
    return str(w["classes"][name]) + (signed(f" ({100 * km2:,.1f} ha)", w) if shaded else "")


_WRITTEN_LATER = ("selection.csv", "run.yaml", "provenance.json", "item.json")
"""Files that come into the folder after the page."""
_MOST_ROADS = 40
"""Roads that are listed; the layer has all."""


def _affected(page: Page, w: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the section on who may be affected shows; None where no layer was given."""
    if page.affected is None:
        return None
    a, totals, roads = w["affected"], page.affected.totals, page.affected.roads
    rows = [(a["rows"][what], within, below) for what, within, below in spoken(totals)]
    angle = page.affected.reach_angle_deg
    rule = a["rule_size"] if angle is None else a["rule_fixed"].format(angle=f"{angle:g}")
    first = roads.head(_MOST_ROADS)
    within, below = (
        [length(metres) for metres in first[name].tolist()] for name in ("within_m", "below_m")
    )
    names, kinds = (
        [name or other for name in first[field].tolist()]
        for field, other in (("name", a["unnamed"]), ("kind", "–"))
    )
    listed = list(zip(names, kinds, first["landslides"].tolist(), within, below, strict=True))
    return {
        "help": a["help"].format(rule=rule, outdated=a["outdated"]),
        "rows": rows,
        "roads": listed,
        "has_roads": "roads_m" in totals,
        "colours": AFFECTED,
        "more": a["more_roads"].format(shown=len(listed), all=f"{len(roads):,}")
        if len(roads) > len(listed)
        else "",
    }


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield a nested mapping as (dotted name, text); a mapping of plain values is one line."""
    if isinstance(value, Mapping):
        nested = any(isinstance(inner, (Mapping, list, tuple)) for inner in value.values())
        if name and not nested:
            yield name, " · ".join(f"{key} {inner}" for key, inner in value.items())
            return
        for key, inner in value.items():
            yield from _facts(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)) and any(
        isinstance(each, (Mapping, list, tuple)) for each in value
    ):
        for position, inner in enumerate(value):
            yield from _facts(inner, f"{name}[{position}]")
    else:
        yield name, _as_text(value)


def _safe_json(content: Any) -> Markup:
    """Return JSON that cannot end its script element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(
        text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _not_drawn(drawn: int, count: int, language: str, w: dict[str, Any]) -> str:
    """Return that the page draws only some of the landslides; nothing where it draws all."""
    if drawn >= count:
        return ""
    some, every = (numeral(f"{value:,}", language) for value in (drawn, count))
    return str(w["more"].format(drawn=some, all=every))


def _legend(page: Page, w: dict[str, Any]) -> dict[str, Any]:
    """Return what explains the colours: of confidence, and of probability as a gradient."""
    labels = [
        (w["confidence_label"].format(confidence=w["confidence"][name]), colour)
        for name, colour in CONFIDENCE.items()
    ]
    return {
        "confidence": labels,
        "confidence_help": confidence_explained(page.summary, page.language),
        "heat": ", ".join(f"{colour} {100 * value:g}%" for value, colour in HEAT),
    }


def _ranking(page: Page) -> dict[str, Any]:
    """Return which columns the table of checkpoints has."""
    rows = page.about.choice.ranking
    return {
        "studied": any(row.advantage is not None for row in rows),
        "bands": list(dict.fromkeys(band for row in rows for band in row.per_band)),
    }


def write_report(
    path: Path, page: Page, probability: Rows, observation: Rows, stack: Stack
) -> Path:
    """Return the path of the report, written whole or not at all."""
    w = words_of(page.language)
    data = payload(page.inventory, page.about, stack, probability, observation, w, page.affected)
    drawn, count = sum(map(bool, data["rings"])), page.summary.landslide_count
    script, (used, unused) = _text("viewer.js"), _scenes(page)
    environment = Environment(
        loader=PackageLoader("inventory"), autoescape=True, undefined=StrictUndefined
    )
    n = partial(numeral, language=page.language)
    environment.filters["numeral"] = n
    environment.filters["measure"] = lambda km2: n(number(km2))
    html = environment.get_template("report.html.j2").render(
        w=w,
        about=page.about,
        summary=page.summary,
        version=version("coslide"),
        warnings=_warnings(page, w),
        cards=_cards(page.summary, page.language),
        sentences=page.words,
        no_image=NOT_IMAGED,
        has_pre="pre" in data["images"],
        has_relief="relief" in data["images"],
        **_legend(page, w),
        affected=_affected(page, w),
        columns=COLUMNS,
        more=_not_drawn(drawn, count, page.language, w),
        charts=_charts(page, stack, probability, observation, w),
        coverage=_coverage(page.summary, w),
        **_ranking(page),
        rejections=list(counted(page.inventory.rejected["reason"], page.language).items())
        if len(page.inventory.rejected)
        else [],
        files=[
            (name, w["file_words"][name])
            for name in w["file_words"]
            if name in (*page.files, *_WRITTEN_LATER)
        ],
        used=used,
        unused=unused,
        facts=list(
            _facts({key: value for key, value in page.provenance.items() if key != "scenes"})
        ),
        style=Markup(_text("report.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_safe_json(data),
    )
    write_text(path, html)
    return path
