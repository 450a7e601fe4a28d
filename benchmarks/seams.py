"""F1 and seams of every shipped checkpoint at several tile sizes, on a scene of its own kind.

    python -m benchmarks.seams [--write]

Seams: mean |Δp| between neighbours across tile borders, divided by that between neighbours inside
tiles. Real checkpoints are scored on their own test band; simulated ones on an unseen simulated
scene. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.iburi import samples_of
from benchmarks.results import fill
from benchmarks.selection import scenario
from configs.layout import EventFolder
from configs.records import IGNORED
from configs.stack import Rows
from flows import steps
from flows.learning.evaluate_cards import sample_rows
from gee.simulated.truth import simulated_mask
from models.architectures import architecture_of
from models.metrics import Confusion
from models.registry import Checkpoint, find
from tiles.grid import TileGrid
from tiles.seams import seams
from tiles.stitch import map_tiles

SIZES = (88, 128, 256, 512)


@dataclass(frozen=True)
class Scene:
    """Pixels to map and the truth to score by."""

    pixels: Rows
    truth: NDArray[np.uint8]
    name: str


def scene_of(found: Checkpoint, folder: Path) -> Scene:
    """Return a scene that a checkpoint has not been trained on."""
    card = found.card
    if not card.simulated:
        samples = samples_of(card.name)
        names = tuple(score.test_set.partition("/")[2] for score in card.scores)
        return Scene(
            sample_rows(samples, card.bands),
            samples.label(samples.numbers(names)),
            f"real, {samples.name} {names[0]}",
        )
    run = scenario("tephra-hills", 99)
    event = EventFolder(folder)
    layout = event.work(run.request_id)
    layout.scratch.mkdir(parents=True, exist_ok=True)
    source = steps.open_source(run)
    cards = steps.candidates(run, source)
    stack = steps.pull(run, event, source, cards, steps.plan_of(run, source, cards), layout)
    return Scene(
        stack.view(card.bands), simulated_mask(run, stack.geobox), "simulated, unseen tephra-hills"
    )


def lines(found: Checkpoint, scene: Scene) -> list[str]:
    """Return one checkpoint's lines of the table."""
    card, predictor, out = found.card, found.load(), []
    shape = (scene.truth.shape[0], scene.truth.shape[1])
    for size in SIZES:
        # The overlap keeps its share of the tile; `core` checkpoints keep their reach.
        halo = (
            card.tiles.halo * size // card.tiles.size
            if card.tiles.mode == "blend"
            else card.tiles.halo
        )
        tiles = card.tiles.model_copy(update={"size": size, "halo": halo})
        grid = TileGrid.for_card(shape, tiles, architecture_of(card.architecture).stride)
        probability: Any = map_tiles(scene.pixels, grid, predictor, batch=4)
        valid = (scene.truth != IGNORED) & np.isfinite(probability)
        f1 = Confusion.from_masks(probability >= card.threshold, scene.truth == 1, valid).f1
        own = " (the checkpoint's own)" if size == card.tiles.size else ""
        out.append(
            f"| `{card.name}` | {scene.name} | {size}{own} | {tiles.mode} | {f1:.3f} | "
            f"{seams(probability, grid).ratio:.3f} |"
        )
    return out


def main() -> None:
    """Print the table; with --write, put it into docs/results.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    rows = [
        "| checkpoint | scene | tile px | mode | F1 | seam ratio |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for found in find():
            rows += lines(found, scene_of(found, Path(folder)))
    print("\n".join(rows))
    if write:
        fill("seams", table="\n".join(rows))


if __name__ == "__main__":
    main()
