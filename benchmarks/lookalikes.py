"""Do rules against look-alikes make an inventory better? River beds, roads, fields and cloud edges,
each rule measured before it may enter the product.

    python -m benchmarks.lookalikes [--write]   # after benchmarks.trust

Landslides mapped on the two bands of the real Iburi scene that did not train the shipped
checkpoint, with and without each rule: one-to-one F1, its difference with an interval from
resampled blocks. And how much of what is mapped where nothing happened (`benchmarks.trust`) each
rule takes away.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject
from scipy import ndimage
from scipy.sparse import coo_array

from benchmarks.iburi import WORK, samples_of
from benchmarks.product import traced
from benchmarks.results import fill
from benchmarks.trust import QUIET, REAL
from configs.clean import CleanConfig
from configs.records import IGNORED
from flows.learning.train import probability_of
from inventory.outline.attributes import shape_fields
from inventory.outline.polygons import polygonise
from inventory.outline.split import split
from models.architectures import INDEX
from models.registry import installed

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

STREAM_KM2, BANK_M, PIXEL_M = 2.0, 50.0, 10.0
"""A stream drains this much; its bed and banks reach so far from its line."""
BLOCK_PX, DRAWS = 64, 10_000
GROUND, HELD_OUT = "iburi-post", ("band-0", "band-1")
CARDS, QUIET_CARDS = ("iburi-post", INDEX), ("iburi-post", "iburi-prepost", INDEX)
"""The checkpoint of both dates sees too little of the held-out bands to be judged there."""
_TAIL = 0.025 / 8
"""Of an interval of 95 % for eight rules together (Bonferroni)."""


@dataclass(frozen=True)
class Objects:
    """What a map shows, one entry a landslide."""

    numbers: Numbers
    """`(y, x)`, 1 to n, 0 none."""
    mean_slope: Floats
    flat: Floats
    """Share of it below 8°."""
    ratio: Floats
    """Length by width."""
    redness: Floats
    """How much further red is above the scene's mean than blue is, in their spreads."""
    whiteness: Floats
    """Share of it whose blue is above that of 99 % of the scene."""
    valley: Floats
    """Share of it beside a stream, on ground below 10°; NaN where there is no relief of its own."""

    @classmethod
    def of(
        cls,
        numbers: Numbers,
        slope: Floats,
        blue: Floats,
        red: Floats,
        stream: NDArray[np.bool_] | None = None,
    ) -> Objects:
        """Return the objects of a raster of numbers 1 to n, all `(y, x)`."""
        count = int(numbers.max(initial=0))

        def mean(values: NDArray[np.generic]) -> Floats:
            return np.asarray(ndimage.mean(values, numbers, np.arange(1, count + 1)), np.float64)

        z = [(band - np.nanmean(band)) / np.nanstd(band) for band in (red, blue)]
        shape = shape_fields(_shapes(numbers), "EPSG:32654")
        return cls(
            numbers, mean(slope), mean(slope < 8), np.asarray(shape["length_width_ratio"]),
            mean(np.nan_to_num(z[0] - z[1])), mean(blue > np.nanquantile(blue, 0.99)),
            np.full(count, np.nan) if stream is None else mean(stream & (slope < 10)),
        )  # fmt: skip


def _shapes(numbers: Numbers) -> NDArray[np.object_]:
    """Return the outline of each number, in order; 10-m pixels."""
    affine = rasterio.Affine.scale(PIXEL_M, -PIXEL_M)
    found = np.empty(int(numbers.max(initial=0)), object)
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        (found[number - 1],) = polygonise((numbers[box] == number).astype(np.int64), affine)
    return found


Rule = Callable[[Objects], NDArray[np.bool_]]
RULES: dict[str, tuple[str, Rule]] = {
    "river beds and banks": (
        "half of it within 50 m of a stream that drains 2 km², on ground below 10°",
        lambda o: o.valley > 0.5,
    ),
    "fields": ("half of it below 8°", lambda o: o.flat > 0.5),
    "flat ground, 8°": ("mean slope below 8° (now 5°)", lambda o: o.mean_slope < 8),
    "flat ground, 10°": ("mean slope below 10°", lambda o: o.mean_slope < 10),
    "roads, 8 : 1": ("length by width above 8", lambda o: o.ratio > 8),
    "roads on gentle ground": (
        "length by width above 4, mean slope below 10°",
        lambda o: (o.ratio > 4) & (o.mean_slope < 10),
    ),
    "not redder than the scene": ("red stands out less than blue", lambda o: o.redness < 0),
    "cloud edges": ("half of it among the 1 % bluest, brightest", lambda o: o.whiteness > 0.5),
}
"""Name → (words, what it rejects); the numbers were fixed before anything was measured."""
OF_RELIEF = (*tuple(RULES)[:4], "roads on gentle ground")
"""Rules that the relief of another place says nothing of."""


def streams() -> NDArray[np.bool_]:
    """Return what lies within `BANK_M` of a stream, `(y, x)`, from the elevation of the scene:
    depressions filled from the edges, each cell draining where it was reached from (Barnes et al.
    2014, doi:10.1016/j.cageo.2013.04.024).
    """
    geobox = samples_of(GROUND).geobox
    coarse = geobox.zoom_out(3)
    height = np.zeros(coarse.shape, np.float64)
    with rasterio.open(REAL / "iburi-2018" / "dem.tif") as file:
        reproject(
            rasterio.band(file, 1), height, dst_transform=coarse.affine, dst_crs=str(coarse.crs),
            resampling=Resampling.bilinear,
        )  # fmt: skip
    cell_km2 = (3 * PIXEL_M) ** 2 / 1e6
    lines = drained(height) * cell_km2 >= STREAM_KM2
    near = ndimage.distance_transform_edt(~lines) * 3 * PIXEL_M <= BANK_M
    rows, columns = geobox.shape
    return np.kron(near, np.ones((3, 3), bool))[:rows, :columns]


def drained(height: Floats) -> Floats:
    """Return how many cells drain through each, itself included, `(y, x)`."""
    rows, columns = height.shape
    done = np.zeros(height.shape, bool)
    receiver = np.full(height.size, -1)
    edge = np.ones(height.shape, bool)
    edge[1:-1, 1:-1] = False
    done[edge] = True
    queue = [(float(height.flat[at]), int(at)) for at in np.flatnonzero(edge)]
    heapq.heapify(queue)
    order = []
    while queue:
        level, at = heapq.heappop(queue)
        order.append(at)
        y, x = divmod(at, columns)
        for i in range(max(0, y - 1), min(rows, y + 2)):
            for j in range(max(0, x - 1), min(columns, x + 2)):
                if not done[i, j]:
                    done[i, j] = True
                    receiver[i * columns + j] = at
                    heapq.heappush(queue, (max(level, float(height[i, j])), i * columns + j))
    cells = np.ones(height.size)
    for at in reversed(order):
        if receiver[at] >= 0:
            cells[receiver[at]] += cells[at]
    return cells.reshape(height.shape)


def drawn(card: str) -> tuple[Objects, NDArray[np.uint8]]:
    """Return the landslides that a checkpoint draws on the held-out bands, by today's rules, and
    the labels there.
    """
    samples, found, rules = samples_of(GROUND), installed(card), CleanConfig()
    truth = samples.label(samples.numbers(HELD_OUT))
    path = WORK / "predictions" / f"{card}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        probability = probability_of(found.load("cpu"), samples, truth != IGNORED)
        np.save(path, probability, allow_pickle=False)
    probability = np.load(path, allow_pickle=False)
    called = np.nan_to_num(probability) >= found.card.threshold
    numbers = split(called, probability, rules.split_depth)
    slope, blue, red = (
        samples.read(band).astype(np.float64) for band in ("slope", "post_B2", "post_B4")
    )
    return Objects.of(kept(numbers, slope), slope, blue, red, streams()), truth


def kept(numbers: Numbers, slope: Floats) -> Numbers:
    """Return the objects that today's rules of least area and slope leave, numbered from 1."""
    rules = CleanConfig()
    _, dense = np.unique(numbers, return_inverse=True)
    dense = dense.reshape(numbers.shape) + (0 if (numbers == 0).any() else 1)
    pixels = np.bincount(dense.ravel())
    mean = np.asarray(ndimage.mean(slope, dense, np.arange(len(pixels))))
    stays = pixels * PIXEL_M**2 >= (rules.min_area_m2 or 0)
    stays &= ~(mean < (rules.min_slope_deg or 0))
    stays[0] = False
    return np.asarray(np.where(stays, np.cumsum(stays), 0)[dense], np.int64)


def without(objects: Numbers, rejected: NDArray[np.bool_]) -> Numbers:
    """Return the raster without some objects."""
    return np.asarray(np.where(np.r_[True, rejected], 0, np.arange(len(rejected) + 1))[objects])


@dataclass(frozen=True)
class Tally:
    """Objects of each block: `(block,)` arrays."""

    mapped: Floats
    paired: Floats
    traced: Floats

    def f1(self, weights: Floats) -> Floats:
        """Return the one-to-one F1 with each block counted so often; `weights` `(draw, block)`."""
        pairs, both = weights @ self.paired, weights @ (self.mapped + self.traced)
        found: Floats = np.divide(2 * pairs, both, out=np.full(len(both), np.nan), where=both > 0)
        return found


def paired(numbers: Numbers, traced: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each object whether it matches one traced landslide (IoU of at least 0.5), and
    whether it is right (a quarter of it on traced ground).
    """
    both = coo_array((np.ones(numbers.size), (numbers.ravel(), traced.ravel()))).tocsr()
    both.sum_duplicates()
    area, theirs = np.asarray(both.sum(axis=1)).ravel(), np.asarray(both.sum(axis=0)).ravel()
    pairs = both.tocoo()
    inside = (pairs.row > 0) & (pairs.col > 0)
    row, column, shared = pairs.row[inside], pairs.col[inside], pairs.data[inside]
    iou = shared / (area[row] + theirs[column] - shared)
    matched = np.zeros(len(area), bool)
    matched[row[iou >= 0.5]] = True
    on_traced = np.bincount(row, weights=shared, minlength=len(area))
    return matched[1:], (on_traced >= 0.25 * area)[1:]


def blocks_of(numbers: Numbers) -> Numbers:
    """Return the block in which each object's first pixel lies."""
    found, first = np.unique(numbers, return_index=True)
    y, x = np.divmod(first[found > 0], numbers.shape[1])
    return np.asarray(y // BLOCK_PX * 1000 + x // BLOCK_PX, np.int64)


def difference(
    objects: Objects, traced: Numbers, rejected: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float, Floats]:
    """Return one-to-one F1 without and with a rule, and the difference of resampled blocks."""
    matched, _ = paired(objects.numbers, traced)
    where, there = blocks_of(objects.numbers), blocks_of(traced)
    names = np.unique(np.r_[where, there])

    def tally(stays: NDArray[np.bool_]) -> Tally:
        def per_block(at: Numbers) -> Floats:
            return np.bincount(np.searchsorted(names, at), minlength=len(names)).astype(float)

        return Tally(per_block(where[stays]), per_block(where[stays & matched]), per_block(there))

    before, after = tally(np.ones(len(matched), bool)), tally(~rejected)
    even = np.ones((1, len(names)))
    weights = rng.multinomial(len(names), even[0] / len(names), DRAWS).astype(float)
    draws = after.f1(weights) - before.f1(weights)
    return float(before.f1(even)[0]), float(after.f1(even)[0]), draws


def traced_numbers(truth: NDArray[np.uint8]) -> Numbers:
    """Return the number of each pixel's traced landslide within some labels, `(y, x)`."""
    samples = samples_of(GROUND)
    shapes = ((shape, i) for i, shape in enumerate(traced(GROUND, samples).geometry, 1))
    burnt = rasterize(
        shapes, out_shape=truth.shape, transform=samples.geobox.affine, dtype=np.int32
    )
    _, dense = np.unique(np.where(truth == 1, burnt, 0), return_inverse=True)
    return np.asarray(dense.reshape(truth.shape), np.int64)


def iburi_rows() -> Iterator[tuple[str, str, bool]]:
    """Yield (rule, line, whether its interval lies above zero), a checkpoint and rule each."""
    for card in CARDS:
        objects, truth = drawn(card)
        theirs = traced_numbers(truth)
        right = paired(objects.numbers, theirs)[1]
        for name, (_, rule) in RULES.items():
            gone = rule(objects)
            before, after, draws = difference(objects, theirs, gone, np.random.default_rng(0))
            low, high = np.nanquantile(draws, (_TAIL, 1 - _TAIL))
            line = (
                f"| `{card}` | {name} | {gone.sum()} of {len(gone)} | {(gone & right).sum()} | "
                f"{before:.3f} → {after:.3f} | {after - before:+.3f} ({low:+.3f} to {high:+.3f}) |"
            )
            yield name, line, bool(low > 0)


def verdict(found: list[tuple[str, str, bool]]) -> str:
    """Return which rules make inventories better beyond their interval, by one checkpoint and by
    both.
    """
    good = [name for name, _, better in found if better]
    both = [name for name in RULES if good.count(name) == len(CARDS)]
    one = [name for name in RULES if name in good and name not in both]
    told = f"Above zero by one of the two: {', '.join(one) or 'none'}; by both: "
    return told + (f"{', '.join(both)}." if both else "none, so no rule has entered the product.")


def quiet_rows() -> Iterator[str]:
    """Yield a line a checkpoint: the share of what is mapped where nothing happened that each rule
    takes away.
    """
    for card in QUIET_CARDS:
        total, gone = 0, dict.fromkeys(RULES, 0)
        for path in sorted(QUIET.glob(f"*-{card}.npz")):
            with np.load(path, allow_pickle=False) as file:
                parts = {name: file[name] for name in ("numbers", "slope", "post_B2", "post_B4")}
            if not parts["numbers"].any():
                continue
            objects = Objects.of(*(parts[name] for name in parts))
            total += len(objects.ratio)
            for name, (_, rule) in RULES.items():
                gone[name] += int(rule(objects).sum())
        shares = (
            "–" if name in OF_RELIEF or not total else f"{100 * gone[name] / total:.0f} %"
            for name in RULES
        )
        yield f"| `{card}` | {total} | {' | '.join(shares)} |"


def main() -> None:
    """Print the tables; with --write, keep them as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/lookalikes.json")
    write = parser.parse_args().write
    head = (
        "| checkpoint | rule | rejected | of them right | one-to-one F1, without → with | "
        "difference (95 % for all rules together) |"
    )
    lines = [head, f"|{' --- |' * 6}"]
    found = list(iburi_rows())
    lines += [line for _, line, _ in found]
    print(*lines, verdict(found), sep="\n", flush=True)
    titles = " | ".join(RULES)
    quiet = [f"| checkpoint | landslides mapped | {titles} |", f"|{' --- |' * (2 + len(RULES))}"]
    quiet += quiet_rows()
    print(*quiet, sep="\n")
    if write:
        rules = "\n".join(f"- {name}: {words};" for name, (words, _) in RULES.items())
        fill(
            "lookalikes", table="\n".join(lines), quiet="\n".join(quiet), rules=rules,
            verdict=verdict(found),
        )  # fmt: skip


if __name__ == "__main__":
    main()
