"""`coslide evaluate`: inventories against a reference, or checkpoints on test sets."""

from __future__ import annotations

from pathlib import Path

import click

from configs.errors import RequestError
from flows.cli import answer


@click.command(short_help="Score inventories against a reference, or checkpoints on test sets.")
@click.argument("revisions", nargs=-1)
@click.option(
    "--reference",
    metavar="FILE[:LAYER]|simulated",
    help="Reference polygons, or the simulated truth.",
)
@click.option("--extent", metavar="FILE[:LAYER]", help="What the reference's author has looked at.")
@click.option(
    "--ignore", metavar="FILE[:LAYER]", help="Polygons whose ground is left out of the score."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for scores and layers [default: beside the revision].",
)
@click.option(
    "--review",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score the revision as an analyst left it: a review.gpkg, or an edited landslides.gpkg.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME|DIR",
    help="A checkpoint to score; repeatable.",
)
@click.option(
    "--samples",
    multiple=True,
    metavar="DIR",
    help="A sample set to score checkpoints on; repeatable.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="Split of the sample sets that counts; repeatable [default: test].",
)
@click.option(
    "--card-dir", "card_dirs", multiple=True, help="Further folder of checkpoints; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    revisions: tuple[str, ...],
    reference: str | None,
    extent: str | None,
    ignore: str | None,
    out: Path | None,
    review: Path | None,
    as_json: bool,
    **cards: tuple[str, ...],
) -> None:
    """Score the inventories in REVISIONS (folders like runs/EVENT/r001) against a reference.

    With --checkpoint and --samples instead: every checkpoint on every sample set, one table in
    `--out` [default: evaluation].
    """
    if cards["checkpoints"] or cards["samples"]:
        _cards(revisions, reference, out or Path("evaluation"), as_json, cards)
        return
    if not revisions or reference is None:
        raise RequestError(
            "nothing to evaluate",
            "Give REVISIONS and --reference, or --checkpoint and --samples (see --help).",
        )
    from flows.evaluate import evaluate, words

    result = evaluate(list(revisions), reference, extent, ignore, out, review=review)
    answer(result, as_json, words(result))


def _cards(
    revisions: tuple[str, ...],
    reference: str | None,
    out: Path,
    as_json: bool,
    options: dict[str, tuple[str, ...]],
) -> None:
    if revisions or reference is not None:
        raise RequestError(
            "--checkpoint and --samples do not go with revisions and --reference",
            "Give the one pair or the other.",
        )
    if not options["checkpoints"] or not options["samples"]:
        raise RequestError("--checkpoint and --samples go together", "Give at least one of each.")
    from flows.learning.evaluate_cards import evaluate_cards, words

    folders = [Path(folder) for folder in options["samples"]]
    result = evaluate_cards(
        options["checkpoints"], folders, out, options["splits"], options["card_dirs"]
    )
    answer(result, as_json, words(result))
