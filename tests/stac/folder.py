"""The loopback's catalogue as a folder of JSON and files."""

from __future__ import annotations

import json
from pathlib import Path

from stac.loopback import Loopback


def write_catalogue(server: Loopback, folder: Path) -> None:
    """Write everything that a server holds as a static catalogue."""
    for path, content in server.files.items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    links = []
    for collection, items in server.items.items():
        for item in items:
            assets = {
                key: {**asset, "href": f"../..{asset['href']}"}
                for key, asset in item["assets"].items()
            }
            place = folder / "items" / collection / f"{item['id']}.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            shown = {**item, "assets": assets}
            place.write_text(json.dumps(shown))
            links.append({"rel": "item", "href": f"./items/{collection}/{item['id']}.json"})
    root = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "folder",
        "description": "a catalogue in a folder",
        "links": links,
    }
    (folder / "catalog.json").write_text(json.dumps(root))
