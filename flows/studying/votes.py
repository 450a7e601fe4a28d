"""What the cards of the study say to one another on a scene that none of them has seen: how far each agrees with the
others (`models.selection.agreement`), and what several are worth together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.records import IGNORED
from flows.progress import progress
from flows.studying.maps import Maps
from flows.studying.pool import Answers, Scene
from models.selection.agreement import against
from models.selection.choose import MEMBERS
from models.selection.evidence import Row

TOGETHER = {"the chosen card": 1, f"mean of the first {MEMBERS}": MEMBERS, "mean of all": None}
"""Ways to map a scene, and how many cards of the ranking each takes."""


@dataclass(frozen=True)
class Votes:
    """The candidates' maps of the scenes."""

    maps: Maps
    candidates: Sequence[Answers]
    every: Sequence[Scene]

    def disagreement(self) -> dict[tuple[str, str, int], float]:
        """Return, by scene, card and seed, 1 - agreement with the other cards of that seed that have not seen the domain."""
        found = {}
        with progress("comparing what cards call", "scene") as advance:
            for done, scene in enumerate(self.every, 1):
                for seed, some in self._seeds():
                    calls = {one.job.made.name: self._called(one, scene) for one in some}
                    blind = [one.job.made.name for one in some if scene.domain not in one.job.made.domains]
                    for name, mine in calls.items():
                        others = [calls[other] for other in blind if other != name]
                        if others:
                            found[scene.name, name, seed] = 1 - against(mine, np.stack(others))
                advance(done, len(self.every))
        return found

    def _seeds(self) -> Iterator[tuple[int, list[Answers]]]:
        for seed in sorted({one.job.seed for one in self.candidates}):
            yield seed, [one for one in self.candidates if one.job.seed == seed]

    def _called(self, one: Answers, scene: Scene) -> NDArray[np.bool_]:
        return self.maps.chance(one.job.name, scene.name) >= one.found.card.threshold

    def together(self, order: Mapping[tuple[str, int], Sequence[Row]]) -> dict[str, NDArray[np.float64]]:
        """Return, by way to map, the F1 of each scene and seed, in the order of `order`: its unseen cards, the best first.

        Probabilities are averaged, and thresholds, as a run does it.
        """
        cards = {(one.job.made.name, one.job.seed): one for one in self.candidates}
        scenes = {scene.name: scene for scene in self.every}
        found: dict[str, list[float]] = {name: [] for name in TOGETHER}
        for (name, seed), rows in order.items():
            scene, some = scenes[name], [cards[row.card, seed] for row in rows]
            chances = np.stack([self.maps.chance(one.job.name, name) for one in some])
            thresholds = np.array([one.found.card.threshold for one in some])
            labels = scene.truth(False)
            truth = labels[labels != IGNORED] == 1
            for way, many in TOGETHER.items():
                called = chances[:many].mean(axis=0) >= thresholds[:many].mean()
                found[way].append(_f1(called, truth))
        return {way: np.array(values) for way, values in found.items()}


def _f1(called: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(called.sum() + truth.sum())
    return 2 * int((called & truth).sum()) / total if total else 0.0
