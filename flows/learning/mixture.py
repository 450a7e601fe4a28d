"""What a mixture of domains promises: as many chips as its recipe says, none of a domain that is
held out, and a reference sample with the domains in proportion.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from configs.errors import RequestError
from configs.records import IGNORED
from configs.selection import read_selection
from configs.training import TrainingConfig
from models.reference import Reference, Usable, mixture, sample
from tiles.chips import ChipDataset
from tiles.samples import SampleSet

logger = logging.getLogger(__name__)


def kept_apart(config: TrainingConfig, folders: Sequence[Path], folder: Path) -> None:
    """Refuse to train on sets that the recipe (in `folder`) holds out: the same folder, or a copy
    of its pixels.

    Raises:
        RequestError: one of them is among the training's sample sets.
    """
    for path in ((folder / name).resolve() for name in config.held_out):
        held = SampleSet(path).card.fingerprint if path.exists() else None
        for folder in folders:
            if folder.resolve() == path or (
                held and SampleSet.open(folder).card.fingerprint == held
            ):
                raise RequestError(
                    f"{folder} is held out by recipe `{config.name}`: a checkpoint trained on it "
                    "cannot be judged on it",
                    "Take it out of `samples` (or --samples), or out of `held_out`.",
                )


def check_total(config: TrainingConfig, sets: Sequence[SampleSet], chips: ChipDataset) -> None:
    """Refuse a mixture in which a sample set cannot give its part of the recipe's total.

    Raises:
        RequestError: one of them has too few chips that show nothing of another split.
    """
    if config.total is None or config.share < 1:
        return
    drawn = Counter(chips.origin(index)[0] for index in range(len(chips)))
    wanted = [
        (one, source.count)
        for one, source in zip(sets, config.samples, strict=True)
        if source.count
    ]
    for number, (samples, count) in enumerate(wanted):
        if drawn[number] < count:
            raise RequestError(
                f"sample set `{samples.name}` has {drawn[number]} training chips, and its "
                f"share of `total: {config.total}` "
                f"is {count}",
                "Lower `total` or its `share`, or cut more chips (`stride_px`).",
            )


def reference_of(
    config: TrainingConfig, sets: list[SampleSet], bands: tuple[str, ...]
) -> Reference:
    """Return the MMD reference sample: pixels of the training areas, before any balancing, domains
    by their weight.
    """
    settings = read_selection()
    parts = []
    for samples, source in zip(sets, config.samples, strict=True):
        if source.count == 0:
            continue
        usable, resolution_m = (
            _usable(samples, config.splits.training),
            samples.card.origin.resolution_m,
        )
        steep = "slope" in bands and "slope" not in config.optional
        drawn = sample(
            samples,
            [name for name in bands if name in samples.card.bands],
            usable,
            domain=samples.name,
            resolution_m=resolution_m,
            count=config.reference_pixels,
            block_m=settings.block_m,
            slope_min_deg=settings.slope_min_deg if steep else 0.0,
            seed=config.seed,
        )
        parts.append(
            (
                drawn.widened(bands),
                source.weight * (source.count or count_of(samples, config.splits.training)),
            )
        )
    return mixture(parts, config.reference_pixels, config.seed)


def _usable(samples: SampleSet, splits: tuple[str, ...]) -> Usable:
    numbers = samples.numbers(splits)
    return lambda rows, columns: samples.label(numbers, rows, columns) != IGNORED


def count_of(samples: SampleSet, splits: Iterable[str]) -> int:
    """Return how many chips some splits of a sample set hold."""
    return sum(samples.card.counts[name].chips for name in splits)
