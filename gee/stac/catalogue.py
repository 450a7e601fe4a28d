"""What a catalogue holds over an area: searched through an API, or read from a static catalogue."""

from __future__ import annotations

import json
import logging
import warnings
import weakref
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pystac
import requests
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from shapely import affinity, box
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry
from urllib3 import Retry

from configs.area import Area
from configs.errors import RequestError, SourceError
from configs.event import DateRange
from configs.spelling import instead
from configs.stac import PRESETS, StacConfig
from gee.usage import Account

logger = logging.getLogger(__name__)

_SMALL_PAGES: Final = (25, 5)
"""Items a page where the usual number is more than the service can send."""
_TOO_LARGE: Final = (400, 413, 500, 502, 504)
"""What services answer to a page that is too large for them: a limit of their own, a gateway's
limit of bytes (6 MB at AWS Lambda), or time."""
_MOST_ITEMS: Final = 20_000
_NONE_OF_IT: Final = (
    *(pystac.STACError, pystac.STACTypeError, json.JSONDecodeError),
    *(KeyError, ValueError, TypeError, AttributeError, IndexError),
)
"""What reading JSON that is no catalogue ends in."""
ROOTS: Final = ("catalog.json", "collection.json")


class Catalogue:
    """One catalogue. Nothing is asked before the first search."""

    def __init__(self, config: StacConfig, account: Account) -> None:
        self._config, self._account = config, account
        self._root: Client | pystac.Catalog | None = None
        self._static: dict[str, list[pystac.Item]] = {}

    def search(
        self, collection: str, area: BaseGeometry, days: DateRange | None
    ) -> list[pystac.Item]:
        """Return the items of a collection that touch an area (WGS 84) on these days (UTC, both
        included; None: whenever), by id.

        Raises:
            SourceError: the catalogue cannot be had.
            RequestError: what is there is no catalogue.
        """
        root = self._opened()
        if isinstance(root, Client):
            found = self._asked(root, collection, area, days)
        else:
            found = [one for one in self._listed(root, collection) if _lies_in(one, area, days)]
        return sorted({one.id: one for one in found}.values(), key=lambda one: one.id)

    def collections(self) -> list[str]:
        """Return the ids of the catalogue's collections."""
        root = self._opened()
        with _translated(self._config.address), warnings.catch_warnings(action="ignore"):
            return sorted(one.id for one in root.get_collections())

    def item(self, address: str) -> pystac.Item:
        """Return an item as it is now.

        Raises:
            SourceError: it cannot be had.
        """
        self._account.add("searches")
        with _translated(address), warnings.catch_warnings(action="ignore"):
            return pystac.Item.from_file(address, stac_io=self._io())

    def _opened(self) -> Client | pystac.Catalog:
        if self._root is None:
            address = self._config.address
            self._account.add("searches")
            with _translated(address), warnings.catch_warnings(action="ignore"):
                if self._config.is_local:
                    self._root = pystac.Catalog.from_file(str(_local_root(address)))
                else:
                    described = self._io().read_json(address)
                    kind = Client if _is_api(described) else pystac.Catalog
                    self._root = kind.from_file(address, stac_io=self._io())
        return self._root

    def _io(self) -> StacApiIO:
        config = self._config
        tries = Retry(
            total=config.attempts,
            backoff_factor=0.5,
            status_forcelist=(429, 503),
            allowed_methods=None,
            respect_retry_after_header=True,
            raise_on_status=False,
        )
        found = StacApiIO(max_retries=tries, timeout=config.silence_s)
        weakref.finalize(self, found.session.close)
        return found

    def _asked(
        self, root: Client, collection: str, area: BaseGeometry, days: DateRange | None
    ) -> list[pystac.Item]:
        pages = (self._config.page_items, *(n for n in _SMALL_PAGES if n < self._config.page_items))
        for items in pages:
            try:
                return list(self._pages(root, collection, area, days, items))
            except APIError as error:
                if _status(error) not in _TOO_LARGE or items == pages[-1]:
                    raise _refused(self._config.address, error) from error
                logger.info("a page of %d items is too large for the catalogue", items)
        raise AssertionError("no page was asked for")

    def _pages(
        self, root: Client, collection: str, area: BaseGeometry, days: DateRange | None, items: int
    ) -> Iterator[pystac.Item]:
        with _translated(self._config.address), warnings.catch_warnings(action="ignore"):
            search = root.search(
                collections=[collection],
                intersects=_geojson(area),
                datetime=_span(days) if days else None,
                limit=items,
            )
            count = 0
            for page in search.pages():
                self._account.add("searches")
                count += len(page)
                if count > _MOST_ITEMS:
                    raise SourceError(
                        f"{self._config.address} lists more than {_MOST_ITEMS} items",
                        "Give a smaller area or shorter --pre and --post windows.",
                    )
                yield from page

    def _listed(self, root: pystac.Catalog, collection: str) -> list[pystac.Item]:
        """Return a static catalogue's items of a collection; those of no collection belong to
        all.
        """
        if not self._static:
            with _translated(self._config.address), warnings.catch_warnings(action="ignore"):
                for item in root.get_items(recursive=True):
                    item.make_asset_hrefs_absolute()
                    self._static.setdefault(item.collection_id or "", []).append(item)
        return [*self._static.get(collection, ()), *self._static.get("", ())]


class _translated:
    """Turns whatever a catalogue's libraries raise into errors of ours; `APIError` of a page that
    may be asked for in smaller ones is left to the caller.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, SourceError | RequestError):
            return
        if isinstance(error, APIError) and _status(error):
            return
        if isinstance(error, requests.RequestException | APIError):
            raise SourceError(
                f"the catalogue {self._address} cannot be reached",
                "Check the network and the address, then give the same command again.",
            ) from error
        if isinstance(error, FileNotFoundError) or isinstance(error.__cause__, FileNotFoundError):
            raise absent(self._address) from error
        if isinstance(error, _NONE_OF_IT):
            raise RequestError(
                f"what is at {self._address} is no STAC catalogue",
                "Give the root of an API, or a static catalogue's JSON.",
            ) from error


def absent(address: str) -> RequestError:
    """Return the error of a path without a catalogue, or of one with links to nowhere; the name of
    a misspelled public one is guessed.
    """
    if _local_root(address).is_file():
        return RequestError(
            f"the catalogue at {address} names files that are not there",
            "Copy the whole folder, with the files that its links and assets name.",
        )
    otherwise = f"Give the folder with {' or '.join(ROOTS)}, or the file itself."
    return RequestError(f"there is no catalogue at {address}", instead(address, PRESETS, otherwise))


def _is_api(described: dict[str, Any]) -> bool:
    links = described.get("links", [])
    return bool(described.get("conformsTo")) or any(one.get("rel") == "search" for one in links)


def _local_root(address: str) -> Path:
    path = Path(address)
    if path.is_dir():
        return next((path / name for name in ROOTS if (path / name).is_file()), path / ROOTS[0])
    return path


def _status(error: APIError) -> int:
    """Return the HTTP status that an error carries, 0 where it comes from the client itself."""
    return int(getattr(error, "status_code", None) or 0)


def _refused(address: str, error: APIError) -> SourceError:
    status = _status(error)
    if status in (401, 403):
        return SourceError(
            f"the catalogue {address} refuses access (HTTP {status})",
            "Use a public one: --source stac:earth-search.",
        )
    return SourceError(
        f"the catalogue {address} does not answer the search (HTTP {status})",
        "Try again later, or use another catalogue.",
    )


def _span(days: DateRange) -> tuple[datetime, datetime]:
    """Return the first and last moment of some days, UTC."""
    first = datetime.combine(days.first, time(), UTC)
    return first, datetime.combine(days.last + timedelta(days=1), time(), UTC) - timedelta(
        seconds=1
    )


def _geojson(area: BaseGeometry) -> dict[str, Any]:
    """Return the convex outline of an area as GeoJSON, cut at the antimeridian."""
    hull = area.convex_hull
    turns = [
        affinity.translate(hull, turn).intersection(box(-180, -90, 180, 90))
        for turn in (0, -360, 360)
    ]
    parts = [mapping(part) for part in turns if part.area > 0]
    if len(parts) == 1:
        return dict(parts[0])
    return {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in parts]}


def _lies_in(item: pystac.Item, area: BaseGeometry, days: DateRange | None) -> bool:
    if days is not None and not days.first <= moment(item).date() <= days.last:
        return False
    outline = shape(item.geometry) if item.geometry else box(*(item.bbox or (-180, -90, 180, 90)))
    return any(affinity.translate(outline, turn).intersects(area) for turn in (-360, 0, 360))


def moment(item: pystac.Item) -> datetime:
    """Return when an item was acquired, UTC."""
    found = item.datetime or item.common_metadata.start_datetime
    if found is None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def hull_of(area: Area) -> BaseGeometry:
    """Return where an area's items must lie, WGS 84."""
    found: BaseGeometry = area.polygon.convex_hull
    return found


def collection_missing(catalogue: Catalogue, collection: str) -> str:
    """Return a word on a collection that a catalogue does not have, empty where it has it."""
    held = catalogue.collections()
    if collection in held:
        return ""
    return f"the catalogue has no collection {collection}; it has {', '.join(held[:20]) or 'none'}"


def by_ids(items: Iterable[pystac.Item], left_out: Iterable[str]) -> list[pystac.Item]:
    """Return items but for those that the configuration leaves out."""
    without = set(left_out)
    return [one for one in items if one.id not in without]
