"""Small files from the network: https only, limited in size and time, never where a redirect leads
out of bounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from configs.errors import RequestError, SourceError

if TYPE_CHECKING:
    import httpx

LARGEST_BYTES: Final = 200 * 2**20
"""A global ShakeMap grid of a great earthquake has some 60 MB."""
TIMEOUT_S: Final = 60.0
"""For the whole answer."""
_REDIRECTS: Final = 3
_NOTHING: Final = (204, 404, 409, 410)
"""No content; not found; deleted (https://earthquake.usgs.gov/fdsnws/event/1/); gone."""


class NotThereError(RequestError):
    """The host answers, and has nothing at that address: HTTP 204, 404, 409 or 410 (exit 2)."""


def fetch(
    url: str, *, limit_bytes: int = LARGEST_BYTES, hosts: Collection[str] | None = None
) -> bytes:
    """Return what an address answers.

    Args:
        url: an https address.
        limit_bytes: refuse longer answers.
        hosts: where given, no other host is asked (served runs).

    Raises:
        RequestError: not https, or a host that is not allowed.
        NotThereError: nothing at that address.
        SourceError: no answer, too late, too long, or a server's error.
    """
    import httpx

    deadline = time.monotonic() + TIMEOUT_S
    try:
        with _client() as client:
            for _ in range(_REDIRECTS + 1):
                _check(url, hosts)
                with client.stream("GET", url) as answer:
                    if answer.is_redirect:
                        url = urljoin(url, answer.headers["location"])
                        continue
                    _check_status(answer, url)
                    return _body(answer, url, limit_bytes, deadline)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(
            f"no answer from {url}: {type(error).__name__} {error}",
            "Check the network and try again, or give the file itself.",
        ) from error
    raise SourceError(f"{url}: too many redirects", "Give the file itself.")


def retry_after_s(header: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a Retry-After header asks for, in either form of RFC 9110 §10.2.3;
    None where unreadable.
    """
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now())
    except ValueError:
        return None


def _client() -> httpx.Client:
    import httpx

    return httpx.Client(timeout=httpx.Timeout(TIMEOUT_S / 2, connect=10), follow_redirects=False)


def _check(url: str, hosts: Collection[str] | None) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:  # e.g. half a bracket
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname:
        raise RequestError(f"`{url}` is no https address", "Give an https:// address or a file.")
    if hosts is not None and parts.hostname not in hosts:
        raise RequestError(
            f"{parts.hostname} is not on the list of hosts", "Ask the operator to add it."
        )


def _check_status(answer: httpx.Response, url: str) -> None:
    if answer.status_code in _NOTHING:
        raise NotThereError(
            f"nothing at {url} (HTTP {answer.status_code})", "Check the id or the address."
        )
    if answer.is_client_error and answer.status_code != 429:
        raise RequestError(
            f"{url} was refused (HTTP {answer.status_code})", "Check the id or the address."
        )
    if not answer.is_success:
        raise SourceError(
            f"{url} answered HTTP {answer.status_code}", "Try again later, or give the file itself."
        )


def _body(answer: httpx.Response, url: str, limit_bytes: int, deadline: float) -> bytes:
    parts, size = [], 0
    for (
        part
    ) in answer.iter_bytes():  # counted as decompressed: a small answer may not unfold without end
        parts.append(part)
        size += len(part)
        if size > limit_bytes:
            raise SourceError(
                f"{url} answered more than {limit_bytes / 2**20:.0f} MB", "Give the file itself."
            )
        if time.monotonic() > deadline:
            raise SourceError(
                f"{url} took longer than {TIMEOUT_S:.0f} s", "Try again, or give the file itself."
            )
    return b"".join(parts)
