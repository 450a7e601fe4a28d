"""What is missing between this machine and a catalogue, found out step by step."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from shapely import box

from configs.errors import CoslideError, SourceError
from configs.records import Finding
from configs.stac import StacConfig
from gee.stac.catalogue import Catalogue, absent, collection_missing
from gee.stac.signing import PLANETARY_COMPUTER
from gee.usage import Account

_REACH_S = 5.0


def examine(config: StacConfig, *, needed: bool = False) -> Iterator[Finding]:
    """Yield what was found from the client to the collections; it stops at the first step that the
    later ones need.

    Args:
        config: which catalogue.
        needed: whether the catalogue is wanted: what cannot be had is then missing, else a note.
    """
    steps: tuple[tuple[str, Callable[[StacConfig], str]], ...] = (
        ("client", _client),
        ("network", _network),
        *((("collections", _collections),) if needed else ()),
    )
    for name, step in steps:
        what = f"catalogue {config.catalogue} {name}"
        try:
            yield Finding(what, "ok", step(config))
        except CoslideError as error:
            yield Finding(what, "missing" if needed else "warn", error.message, error.remedy)
            return


def _client(config: StacConfig) -> str:
    signs = urlsplit(config.address).hostname == PLANETARY_COMPUTER
    if signs and importlib.util.find_spec("planetary_computer") is None:
        raise SourceError(
            "the package that signs the Planetary Computer's files is not installed",
            "pip install 'coslide[planetary-computer]'",
        )
    return f"pystac-client {version('pystac-client')}"


def _network(config: StacConfig) -> str:
    if config.is_local:
        if not Path(config.address).exists():
            raise absent(config.address)
        return f"{config.address} is on this machine"
    parts = urlsplit(config.address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    start = time.monotonic()
    try:
        with socket.create_connection((str(parts.hostname), port), _REACH_S):
            return f"{parts.hostname} answers in {1000 * (time.monotonic() - start):.0f} ms"
    except OSError as error:
        raise SourceError(
            f"{parts.hostname} cannot be reached: {error.strerror or error}",
            f"Let this machine connect to https://{parts.hostname}, or set HTTPS_PROXY.",
        ) from None


def _collections(config: StacConfig) -> str:
    catalogue = Catalogue(config, Account())
    wanted = [config.collection, *([config.elevation] if config.elevation else [])]
    lacking = [
        word
        for name in wanted
        if (word := collection_missing(catalogue, name))
        # A static catalogue's items may belong to no collection; then they count for all.
        and not (config.is_local and catalogue.search(name, box(-180, -90, 180, 90), None))
    ]
    if lacking:
        raise SourceError(
            lacking[0], "Name the catalogue's own: `source.stac.collection`, `.elevation`."
        )
    return f"{', '.join(wanted)} can be searched"
