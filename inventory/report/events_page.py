"""``index.html`` of an output folder: a page of all its events, with a map of the world. It needs
nothing but itself, and a damaged event is a line of it, never its end.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import shapely
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from configs.files import read_yaml, write_text
from configs.layout import EventFolder
from inventory.basemap import shapes
from inventory.outline.words import words_of
from inventory.summary import number, percent

FILE = "index.html"
_LINKS = ("map.pdf", "report.html", "landslides.gpkg")
_LONGEST_NOTE = 160
_SMALLEST_DEG2 = 1.0
"""Islands smaller than this are left out of the map of the world."""
_TOLERANCE_DEG = 0.3


@dataclass(frozen=True)
class EventRow:
    """What the page says of one event."""

    folder: str
    title: str
    state: str
    """``open``, ``closed`` or ``damaged``."""
    note: str = ""
    """Why it is closed, or what is damaged."""
    happened: str = ""
    magnitude: float | None = None
    place: tuple[float, float] | None = None
    """(lon, lat)."""
    revision: int = 0
    mapped: str = ""
    properties: Mapping[str, Any] | None = None
    """Of the latest revision's STAC item."""
    found: Mapping[str, str] | None = None
    """Count, km² and the share seen, of the latest revision."""
    changes: str = ""
    links: tuple[tuple[str, str], ...] = ()
    """(file, address relative to the page)."""


def _changes(package: Path) -> str:
    """Return how many landslides changed, by kind; nothing for a first revision."""
    if not package.is_file():
        return ""
    with closing(sqlite3.connect(f"{package.resolve().as_uri()}?mode=ro", uri=True)) as database:
        known = database.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'changes' AND type = 'table'"
        ).fetchone()
        if not known:
            return ""
        counted = database.execute(
            'SELECT "change", count(*) FROM changes GROUP BY "change" ORDER BY 2 DESC'
        ).fetchall()
    return ", ".join(f"{count:,} {name}" for name, count in counted)


def _found(properties: Mapping[str, Any]) -> dict[str, str]:
    return {
        "count": f"{int(properties['coslide:landslide_count']):,}",
        "km2": number(float(properties["coslide:landslide_area_km2"])),
        "seen": percent(float(properties["coslide:observed_fraction"])),
    }


def _row(event: EventFolder) -> EventRow:
    """Return what is known of an event.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError, sqlite3.Error: it is damaged.
    """
    name, state = event.folder.name, read_yaml(event.state, "event")
    numbers = event.revisions()
    number = max(numbers)
    layout = numbers[number]
    item = json.loads((layout.folder / "item.json").read_text(encoding="utf-8"))
    config = read_yaml(layout.config, "run")["event"]
    address = f"{quote(name)}/{layout.folder.name}"
    if not (layout.folder / "landslides.gpkg").is_file():
        raise FileNotFoundError(f"{name}/{layout.folder.name}/landslides.gpkg is missing")
    links = [(each, f"{address}/{each}") for each in _LINKS if (layout.folder / each).is_file()]
    links.append(("catalog.json", f"{quote(name)}/catalog.json"))
    magnitude = config.get("magnitude")
    return EventRow(
        name,
        str(config.get("title") or name),
        "closed" if state["state"] == "closed" else "open",
        str(state.get("reason") or ""),
        str(item["properties"]["start_datetime"])[:10],
        None if magnitude is None else float(magnitude),
        (float(config["longitude"]), float(config["latitude"])),
        number,
        str(item["properties"]["created"])[:16].replace("T", " "),
        dict(item["properties"]),
        _found(item["properties"]),
        _changes(layout.folder / "landslides.gpkg"),
        tuple(links),
    )


def event_rows(out: Path) -> list[EventRow]:
    """Return the events of an output folder, the latest mapped first, damaged ones at the end."""
    rows = []
    for path in sorted(out.iterdir()):
        event = EventFolder(path)
        if path.name.startswith(".") or not path.is_dir():
            continue
        if not (event.revisions() or event.state.exists()):
            continue
        if event.state.exists() and event.request.exists() and not event.revisions():
            rows.append(EventRow(path.name, path.name, "open"))
            continue
        try:
            rows.append(_row(event))
        # Whatever lies in a damaged folder, the other events must be shown.
        except Exception as error:
            told = str(error).replace(f"{out}/", "").replace(f"{out.resolve()}/", "")
            note = told.splitlines()[0][:_LONGEST_NOTE] if told else ""
            rows.append(EventRow(path.name, path.name, "damaged", note))
    rows.sort(key=lambda row: row.mapped, reverse=True)
    return sorted(rows, key=lambda row: row.state == "damaged")


@cache
def world() -> str:
    """Return the land of the Earth as an SVG path in degrees, north up."""
    land = shapely.get_parts(shapes("land", (-180, -90, 180, 90)))
    large = shapely.simplify(land[shapely.area(land) >= _SMALLEST_DEG2], _TOLERANCE_DEG)
    rings = [
        shapely.get_coordinates(shapely.get_exterior_ring(each))
        for each in shapely.get_parts(large)
        if each.geom_type == "Polygon" and not each.is_empty
    ]
    return "".join(
        "M" + " ".join(f"{x:.1f},{-y:.1f}" for x, y in ring[:-1]) + "Z" for ring in rings
    )


def write_events_page(out: Path) -> Path:
    """Return the path of the page over the events of an output folder. The caller sees to it that
    nobody else writes it.
    """
    rows = event_rows(out)
    environment = Environment(
        loader=PackageLoader("inventory"), autoescape=True, undefined=StrictUndefined
    )
    style = (files("inventory") / "templates" / "report.css").read_text(encoding="utf-8")
    html = environment.get_template("events.html.j2").render(
        w=words_of()["events"],
        lang=words_of()["lang"],
        rows=rows,
        world=Markup(world()),
        style=Markup(style),
    )
    write_text(out / FILE, html)
    return out / FILE
