"""A fixed first step before any network: differences of channels instead of both. It has no
weights, so a checkpoint's weights are those of the network behind it, and it is written into the
card as the argument `change` of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from configs.errors import RequestError


@dataclass(frozen=True)
class Change:
    """Of pairs of channels (before, after) only after minus before goes on, in the place of the
    latter; others go on as they are.

    It works on normalised inputs: what both dates share (light, haze, ground) is gone, what changed
    stays.
    """

    pairs: tuple[tuple[int, int], ...]
    entering: int

    @classmethod
    def of(cls, pairs: Any, entering: int) -> Change:
        """Return the step for so many channels.

        Raises:
            RequestError: something else than pairs of different channels that exist, each in one
                pair.
        """
        lists = isinstance(pairs, list | tuple) and all(
            isinstance(pair, list | tuple) for pair in pairs
        )
        made = tuple(tuple(pair) for pair in pairs) if lists else None
        numbers = [number for pair in made or () for number in pair]
        sound = (
            made is not None
            and all(len(pair) == 2 for pair in made)
            and len(set(numbers)) == len(numbers)
        )
        if not sound or not all(
            isinstance(number, int) and 0 <= number < entering for number in numbers
        ):
            raise RequestError(
                f"a network of {entering} channels cannot have change={pairs!r}",
                "Give pairs of different channels [before, after], numbered 0 to "
                f"{entering - 1}, each in one pair.",
            )
        return cls(made or (), entering)

    @property
    def channels(self) -> int:
        """Return how many channels go on."""
        return self.entering - len(self.pairs)

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the first layer reads of `(B, entering, H, W)`: `(B, channels, H, W)`."""
        if not self.pairs:
            return x
        before = {after: first for first, after in self.pairs}
        kept = [channel for channel in range(self.entering) if channel not in before.values()]
        return torch.stack(
            [x[:, c] - x[:, before[c]] if c in before else x[:, c] for c in kept], dim=1
        )
