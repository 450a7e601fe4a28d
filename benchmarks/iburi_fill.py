"""Further figures of the Iburi protocol from the same trained checkpoints: the fallback's fill, and
truth with deposits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.checkpoint import read_card
from configs.clean import CleanConfig
from configs.records import IGNORED
from configs.sampling import read_sampling
from configs.vectors import Layer
from flows.learning.evaluate_cards import probability_of
from flows.learning.train import fold_of
from inventory.outline.split import split
from models.metrics import Confusion
from models.registry import Checkpoint
from tiles import labels
from tiles.samples import SampleSet

CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "samples"


def predicted(work: Path, card: str, fold: int, seed: int) -> NDArray[np.bool_]:
    """Return where a fold's checkpoint says landslide on its test band, `(y, x)`."""
    return objects(work, card, fold, seed) > 0


def objects(work: Path, card: str, fold: int, seed: int) -> NDArray[np.int64]:
    """Return the number of each pixel's landslide on a fold's test band, `(y, x)`, as an inventory
    parts them; kept on disk.
    """
    name = f"{card}-f{fold}-s{seed}"
    path = work / "predictions" / f"{name}.npy"
    if not path.exists():
        samples = SampleSet.open(work / "samples" / card)
        found = Checkpoint(work / "cards" / name, read_card(work / "cards" / name))
        where = samples.label(samples.numbers(fold_of(samples, fold).test)) != IGNORED
        probability = probability_of(found.load(), samples, where)
        path.parent.mkdir(parents=True, exist_ok=True)
        called = where & (probability >= found.card.threshold)
        np.save(path, split(called, probability, CleanConfig().split_depth), allow_pickle=False)
    numbers: NDArray[np.int64] = np.load(path, allow_pickle=False)
    return numbers


def filled_counts(work: Path, card: str, fold: int, seed: int) -> Confusion:
    """Return the counts on a fold's test band: the checkpoint where it observes, `iburi-post`
    elsewhere.
    """
    whole, own = (SampleSet.open(work / "samples" / name) for name in ("iburi-post", card))
    label = whole.label(whole.numbers(fold_of(whole, fold).test))
    seen = own.label(own.numbers(fold_of(own, fold).test)) != IGNORED
    mask = np.where(
        seen, predicted(work, card, fold, seed), predicted(work, "iburi-post", fold, seed)
    )
    return Confusion.from_masks(mask, label == 1, label != IGNORED)


def with_deposits(work: Path, card: str, fold: int, seed: int) -> Confusion:
    """Return the counts on a fold's test band against source areas and deposits together."""
    samples = SampleSet.open(work / "samples" / card)
    truth = read_sampling(CONFIGS / f"{card}.yaml").truth
    assert truth is not None
    sources = [
        Layer((CONFIGS / layer.file).resolve(), layer.layer, layer.where) for layer in truth.slides
    ]
    both = labels.truth(samples.geobox, [*sources, Layer(sources[0].file, "deposits")])
    known = samples.label(samples.numbers(fold_of(samples, fold).test)) != IGNORED
    return Confusion.from_masks(predicted(work, card, fold, seed), both == 1, known)
