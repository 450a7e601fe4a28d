"""How well landslides can be told apart on the real Iburi scene: ways to split, chosen on the band
between the halves, and what perfect seeds would reach.

    python -m benchmarks.objects [--write]   # trains the halves of `benchmarks.iburi_halves` where
                                             # they are not there

One to one on the 10 m grid: a mapped landslide and a traced one, burnt to pixels, are a pair where
their intersection over union is 0.5 or more. *Perfect seeds* share the mapped pixels out among the
traced landslides themselves: no way to split the same extent can be expected to do better. *Without
false ones* leaves out, besides, what touches no traced landslide.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from skimage.segmentation import watershed

from benchmarks.iburi import WORK, samples_of
from benchmarks.iburi_halves import HALVES, trained
from benchmarks.product import traced
from benchmarks.results import fill
from configs.clean import CleanConfig
from configs.records import IGNORED
from flows.learning.evaluate_cards import probability_of
from inventory.outline.split import split
from models.sampling import block_px

CARD, DRAWS, SEED = "iburi-post", 2000, 0
_PAIR_IOU, _INSIDE_SHARE = 0.5, 0.5
_TOUCHING = np.ones((3, 3), bool)
USUAL_PX = 0.8
"""What `split` smooths by."""
SMOOTHS_PX, DEPTHS = (USUAL_PX, 1.2, 1.6, 2.2), (0.03, 0.06, 0.1, 0.15, 0.2)
FLOORS_PX, SHIFTS = (4, 8, 12), (-0.08, -0.03, 0.0, 0.05, 0.1, 0.2)
"""Least landslides, and thresholds beside the checkpoint's own."""
CEILING_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)

Numbers = NDArray[np.int64]


class Ground(NamedTuple):
    """One test or validation ground of one half's checkpoint, each `(y, x)`."""

    probability: NDArray[np.float32]
    """NaN off the ground."""
    threshold: float
    slides: Numbers
    """Number of the traced landslide, 0 for none."""
    whole: Numbers
    """Pixels of each traced landslide, those off the ground too, `(landslide,)`."""
    known: NDArray[np.bool_]


Split = Callable[[Ground], Numbers]


@cache
def grounds(role: str) -> list[Ground]:
    """Return the grounds of a role (`validation` or `test`) of both halves."""
    samples = samples_of(CARD)
    shapes = [(shape, n) for n, shape in enumerate(traced(CARD, samples).geometry, 1)]
    size = tuple(int(n) for n in samples.geobox.shape)
    slides = rasterize(shapes, out_shape=size, transform=samples.geobox.affine, dtype="int32")
    found = []
    for half, splits in HALVES.items():
        card = trained(CARD, half)
        label = samples.label(samples.numbers(getattr(splits, role)))
        known = label != IGNORED
        probability = np.where(known, probability_of(card.load("cpu"), samples, known), np.nan)
        mine = np.where(label == 1, slides, 0).astype(np.int64)
        whole = np.bincount(slides.ravel(), minlength=len(shapes) + 1)
        found.append(Ground(probability, card.card.threshold, mine, whole, known))
    return found


def as_parted(
    ground: Ground, smooth_px: float, depth: float, floor_px: int = 4, shift: float = 0.0
) -> Numbers:
    """Return the landslides of a ground as an inventory parts them, by given settings."""
    called = ground.known & (ground.probability >= ground.threshold + shift)
    more_px = np.sqrt(smooth_px**2 - USUAL_PX**2)  # beside that of `split`
    height = ndimage.gaussian_filter(np.nan_to_num(ground.probability), more_px)
    numbers = split(called, height, depth)
    return _at_least(numbers, floor_px)


def by_perfect_seeds(ground: Ground, threshold: float, false_too: bool = True) -> Numbers:
    """Return the pixels above a threshold shared out among the traced landslides; what touches none
    is a landslide of its own, where those count.
    """
    called = ground.known & (ground.probability >= threshold)
    seeds = np.where(called, ground.slides, 0)
    shared = watershed(  # type: ignore[no-untyped-call]
        np.zeros(called.shape), seeds, mask=called, connectivity=_TOUCHING
    ).astype(np.int64)
    rest, _ = ndimage.label(called & (shared == 0), _TOUCHING)
    beyond = np.where(rest > 0, rest.astype(np.int64) + len(ground.whole), 0)
    return _at_least(shared + beyond if false_too else shared, 4)


def _at_least(numbers: Numbers, floor_px: int) -> Numbers:
    _, each, pixels = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.where((pixels >= floor_px)[each].reshape(numbers.shape), numbers, 0)


def tallied(ground: Ground, numbers: Numbers) -> NDArray[np.int64]:
    """Return pairs and landslides (traced and mapped) of each block of a kilometre,
    `(block, 2)`; a pair is counted where its traced landslide begins.
    """
    side = block_px(10.0, 1000.0)
    across = -(-numbers.shape[1] // side)
    inside = np.bincount(ground.slides.ravel(), minlength=len(ground.whole))
    counts = (inside >= _INSIDE_SHARE * ground.whole) & (inside > 0)
    counts[0] = False
    names, mapped = np.unique(numbers, return_inverse=True)
    mapped = mapped.reshape(numbers.shape)
    area = np.bincount(mapped.ravel())
    both = (ground.slides > 0) & (numbers > 0)
    pairs, shared = np.unique(
        np.stack([ground.slides[both], mapped[both]]), axis=1, return_counts=True
    )
    iou = shared / (inside[pairs[0]] + area[pairs[1]] - shared)
    paired = pairs[0][(iou >= _PAIR_IOU) & counts[pairs[0]]]
    tally = np.zeros((across * -(-numbers.shape[0] // side), 2), np.int64)

    def where(raster: Numbers, of: Iterable[int]) -> Numbers:
        present, first = np.unique(raster, return_index=True)
        place = first[np.searchsorted(present, np.fromiter(of, np.int64))]
        y, x = np.unravel_index(place, raster.shape)
        return np.asarray(y // side * across + x // side)

    np.add.at(tally[:, 0], where(ground.slides, paired), 1)
    np.add.at(tally[:, 1], where(ground.slides, np.flatnonzero(counts)), 1)
    np.add.at(tally[:, 1], where(numbers, names[names > 0]), 1)
    return tally


def blocks(role: str, split: Split) -> NDArray[np.int64]:
    """Return the tallies of all blocks of a role's grounds, `(block, 2)`."""
    return np.concatenate([tallied(ground, split(ground)) for ground in grounds(role)])


def f1(tally: NDArray[np.int64]) -> float:
    """Return the one-to-one F1 of blocks together."""
    return float(2 * tally[:, 0].sum() / max(1, tally[:, 1].sum()))


def difference(one: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the difference in F1, by drawing blocks."""
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(one), (DRAWS, len(one)))
    found = [f1(one[rows]) - f1(other[rows]) for rows in drawn]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


Settings = tuple[float, float, int, float]
"""Smoothing, depth, least pixels, shift of the threshold."""
TODAY: Settings = (USUAL_PX, CleanConfig().split_depth or 0.0, 4, 0.0)


def by(settings: Settings) -> Split:
    """Return the split by given settings."""
    return lambda ground: as_parted(ground, *settings)


def chosen() -> tuple[Settings, int]:
    """Return the settings of the highest F1 on the band between, smoothing and depth first, then
    the least landslide and the threshold; and how many were tried.
    """

    def best(tried: list[Settings]) -> Settings:
        return max(tried, key=lambda one: f1(blocks("validation", by(one))))

    first = [(smooth, depth, 4, 0.0) for smooth, depth in itertools.product(SMOOTHS_PX, DEPTHS)]
    smooth, depth, *_ = best(first)
    second = [(smooth, depth, floor, shift) for floor in FLOORS_PX for shift in SHIFTS]
    return best(second), len(first) + len(second)


def table() -> dict[str, str]:
    """Return the tables of what was tried and of the ceiling."""
    better, tried = chosen()
    rows = ["| way to split | F1, band between | F1, test halves | difference to today's, 95 % |"]
    rows.append(f"|{' --- |' * 4}")
    today = blocks("test", by(TODAY))
    rows.append(f"| today's | {f1(blocks('validation', by(TODAY))):.3f} | {f1(today):.3f} | – |")
    tested = blocks("test", by(better))
    low, high = difference(tested, today)
    smooth, depth, floor, shift = better
    name = f"smoothed by {smooth} px, depth {depth}, at least {floor} px, threshold {shift:+.2f}"
    rows.append(
        f"| best of {tried}: {name} | {f1(blocks('validation', by(better))):.3f} | "
        f"{f1(tested):.3f} | {f1(tested) - f1(today):+.3f} ({low:+.3f} to {high:+.3f}) |"
    )
    ceiling = ["| threshold | band between | test halves | test halves, without false ones |"]
    ceiling.append(f"|{' --- |' * 4}")
    for at in CEILING_THRESHOLDS:
        perfect = partial(by_perfect_seeds, threshold=at)
        true_ones = partial(perfect, false_too=False)
        ways = (("validation", perfect), ("test", perfect), ("test", true_ones))
        cells = [f1(blocks(role, way)) for role, way in ways]
        ceiling.append(f"| {at} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")
    return {"tried": "\n".join(rows), "ceiling": "\n".join(ceiling)}


def main() -> None:
    """Print the tables; with --write, keep them as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results/objects.json")
    write = parser.parse_args().write
    WORK.mkdir(parents=True, exist_ok=True)
    made = table()
    print(*made.values(), sep="\n\n")
    if write:
        fill("objects", draws=f"{DRAWS:,}", **made)


if __name__ == "__main__":
    main()
