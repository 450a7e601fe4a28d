"""Cutting a sample set: bands, labels and splits of one domain, streamed to disk, and the chips
that lie in each split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import parse_band
from configs.checksums import write_checksums
from configs.errors import RequestError
from configs.files import replacing
from configs.records import IGNORED, Advance, Requires, silent
from configs.stack import CHUNK_PX, Rows, decode, encode, grid_attributes
from tiles.samples import PIXELS, Counts, Origin, SampleCard, SampleSet, Summary, write_card
from tiles.split import UNUSED, Splits

_LABELLED_SHARE = 0.5
"""Least share of a chip's pixels that must be labelled and of its split for the chip to be in the
table.
"""


@dataclass(frozen=True)
class Chipping:
    """How chips are laid over the raster."""

    chip_px: int
    stride_px: int
    positive_share: float | None = None
    """Share of the chips that hold a landslide; the others are thinned at random. None keeps every
    chip.
    """
    seed: int = 0


@dataclass(frozen=True)
class Labelled:
    """One domain's pixels and labels on one grid."""

    pixels: Rows
    """`(band, y, x)` in physical units, NaN where not known, e.g. `Stack.view(bands)`."""
    geobox: GeoBox
    label: NDArray[np.uint8]
    """`(y, x)` of 0, 1, 255 (`tiles.labels`)."""
    splits: Splits
    """Which pixels train and which test (`tiles.split`)."""
    bands: Sequence[str]
    """Names of the stack bands, in the order of `pixels`."""
    observed: Rows | None = None
    """`(y, x)`, true where the pixel was clearly seen; elsewhere its label becomes 255."""
    blank_unobserved: bool = False
    """Remove the values of bands seen in a window where `observed` is false (clouds)."""
    requires: Requires = Requires.CLEAR
    """What `observed` asks of a pixel, for the data card."""


def cut(
    raster: Labelled, out: Path, *, origin: Origin, chipping: Chipping, progress: Advance = silent
) -> SampleSet:
    """Return the sample set written to folder `out`, whole or not at all.

    Args:
        raster: what is cut.
        out: a folder that does not exist yet.
        origin: where the pixels come from.
        chipping: how chips are laid.
        progress: called with (rows done, rows).

    Raises:
        RequestError: `out` exists, shapes that do not agree, or no labelled pixel in any split.
    """
    pixels, geobox, splits, bands = raster.pixels, raster.geobox, raster.splits, raster.bands
    observed, label = raster.observed, raster.label
    shape = (int(geobox.shape[0]), int(geobox.shape[1]))
    _check(pixels, shape, label, splits, out, bands)
    seen = (
        np.ones(shape, np.bool_)
        if observed is None
        else np.asarray(observed[:, :]).astype(np.bool_)
    )
    label = _usable(label, seen, splits, origin.name)
    table, share = chips(label, splits, chipping)
    with replacing(out) as folder:
        folder.mkdir()
        store = _Store(zarr.create_group(folder / PIXELS), shape)
        keep = seen if raster.blank_unobserved else None
        statistics = _write_bands(store, pixels, bands, label, splits, keep, progress)
        for name, array in (
            ("label", label),
            ("split", splits.numbers),
            ("chips", table),
            ("chip_positive", share),
        ):
            store.write(name, array)
        grid = grid_attributes(geobox)
        counts = _counts(label, splits, table, share)
        card = SampleCard(
            origin=origin,
            bands=tuple(bands),
            requires=raster.requires,
            grid=grid,
            counts=counts,
            positive_fraction=_positive_fraction(counts),
            statistics=statistics,
            fingerprint=store.fingerprint(repr((tuple(bands), grid))),
            **_layout(chipping, splits),
        )
        write_card(folder, card)
        write_checksums(folder)
    return SampleSet.open(out)


def _usable(
    label: NDArray[np.uint8], seen: NDArray[np.bool_], splits: Splits, name: str
) -> NDArray[np.uint8]:
    """Return the labels of what was seen and is of a split, 255 elsewhere."""
    usable = seen & np.isin(splits.numbers, list(splits.names))
    kept = np.where(usable, label, np.uint8(IGNORED)).astype(np.uint8)
    if not (kept != IGNORED).any():
        raise RequestError(
            f"no pixel of `{name}` is labelled, observed and of a split",
            "Check the truth's extent, the clouds and the guard strips.",
        )
    return kept


def _layout(chipping: Chipping, splits: Splits) -> dict[str, Any]:
    """Return what the data card says of chips and splits."""
    return {
        "chip_px": chipping.chip_px,
        "stride_px": chipping.stride_px,
        "positive_share": chipping.positive_share,
        "seed": chipping.seed,
        "split_names": dict(splits.names),
        "split_description": splits.description,
    }


def _positive_fraction(counts: dict[str, Counts]) -> float:
    return sum(part.positive for part in counts.values()) / sum(
        part.pixels for part in counts.values()
    )


class _Store:
    """The arrays of a sample set being written, and their fingerprint."""

    def __init__(self, group: zarr.Group, shape: tuple[int, int]) -> None:
        self._group, self._shape, self._digest = group, shape, hashlib.sha256()

    def write(self, name: str, array: NDArray[Any], rows: slice | None = None) -> None:
        """Write an array whole, or some rows of a `(y, x)` one."""
        if name not in self._group:
            shape = array.shape if rows is None else self._shape
            chunks = tuple(min(CHUNK_PX, side) or 1 for side in shape)
            self._group.create_array(
                name, shape=shape, chunks=chunks, dtype=array.dtype, fill_value=0
            )
        self._group[name][rows or slice(None)] = array  # type: ignore[index]  # an array, made above
        self._digest.update(name.encode() + np.ascontiguousarray(array).tobytes())

    def fingerprint(self, more: str) -> str:
        """Return the SHA-256 of all that was written, in its order, and of `more`."""
        self._digest.update(more.encode())
        return self._digest.hexdigest()


def _write_bands(
    store: _Store,
    pixels: Rows,
    bands: Sequence[str],
    label: NDArray[np.uint8],
    splits: Splits,
    keep: NDArray[np.bool_] | None,
    progress: Advance,
) -> dict[str, dict[str, Summary]]:
    """Write the bands row block by row block; return their statistics, split -> band."""
    height = label.shape[0]
    tally = {name: {band: _Tally() for band in bands} for name in splits.names.values()}
    for top in range(0, height, CHUNK_PX):
        rows = slice(top, min(top + CHUNK_PX, height))
        for band, values in zip(bands, np.asarray(pixels[:, rows, :], np.float32), strict=True):
            if keep is not None and parse_band(band).when:
                values = np.where(keep[rows], values, np.float32(np.nan))
            stored = encode(values, band)
            store.write(band, stored, rows)
            known = decode(stored, band)
            labelled = np.isfinite(known) & (label[rows] != IGNORED)
            for number, name in splits.names.items():
                tally[name][band].add(known[labelled & (splits.numbers[rows] == number)])
        progress(rows.stop, height)
    return {name: {band: one.summary() for band, one in of.items()} for name, of in tally.items()}


def chips(
    label: NDArray[np.uint8], splits: Splits, chipping: Chipping
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the table of chips `(n, 3)` int32 (row, column, split) and their landslide shares
    `(n,)`.

    A chip belongs to the split that holds most of its labelled pixels, at least half of the chip.
    Shares count only that split's pixels. The lattice ends flush with the raster.
    """
    height, width = label.shape
    numbers = np.array(sorted(splits.names), np.int32)
    tops, lefts = (
        np.array(_origins(side, chipping.chip_px, chipping.stride_px)) for side in (height, width)
    )
    tables, shares = [np.empty((0, 3), np.int32)], [np.empty(0, np.float32)]
    for top in tops:
        band = slice(top, min(top + chipping.chip_px, height))
        area = (band.stop - band.start) * min(chipping.chip_px, width)
        usable = (splits.numbers[band] == numbers[:, None, None]) & (
            label[band] != IGNORED
        )  # (split, h, x)
        labelled = _windows(usable, lefts, chipping.chip_px)  # (split, chip)
        positive = _windows(usable & (label[band] == 1), lefts, chipping.chip_px)
        best = labelled.argmax(axis=0)
        most, hits = (
            np.take_along_axis(counts, best[None], axis=0)[0] for counts in (labelled, positive)
        )
        enough = (most >= _LABELLED_SHARE * area) & (most > 0)
        tables.append(
            np.stack([np.full_like(lefts, top), lefts, numbers[best]], axis=1)[enough].astype(
                np.int32
            )
        )
        shares.append((hits[enough] / most[enough]).astype(np.float32))
    table, share = np.concatenate(tables), np.concatenate(shares)
    keep = _thinned(table[:, 2], share > 0, chipping)
    return table[keep], share[keep]


def _windows(flags: NDArray[np.bool_], first: NDArray[np.int64], chip_px: int) -> NDArray[np.int64]:
    total = np.pad(
        flags.sum(axis=1, dtype=np.int64).cumsum(axis=-1), ((0, 0), (1, 0))
    )  # (split, x + 1)
    counts: NDArray[np.int64] = (
        total[:, np.minimum(first + chip_px, total.shape[1] - 1)] - total[:, first]
    )
    return counts


def _origins(length: int, chip_px: int, stride_px: int) -> list[int]:
    last = max(length - chip_px, 0)
    return [*range(0, last, stride_px), last]


def _thinned(
    splits: NDArray[np.int32], positive: NDArray[np.bool_], chipping: Chipping
) -> NDArray[np.int64]:
    if chipping.positive_share is None:
        return np.arange(len(splits))
    rng, share, kept = np.random.default_rng(chipping.seed), chipping.positive_share, []
    for number in np.unique(splits):
        hits, misses = (
            np.flatnonzero((splits == number) & (positive == flag)) for flag in (True, False)
        )
        total = min(
            len(hits) / share if share else np.inf,
            len(misses) / (1 - share) if share < 1 else np.inf,
        )
        kept.append(rng.choice(hits, round(total * share), replace=False))
        kept.append(rng.choice(misses, round(total * (1 - share)), replace=False))
    return np.sort(np.concatenate([*kept, np.empty(0, np.int64)]).astype(np.int64))


@dataclass
class _Tally:
    """Running statistics of one band in one split."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    ends: list[float] = field(default_factory=lambda: [np.inf, -np.inf])

    def add(self, values: NDArray[np.float32]) -> None:
        if not values.size:
            return
        self.count += values.size
        self.total += float(values.sum(dtype=np.float64))
        self.squares += float(np.square(values, dtype=np.float64).sum())
        self.ends = [min(self.ends[0], float(values.min())), max(self.ends[1], float(values.max()))]

    def summary(self) -> Summary:
        if not self.count:
            return Summary(minimum=0, maximum=0, mean=0, std=0, count=0)
        mean = self.total / self.count
        std = float(np.sqrt(max(self.squares / self.count - mean**2, 0)))
        return Summary(
            minimum=self.ends[0], maximum=self.ends[1], mean=mean, std=std, count=self.count
        )


def _counts(
    label: NDArray[np.uint8], splits: Splits, table: NDArray[np.int32], share: NDArray[np.float32]
) -> dict[str, Counts]:
    return {
        name: Counts(
            pixels=int(((splits.numbers == number) & (label != IGNORED)).sum()),
            positive=int(((splits.numbers == number) & (label == 1)).sum()),
            chips=int((table[:, 2] == number).sum()),
            positive_chips=int(((table[:, 2] == number) & (share > 0)).sum()),
        )
        for number, name in splits.names.items()
    }


def _check(
    pixels: Rows,
    shape: tuple[int, int],
    label: NDArray[np.uint8],
    splits: Splits,
    out: Path,
    bands: Sequence[str],
) -> None:
    if out.exists():
        raise RequestError(f"{out} exists already", "Choose another --out, or remove it first.")
    if (
        tuple(pixels.shape) != (len(bands), *shape)
        or label.shape != shape
        or splits.numbers.shape != shape
    ):
        raise RequestError(
            f"pixels {tuple(pixels.shape)}, labels {label.shape} and splits "
            f"{splits.numbers.shape} do not agree",
            f"They must be on one grid of {shape} with {len(bands)} bands.",
        )
    names = list(splits.names.values())
    if (
        not names
        or len(set(names)) < len(names)
        or not all(0 <= number < UNUSED for number in splits.names)
    ):
        raise RequestError(
            f"splits {dict(splits.names)} cannot be",
            "Number them 0 to 254 and name each differently.",
        )
