"""`coslide evaluate`: an inventory against a reference."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer


@click.command(short_help="Score an inventory against a reference.")
@click.argument("revisions", nargs=-1, required=True)
@click.option(
    "--reference", required=True, metavar="FILE[:LAYER]|simulated", help="Reference polygons, or the simulated truth."
)
@click.option("--extent", metavar="FILE[:LAYER]", help="What the reference's author has looked at.")
@click.option("--ignore", metavar="FILE[:LAYER]", help="Polygons that count neither way.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for scores and layers [default: beside the revision]."
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    revisions: tuple[str, ...], reference: str, extent: str | None, ignore: str | None, out: Path | None, as_json: bool
) -> None:
    """Score the inventories in REVISIONS (folders like runs/EVENT/r001) against a reference."""
    from flows.evaluate import evaluate, words

    result = evaluate(list(revisions), reference, extent, ignore, out)
    answer(result, as_json, words(result))
