"""`coslide explain`: where a checkpoint looked, which bands spoke, which factors matter."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer


@click.command(short_help="Grad-CAM of a checkpoint, and the importance of bands and factors.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the sample set to look at.",
)
@click.option(
    "--checkpoint",
    metavar="NAME|DIR",
    help="The checkpoint to look into; without it only factors are ranked.",
)
@click.option(
    "--split", "splits", multiple=True, help="Split to look at; repeatable [default: all]."
)
@click.option(
    "--chips",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="How many chips to draw.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the factors' forest.",
)
@click.option(
    "--card-dir", "card_dirs", multiple=True, help="Further folder of checkpoints; repeatable."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("explanation"),
    show_default=True,
    help="Folder of the results.",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    samples: Path,
    checkpoint: str | None,
    splits: tuple[str, ...],
    chips: int,
    seed: int,
    card_dirs: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Draw what a checkpoint looks at on the chips richest in landslides, and rank bands and
    factors.
    """
    from flows.learning.explain import explain, words

    result = explain(samples, out, checkpoint, splits, chips, seed, card_dirs)
    answer(result, as_json, words(result))
