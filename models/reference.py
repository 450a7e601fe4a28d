"""What a domain looks like: pixels drawn evenly from where landslides could be seen, each with its
block.

A checkpoint carries such a sample of its training areas, and a scene is sampled in the same way:
observed, not water, sloping, before any class balancing. Otherwise the distance would
measure composition, not shift.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from configs.errors import RequestError
from configs.files import check_format, follow_umask, format_of, replacing, sha256
from configs.records import IGNORED, Advance, silent
from models.histogram import BandHistogram
from models.sampling import (
    WINDOW_PX,
    Blocks,
    Pixels,
    Usable,
    block_px,
    remembered,
    sloping,
    windows,
)

__all__ = ["Pixels", "Reference", "Usable", "block_px", "from_chips", "mixture", "sample"]

KIND = "reference"
_PARTS = ("values", "block", "domain")


@dataclass(frozen=True)
class Reference:
    """A sample of one or several domains, physical values."""

    bands: tuple[str, ...]
    values: NDArray[np.float32]
    """`(n, bands)`, in the bands' units; NaN only in optional bands that a domain lacks."""
    block: NDArray[np.int32]
    """`(n,)`: pixels of one number lie close together and are not independent draws; unique over
    all domains.
    """
    domain: NDArray[np.int32]
    """`(n,)`: index into `domains`."""
    domains: tuple[str, ...]
    slope_min_deg: float
    """Flatter ground was left out; 0 where slope was not known."""
    histograms: tuple[BandHistogram, ...] = field(default=(), compare=False)
    """Of all pixels that could have been drawn; not stored."""
    pixels: int = 0
    """How many pixels could have been drawn; not stored."""

    def __len__(self) -> int:
        return len(self.values)

    def band_histogram(self, name: str) -> BandHistogram:
        """Return the distribution of a band: of all pixels where they were counted, else of the
        sample.
        """
        for histogram in self.histograms:
            if histogram.name == name:
                return histogram
        return BandHistogram.of(self.columns((name,))[:, 0], name)

    def columns(self, bands: Sequence[str]) -> NDArray[np.float32]:
        """Return the values of some bands, `(n, len(bands))`."""
        return self.values[:, [self.bands.index(name) for name in bands]]

    def of(self, bands: Sequence[str]) -> Reference:
        """Return the sample in some bands alone: the pixels of domains that have them."""
        values = self.columns(bands)
        at = np.isfinite(values).all(axis=1)
        return replace(
            self,
            bands=tuple(bands),
            values=values[at],
            block=self.block[at],
            domain=self.domain[at],
            histograms=(),
        )

    def widened(self, bands: Sequence[str]) -> Reference:
        """Return the sample with further bands that its domains do not have: NaN."""
        known = {name: self.columns((name,))[:, 0] for name in self.bands}
        nothing = np.full(len(self), np.nan, np.float32)
        values = np.stack([known.get(name, nothing) for name in bands], axis=1)
        return replace(self, bands=tuple(bands), values=values, histograms=())

    def thinned(self, most: int) -> Reference:
        """Return evenly every so many pixels, at most `most` of them."""
        at = slice(None, None, -(-len(self) // most) or 1)
        return replace(self, values=self.values[at], block=self.block[at], domain=self.domain[at])

    def save(self, path: Path) -> str:
        """Return the SHA-256 of the file that the sample is written to."""
        # One entry: several come out in any order, and the same sample would not give the same
        # file.
        header = {
            "format": format_of(KIND),
            "bands": self.bands,
            "domains": self.domains,
            "slope_min_deg": self.slope_min_deg,
        }
        tensors = {
            "values": self.values.astype(np.float32),
            "block": self.block,
            "domain": self.domain,
        }
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"sample": json.dumps(header)})
            follow_umask(temporary)  # safetensors makes files that only their owner can read
        return sha256(path)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Return a stored sample.

        Raises:
            RequestError: it cannot be read or is of a newer format.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                header: dict[str, str] = file.metadata() or {}
                values, block, domain = (file.get_tensor(name) for name in _PARTS)
        except (SafetensorError, OSError) as error:
            raise RequestError(
                f"the reference sample {path} cannot be read: {error}",
                "Get the checkpoint's folder again.",
            ) from error
        sample = json.loads(header.get("sample", "{}"))
        check_format(sample.get("format"), KIND, str(path))
        domains, slope_min_deg = tuple(sample["domains"]), sample["slope_min_deg"]
        return cls(tuple(sample["bands"]), values, block, domain, domains, slope_min_deg)


def sample(
    pixels: Pixels,
    bands: Sequence[str],
    usable: Usable,
    *,
    domain: str,
    resolution_m: float,
    count: int,
    block_m: float,
    slope_min_deg: float,
    origin: tuple[int, int] = (0, 0),
    seed: int = 0,
    advance: Advance = silent,
) -> Reference:
    """Return `count` pixels (or all, if fewer) drawn evenly from the usable ones of a scene, read
    window by window.

    Each block gives its share, so the sample is spread as the usable pixels are. Band histograms
    hold every usable pixel. The draw depends on the seed and the scene alone.

    Args:
        pixels: the scene.
        bands: what to draw.
        usable: which pixels count, `(y, x)` of a window: observed, not water, of the training area.
            Those with a NaN in a band are left out besides.
        domain: what to call it.
        resolution_m: pixel size.
        count: how many pixels to draw.
        block_m: least side of a block.
        slope_min_deg: leave out flatter ground, by the scene's band `slope`; 0 where it has none.
        origin: number `(y, x)` of the scene's first pixel on the lattice of its zone, which blocks
            keep to.
        seed: of the draw.
        advance: called with windows done and in all.
    """
    usable = remembered(sloping(pixels, usable, slope_min_deg) if slope_min_deg > 0 else usable)
    side = block_px(resolution_m, block_m)
    blocks = Blocks.over(pixels.shape, side, origin)
    every = list(windows(pixels.shape, max(side, WINDOW_PX), origin))
    quota = blocks.quotas(every, usable, count, seed)
    values, numbers, total = [np.empty((0, len(bands)), np.float32)], [np.empty(0, np.int32)], 0
    histograms = [BandHistogram.empty(name) for name in bands]
    for done, (y, x) in enumerate(every, 1):
        inside = usable(y, x)
        if inside.any():
            window = np.stack([pixels.read(name, y, x) for name in bands])  # (band, y, x)
            known = inside & np.isfinite(window).all(axis=0)
            histograms = [
                h + BandHistogram.of(window[i][known], h.name) for i, h in enumerate(histograms)
            ]
            total += int(known.sum())
            for rows, columns, block in blocks.draw(inside, (y, x), quota, seed):
                kept = known[
                    rows, columns
                ]  # dropped after the draw, so that every known pixel has the same chance
                values.append(window[:, rows[kept], columns[kept]].T)
                numbers.append(np.full(int(kept.sum()), block, np.int32))
        advance(done, len(every))
    drawn, number = np.concatenate(values), np.concatenate(numbers)
    zeros = np.zeros(len(drawn), np.int32)
    return Reference(
        tuple(bands), drawn, number, zeros, (domain,), slope_min_deg, tuple(histograms), total
    )


def from_chips(
    chips: Iterable[tuple[Any, Any]],
    bands: Sequence[str],
    *,
    domain: str,
    count: int,
    slope_min_deg: float,
    blocks: Sequence[int] | None = None,
    seed: int = 0,
) -> Reference:
    """Return pixels drawn evenly from the labelled, observed, sloping pixels of training chips.

    Each chip is a block unless `blocks` numbers them (chips that overlap belong to one block). Draw
    from all chips of the training area, before any balancing of classes.
    """
    values, block, keys = [], [], []
    slope = list(bands).index("slope") if "slope" in bands else None
    for number, (x, y) in enumerate(chips):
        pixels, label = np.asarray(x, dtype=np.float32), np.asarray(y)
        inside = np.isfinite(pixels).all(axis=0) & (label != IGNORED)
        if slope is not None:
            inside &= pixels[slope] >= slope_min_deg
        found = pixels[:, inside].T
        key = np.random.default_rng([seed, 2, number]).random(len(found))
        if (
            len(found) > count
        ):  # more than the whole sample could hold: the lowest keys are all that can be drawn
            lowest = np.argpartition(key, count)[:count]
            found, key = found[lowest], key[lowest]
        values.append(found)
        keys.append(key)
        block.append(np.full(len(found), number if blocks is None else blocks[number], np.int32))
    if not values or sum(map(len, values)) == 0:
        raise RequestError(
            f"domain {domain}: no pixel is observed, labelled and sloping",
            "Check the samples' labels.",
        )
    lowest = np.sort(np.argsort(np.concatenate(keys), kind="stable")[:count])
    drawn, where = np.concatenate(values)[lowest], np.concatenate(block)[lowest]
    flat = 0.0 if slope is None else slope_min_deg
    return Reference(tuple(bands), drawn, where, np.zeros(len(drawn), np.int32), (domain,), flat)


def mixture(parts: Sequence[tuple[Reference, float]], count: int, seed: int = 0) -> Reference:
    """Return one sample of several domains in proportion to their weights, block numbers kept
    apart.

    Raises:
        RequestError: the parts have other bands or were masked otherwise.
    """
    kinds = {(part.bands, part.slope_min_deg) for part, _ in parts}
    if len(kinds) != 1:
        raise RequestError(
            "reference samples of different bands or masks cannot be mixed", "Draw them alike."
        )
    weights = [weight for _, weight in parts]
    joined = _mixed([(part.values, part.block) for part, _ in parts], weights, count, seed)
    names = tuple(name for part, _ in parts for name in part.domains)
    bands, slope_min_deg = next(iter(kinds))
    return Reference(bands, *joined, names, slope_min_deg)


def _mixed(
    parts: Sequence[tuple[NDArray[np.float32], NDArray[np.int32]]],
    weights: Sequence[float],
    count: int,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Return values, blocks and domains of a mixture of (values, blocks)."""
    total = sum(weights)
    # As many as the scarcest domain allows without repeating a pixel, so that the shares stay what
    # they should be.
    scarce = (
        int(len(part) * total / weight)
        for (part, _), weight in zip(parts, weights, strict=True)
        if weight > 0
    )
    room = min([count, *scarce])
    values, blocks, domain, start = [], [], [], 0
    for number, ((part, block), weight) in enumerate(zip(parts, weights, strict=True)):
        rng = np.random.default_rng([seed, 3, number])
        picked = np.sort(
            rng.choice(len(part), min(len(part), round(room * weight / total)), replace=False)
        )
        values.append(part[picked])
        blocks.append(block[picked] + start)
        domain.append(np.full(len(picked), number, np.int32))
        start += int(block.max(initial=-1)) + 1
    return np.concatenate(values), np.concatenate(blocks).astype(np.int32), np.concatenate(domain)
