"""Where the file behind an item's asset is to be asked for: public addresses as they are, signed
ones renewed when they have expired.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit

from configs.errors import SourceError

_FRESH_S: Final = 30.0
"""A signature is asked for once, though all files of a storage account are refused together."""
PLANETARY_COMPUTER: Final = "planetarycomputer.microsoft.com"


class Signer(Protocol):
    """Makes an address that may be read from the one that an item names."""

    def __call__(self, href: str, renew: bool) -> str:
        """Return the address to ask; `renew` where the last one was refused."""
        ...


def plain(href: str, renew: bool) -> str:
    """Return an address as it is; objects of public S3 buckets by https."""
    del renew
    return by_https(href)


def by_https(href: str) -> str:
    """Return the https address of an object in a public S3 bucket; any other address as it is."""
    parts = urlsplit(href)
    if parts.scheme != "s3":
        return href
    return f"https://{parts.netloc}.s3.amazonaws.com{parts.path}"


class PlanetaryComputer:
    """Signs by Microsoft's own package, which keeps a signature for as long as it lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._renewed_s = -math.inf

    def __call__(self, href: str, renew: bool) -> str:
        """Return a signed address.

        Raises:
            SourceError: the package is not installed, or the service does not sign.
        """
        try:
            from planetary_computer import sas
        except ImportError:
            raise SourceError(
                "the Planetary Computer's files need signatures, and its package is not installed",
                "pip install 'coslide[planetary-computer]', or use --source stac:earth-search.",
            ) from None
        with self._lock:
            if renew and time.monotonic() - self._renewed_s > _FRESH_S:
                sas.TOKEN_CACHE.clear()
                self._renewed_s = time.monotonic()
            try:
                return str(sas.sign_url(href))
            except Exception as error:  # requests and pydantic raise families of their own
                raise SourceError(
                    f"the Planetary Computer does not sign: {type(error).__name__}",
                    "Try again later, or use --source stac:earth-search.",
                ) from error


def signer_for(address: str) -> Signer:
    """Return how the files of a catalogue are signed."""
    return PlanetaryComputer() if urlsplit(address).hostname == PLANETARY_COMPUTER else plain


class Signed:
    """The address of one file: signed, and where the item itself carries the signature, read from
    the item anew.
    """

    def __init__(self, href: str, sign: Signer, reread: Callable[[], str]) -> None:
        self._href, self._sign, self._reread = href, sign, reread
        self._lock = threading.Lock()
        self._last: str | None = None

    def __call__(self, renew: bool) -> str:
        """Return the address to ask."""
        with self._lock:
            if self._last is None or renew:
                before = self._last
                self._last = self._sign(self._href, renew)
                if renew and self._last == before:
                    self._href = self._reread()
                    self._last = self._sign(self._href, renew)
            return self._last
