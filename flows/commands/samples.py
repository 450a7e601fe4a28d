"""`coslide samples`: imagery and polygons to a sample set."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer


@click.command(short_help="Make a sample set from imagery and polygons.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the sample set; must not exist.",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(config: Path, out: Path, as_json: bool) -> None:
    """Make the sample set that CONFIG describes: which event and imagery, which polygons, which
    split.
    """
    from flows.learning.samples import make_samples

    card = make_samples(config, out).card
    lines = [
        f"{card.origin.name}: {card.positive_fraction:.1%} of the labelled pixels are landslide"
    ]
    lines += [
        f"  {name:<12} {counts.pixels:>10,} px  {counts.chips:>6} chips, "
        f"{counts.positive_chips} with a landslide"
        for name, counts in card.counts.items()
    ]
    answer(
        {"status": "ok", "samples": str(out), **card.model_dump(mode="json")},
        as_json,
        "\n".join([*lines, f"  {out}"]),
    )
