"""A sample set on disk: one domain's pixels, labels and splits on one grid, and the table of chips
cut from them.

The raster is kept whole rather than as loose patches: training may crop anywhere inside a split,
statistics and reference samples are drawn from areas rather than from balanced patches, and nothing
is stored twice. A folder with ``samples.yaml`` (the data card) and ``pixels.zarr`` (bands as the
stack's scaled integers, `label`, `split`, `chips`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field, ValidationError, model_validator

from configs.bands import parse_band
from configs.checkpoint import BandStatistics
from configs.checksums import check
from configs.complaints import as_request_error
from configs.errors import RequestError
from configs.event import NAME_PATTERN, Frozen
from configs.files import format_of, read_yaml
from configs.records import Level, Requires
from configs.stack import DAMAGE, Stack, damaged, decode, grid_from, window

CARD = "samples.yaml"
PIXELS = "pixels.zarr"


class Origin(Frozen):
    """Where a sample set's pixels come from, and what may be done with them."""

    name: str = Field(pattern=NAME_PATTERN)
    """The domain: one event's data distribution."""
    title: str
    event: str = ""
    """What people call the event; `name` where empty."""
    sensor: str
    level: Level
    resolution_m: float = Field(gt=0)
    simulated: bool
    attribution: tuple[str, ...] = ()
    licence: str
    hillshade_azimuth_deg: float | None = None
    """Where the light of band `hillshade` comes from, clockwise from north."""
    elevation: str = ""
    """Which elevation model terrain comes from; empty where it is not known."""

    @classmethod
    def of(
        cls,
        stack: Stack,
        name: str,
        title: str,
        licence: str,
        attribution: tuple[str, ...] = (),
        event: str = "",
    ) -> Origin:
        """Return the origin of samples cut from a stack, as its attributes tell it."""
        attributes = stack.attributes
        return cls(
            name=name,
            title=title,
            event=event,
            sensor=attributes["sensor"],
            level=attributes["level"],
            resolution_m=abs(stack.geobox.resolution.x),
            simulated=attributes["simulated"],
            attribution=attribution,
            licence=licence,
            hillshade_azimuth_deg=attributes.get("hillshade_azimuth_deg"),
            elevation=attributes.get("elevation_model", ""),
        )


class Summary(BandStatistics):
    """Statistics of a band over a split's labelled, observed pixels."""

    count: int = Field(ge=0)


class Counts(Frozen):
    """How much a split holds."""

    pixels: int
    """Labelled pixels."""
    positive: int
    """Landslide pixels among them."""
    chips: int
    positive_chips: int
    """Chips with at least one landslide pixel."""


class SampleCard(Frozen):
    """The data card of a sample set, ``samples.yaml``."""

    format: str = format_of("samples")
    origin: Origin
    bands: tuple[str, ...] = Field(min_length=1)
    requires: Requires = Requires.CLEAR
    """What was seen of the labelled pixels; a card trained on them requires the same."""
    grid: dict[str, Any]
    chip_px: int = Field(ge=1)
    stride_px: int = Field(ge=1)
    positive_share: float | None = None
    """Share of chips with a landslide that the table was thinned to; None: every chip is in it."""
    seed: int
    split_names: dict[int, str]
    split_description: str = ""
    counts: dict[str, Counts]
    positive_fraction: float
    """Landslide pixels among all labelled pixels of all splits."""
    statistics: dict[str, dict[str, Summary]]
    """Split -> band -> statistics."""
    fingerprint: str
    """SHA-256 of bands, labels, splits and chips: the same pixels give the same one."""

    @model_validator(mode="after")
    def _whole(self) -> SampleCard:
        for name in self.split_names.values():
            known = self.statistics.get(name, {})
            if name not in self.counts or not set(self.bands) <= known.keys():
                raise ValueError(f"split {name} has no counts, or no statistics of every band")
        return self


class Chips(NamedTuple):
    """The table of chips: columns of equal length."""

    rows: NDArray[np.int32]
    """Raster row of the upper left pixel."""
    columns: NDArray[np.int32]
    splits: NDArray[np.uint8]
    """Split the chip belongs to."""
    positive: NDArray[np.float32]
    """Landslide share of its labelled pixels of that split."""


class SampleSet:
    """An opened sample set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_yaml(path / CARD, "samples")
        try:
            self.card = SampleCard.model_validate(content)
        except ValidationError as error:
            raise as_request_error(
                error, str(path / CARD), "Cut it again: `coslide samples`."
            ) from error
        self._held: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, path: Path) -> SampleSet:
        """Return the sample set in a folder.

        Raises:
            RequestError: there is none, or it is damaged, malformed or of a newer format.
        """
        if not path.is_dir():
            raise RequestError(f"no sample set at {path}", "Cut one with `coslide samples`.")
        if not (path / CARD).is_file():
            raise RequestError(
                f"{path} is no sample set: it has no {CARD}", "Cut one with `coslide samples`."
            )
        samples = cls(path)
        check(path, "the sample set")
        return samples

    @property
    def name(self) -> str:
        """Return the domain's name."""
        return self.card.origin.name

    @cached_property
    def group(self) -> zarr.Group:
        """Return the arrays: one `(y, x)` a band, `label`, `split`, and the table `chips`."""
        try:
            return zarr.open_group(self.path / PIXELS, mode="r", use_consolidated=False)
        except (FileNotFoundError, *DAMAGE) as error:
            raise RequestError(
                f"{self.path} has lost its {PIXELS}", "Cut it again: `coslide samples`."
            ) from error

    @property
    def geobox(self) -> GeoBox:
        """Return the grid."""
        return grid_from(self.card.grid)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (y, x)."""
        return int(self.card.grid["shape"][0]), int(self.card.grid["shape"][1])

    @cached_property
    def chips(self) -> Chips:
        """Return the table of chips."""
        table = self._read("chips")
        positive = self._read("chip_positive")
        return Chips(
            rows=table[:, 0],
            columns=table[:, 1],
            splits=table[:, 2].astype(np.uint8),
            positive=positive,
        )

    def numbers(self, splits: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers of splits by their names.

        Raises:
            RequestError: a name the set does not have.
        """
        known = {name: number for number, name in self.card.split_names.items()}
        missing = [name for name in splits if name not in known]
        if missing:
            raise RequestError(
                f"sample set `{self.name}` has no split {', '.join(missing)}",
                f"It has {', '.join(known)}.",
            )
        return tuple(known[name] for name in splits)

    def hold(self, names: Sequence[str], limit_bytes: int) -> bool:
        """Keep arrays in memory if all held ones fit in `limit_bytes` together; return whether they
        are held.
        """
        fresh = [name for name in names if name not in self._held]
        size = sum(self._array(name).nbytes for name in fresh) + sum(
            array.nbytes for array in self._held.values()
        )
        if size > limit_bytes:
            return False
        self._held.update({name: self._read(name) for name in fresh})
        return True

    def stored(self, name: str, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window `(y, x)` of a band as stored, of `label` or of `split`."""
        array = self._held.get(name)
        return self._read(name, (rows, columns)) if array is None else array[rows, columns]

    def read(
        self, name: str, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return a window `(y, x)` of a band in its unit, float32, NaN where not observed."""
        return decode(self.stored(name, rows, columns), name)

    def label(
        self, splits: Sequence[int], rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.uint8]:
        """Return a window of labels `(y, x)` uint8, 255 wherever the pixel is of another split."""
        label = self.stored("label", rows, columns).astype(np.uint8)
        return np.where(
            np.isin(self.stored("split", rows, columns), splits), label, np.uint8(255)
        ).astype(np.uint8)

    def statistics(self, splits: Iterable[str]) -> dict[str, Summary]:
        """Return each band's statistics over several splits together.

        Raises:
            RequestError: no such split, or a band that none of them observed.
        """
        wanted = list(splits)
        self.numbers(wanted)
        return {
            band: merge([self.card.statistics[s][band] for s in wanted], band)
            for band in self.card.bands
        }

    def _read(self, name: str, key: tuple[slice, ...] = (slice(None),)) -> NDArray[Any]:
        return window(self._array(name), key, self.path)

    def _array(self, name: str) -> zarr.Array[Any]:
        try:
            array = self.group[name]
        except KeyError:
            raise RequestError(
                f"sample set `{self.name}` has no band `{name}`",
                f"It has {', '.join(self.card.bands)}.",
            ) from None
        except DAMAGE as error:
            raise damaged(self.path) from error
        if not isinstance(array, zarr.Array):
            raise RequestError(
                f"`{name}` in {self.path} is not an array", "Cut it again: `coslide samples`."
            )
        return array


def merge(parts: Sequence[Summary], band: str) -> Summary:
    """Return the statistics of a band over several disjoint sets of pixels, as if they were one.

    Raises:
        RequestError: no pixel in any of them.
    """
    seen = [part for part in parts if part.count]
    if not seen:
        raise RequestError(
            f"no training pixel has band `{parse_band(band).name}`",
            "Drop the band, or add samples.",
        )
    count = sum(part.count for part in seen)
    mean = sum(part.count * part.mean for part in seen) / count
    square = sum(part.count * (part.std**2 + (part.mean - mean) ** 2) for part in seen) / count
    return Summary(
        minimum=min(part.minimum for part in seen),
        maximum=max(part.maximum for part in seen),
        mean=mean,
        std=float(np.sqrt(square)),
        count=count,
    )


def write_card(folder: Path, card: SampleCard) -> None:
    """Write ``samples.yaml``."""
    content = {
        **card.model_dump(mode="json"),
        "split_names": dict(card.split_names),
    }  # JSON has no whole-number keys
    (folder / CARD).write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
