"""The server: discovery, algorithms, token, value:compute, computePixels, assets, with the
service's limits and with faults.

What it proves: client, transport, credentials, grids, names, limits, retries. What it does not:
Earth Engine's own numerics.
"""

from __future__ import annotations

import base64
import json
import time
import traceback
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlparse

import serving
from serving import Serving

from earthengine.sending import send

CLIENT_TESTS = files("ee") / "tests"
JSON = "application/json; charset=UTF-8"
REASONS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


@dataclass
class Fault(serving.Fault):
    """Of kind status, silent, reset, stall, truncate, short, zeros or reorder."""

    match: str = "image:computePixels"
    message: str = "injected"


@dataclass(frozen=True)
class Entry:
    """One request, as it was answered."""

    path: str
    status: int
    sent: int
    start: float
    end: float
    tag: str = ""
    """The workload tag it carried."""


class Engine:
    """What answers the expressions: `evaluator.Evaluator`, or a renderer for benchmarks."""

    def value(self, expression: dict[str, Any]) -> Any:
        """Return the JSON of a computed value."""
        raise NotImplementedError

    def pixels(self, request: dict[str, Any]) -> bytes:
        """Return an NPY payload."""
        raise NotImplementedError

    def asset(self, name: str) -> dict[str, Any]:
        """Return an asset's record."""
        raise NotImplementedError

    def download(self, request: dict[str, Any]) -> bytes:
        """Return the GeoTIFF of a download link."""
        raise NotImplementedError


class Loopback(Serving):
    """A loopback Earth Engine. Use as a context manager."""

    def __init__(
        self,
        engine: Engine,
        *,
        project: str = "ee-test",
        concurrent: int = 40,
        per_second: int = 100,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.project = project
        self.concurrent, self.per_second = concurrent, per_second
        self.token_lifetime_s = 3600
        self.require_token = False
        self.latency_s = 0.0
        self.bytes_per_s = 0.0
        """Pace of one connection; 0 is unbounded."""
        self.reports: dict[str, str] = {}
        """Headers of every good reply."""
        self.free_links = False
        """Whether a download link is made without waiting: what it costs the real service is not
        published.
        """
        self.maps: list[dict[str, Any]] = []
        """What was asked to be shown as map tiles."""
        self._tokens: set[str] = set()
        self._links: dict[str, dict[str, Any]] = {}
        self._starts: list[float] = []

    def reset(self) -> None:
        """Forget faults, entries and limits of an earlier test."""
        self.faults, self.entries, self.peak, self.reports = [], [], 0, {}
        self.concurrent, self.per_second, self.latency_s, self.require_token = 40, 100, 0.0, False

    def revoke_tokens(self) -> None:
        """Make every token issued so far invalid."""
        self._tokens.clear()

    def requests(self, what: str = "image:computePixels") -> list[Entry]:
        """Return the answered requests whose path holds `what`."""
        return super().requests(what)

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request, faults and limits included."""
        if self.stopped:
            handler.close_connection = True
            return
        start, path, there = time.monotonic(), urlparse(handler.path).path, [True]
        counted = ":" in path or path.endswith("/thumbnails")

        def leave() -> None:  # before the client has the last byte, and can begin another
            with self._lock:
                self._active -= counted and there[0]
                there[0] = False

        with self._lock:
            fault = self._next_fault(path)
            self._active += counted
            self.peak = max(self.peak, self._active)
            crowded = counted and (self._active > self.concurrent or self._too_fast(start))
        try:
            status, data, kind, headers = self._answered(handler, path, body, fault, crowded)
            with self._lock:  # before the client can see the answer and ask what was asked
                end, tag = time.monotonic(), _workload_tag(path, body)
                self.entries.append(Entry(path, status, len(data), start, end, tag))
            send(
                handler,
                status,
                data,
                kind,
                headers,
                fault,
                self.bytes_per_s if counted else 0.0,
                leave,
            )
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
        finally:
            leave()

    def _answered(
        self,
        handler: BaseHTTPRequestHandler,
        path: str,
        body: bytes,
        fault: Fault | None,
        crowded: bool,
    ) -> tuple[int, bytes, str, dict[str, str]]:
        try:
            if fault and fault.kind == "silent":
                time.sleep(fault.seconds)
            if fault and fault.kind == "status":
                raise Refused(fault.status, fault.message, fault.headers)
            if crowded:
                raise Refused(429, "Too many concurrent aggregations.", {"Retry-After": "1"})
            self._check_token(handler, path)
            begun = time.monotonic()
            data, kind = self._route(handler, path, body)
            if ":" in path or (path.endswith("/thumbnails") and not self.free_links):
                time.sleep(max(0.0, self.latency_s - (time.monotonic() - begun)))
            return 200, data, kind, self.reports
        except Refused as refused:
            reason = REASONS.get(refused.status, "UNKNOWN")
            error = {
                "error": {"code": refused.status, "message": refused.message, "status": reason}
            }
            return refused.status, json.dumps(error).encode(), JSON, refused.headers
        except Exception as error:  # a gap of the emulator must be loud
            traceback.print_exc()
            message = {
                "error": {"code": 400, "message": f"emulator: {type(error).__name__}: {error}"}
            }
            return 400, json.dumps(message).encode(), JSON, {}

    def _too_fast(self, now: float) -> bool:
        self._starts = [start for start in self._starts if start > now - 1] + [now]
        return len(self._starts) > self.per_second

    def _check_token(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        if not self.require_token or path == "/token" or "discovery" in path:
            return
        token = (handler.headers.get("authorization") or "").removeprefix("Bearer ")
        if token not in self._tokens:
            raise Refused(401, "Request had invalid authentication credentials.")

    def _route(self, handler: BaseHTTPRequestHandler, path: str, body: bytes) -> tuple[bytes, str]:
        if path == "/token":
            return self._token(body), JSON
        if path == "/$discovery/rest":
            return _discovery(self.url), JSON
        project = path.removeprefix("/v1/projects/").split("/")[0]
        if path.startswith("/v1/projects/") and project not in (self.project, "earthengine-public"):
            raise Refused(
                403, f"Caller does not have required permission to use project {project}."
            )
        if path.endswith("/algorithms"):
            return (CLIENT_TESTS / "algorithms.json").read_bytes(), JSON
        if path.endswith("/value:compute"):
            return json.dumps(
                {"result": self.engine.value(json.loads(body)["expression"])}
            ).encode(), JSON
        if path.endswith("/image:computePixels"):
            return self.engine.pixels(json.loads(body)), "application/octet-stream"
        if path.endswith("/thumbnails"):
            name = f"{path.removeprefix('/v1/')}/{uuid.uuid4().hex}"
            self._links[name] = json.loads(body)
            return json.dumps({"name": name}).encode(), JSON
        if path.endswith(":getPixels"):
            return self.engine.download(
                self._links[path.removeprefix("/v1/").removesuffix(":getPixels")]
            ), "image/tiff"
        if path.endswith("/maps"):
            self.maps.append(json.loads(body))
            return json.dumps(
                {"name": f"{path.removeprefix('/v1/')}/{uuid.uuid4().hex}"}
            ).encode(), JSON
        if "/assets/" in path and handler.command == "GET":
            return json.dumps(self.engine.asset(path.split("/assets/")[1])).encode(), JSON
        raise Refused(404, f"no route {path}")

    def _token(self, body: bytes) -> bytes:
        form = parse_qs(body.decode())
        if "assertion" in form:
            claims = form["assertion"][0].split(".")[1]
            if not json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))).get(
                "scope"
            ):
                raise Refused(
                    400, "invalid_scope: Invalid OAuth scope or ID token audience provided."
                )
        token = f"ya29.{uuid.uuid4().hex}"
        self._tokens.add(token)
        return json.dumps(
            {"access_token": token, "expires_in": self.token_lifetime_s, "token_type": "Bearer"}
        ).encode()


def _workload_tag(path: str, body: bytes) -> str:
    return str(json.loads(body).get("workloadTag", "")) if ":compute" in path else ""


def _discovery(url: str) -> bytes:
    text = (CLIENT_TESTS / "cloud_api_discovery_document.json").read_text(encoding="utf-8")
    document = json.loads(
        text.replace("v1alpha", "v1")
    )  # the client's copy is of the older version
    document["rootUrl"] = document["baseUrl"] = f"{url}/"
    return json.dumps(document).encode()
