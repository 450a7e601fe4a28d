"""One block's question and its answer: the recipes of all instruments and windows in one image, and
how to read what comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import ee
import numpy as np
from numpy.typing import NDArray

from configs.bands import When, parse_band
from configs.records import ObservationClass
from gee.earthengine import radar, terrain
from gee.earthengine.layers import CODE, PERCENT, Recipe, Travel
from gee.earthengine.pixel_codes import read_classes, read_days
from gee.earthengine.pixels import Layers
from gee.source import Pulled

WATER = "water"
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class BlockRequest:
    """What is asked for in a block."""

    image: Any
    """`ee.Image` of all layers."""
    types: Mapping[str, str]
    """Layer -> numpy type, in the image's order."""
    recipes: Mapping[str, Recipe]
    """Prefix of its layers -> recipe: ``post_``, ``pre_radar_``."""

    @classmethod
    def of(cls, recipes: Mapping[str, Recipe], water: bool) -> BlockRequest:
        """Return the question that some recipes, and water where it is wanted, amount to."""
        images = [
            recipe.image.rename([f"{key}{name}" for name in recipe.types])
            for key, recipe in recipes.items()
        ]
        types = {
            f"{key}{name}": dtype
            for key, recipe in recipes.items()
            for name, dtype in recipe.types.items()
        }
        if water:
            images.append(terrain.occurrence().rename([WATER]))
            types[WATER] = PERCENT.dtype
        return cls(ee.Image.cat(images) if images else None, types, recipes)

    def check(self, layers: Layers) -> None:
        """Take the codes out of an answer, as layers of their own, and make sure that there is one
        at every pixel.

        Raises:
            Damaged: a code that no scene has; none is zero, so that a half that arrived as zeros is
                noticed.
        """
        for key, recipe in self.recipes.items():
            layers[f"{key}{CODE}"] = recipe.read_code(_of(layers, key, recipe))

    def pulled(self, names: Sequence[str], layers: Layers) -> Pulled:
        """Return an answer as physical values; the optical image tells what was seen, the radar
        where it is alone.
        """
        codes: dict[When, list[tuple[Recipe, NDArray[Any]]]] = {}
        came: dict[str, tuple[Travel, NDArray[Any]]] = {}
        for key, recipe in self.recipes.items():
            when = When(key.split("_")[0])
            codes.setdefault(when, []).append((recipe, layers[f"{key}{CODE}"]))
            came |= {
                f"{when}_{name}": (travel, layers[f"{key}{name}"])
                for name, travel in recipe.bands.items()
                if name != radar.ANGLE  # no band of a stack
            }
        if WATER in layers:
            came[WATER] = PERCENT, layers[WATER]
        return Pulled(
            Read({name: partial(Travel.read, *came[name]) for name in names}),
            Read({when: partial(_seen, parts) for when, parts in codes.items()}),
            Read({when: partial(_days, parts) for when, parts in codes.items()}),
            {
                name: values
                for name, (travel, values) in came.items()
                if travel.is_of(parse_band(name).band)
            },
        )


def _seen(parts: Sequence[tuple[Recipe, NDArray[Any]]]) -> NDArray[np.uint8]:
    """Return a window's observation classes; a pixel is imaged where every instrument saw it."""
    seen = read_classes(parts[0][1], parts[0][0].scenes)
    for recipe, codes in parts[1:]:
        seen[read_classes(codes, recipe.scenes) == ObservationClass.NOT_IMAGED] = (
            ObservationClass.NOT_IMAGED
        )
    return seen


def _days(parts: Sequence[tuple[Recipe, NDArray[Any]]]) -> NDArray[np.int32]:
    return read_days(parts[0][1], parts[0][0].scenes)


def _of(layers: Layers, key: str, recipe: Recipe) -> Layers:
    return {name: layers[f"{key}{name}"] for name in recipe.types}


class Read(Mapping[Key, Value]):
    """Arrays that are made whenever they are asked for: a block that waits does so in the integers
    it came in.
    """

    def __init__(self, made: Mapping[Key, Callable[[], Value]]) -> None:
        self._made = made

    def __getitem__(self, name: Key) -> Value:
        return self._made[name]()

    def __iter__(self) -> Iterator[Key]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
