"""A threshold from the scene itself, tried on every shipped checkpoint of one real event: ground
that it has not seen, and ground on which nothing happened.

    python -m benchmarks.scene_threshold [--write]     # resumable per map: runs/verify/real/maps

What `model.threshold: agreement` does, beside the checkpoint's threshold and the one of the highest
F1 that its calibrated probabilities let one expect. HR-GLDD's blocks had no part in any choice.
Needs the real data beside the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from benchmarks.real import TITLES, agreeing, beside, expecting, mapped
from benchmarks.results import fill
from benchmarks.trust import BOADELLA, boadella
from models.architectures import tiling_of
from models.inference.agreement import agreement
from models.metrics import Confusion, Sweep
from models.reference import Reference
from models.registry import installed
from tiles.grid import TileGrid
from tiles.stitch import map_tiles

HOMES = {
    "taiwan-rgb": ("l4s-s1",),
    "kodagu-rgb": ("l4s-s4",),
    "iburi-rgb": ("l4s-s2", "iburi-west"),
}
EVENTS, BLOCKS = "Sentinel-2 events", "HR-GLDD blocks (3 m)"
SCENES = tuple(name for name in TITLES if name != "l4s-s1")
"""S1, fifteen times the others together, is left to `benchmarks.real`."""
CARD, EXPECTED = "checkpoint's", "expected F1"
BEYOND = (1.2, 1.4, 1.6)
WAYS = (CARD, EXPECTED, *(f"agreement, {beyond}" for beyond in BEYOND))
BEST = "scene's best"


def rows() -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield (checkpoint, unseen scene, F1 by way)."""
    for card, homes in HOMES.items():
        found = installed(card)
        for name in SCENES:
            if name in homes:
                continue
            probability, label = mapped(found, name)
            thresholds = [found.card.threshold, expecting(probability)]
            thresholds += [agreeing(name, probability, beyond) for beyond in BEYOND]
            f1 = [Confusion.from_masks(probability >= t, label == 1).f1 for t in thresholds]
            best = Sweep.of(probability, label, 10_000).best(low=0.001)[1].f1
            yield card, name, dict(zip(WAYS, f1, strict=True)) | {BEST: best}


def table(found: list[tuple[str, str, dict[str, float]]]) -> str:
    """Return F1 of every checkpoint on every scene of other events."""
    ways = (*WAYS, BEST)
    lines = [
        f"| checkpoint | unseen scene | {' | '.join(ways)} |",
        f"|{' --- |' * (2 + len(ways))}",
    ]
    for card, name, f1 in found:
        cells = " | ".join(f"{f1[way]:.3f}" for way in ways)
        lines.append(f"| `{card}` | {TITLES[name]} | {cells} |")
    return "\n".join(lines)


def verdict(found: list[tuple[str, str, dict[str, float]]]) -> str:
    """Return means over events, and differences to the checkpoint's threshold."""
    lines = []
    for words, blocks in ((EVENTS, False), (BLOCKS, True)):
        chosen = [(name, f1) for _, name, f1 in found if name.startswith("hr-gldd") == blocks]
        scenes = [name for name, _ in chosen]
        values = {way: np.array([f1[way] for _, f1 in chosen]) for way in WAYS}
        lines += [f"- {words}: {beside(scenes, values, way, CARD)}" for way in WAYS[1:]]
    return "\n".join(lines)


def on_quiet_ground(card: str, date: str) -> tuple[float, float]:
    """Return the share of a scene without a landslide that is mapped: at the checkpoint's
    threshold, at the scene's.
    """
    found = installed(card)
    bands, _ = boadella(date)
    wanted = [bands[name.removeprefix("post_")] for name in found.card.bands]
    image = (np.stack(wanted) / 1e4).astype(np.float32)
    pixels = image.reshape(len(image), -1).T
    none = np.zeros(len(pixels), np.int32)
    scene = Reference(found.card.bands, pixels, none, none, (date,), 0.0)
    grid = TileGrid.for_card(image.shape[1:], *tiling_of(found.card))
    probability = map_tiles(image, grid, found.load("cpu").adapted(scene), batch=4)
    own = agreement(lambda: [(probability, image[0], image[1])])
    return (
        float((probability >= found.card.threshold).mean()),
        float((probability >= own.threshold).mean()) if own else 0.0,
    )


def quiet_table() -> str:
    """Return what is mapped where nothing happened, the mean over dates."""
    lines = ["| checkpoint | mapped at the checkpoint's threshold | at the scene's |"]
    lines.append("| --- | --- | --- |")
    for card in (*HOMES, "world-rgb"):
        shares = np.mean([on_quiet_ground(card, date) for date in BOADELLA], axis=0)
        lines.append(f"| `{card}` | {shares[0]:.1%} | {shares[1]:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with --write, keep them as a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    found = list(rows())
    parts = {"table": table(found), "verdict": verdict(found), "quiet": quiet_table()}
    print("\n\n".join(parts.values()))
    if given.write:
        fill("scene-threshold", **parts)


if __name__ == "__main__":
    main()
