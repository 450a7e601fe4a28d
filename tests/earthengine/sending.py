"""How an answer goes out: at a connection's pace, and damaged where a fault was injected."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import numpy as np
from serving import break_off

if TYPE_CHECKING:
    from earthengine.loopback import Fault

PIECE_BYTES = 1 << 19


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    data: bytes,
    kind: str,
    headers: dict[str, str],
    fault: Fault | None,
    bytes_per_s: float,
    leave: Callable[[], None],
) -> None:
    """Send an answer at a connection's pace, damaged as the fault says; `leave` is called before
    its last bytes.
    """
    damage: Callable[[bytes], bytes] | None = (
        _DAMAGES.get(fault.kind) if fault and status == 200 else None
    )
    if damage:
        data = damage(data)
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if fault and fault.kind in ("truncate", "stall", "reset"):
        break_off(handler, data, fault)
        return
    began, whole = time.monotonic(), memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        piece = whole[start : start + PIECE_BYTES]
        if bytes_per_s:  # a piece goes out when its last byte is due
            time.sleep(max(0.0, began + (start + len(piece)) / bytes_per_s - time.monotonic()))
        if start + PIECE_BYTES >= len(whole):
            leave()
        handler.wfile.write(piece)


def _zeros(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


def _reorder(data: bytes) -> bytes:
    table = np.load(io.BytesIO(data), allow_pickle=False)
    turned = np.empty(
        table.shape, [(name, table.dtype[name]) for name in reversed(table.dtype.names)]
    )
    for name in table.dtype.names:
        turned[name] = table[name]
    file = io.BytesIO()
    np.save(file, turned)
    return file.getvalue()


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda data: data[: len(data) // 2],
    "zeros": _zeros,
    "reorder": _reorder,
}
