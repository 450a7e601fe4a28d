"""HTTP for the Earth Engine client: bounded in time and wide enough for all workers.

The client's own transport waits for ever by default and keeps ten connections; it takes another
through ``ee.Initialize(http_transport=…)``. This one ends a request after a deadline, body
included, and after a silence.
"""

from __future__ import annotations

import time
from typing import Any, Final

import httplib2
import requests
import urllib3
from requests.adapters import HTTPAdapter

_CONNECT_S: Final = 10.0
"""Longest wait for a connection; a network that drops packets is told apart from a slow answer."""
PIECE_BYTES: Final = 1 << 18
REPORTS: Final = "x-earth-engine-"
"""Headers in which the service reports on itself, such as ``x-earth-engine-quota-status``."""


class Transport:
    """An `httplib2.Http` in the few ways that googleapiclient and google-auth use one."""

    def __init__(
        self,
        connections: int,
        deadline_s: float,
        silence_s: float,
        reported: dict[str, str] | None = None,
    ) -> None:
        self._reported = {} if reported is None else reported
        self._deadline_s = deadline_s
        self._silence_s = min(silence_s, deadline_s)
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: dict[str, str] | None = None,
        redirections: int | None = None,
        connection_type: type[Any] | None = None,
    ) -> tuple[httplib2.Response, bytes | bytearray]:
        """Return (response, content) as httplib2 does.

        Raises:
            ConnectionError: refused, reset, or a body shorter than announced.
            TimeoutError: no connection, a silence or a whole request longer than allowed.
        """
        del redirections, connection_type
        end = time.monotonic() + self._deadline_s
        try:
            with self._session.request(
                method,
                uri,
                data=body,
                headers=headers,
                timeout=(_CONNECT_S, self._deadline_s),
                stream=True,
            ) as response:
                content = self._read(response, end)
        except requests.exceptions.Timeout as error:
            raise TimeoutError(f"no answer from {_host(uri)} in time") from error
        except requests.exceptions.RequestException as error:
            # A time-out in the middle of a body surfaces as a ConnectionError of requests.
            if "timed out" in str(error).lower():
                raise TimeoutError(f"{_host(uri)} fell silent in mid-answer") from error
            raise ConnectionError(
                f"connection to {_host(uri)} failed ({type(error).__name__})"
            ) from error
        for name, value in response.headers.items():
            if name.lower().startswith(REPORTS):
                self._reported[name.lower()] = value
        return httplib2.Response({**response.headers, "status": response.status_code}), content

    def _read(self, response: requests.Response, end: float) -> bytes | bytearray:
        # The first byte may take as long as the computation does; between pieces of a body nothing
        # is computed.
        if sock := getattr(response.raw.connection, "sock", None):
            sock.settimeout(self._silence_s)
        size = int(response.headers.get("Content-Length") or 0)
        if size > PIECE_BYTES and not response.headers.get("Content-Encoding"):
            return self._read_into(response, bytearray(size), end)
        pieces = []
        for piece in response.iter_content(PIECE_BYTES):
            pieces.append(piece)
            self._check(end)
        return b"".join(pieces)

    def _read_into(self, response: requests.Response, content: bytearray, end: float) -> bytearray:
        """Return a long body of known size, read to where it stays: forty of them in flight should
        be in memory once.
        """
        view, done = memoryview(content), 0
        try:
            while done < len(content) and (
                count := response.raw.readinto(view[done : done + PIECE_BYTES])
            ):
                done += count
                self._check(end)
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ConnectionError(error) from error
        if done < len(content):
            raise requests.exceptions.ConnectionError(f"{done} bytes of {len(content)}")
        return content

    def _check(self, end: float) -> None:
        if time.monotonic() > end:
            raise TimeoutError(f"the answer took longer than {self._deadline_s:g} s")

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _host(uri: str) -> str:
    return uri.split("//")[-1].split("/")[0]
