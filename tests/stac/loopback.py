"""The server: an API's landing page, collections, search by pages, items, and files by ranges, with
signatures that expire and with faults.

What it proves: client, paging, ranges, signatures, limits, retries. What it does not: what the
public catalogues hold.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import serving
from serving import Serving, break_off
from shapely.geometry import shape

GEOJSON = "application/geo+json"
CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]


@dataclass
class Fault(serving.Fault):
    """Of kind status, silent, reset, stall, short, flip, whole or retag."""

    match: str = ".tif"


@dataclass(frozen=True)
class Entry:
    """One request, as it was answered."""

    path: str
    status: int
    sent: int


@dataclass
class Answer:
    """What goes back."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Loopback(Serving):
    """A loopback catalogue. Use as a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, list[dict[str, Any]]] = {}
        """Collection -> its items, addresses relative to the server (`/files/…`)."""
        self.files: dict[str, bytes] = {}
        """Path -> content."""
        self.most_items = 250
        """Largest page; a search for more is refused."""
        self.signature = ""
        """What files must be asked with (`?sig=`); empty: nothing."""
        self.latency_s = 0.0

    def reset(self) -> None:
        """Forget faults and entries of an earlier test."""
        self.faults, self.entries, self.peak = [], [], 0
        self.most_items, self.signature, self.latency_s = 250, "", 0.0

    def requests(self, what: str = ".tif") -> list[Entry]:
        """Return the answered requests whose path holds `what`."""
        return super().requests(what)

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request, faults included."""
        path = urlsplit(handler.path).path
        with self._lock:
            fault = self._next_fault(handler.path)
            self._active += 1
            self.peak = max(self.peak, self._active)
        try:
            if fault and fault.kind == "silent":
                time.sleep(fault.seconds)
            time.sleep(self.latency_s)
            if fault and fault.kind == "status":
                found = Answer(fault.status, b"{}", headers=fault.headers)
            else:
                found = self._route(handler, path, body, fault)
            with self._lock:
                sent = 0 if handler.command == "HEAD" else len(found.body)
                self.entries.append(Entry(handler.path, found.status, sent))
                self._active -= 1
            _send(handler, found, fault)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    def _route(
        self, handler: BaseHTTPRequestHandler, path: str, body: bytes, fault: Fault | None
    ) -> Answer:
        if path in ("", "/"):
            return self._json(self._landing())
        if path == "/collections":
            return self._json({"collections": [self._collection(one) for one in self.items]})
        if path == "/search":
            return self._search(json.loads(body))
        if path.startswith("/files/"):
            return self._file(handler, path, fault)
        found = re.fullmatch(r"/collections/([^/]+)(?:/items/([^/]+))?", path)
        if found and found[1] in self.items:
            if not found[2]:
                return self._json(self._collection(found[1]))
            for item in self.items[found[1]]:
                if item["id"] == found[2]:
                    return self._json(self._shown(item))
        return Answer(404, b'{"code": "NotFound", "description": "nothing here"}')

    def _json(self, content: Any) -> Answer:
        return Answer(200, json.dumps(content).encode())

    def _landing(self) -> dict[str, Any]:
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "loopback",
            "description": "a catalogue on this machine",
            "conformsTo": CONFORMS,
            "links": [
                {"rel": "self", "href": self.url, "type": "application/json"},
                {"rel": "root", "href": self.url, "type": "application/json"},
                {"rel": "data", "href": f"{self.url}/collections", "type": "application/json"},
                *(
                    {
                        "rel": "search",
                        "type": GEOJSON,
                        "href": f"{self.url}/search",
                        "method": method,
                    }
                    for method in ("GET", "POST")
                ),
            ],
        }

    def _collection(self, name: str) -> dict[str, Any]:
        return {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": name,
            "license": "proprietary",
            "extent": {
                "spatial": {"bbox": [[-180, -90, 180, 90]]},
                "temporal": {"interval": [[None, None]]},
            },
            "links": [
                {"rel": "self", "href": f"{self.url}/collections/{name}"},
                {"rel": "root", "href": self.url},
            ],
        }

    def _shown(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an item with full addresses, signed where that is asked for."""
        sign = f"?sig={self.signature}" if self.signature else ""
        assets = {
            key: {**asset, "href": f"{self.url}{asset['href']}{sign}"}
            for key, asset in item["assets"].items()
        }
        place = f"{self.url}/collections/{item['collection']}"
        links = [
            {"rel": "self", "href": f"{place}/items/{item['id']}"},
            {"rel": "collection", "href": place},
            {"rel": "root", "href": self.url},
        ]
        return {**item, "assets": assets, "links": links}

    def _search(self, asked: dict[str, Any]) -> Answer:
        limit = int(asked.get("limit", 10))
        if limit > self.most_items:
            return Answer(400, b'{"code": "BadRequest", "description": "limit is too large"}')
        first, _, last = asked.get("datetime", "../..").partition("/")
        where = shape(asked["intersects"]) if "intersects" in asked else None
        found = [
            item
            for name in asked["collections"]
            for item in self.items.get(name, ())
            if (first in ("", "..") or item["properties"]["datetime"] >= first)
            and (last in ("", "..") or item["properties"]["datetime"] <= last)
            and (where is None or shape(item["geometry"]).intersects(where))
        ]
        start = int(asked.get("token", 0))
        page = [self._shown(item) for item in found[start : start + limit]]
        links = []
        if start + limit < len(found):
            body = {"token": start + limit}
            links = [
                {
                    "rel": "next",
                    "href": f"{self.url}/search",
                    "method": "POST",
                    "body": body,
                    "merge": True,
                }
            ]
        return self._json({"type": "FeatureCollection", "features": page, "links": links})

    def _file(self, handler: BaseHTTPRequestHandler, path: str, fault: Fault | None) -> Answer:
        if self.signature:
            given = parse_qs(urlsplit(handler.path).query).get("sig", [""])[0]
            if given != self.signature:
                return Answer(403, b"Server failed to authenticate the request.", "text/plain")
        content = self.files.get(path)
        if content is None:
            return Answer(404, b"NoSuchKey", "text/plain")
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("range") or "")
        version = "second" if fault and fault.kind == "retag" else "first"
        tag = {"ETag": f'"{version}"', "Accept-Ranges": "bytes"}
        if asked is None or (fault and fault.kind == "whole"):
            return Answer(200, content, "image/tiff", tag)
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(content))
        if start >= len(content):
            return Answer(416, b"", "text/plain")
        part = content[start:stop]
        if fault and fault.kind == "short":
            part = part[: len(part) // 2]
        if fault and fault.kind == "flip":
            part = bytes(len(part))
        span = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        return Answer(206, part, "image/tiff", tag | span)


def _send(handler: BaseHTTPRequestHandler, found: Answer, fault: Fault | None) -> None:
    """Send an answer, cut short where the fault says."""
    handler.send_response(found.status)
    headers = {"Content-Type": found.kind, "Content-Length": str(len(found.body)), **found.headers}
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command == "HEAD":
        return
    if fault and fault.kind in ("reset", "stall"):
        break_off(handler, found.body, fault)
        return
    handler.wfile.write(found.body)
