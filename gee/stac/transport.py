"""Parts of files over HTTP: counted, limited in time, tried again where that helps, and never
mixed from two versions of a file.

Not GDAL's own network reader: it tells a refused signature, a busy host and a missing file apart
only in words, remembers failures, and counts nothing.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from configs.errors import SourceError, from_os_error
from configs.stac import StacConfig
from gee.fetch import retry_after_s
from gee.usage import Account

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
UNSAID_WAIT_S: Final = 2.0
"""Pause after a refusal (429) that names no Retry-After; doubled by every further one in a row."""
_REDIRECTS: Final = 3
_LEAVE_OUT: Final = "Leave the scene out (its id into `source.stac.leave_out`), or try again later."
_OTHER: Final = "Use another catalogue, or copy the files and make an archive of them."
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class FileTroubleError(SourceError):
    """One file cannot be had: it is not there, access to it is refused, or it is damaged."""


class ChangedError(SourceError):
    """A file was replaced while it was read."""


class _Trouble(Exception):
    """An answer that is no answer: what helps against it, and the error where nothing does."""

    def __init__(self, cure: Cure, error: SourceError, wait_s: float = 0.0) -> None:
        super().__init__(error.message)
        self.cure, self.error, self.wait_s = cure, error, wait_s


class Cure(Enum):
    """What helps against an answer that is no answer."""

    AGAIN = "ask again after a pause"
    WAIT = "ask again when the host allows it"
    SIGN = "ask with a new signature"
    STOP = "nothing"


CURES: Final[Mapping[int, Cure]] = {
    401: Cure.SIGN,
    403: Cure.SIGN,
    408: Cure.AGAIN,
    429: Cure.WAIT,
    500: Cure.AGAIN,
    502: Cure.AGAIN,
    503: Cure.WAIT,
    504: Cure.AGAIN,
}
"""HTTP status -> cure; any other refusal stops (RFC 9110 §15, RFC 6585 §4). 503 is what object
stores answer when they are asked too fast (Amazon S3: Slow Down; Azure: Server Busy)."""


@dataclass
class Remote:
    """Where a file's bytes are, and which version of it is being read."""

    what: str
    """For messages: which scene and band."""
    address: Callable[[bool], str]
    """Gives the address to ask, or a path; True asks for a new signature."""
    length: int | None = None
    """Bytes of the whole file, once known."""
    tag: str = ""
    """The version that the server named first (ETag, else Last-Modified)."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Transport:
    """Requests of one source: one pool of connections, one account, one stop."""

    def __init__(self, config: StacConfig, account: Account) -> None:
        self._config = config
        self.account = account
        self._slots = threading.BoundedSemaphore(config.requests)
        self._stop = threading.Event()
        self._error: SourceError | None = None
        self._not_before: dict[str, float] = {}
        self._row: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    @property
    def attempts(self) -> int:
        """Return how often a part that arrives damaged is asked for."""
        return self._config.attempts

    def part(self, remote: Remote, start: int, stop: int) -> bytes:
        """Return bytes `start` to `stop` (not included) of a file, fewer at its end.

        Raises:
            FileTroubleError: this file cannot be had.
            ChangedError: it is another file than the one that was read first.
            SourceError: the host cannot be had; every later call gets the same error at once.
        """
        where = remote.address(False)
        if not where.startswith(("https://", "http://")):
            return self._local(remote, Path(where), start, stop)
        tried, signed, patience_s = 0, False, self._config.patience_s
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._asked(remote, where, start, stop)
            except _Trouble as trouble:
                problem, wait_s = trouble.error, trouble.wait_s
                cure = trouble.cure
            if cure is Cure.SIGN and not signed:
                signed, before, where = True, where, remote.address(True)
                if where != before:
                    self.account.add("signed_again")
                    continue
            if cure in (Cure.SIGN, Cure.STOP):
                raise problem
            if cure is Cure.WAIT:
                patience_s -= wait_s
                if patience_s < 0:
                    raise self._halt(_too_long(where, wait_s))
                self.account.add("rate_limited")
                self._pause(where, wait_s)
                continue
            tried += 1
            if tried >= self._config.attempts:
                raise self._halt(problem)
            self.account.add("tried_again")
            logger.info("%s; trying again", problem.message)
            pause_s = min(_LONGEST_PAUSE_S, PAUSE_S * 2 ** (tried - 1)) * random.uniform(0.5, 1)
            self._stop.wait(pause_s)

    def _local(self, remote: Remote, path: Path, start: int, stop: int) -> bytes:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                remote.length = size
                file.seek(start)
                data = file.read(max(0, min(stop, size) - start))
        except FileNotFoundError:
            raise FileTroubleError(
                f"{remote.what}: there is no file {path}", "Correct the catalogue or copy the file."
            ) from None
        except OSError as error:
            raise from_os_error(error) from error
        self.account.add("bytes", len(data))
        return data

    def _asked(self, remote: Remote, where: str, start: int, stop: int) -> bytes:
        host = urlsplit(where).hostname or where
        try:
            with self._slots:
                self._wait_for(host)
                return self._answer(remote, where, start, stop)
        except httpx.TransportError as error:
            raise _Trouble(Cure.AGAIN, _unreachable(remote, host, error)) from error
        except (httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise FileTroubleError(
                f"{remote.what}: its address leads nowhere ({error})", _LEAVE_OUT
            ) from error

    def _answer(self, remote: Remote, where: str, start: int, stop: int) -> bytes:
        """Return what one request gives.

        Raises:
            _Trouble: an answer that is no answer, with what helps.
        """
        self.account.add("requests")
        deadline = time.monotonic() + self._config.deadline_s
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        host = urlsplit(check_address(where, remote.what)).hostname or where
        data = bytearray()
        with self._connections().stream("GET", where, headers=headers) as answer:
            check_address(str(answer.url), remote.what)
            if answer.status_code != 206:
                raise self._refusal(remote, host, answer)
            length, first = _content_range(answer, remote)
            self._same_version(remote, answer, length)
            for piece in answer.iter_raw():
                data += piece
                if time.monotonic() > deadline:
                    raise _Trouble(Cure.AGAIN, _late(remote, self._config.deadline_s))
        self.account.add("bytes", len(data))
        wanted = min(stop, length) - start
        if first != start or len(data) != wanted:
            raise _Trouble(Cure.AGAIN, _short(remote, host, len(data), wanted))
        with self._lock:
            self._row[host] = 0
        return bytes(data)

    def _refusal(self, remote: Remote, host: str, answer: httpx.Response) -> _Trouble:
        """Return what an answer other than 206 amounts to."""
        status = answer.status_code
        cure = CURES.get(status, Cure.STOP)
        said = retry_after_s(answer.headers.get("retry-after"))
        if cure is Cure.AGAIN or (status == 503 and said is None):
            return _Trouble(Cure.AGAIN, _failing(remote, host, status))
        if cure is Cure.WAIT:
            with self._lock:
                self._row[host] += 1
                unsaid = UNSAID_WAIT_S * 2 ** min(self._row[host] - 1, 5)
            return _Trouble(cure, _failing(remote, host, status), unsaid if said is None else said)
        if cure is Cure.SIGN:
            return _Trouble(cure, _forbidden(remote, host, status))
        if status == 416 and remote.length is not None:
            return _Trouble(cure, _changed(remote))
        return _Trouble(
            cure, _whole_only(remote, host) if status == 200 else _absent(remote, host, status)
        )

    def _same_version(self, remote: Remote, answer: httpx.Response, length: int) -> None:
        tag = answer.headers.get("etag") or answer.headers.get("last-modified") or ""
        with remote.lock:
            if remote.length is None:
                remote.length, remote.tag = length, tag
            elif remote.length != length or (tag and remote.tag and tag != remote.tag):
                raise _changed(remote)

    def _connections(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                limits = httpx.Limits(
                    max_connections=self._config.requests,
                    max_keepalive_connections=self._config.requests,
                )
                self._client = httpx.Client(
                    timeout=httpx.Timeout(self._config.silence_s, connect=10, pool=None),
                    limits=limits,
                    follow_redirects=True,
                    max_redirects=_REDIRECTS,
                )
                weakref.finalize(self, self._client.close)
            return self._client

    def _wait_for(self, host: str) -> None:
        while (left := self._not_before.get(host, 0.0) - time.monotonic()) > 0:
            if self._stop.wait(min(left, 1.0)):
                return

    def _pause(self, where: str, seconds: float) -> None:
        host = urlsplit(where).hostname or where
        with self._lock:
            until = time.monotonic() + seconds
            self._not_before[host] = max(self._not_before.get(host, 0.0), until)

    def _halt(self, error: SourceError) -> SourceError:
        """Return the error that stops this source in every thread: the first one."""
        with self._lock:
            self._error = self._error or error
        self._stop.set()
        return self._error


def check_address(address: str, what: str) -> str:
    """Return an address that may be asked: https, or this machine.

    Raises:
        FileTroubleError: it is neither.
    """
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not local and (parts.scheme != "https" or not parts.hostname):
        raise FileTroubleError(
            f"{what}: its address is not https ({parts.scheme or 'a bare name'})",
            "Use a catalogue whose files are at https addresses.",
        )
    return address


def _content_range(answer: httpx.Response, remote: Remote) -> tuple[int, int]:
    """Return (bytes of the whole file, first byte of this part)."""
    span, _, whole = answer.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    try:
        return int(whole), int(span.partition("-")[0])
    except ValueError:
        raise FileTroubleError(
            f"{remote.what}: the server does not say which part of the file it sends", _OTHER
        ) from None


def _unreachable(remote: Remote, host: str, error: Exception) -> SourceError:
    return SourceError(
        f"{host} cannot be reached: {type(error).__name__} while reading {remote.what}",
        "Check the network and give the same command again: it goes on.",
    )


def _short(remote: Remote, host: str, found: int, wanted: int) -> SourceError:
    return SourceError(
        f"{remote.what}: {host} sends {found} bytes where {wanted} were asked for",
        "Give the same command again later: it goes on.",
    )


def _too_long(where: str, wait_s: float) -> SourceError:
    return SourceError(
        f"{urlsplit(where).hostname} refuses for its rate limit and asks to wait {wait_s:g} s",
        "Give the same command again then: it goes on; or raise `source.stac.patience_s`.",
    )


def _failing(remote: Remote, host: str, status: int) -> SourceError:
    return SourceError(
        f"{host} keeps failing (HTTP {status}) while reading {remote.what}",
        "Give the same command again later: it goes on.",
    )


def _late(remote: Remote, deadline_s: float) -> SourceError:
    return SourceError(
        f"{remote.what}: a part of the file takes longer than {deadline_s:g} s",
        "Check the network, or raise `source.stac.deadline_s`; the same command goes on.",
    )


def _changed(remote: Remote) -> ChangedError:
    return ChangedError(
        f"{remote.what}: the file was replaced while it was read",
        "Give the same command again: it looks at the catalogue anew.",
    )


def _forbidden(remote: Remote, host: str, status: int) -> FileTroubleError:
    return FileTroubleError(
        f"{remote.what}: {host} refuses access to the file (HTTP {status})",
        "Use a catalogue with public files (--source stac:earth-search), or leave the scene out "
        "(its id into `source.stac.leave_out`).",
    )


def _absent(remote: Remote, host: str, status: int) -> FileTroubleError:
    return FileTroubleError(
        f"{remote.what}: {host} does not have the file that the catalogue names (HTTP {status})",
        _LEAVE_OUT,
    )


def _whole_only(remote: Remote, host: str) -> FileTroubleError:
    return FileTroubleError(
        f"{remote.what}: {host} sends whole files only, not parts of them",
        "Use a server that answers range requests, or give the catalogue as a folder.",
    )
