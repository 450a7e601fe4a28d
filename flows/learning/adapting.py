"""Sample sets in a checkpoint's terms: the same maps for the chips of a training as for a whole
scene at use (`models.inference.adaptation`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.checkpoint import Normalisation
from configs.errors import RequestError
from configs.records import IGNORED
from configs.selection import read_selection
from configs.training import TrainingConfig
from models.inference.adaptation import Adaptation, targets
from models.inference.normalise import fit
from models.inference.predict import Predictor
from models.reference import Reference, sample
from models.registry import Checkpoint
from tiles.chips import ChipDataset
from tiles.samples import SampleSet


def scene_of(samples: SampleSet, bands: Sequence[str], optional: Collection[str] = ()) -> Reference:
    """Return a sample set's pixels as a run would draw those of a scene: all that were observed,
    sloping. No label counts. Optional bands that it lacks are left out.
    """
    settings, every = read_selection(), samples.numbers(samples.card.split_names.values())
    steep = "slope" in bands and "slope" not in optional
    return sample(
        samples,
        [name for name in bands if name not in optional or name in samples.card.bands],
        lambda rows, columns: samples.label(every, rows, columns) != IGNORED,
        domain=samples.name,
        resolution_m=samples.card.origin.resolution_m,
        count=settings.pixels,
        block_m=settings.block_m,
        slope_min_deg=settings.slope_min_deg if steep else 0.0,
        seed=settings.seed,
    )


def on(predictor: Predictor, samples: SampleSet) -> Predictor:
    """Return a checkpoint at work on a sample set as its scene: with what the set has of its
    optional bands; itself, where it adapts to none.
    """
    predictor = predictor.fed(samples.card.bands)
    card = predictor.card
    if card.normalisation.adapt == "card" or predictor.adaptation is not None:
        return predictor
    return predictor.adapted(scene_of(samples, card.bands, card.optional))


@dataclass
class _AdaptedChips:
    """Chips, each in the checkpoint's terms by the statistics of the sample set that it comes
    from.
    """

    chips: ChipDataset
    maps: tuple[Adaptation, ...]
    """Of each of the data set's shares."""

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        x, y = self.chips[index]
        return self.maps[self.chips.origin(index)[0]](x.numpy(), self.chips.bands), y.numpy()

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next pass shows."""
        self.chips.set_epoch(epoch)


@dataclass(frozen=True)
class Adapting:
    """How a training's sample sets are put before it sees them."""

    normalisation: Normalisation
    """What is done and towards what; no statistics of bands yet, unless a parent has them."""
    known: bool
    """Whether band statistics are there, or have to be fitted."""

    @classmethod
    def of(
        cls, config: TrainingConfig, reference: Reference, parent: Checkpoint | None
    ) -> Adapting:
        """Return what a recipe asks for: towards all domains together, or what the parent's network
        knows.

        Raises:
            RequestError: there is nothing to adapt.
        """
        if parent is not None:
            return cls(parent.card.normalisation, True)
        toward = {} if config.adapt == "card" else targets(reference, reference.bands)
        if config.adapt != "card" and not toward:
            raise RequestError(
                f"`adapt: {config.adapt}` moves imagery, and the recipe reads none",
                "Set `adapt: card` in the recipe.",
            )
        return cls(
            Normalisation(method=config.normalisation, adapt=config.adapt, toward=toward), False
        )

    def chips(self, chips: ChipDataset) -> ChipDataset | _AdaptedChips:
        """Return the chips as the network is to know them."""
        if self.normalisation.adapt == "card":
            return chips
        scenes = (scene_of(share.samples, chips.bands, chips.optional) for share in chips.shares)
        return _AdaptedChips(
            chips, tuple(Adaptation.of(self.normalisation, scene.bands, scene) for scene in scenes)
        )

    def fitted(self, chips: ChipDataset | _AdaptedChips, bands: Sequence[str]) -> Normalisation:
        """Return the normalisation of the training, its band statistics those of the training chips
        as they are put.
        """
        if self.known:
            return self.normalisation
        found = fit(
            (chips[i] for i in range(len(chips))),
            bands,
            self.normalisation.method,
            self.normalisation.fill,
        )
        return self.normalisation.model_copy(update={"statistics": found.statistics})
