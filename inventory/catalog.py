"""STAC catalogs over an output folder: ``<out>/catalog.json`` → ``<event>/catalog.json`` → ``rNNN/item.json``.

Links are relative, so that the folder may be moved, copied or served as it is (a self-contained catalog, STAC best practices).
The catalogs are made anew from what lies there, so a lost or damaged one mends itself with the next run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pystac

from configs.files import format_of, write_text
from configs.layout import EventFolder
from inventory.stac import ITEM

CATALOG = "catalog.json"


def _link(rel: str, href: str, title: str = "", kind: str = pystac.MediaType.JSON) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": kind} | ({"title": title} if title else {})


def _catalog(identity: str, title: str, description: str, links: list[dict[str, str]]) -> dict[str, Any]:
    head = {"type": "Catalog", "id": identity, "stac_version": pystac.get_stac_version(), "title": title}
    return {**head, "description": description, "coslide:format": format_of("catalog"), "links": links}


def _read(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write(path: Path, content: dict[str, Any]) -> Path:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def write_event_catalog(event: EventFolder) -> Path:
    """Return the path of an event's catalog: its revisions, oldest first. The caller holds the event's lock."""
    links = [_link("root", f"../{CATALOG}"), _link("parent", f"../{CATALOG}")]
    title = event.folder.name
    for number, layout in event.revisions().items():
        item = _read(layout.folder / ITEM)
        if item is None:
            continue
        told = item.get("properties", {})
        title = str(told.get("title", title))
        words = f"Revision {number}: {told.get('coslide:landslide_count', '?')} landslides"
        links.append(_link("item", f"./{layout.folder.name}/{ITEM}", words, pystac.MediaType.GEOJSON))
    description = "Revisions of one event's landslide inventory; the last one is the latest."
    return _write(event.folder / CATALOG, _catalog(event.folder.name, title, description, links))


def write_root_catalog(out: Path) -> Path:
    """Return the path of the catalog over the events of an output folder. The caller sees to it that nobody else writes it."""
    links = [_link("root", f"./{CATALOG}")]
    for path in sorted(out.glob(f"*/{CATALOG}")):
        child = _read(path)
        if child is not None and child.get("type") == "Catalog":
            links.append(_link("child", f"./{path.parent.name}/{CATALOG}", str(child.get("title", path.parent.name))))
    description = "Landslide inventories mapped by coslide, one catalog an event."
    return _write(out / CATALOG, _catalog("coslide", "Landslide inventories", description, links))
