"""`coslide train`: sample sets and a recipe to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.cli import answer


@click.command(short_help="Train a checkpoint from sample sets.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    default="cards",
    show_default=True,
    help="Folder that the checkpoint's folder is made in.",
)
@click.option(
    "--samples",
    multiple=True,
    help="Folder of a sample set, instead of the recipe's; once for each, in order.",
)
@click.option("--name", help="Name of the checkpoint, instead of the recipe's.")
@click.option("--seed", type=int, help="Seed, instead of the recipe's.")
@click.option(
    "--fold", type=int, help="Of samples split into bands: the test band; the next one validates."
)
@click.option("--quick", is_flag=True, help="The recipe's quick variant, which a laptop finishes.")
@click.option("--steps", type=int, help="Length in optimiser steps, instead of the recipe's.")
@click.option(
    "--start-from",
    metavar="CARD",
    help="Fine-tune this checkpoint: a name, or a checkpoint's folder.",
)
@click.option(
    "--share", type=float, help="Share of the training chips that are used, above 0 up to 1."
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    config: Path, out: str, samples: tuple[str, ...], as_json: bool, **changes: Any
) -> None:
    """Train the checkpoint that the recipe CONFIG describes; an interrupted training goes on."""
    from flows.learning.train import Overrides, train

    result = train(
        str(config),
        out,
        Overrides(samples=tuple(str(Path(s).resolve()) for s in samples), **changes),
    )
    answer(result, as_json, words(result))


def words(result: dict[str, Any]) -> str:
    """Return what came out in words."""
    lines = [
        f"{result['checkpoint']}: threshold {result['threshold']:.2f}, validation F1 "
        f"{result['validation_f1'] or float('nan'):.3f}"
    ]
    for score in result["scores"]:
        values, kind = score["values"], " (simulated)" if score["simulated"] else ""
        lines.append(
            f"  {score['test_set']}{kind}: F1 {values.get('f1', float('nan')):.3f}, IoU "
            f"{values.get('iou', float('nan')):.3f}"
        )
    return "\n".join([*lines, f"  {result['folder']}"])
