"""One block's question and its answer: the recipes of all instruments and windows in one image, and how to read what comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ee
import numpy as np
from numpy.typing import NDArray

from configs.bands import When
from configs.records import ObservationClass
from gee.earthengine import terrain
from gee.earthengine.codes import read_codes
from gee.earthengine.layers import CODE, PERCENT, Recipe, Travel
from gee.earthengine.pixels import Layers
from gee.source import Pulled

WATER = "water"


@dataclass(frozen=True)
class Asked:
    """What is asked for in a block."""

    image: Any
    """`ee.Image` of all layers."""
    types: Mapping[str, str]
    """Layer -> numpy type, in the image's order."""
    recipes: Mapping[str, Recipe]
    """Prefix of its layers -> recipe: ``post_``, ``pre_radar_``."""

    @classmethod
    def of(cls, recipes: Mapping[str, Recipe], water: bool) -> Asked:
        """Return the question that some recipes, and water where it is wanted, amount to."""
        images = [recipe.image.rename([f"{key}{name}" for name in recipe.types]) for key, recipe in recipes.items()]
        types = {f"{key}{name}": dtype for key, recipe in recipes.items() for name, dtype in recipe.types.items()}
        if water:
            images.append(terrain.occurrence().rename([WATER]))
            types[WATER] = PERCENT.dtype
        return cls(ee.Image.cat(images) if images else None, types, recipes)

    def check(self, layers: Layers) -> None:
        """Take the codes out of an answer, as layers of their own, and make sure that there is one at every pixel.

        Raises:
            Damaged: a code that no scene has; none is zero, so that a half that arrived as zeros is noticed.
        """
        for key, recipe in self.recipes.items():
            layers[f"{key}{CODE}"] = recipe.read_code(_of(layers, key, recipe))

    def pulled(self, names: Sequence[str], layers: Layers) -> Pulled:
        """Return an answer as physical values; the optical image tells what was seen, the radar where it is alone."""
        observation: dict[When, NDArray[np.uint8]] = {}
        date: dict[When, NDArray[np.int32]] = {}
        bands: dict[str, tuple[Travel, NDArray[Any]]] = {}
        for key, recipe in self.recipes.items():
            when = When(key.split("_")[0])
            seen, days = read_codes(layers[f"{key}{CODE}"], recipe.scenes)
            if when not in observation:
                observation[when], date[when] = seen, days
            else:  # a pixel is imaged where both instruments saw it
                observation[when] = np.where(seen == ObservationClass.NOT_IMAGED, seen, observation[when])
            bands |= {f"{when}_{name}": (travel, layers[f"{key}{name}"]) for name, travel in recipe.bands.items()}
        if WATER in layers:
            bands[WATER] = PERCENT, layers[WATER]
        return Pulled(Physical({name: bands[name] for name in names}), observation, date)


def _of(layers: Layers, key: str, recipe: Recipe) -> Layers:
    return {name: layers[f"{key}{name}"] for name in recipe.types}


class Physical(Mapping[str, NDArray[np.float32]]):
    """Bands in their units, decoded whenever asked for: a block that waits does so in the integers it came in."""

    def __init__(self, stored: Mapping[str, tuple[Travel, NDArray[Any]]]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        travel, values = self._stored[name]
        return travel.read(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)
