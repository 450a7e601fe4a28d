"""Every card's map of every scene, kept for what counts of pixels cannot tell: how far cards agree, and what several of
them are worth together. One file a card and scene, probabilities in 250 steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.files import replacing

_STEPS = 250


@dataclass(frozen=True)
class Maps:
    """The maps of a study, in its folder."""

    folder: Path

    def _path(self, card: str, scene: str) -> Path:
        return self.folder / scene / f"{card}.npz"

    def has(self, card: str, scene: str, key: Sequence[str]) -> bool:
        """Return whether the map is there, and is of the weights and pixels that `key` names."""
        path = self._path(card, scene)
        if not path.exists():
            return False
        with np.load(path, allow_pickle=False) as stored:
            return bool(stored["key"].tolist() == list(key))

    def save(self, card: str, scene: str, key: Sequence[str], chance: NDArray[np.float32]) -> None:
        """Keep the probabilities, 0-1, of the pixels that are judged, in reading order; NaN counts as 0."""
        path = self._path(card, scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = np.rint(np.nan_to_num(chance) * _STEPS).astype(np.uint8)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, key=np.array(list(key)), chance=steps)

    def chance(self, card: str, scene: str) -> NDArray[np.float32]:
        """Return what was kept, `(n,)`."""
        with np.load(self._path(card, scene), allow_pickle=False) as stored:
            steps: NDArray[np.uint8] = stored["chance"]
        return steps.astype(np.float32) / np.float32(_STEPS)
