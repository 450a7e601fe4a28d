"""The files behind items: opened once, by many threads, each with an address that is renewed when
its signature expires.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pystac
from odc.geo.geobox import GeoBox

from configs.errors import SourceError
from configs.records import Scene
from configs.stac import StacConfig
from gee.ranking import Found
from gee.stac import items, signing
from gee.stac.bands import CogRaster, open_band
from gee.stac.catalogue import Catalogue
from gee.stac.cog import Cog, Pieces
from gee.stac.encoding import SCALE
from gee.stac.transport import FileTroubleError, Remote, Transport

SATURATED: Final = 65535.0
LOWEST: Final = SCALE
"""Reflectance of a known pixel at least: 0 means that nothing is known (`configs.bands`)."""


class Files:
    """Every file that a source has opened, and the items they belong to."""

    def __init__(
        self,
        config: StacConfig,
        catalogue: Catalogue,
        transport: Transport,
        sign: signing.Signer | None = None,
    ) -> None:
        self._config, self._catalogue, self._transport = config, catalogue, transport
        self._sign = sign or signing.signer_for(config.address)
        self._items: dict[str, pystac.Item] = {}
        self._cogs: dict[tuple[str, str], Cog] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()
        self._pieces = Pieces()

    def know(self, item: pystac.Item) -> None:
        """Remember an item, so that it need not be asked for again."""
        with self._lock:
            self._items[item.id] = item

    def item(self, name: str, address: str) -> pystac.Item:
        """Return an item by its id, asked for at its own address where nobody knows it yet."""
        with self._lock:
            known = self._items.get(name)
        if known is not None:
            return known
        if not address:
            raise SourceError(
                f"{name} is not in the catalogue any more",
                "Give the same command again: it looks at the catalogue anew.",
            )
        self.know(found := self._catalogue.item(address))
        return found

    def band(self, scene: Scene, facts: Mapping[str, Any], name: str) -> CogRaster:
        """Return a band of a scene in reflectance, NaN where nothing is known.

        Args:
            scene: the scene.
            facts: what the plan says of it: its item's address, scale and offset.
            name: a Sentinel-2 band.
        """
        cog = self._cog(scene.id, facts["item"], name)
        raster = open_band(cog, facts["scale"], facts["offset"], 0.0, LOWEST)
        return raster.without(SATURATED)

    def numbers(self, scene: Scene, facts: Mapping[str, Any], name: str) -> CogRaster:
        """Return a band of a scene, or its classification, in the file's own numbers."""
        return open_band(self._cog(scene.id, facts["item"], name), 1.0, 0.0, 0.0)

    def in_transit(self, found: Found, band: str, grid: GeoBox) -> tuple[int, int] | None:
        """Return (requests, bytes) that a band of a scene takes under a grid; None where its file
        has not been opened.
        """
        with self._lock:
            cog = self._cogs.get((found.scene.id, band))
        return cog.in_transit(grid) if cog else None

    def heights(self, name: str, address: str) -> CogRaster:
        """Return a tile of elevation, metres."""
        cog = self._cog(name, address, "")
        return open_band(cog, 1.0, 0.0, None)

    def cog_of_heights(self, name: str, address: str) -> Cog:
        """Return the file of a tile of elevation."""
        return self._cog(name, address, "")

    def _cog(self, name: str, address: str, band: str) -> Cog:
        key = (name, band)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._cogs:
                what = f"scene {name}, {band}" if band else f"elevation {name}"

                def href() -> str:
                    return self._href(self.item(name, address), band, what)

                def reread() -> str:
                    return self._href(self._catalogue.item(address), band, what)

                signed = signing.Signed(href(), self._sign, reread if address else href)
                self._cogs[key] = Cog(self._transport, Remote(what, signed), self._pieces)
            return self._cogs[key]

    def _href(self, item: pystac.Item, band: str, what: str) -> str:
        asset = items.asset_of(item, band) if band else items.heights_of(item)
        if asset is None:
            raise FileTroubleError(
                f"{what}: the item names no GeoTIFF for it",
                f"Leave the item out: `source.stac.leave_out: [{item.id}]` in the run file.",
            )
        href = asset.get_absolute_href() or asset.href
        if urlsplit(href).scheme in ("http", "https", "s3"):
            return href
        return str(self._local(href, what))

    def _local(self, href: str, what: str) -> Path:
        """Return a file of a catalogue on this machine; names do not lead out of its folder."""
        place = Path(self._config.address)
        folder = place if place.is_dir() else place.parent
        path = Path(href.removeprefix("file://")).resolve()
        if not self._config.is_local or not path.is_relative_to(folder.resolve()):
            raise FileTroubleError(
                f"{what}: `{href}` leads out of the catalogue {self._config.address}",
                "Use a catalogue whose files lie inside its folder, or at https addresses.",
            )
        return path
