"""A USGS of our own on a loopback address: feeds, details and ShakeMaps over https, along a
timeline, with faults.

Event details are the real responses of the catalogue; only their clock is shifted, versions that
lie in the future of the timeline are taken out, and links lead here. ShakeMap grids are made:
round, as strong as the real version says it was.
"""

from __future__ import annotations

import copy
import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "localhost"
KM_PER_MMI = 20.0
"""Made grids: intensity falls by one every so many kilometres."""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return (certificate, key) for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@dataclass
class Usgs:
    """What the loopback answers. Tests move its clock and break it."""

    now: dt.datetime = dt.datetime(2018, 9, 5, tzinfo=dt.UTC)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Id → full detail, every version in it, on the timeline's clock."""
    summaries: list[dict[str, Any]] = field(default_factory=list)
    """Features that have no detail here (nobody should ask)."""
    edits: list[tuple[dt.datetime, str, Callable[[dict[str, Any]], None]]] = field(
        default_factory=list
    )
    """(from when, id, what changes in the detail): magnitudes and places that are revised."""
    deleted: dict[str, dt.datetime] = field(default_factory=dict)
    renamed: dict[str, tuple[dt.datetime, str]] = field(default_factory=dict)
    """Id → (from when, the id another network then gives it)."""
    vs30: dict[str, float] = field(default_factory=dict)
    fault: Callable[[str], str | None] = lambda path: None
    """Path → "malformed", "503", "truncated", "timeout" or None."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, detail: dict[str, Any], origin: dt.datetime, **products_after: float) -> None:
        """Add a real detail, moved in time to `origin`; `products_after` moves a product type to
        hours after it.
        """
        detail = copy.deepcopy(detail)
        properties = detail["properties"]
        shift = int(origin.timestamp() * 1000) - properties["time"]
        properties["time"] += shift
        for kind, versions in properties["products"].items():
            for version in versions:
                after = products_after.get(kind.replace("-", "_"))
                version["updateTime"] = (
                    properties["time"] + int(after * 3.6e6)
                    if after is not None
                    else version["updateTime"] + shift
                )
        self.details[detail["id"]] = detail

    def live(self, name: str) -> dict[str, Any] | None:
        """Return an event's detail as it stands now, or None where it has not happened or was
        deleted.
        """
        name = next((old for old, (_, new) in self.renamed.items() if new == name), name)
        full = self.details.get(name)
        moment = int(self.now.timestamp() * 1000)
        if full is None or full["properties"]["time"] > moment or self.is_deleted(name):
            return None
        detail = copy.deepcopy(full)
        properties = detail["properties"]
        updated = properties["time"] + 600_000
        for since, which, edit in self.edits:
            if which == name and since <= self.now:
                edit(detail)
                updated = max(updated, int(since.timestamp() * 1000))
        kept = {}
        for kind, versions in properties["products"].items():
            if kept_now := [version for version in versions if version["updateTime"] <= moment]:
                kept[kind] = kept_now
        for version in kept.get("shakemap", []):
            updated = max(updated, version["updateTime"])
            strongest = version["properties"].get("maxmmi", "0")
            version["contents"]["download/grid.xml"] = {
                "url": f"{self.url}/product/shakemap/{name}/{version['source']}"
                f"/{version['updateTime']}/{strongest}/grid.xml"
            }
        properties |= {"products": kept, "updated": updated}
        if name in self.renamed and self.renamed[name][0] <= self.now:
            detail["id"] = self.renamed[name][1]
            properties["updated"] = max(updated, int(self.renamed[name][0].timestamp() * 1000))
        return detail

    def is_deleted(self, name: str) -> bool:
        """Return whether an event is deleted by now."""
        return name in self.deleted and self.deleted[name] <= self.now

    def feed(self) -> dict[str, Any]:
        """Return the summary feed of now: deleted events have vanished from it."""
        found = []
        for name in self.details:
            if detail := self.live(name):
                properties = {k: v for k, v in detail["properties"].items() if k != "products"}
                properties["detail"] = (
                    f"https://elsewhere.example/{name}"  # links in a feed are not followed
                )
                found.append({**detail, "properties": properties})
        return {"type": "FeatureCollection", "features": [*found, *self.summaries, *found[:1]]}

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return (status, body) of a path."""
        self.asked.append(path)
        fault = self.fault(path)
        if fault == "503":
            return 503, b"busy"
        if fault == "timeout":
            time.sleep(1.5)
        status, body = self._answer(path)
        if fault == "malformed":
            body = b"<html>oops</html>"
        if fault == "truncated":
            body = body[: len(body) // 2]
        return status, body

    def _answer(self, path: str) -> tuple[int, bytes]:
        if path.startswith(("/feed", "/query?format")):
            return 200, json.dumps(self.feed()).encode()
        if path.startswith("/detail/"):
            name = path.rsplit("/", 1)[1]
            if self.is_deleted(name):
                return 409, b"deleted"
            detail = self.live(name)
            return (200, json.dumps(detail).encode()) if detail else (404, b"no such event")
        if path.startswith("/product/shakemap/"):
            _, _, _, name, _, _, strongest, _ = path.split("/")
            return 200, self.grid(name, float(strongest)).encode()
        return 404, b""

    def grid(self, name: str, strongest: float) -> str:
        """Return a round ShakeMap around an event as grid.xml."""
        place = (self.live(name) or self.details[name])["geometry"]["coordinates"]
        lon, lat = place[0] + np.linspace(-1.5, 1.5, 61), place[1] + np.linspace(1.2, -1.2, 49)
        x, y = np.meshgrid(
            (lon - place[0]) * np.cos(np.radians(place[1])) * 111.2, (lat - place[1]) * 111.2
        )
        intensity = strongest - np.hypot(x, y) / KM_PER_MMI
        vs30 = np.full(intensity.shape, self.vs30.get(name, 700.0))
        grid = np.stack([*np.meshgrid(lon, lat), intensity, vs30], axis=-1).reshape(-1, 4)
        rows = "\n".join(f"{a:.4f} {b:.4f} {c:.3f} {d:.1f}" for a, b, c, d in grid)
        fields = "".join(
            f'<grid_field index="{i}" name="{field}" units="{unit}" />'
            for i, (field, unit) in enumerate(
                (("LON", "dd"), ("LAT", "dd"), ("MMI", "intensity"), ("SVEL", "ms")), 1
            )
        )
        return (
            f'<?xml version="1.0"?><shakemap_grid event_id="{name}">'
            f'<grid_specification nlat="{len(lat)}" nlon="{len(lon)}" '
            f"/>{fields}<grid_data>{rows}</grid_data></shakemap_grid>"
        )


@contextmanager
def serving(usgs: Usgs, certificate: tuple[Path, Path]) -> Iterator[Usgs]:
    """Serve it over https on a random loopback port while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = usgs.answer(self.path)
            with suppress(OSError):  # whoever asked may have given up
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            usgs.asked.append(f"POST {self.path} {body.decode()}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    usgs.url = f"https://{HOST}:{server.server_address[1]}"
    try:
        yield usgs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
