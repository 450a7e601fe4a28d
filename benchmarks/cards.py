"""The shipped cards, trained again from the recipes in the repository: sample sets first, then one training each.

python -m benchmarks.cards [NAME ...] [--out runs/cards]     # resumable; copies nothing into the package
"""

from __future__ import annotations

import argparse
from pathlib import Path

from configs.training import read_training
from flows.commands.train import words
from flows.samples import make_samples
from flows.train import train

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "configs" / "train"
SHIPPED = ("iburi-post", "iburi-prepost", "sim-tephra", "sim-alpine", "sim-tropical", "sim-mixed")


def main() -> None:
    """Train the named cards, all where none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=SHIPPED)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "cards")
    given = parser.parse_args()
    for name in given.names:
        recipe = RECIPES / f"{name}.yaml"
        for source in read_training(recipe).samples:
            folder = (recipe.parent / source.path).resolve()
            if not folder.exists():
                make_samples(ROOT / "configs" / "samples" / f"{folder.name}.yaml", folder)
        if not (given.out / name).exists():
            print(words(train(str(recipe), str(given.out))), flush=True)


if __name__ == "__main__":
    main()
