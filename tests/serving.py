"""A server of this machine that goes wrong as a test says: what the loopback Earth Engine and the
loopback catalogue have in common.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Fault:
    """Something that goes wrong with the next `times` requests whose path holds `match`."""

    kind: str = "status"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    times: int = 1
    match: str = ""
    after: int = 0
    """How many matching requests go well first."""


class Serving:
    """A server. Use as a context manager."""

    def __init__(self) -> None:
        self.faults: list[Any] = []
        self.entries: list[Any] = []
        """Requests as they were answered."""
        self.peak = 0
        self.stopped = False
        self._active = 0
        self._lock = threading.Lock()
        self._server = _server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Any:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True  # connections that are kept alive are not answered either
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request, faults included."""
        raise NotImplementedError

    def requests(self, what: str) -> list[Any]:
        """Return the answered requests whose path holds `what`."""
        return [entry for entry in self.entries if what in entry.path]

    def _next_fault(self, path: str) -> Any:
        for fault in self.faults:
            if fault.times > 0 and fault.match in path:
                if fault.after > 0:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None


def break_off(handler: BaseHTTPRequestHandler, data: bytes, fault: Fault) -> None:
    """Send half of an answer, then wait, reset the connection, or merely end."""
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    if fault.kind == "stall":
        time.sleep(fault.seconds)
    if fault.kind == "reset":  # a linger of zero sends RST
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()
    handler.close_connection = True


def _server(serving: Serving) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            serving.answer(self, b"")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            if len(body) == length:  # else the client was killed while it asked
                serving.answer(self, body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that hung up

    return Server(("127.0.0.1", 0), Handler)
