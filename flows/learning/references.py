"""What a card compares scenes with: pixels of its training areas, domains in proportion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from configs.records import IGNORED
from configs.selection import read_selection
from configs.training import TrainingConfig
from models.selection.reference import Reference, Usable, mixture, sample
from models.units import patches
from tiles.samples import SampleSet


def reference_of(config: TrainingConfig, sets: list[SampleSet], bands: tuple[str, ...]) -> Reference:
    """Return the MMD reference sample: pixels of the training areas, before any balancing, domains by their weight."""
    settings = read_selection()
    parts = []
    for samples, source in zip(sets, config.samples, strict=True):
        if source.count == 0:
            continue
        usable, resolution_m = _usable(samples, config.splits.training), samples.card.origin.resolution_m
        slope_min_deg = settings.slope_min_deg if "slope" in bands else 0.0
        drawn = sample(
            samples,
            bands,
            usable,
            domain=samples.name,
            resolution_m=resolution_m,
            count=config.reference_pixels,
            block_m=settings.block_m,
            slope_min_deg=slope_min_deg,
            seed=config.seed,
        )
        alike = patches(
            samples,
            bands,
            usable,
            settings,
            resolution_m=resolution_m,
            slope_min_deg=slope_min_deg,
            seed=config.seed,
        )
        drawn = replace(drawn, patches=alike)
        parts.append((drawn, source.weight * (source.count or count_of(samples, config.splits.training))))
    return mixture(parts, config.reference_pixels, config.seed)


def _usable(samples: SampleSet, splits: tuple[str, ...]) -> Usable:
    numbers = samples.numbers(splits)
    return lambda rows, columns: samples.label(numbers, rows, columns) != IGNORED


def count_of(samples: SampleSet, splits: Iterable[str]) -> int:
    """Return how many chips some splits of a sample set hold."""
    return sum(samples.card.counts[name].chips for name in splits)
