"""`coslide samples`: imagery and polygons to a sample set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from configs.errors import RequestError
from flows.cli import answer
from flows.commands.options import set_option


@click.command(short_help="Make a sample set from imagery and polygons.")
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Instead of CONFIG: folder of GeoTIFFs whose names tell `pre`, `post` or the day, and the "
    "band (pre_B4.tif, 2018-09-20_red.tif); or an archive.",
)
@click.option(
    "--truth", metavar="FILE[:LAYER]", help="Of --images: landslide polygons, e.g. a shapefile."
)
@click.option("--date", metavar="YYYY-MM-DD", help="Of --images: the day of the event, UTC.")
@click.option(
    "--dem", type=click.Path(path_type=Path), metavar="FILE", help="Of --images: elevation, metres."
)
@click.option(
    "--extent", metavar="FILE[:LAYER]", help="Of --images: what was looked at; else all of it."
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="FILE[:LAYER]",
    help="Of --images: polygons that count neither way; repeatable.",
)
@click.option(
    "--channels",
    metavar="B2,B3,…",
    help="Of --images: bands of the files whose bands have no names, in their order.",
)
@click.option(
    "--level", metavar="L1C|L2A", help="Of --images: processing level, where no name tells it."
)
@click.option("--sensor", default="sentinel-2", help="Of --images: sensor, as checkpoints name it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the sample set; must not exist.",
)
@set_option()
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    config: Path | None, out: Path, settings: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Make the sample set that CONFIG describes: which event and imagery, which polygons, which
    split.

    With --images, --truth and --date instead of CONFIG everything else is taken from the rasters;
    OUT.yaml then holds what was understood, for the next time.

    \b
    coslide samples --images images --dem dem.tif --truth landslides.shp --date 2018-09-05 --out samples/valley
    coslide samples samples/valley.yaml --out samples/valley-2
    """  # noqa: E501 (a command in one line)
    from flows.learning.samples import make_samples

    path = _sampling_file(config, out, given)
    card = make_samples(path, out, settings).card
    lines = [
        f"{card.origin.name}: {card.positive_fraction:.1%} of the labelled pixels are landslide"
    ]
    lines += [
        f"  {name:<12} {counts.pixels:>10,} px  {counts.chips:>6} chips, "
        f"{counts.positive_chips} with a landslide"
        for name, counts in card.counts.items()
    ]
    answer(
        {
            "status": "ok",
            "samples": str(out),
            "configuration": str(path),
            **card.model_dump(mode="json"),
        },
        as_json,
        "\n".join([*lines, f"  {out}", f"  {path}"]),
    )


def _sampling_file(config: Path | None, out: Path, given: dict[str, Any]) -> Path:
    """Return the sampling file: the one given, or the one written of files.

    Raises:
        RequestError: both or neither are given, or what goes with the files is missing.
    """
    named = [name for name, value in given.items() if value and name != "sensor"]
    if config is not None:
        if named:
            raise RequestError(
                f"--{named[0]} does not go with {config}", "Say it in that file, or leave it out."
            )
        return config
    missing = [name for name in ("images", "truth", "date") if not given[name]]
    if missing:
        raise RequestError(
            f"missing: {', '.join(f'--{name}' for name in missing)}",
            "Give a sampling file CONFIG.yaml, or --images, --truth and --date.",
        )
    if out.exists():
        raise RequestError(f"{out} exists already", "Choose another --out, or remove it first.")
    from flows.learning.describing import describe_samples

    channels = tuple(part.strip() for part in (given.pop("channels") or "").split(",") if part)
    return describe_samples(**given, out=out, channels=channels)
