"""Published inventories of landslides that earthquakes set off: what each is, where it comes from,
and who says so.

One file an inventory in ``configs/inventories``. Every fact names its source; what nobody was found
to say is the word ``unknown``, never a guess.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, model_validator
from shapely import box
from shapely.geometry.base import BaseGeometry

from configs.complaints import read_model
from configs.errors import RequestError
from configs.event import NAME_PATTERN, USGS_ID, DateRange, Event, Frozen, Moment
from configs.files import format_of
from configs.spelling import instead

CATALOGUE = Path(__file__).resolve().parent / "inventories"
UNKNOWN: Literal["unknown"] = "unknown"

T = TypeVar("T")


class Known(Frozen, Generic[T]):
    """A fact, and who says so."""

    value: T
    source: str = Field(min_length=1)
    """Key of the inventory's `sources`."""


Unknown = Literal["unknown"]
"""Looked for, and not found."""
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


def value_of(fact: Known[T] | Unknown) -> T | None:
    """Return what is known; None for what is not."""
    return fact.value if isinstance(fact, Known) else None


class Quake(Frozen):
    """The earthquake that set the landslides off."""

    time: Known[Moment]
    """Origin time, UTC."""
    latitude: Known[Latitude]
    longitude: Known[Longitude]
    magnitude: Known[Annotated[float, Field(ge=3, le=10)]]
    usgs_id: Known[Annotated[str, Field(pattern=USGS_ID)]] | Unknown


class Publication(Frozen):
    """What was published, and on which terms."""

    citation: Known[str]
    doi: Known[Annotated[str, Field(pattern=r"^10\.\d{4,9}/\S+$")]] | Unknown
    landing_page: Known[str] | Unknown
    """Where the files are offered: an address, or words that find it."""
    licence: Known[str] | Unknown
    """As published."""
    weights: Known[Literal["yes", "ask", "study only", "nothing to download"]]
    """Whether weights trained on it may be handed on: a cautious reading, no legal advice."""


class Files(Frozen):
    """What a download should hold."""

    file: Known[str] | Unknown
    layer: Known[str] | Unknown
    """Layer of landslide polygons."""
    where: Known[str] | Unknown = UNKNOWN
    """Which of the layer's features are this inventory's, where it holds more (OGR SQL)."""
    crs: Known[Annotated[str, Field(pattern=r"^EPSG:\d{4,5}$")]] | Unknown
    geometry: Known[Literal["polygons", "points", "images"]] | Unknown
    count: Known[Count] | Unknown
    area_km2: Known[Positive] | Unknown
    """Area of all landslides."""
    extent: Known[str] | Unknown
    """What says where was looked: without it, ground without a landslide is not known to have
    none.
    """


class Coverage(Frozen):
    """Where its landslides lie."""

    bounds: Known[tuple[Longitude, Latitude, Longitude, Latitude]]
    """West, south, east, north in degrees."""
    approximate: bool
    """A box that is wide enough to tell events apart, and no mapped extent."""

    @property
    def polygon(self) -> BaseGeometry:
        """Return the outline in WGS 84 (lon lat)."""
        return box(*self.bounds.value)

    @model_validator(mode="after")
    def _ordered(self) -> Coverage:
        west, south, east, north = self.bounds.value
        if west >= east or south >= north:
            raise ValueError("`bounds` are west, south, east, north")
        return self


class ImagingWindows(Frozen):
    """From when images show the ground before the earthquake, and its landslides."""

    sensor: Literal["sentinel-2", "landsat-8", "landsat-5/7"]
    """The first one that saw both windows."""
    pre: Known[DateRange]
    post: Known[DateRange]


class PublishedInventory(Frozen):
    """One published inventory and all that is known of it."""

    format: str = format_of("inventory")
    name: str = Field(pattern=NAME_PATTERN)
    title: str
    """The event for people: place and year."""
    event: Quake
    publication: Publication
    files: Files
    coverage: Coverage
    windows: ImagingWindows
    faults: tuple[Known[str], ...] = ()
    """What is wrong with it, or would mislead a training."""
    sources: dict[str, str]
    """Key -> who says so."""

    @model_validator(mode="after")
    def _sourced(self) -> PublishedInventory:
        named = set(_sources(self.model_dump(exclude={"sources"})))
        if missing := sorted(named - set(self.sources)):
            raise ValueError(f"`sources` does not explain {', '.join(missing)}")
        if idle := sorted(set(self.sources) - named):
            raise ValueError(f"nothing is said by `sources` {', '.join(idle)}")
        if self.windows.pre.value.first > self.event.time.value.date():
            raise ValueError("the window before the event begins after it")
        if self.windows.post.value.last < self.event.time.value.date():
            raise ValueError("the window after the event ends before it")
        return self

    @property
    def earthquake(self) -> Event:
        """Return the event as a run names it."""
        return Event(
            name=self.name,
            title=self.title,
            time=self.event.time.value,
            latitude=self.event.latitude.value,
            longitude=self.event.longitude.value,
            magnitude=self.event.magnitude.value,
            usgs_id=value_of(self.event.usgs_id),
        )


def _sources(content: Any) -> list[str]:
    """Return the source keys of all facts in a dumped record."""
    if isinstance(content, dict):
        if content.keys() == {"value", "source"}:
            return [str(content["source"])]
        return [key for value in content.values() for key in _sources(value)]
    if isinstance(content, list | tuple):
        return [key for value in content for key in _sources(value)]
    return []


def read_inventory(path: Path) -> PublishedInventory:
    """Return the inventory that a file of the catalogue describes.

    Raises:
        RequestError: missing, malformed, or of a newer format; the field is named.
    """
    return read_model(path, "inventory", PublishedInventory)


@lru_cache(maxsize=1)
def catalogue() -> dict[str, PublishedInventory]:
    """Return every inventory of the catalogue by its name, the latest event first."""
    found = [read_inventory(path) for path in sorted(CATALOGUE.glob("*.yaml"))]
    found.sort(key=lambda one: one.event.time.value, reverse=True)
    return {one.name: one for one in found}


def published(name: str) -> PublishedInventory:
    """Return an inventory of the catalogue.

    Raises:
        RequestError: there is none of this name.
    """
    known = catalogue()
    if name not in known:
        raise RequestError(
            f"the catalogue has no inventory `{name}`",
            instead(
                name, known, f"It has {', '.join(known)}: `coslide inventories` tells of them."
            ),
        )
    return known[name]
