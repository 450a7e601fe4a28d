"""What a mixture promises: as many chips as its recipe says, and none of a domain that is held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from configs.errors import RequestError
from configs.training import TrainingConfig
from tiles.chips import ChipDataset
from tiles.samples import SampleSet


def kept_apart(config: TrainingConfig, folders: Sequence[Path], folder: Path) -> None:
    """Refuse to train on sets that the recipe (in `folder`) holds out: the same folder, or a copy of its pixels.

    Raises:
        RequestError: one of them is among the training's sample sets.
    """
    for path in ((folder / name).resolve() for name in config.held_out):
        held = SampleSet.open(path).card.fingerprint if path.exists() else None
        for given in folders:
            if given.resolve() == path or (held and SampleSet.open(given).card.fingerprint == held):
                raise RequestError(
                    f"{given} is held out by recipe `{config.name}`: a card trained on it cannot be judged on it",
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
    wanted = [(one, source.count) for one, source in zip(sets, config.samples, strict=True) if source.count]
    for number, (samples, count) in enumerate(wanted):
        if drawn[number] < count:
            raise RequestError(
                f"sample set `{samples.name}` has {drawn[number]} training chips, and its share of `total: {config.total}` "
                f"is {count}",
                "Lower `total` or its `share`, or cut more chips (`stride_px`).",
            )
