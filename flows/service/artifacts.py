"""What a run leaves in the Prefect UI, as plain Markdown and rows: no Prefect here, so that it can
be tested without one.
"""

from __future__ import annotations

import base64
import csv
import json
import re
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyogrio

from configs.layout import RunLayout
from inventory.summary import percent

_LARGEST_PICTURE = 900_000
"""Bytes of a picture inside an artifact; beyond about 1 MB the server stores it but sends no event
(measured).
"""
ROWS = 50
_FIRST = ("report.html", "map.pdf", "map-a3.pdf", "landslides.qgz", "landslides.gpkg")
"""What people open, before what programs read."""


def folder_of(summary: dict[str, Any]) -> Path:
    """Return the revision's folder from a run's summary."""
    return Path(next(iter(summary["products"].values()))).parent


def key_of(summary: dict[str, Any]) -> str:
    """Return an artifact key: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", str(summary["event"]).lower()).strip("-")


def headline(summary: dict[str, Any], layout: RunLayout, pages: str | None = None) -> str:
    """Return the run's headline, map, warnings and paths of the products as Markdown.

    Args:
        summary: a run's answer.
        layout: its revision.
        pages: where the service's pages are reached, `web.url`; without them nothing is a link.
    """
    lines = [
        f"# {summary['event']}, revision {summary['revision']}",
        *_beware(summary),
        f"**{summary['landslide_count']} {_kind(layout)}landslides, "
        f"{summary['landslide_area_km2']:.2f} km²** in {summary['area_km2']:.0f} km², "
        f"of which {percent(summary['observed_fraction'])} was seen. Checkpoint "
        f"`{summary['checkpoint']}`.",
        *(f"> ⚠ {warning}" for warning in summary["warnings"]),
        *_picture(layout.folder / "preview.png"),
        "## Products",
        *(_product(name, Path(path), pages) for name, path in _ordered(summary["products"])),
    ]
    return "\n\n".join(lines)


def _ordered(products: dict[str, str]) -> list[tuple[str, str]]:
    first = [(name, products[name]) for name in _FIRST if name in products]
    return first + [(name, path) for name, path in products.items() if name not in _FIRST]


def _product(name: str, path: Path, pages: str | None) -> str:
    """Return a product's line: browsers block links from a page to files, so the path is there to
    be copied, and a link leads to the service's own pages.
    """
    path = path.absolute()
    shown = name
    if pages:
        place = quote("/".join(path.parts[-3:]))
        shown = f"[{name}]({pages.rstrip('/')}/{place})"
    return f"- {shown}: `{path}`"


def _beware(summary: dict[str, Any]) -> list[str]:
    """Return the first line of every product where the checkpoint is not known to work here."""
    return [f"> **{summary['words'][0]}**"] if summary["out_of_domain"] else []


def is_simulated(layout: RunLayout) -> bool:
    """Return whether the revision shows the simulated Earth: then everything about it says so."""
    return bool(_provenance(layout).get("source", {}).get("kind") == "simulated")


def _kind(layout: RunLayout) -> str:
    return "simulated " if is_simulated(layout) else ""


def _picture(path: Path) -> list[str]:
    if not path.exists() or path.stat().st_size > _LARGEST_PICTURE:
        return []
    return [f"![map](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"]


def landslides(layout: RunLayout) -> list[dict[str, Any]]:
    """Return the largest landslides, one row each."""
    columns = [
        "id",
        "area_m2",
        "lon",
        "lat",
        "confidence",
        "slope_mean_deg",
        "pre_date",
        "post_date",
    ]
    frame = pyogrio.read_dataframe(
        layout.folder / "landslides.gpkg", layer="landslides", columns=columns, read_geometry=False
    )
    largest = frame.sort_values("area_m2", ascending=False).head(ROWS)
    return [
        {name: _plain(row[name]) for name in columns if name in row}
        for _, row in largest.iterrows()
    ]


def ranking(layout: RunLayout) -> list[dict[str, Any]]:
    """Return the checkpoint ranking, one row a checkpoint."""
    if not layout.selection.exists():
        return []
    with layout.selection.open(encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)][:ROWS]


def observation(layout: RunLayout) -> list[dict[str, Any]]:
    """Return what was seen and what was not, one row a class of the area, with its share in
    percent.
    """
    counts: dict[str, int] = _provenance(layout).get("observation_px", {})
    total = sum(counts.values()) or 1
    return [
        {"class": name.replace("_", " "), "pixels": count, "percent": round(100 * count / total, 2)}
        for name, count in counts.items()
    ]


def scenes(layout: RunLayout) -> list[dict[str, Any]]:
    """Return the scenes used, one row each."""
    return [
        {name: _plain(value) for name, value in scene.items()}
        for scene in _provenance(layout).get("scenes", [])
    ]


def refreshed(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a refresh did with each event, one row each."""
    columns = (
        "event",
        "action",
        "reason",
        "revision",
        "observed_fraction",
        "event_state",
        "event_reason",
    )
    return [{name: row.get(name, "") for name in columns} for row in result["events"]]


def _provenance(layout: RunLayout) -> dict[str, Any]:
    if not layout.provenance.exists():
        return {}
    content: dict[str, Any] = json.loads(layout.provenance.read_text(encoding="utf-8"))
    return content


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; days without their midnight."""
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    if hasattr(value, "item"):
        return value.item()
    return value if value is None or isinstance(value, str | int | float) else str(value)
