"""A card on sample sets: its probability, tiled as over a scene, and its scores on test splits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.checkpoint import Score
from configs.records import IGNORED
from configs.stack import Rows
from configs.training import TrainingConfig
from flows.learning.adapting import on
from models.architectures import ARCHITECTURES
from models.inference.predict import Predictor
from models.metrics import Confusion
from models.training.write_card import scored
from tiles.grid import TileGrid
from tiles.samples import SampleSet
from tiles.stitch import map_tiles


def sample_rows(samples: SampleSet, bands: tuple[str, ...]) -> Rows:
    """Return a sample set's bands as lazy `(band, y, x)`."""
    return _Bands(samples, bands)


class _Bands:
    """A sample set's bands as `(band, y, x)` rows."""

    def __init__(self, samples: SampleSet, bands: tuple[str, ...]) -> None:
        self._samples, self._bands = samples, bands
        self.shape: tuple[int, ...] = (len(bands), *samples.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, rows, columns = key
        return np.stack([self._samples.read(name, rows, columns) for name in self._bands[bands]])


def probability_of(predictor: Predictor, samples: SampleSet, where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a card's probability over a sample set, `(y, x)`, NaN but `where`, tiled as the card says.

    A card that adapts to scenes takes the whole set as one, unless that has been done.
    """
    card, predictor = predictor.card, on(predictor, samples)
    grid = TileGrid.for_card(samples.shape, card.tiles, ARCHITECTURES[card.architecture].stride)
    out: NDArray[np.float32] = map_tiles(sample_rows(samples, card.bands), grid, predictor, batch=4, valid=where)
    return out


def scores(predictor: Predictor, config: TrainingConfig, sets: list[SampleSet]) -> list[Score]:
    """Return the scores on each set's test split, measured on the stored weights, tiled as a scene would be."""
    found = []
    for samples in sets:
        names = tuple(name for name in config.splits.test if name in samples.card.split_names.values())
        if not names:
            continue
        truth = samples.label(samples.numbers(names))
        counts = Confusion.from_masks(
            probability_of(predictor, samples, truth != IGNORED) >= predictor.card.threshold,
            truth == 1,
            truth != IGNORED,
        )
        found.append(scored(f"{samples.name}/{'+'.join(names)}", counts, simulated=samples.card.origin.simulated))
    return found
