"""`coslide respond`: event to inventory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from configs.errors import RequestError
from flows.cli import answer
from flows.commands.options import request_options, set_option

if TYPE_CHECKING:
    from configs.run import RunConfig


@click.command(short_help="Map an earthquake's landslides: the main job.")
@click.option("--epicentre", metavar="LAT,LON", help="Epicentre in degrees, latitude first.")
@request_options("date", "magnitude")
@click.option("--usgs", metavar="ID|FILE", help="USGS event id, or its detail GeoJSON.")
@click.option("--shakemap", metavar="FILE|URL", help="ShakeMap grid.xml that outlines the area.")
@request_options("radius_km")
@click.option(
    "--area", metavar="FILE|W,S,E,N", help="Look here: a polygon file or bounds in degrees."
)
@request_options("pre", "post")
@click.option(
    "--source",
    metavar="SOURCE",
    help="earthengine, stac:NAME|URL|DIR, archive:DIR or simulated[:LANDSCAPE].",
)
@request_options("checkpoint")
@click.option(
    "--choose-by",
    type=click.Choice(["mmd", "study"]),
    help="What auto goes by: the least MMD, or the rule of a study that covers the checkpoints "
    "[default: mmd].",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="RUN.yaml",
    help="A run file, or parts of one.",
)
@set_option(
    out="out",
    engine="engine",
    choose_by="model.choose_by",
    checkpoint="model.checkpoint",
    as_of="windows.as_of",
    pre="windows.pre",
    post="windows.post",
    source=("source.kind", "source.archive", "source.stac.catalogue", "source.landscape"),
    area="area",
    radius_km="area",
    shakemap="area",
    date="event.time",
    magnitude="event.magnitude",
    name="event.name",
)
@request_options("as_of")
@click.option("--out", metavar="DIR", help="Output folder [default: runs].")
@request_options("name")
@click.option("--dry-run", is_flag=True, help="Tell what would be pulled; fetch no pixel.")
@click.option(
    "--engine",
    metavar="ENGINE",
    help="plain, dask://HOST:PORT or dask://local?workers=N [default: plain].",
)
@click.option(
    "--prefect",
    is_flag=True,
    help="As a tracked Prefect flow run (also where PREFECT_API_URL is set).",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(as_json: bool, dry_run: bool, prefect: bool, **options: Any) -> None:
    """Map the landslides of an earthquake: GeoTIFF, GeoPackage and report in OUT/EVENT/rNNN.

    \b
    coslide respond --epicentre 42.69,141.93 --date 2018-09-05T18:08 --source earthengine
    coslide respond --usgs us2000h8ty --source archive:my-images
    """
    run = configure(**options)
    if dry_run:
        from flows.respond import describe, look_ahead

        ahead = look_ahead(run)
        answer({"status": "ok", **ahead}, as_json, describe(ahead))
        return
    from flows.respond import headline

    summary = tracked_or_plain(prefect)(run)
    answer(summary, as_json, headline(summary))


def tracked_or_plain(prefect: bool) -> Callable[[RunConfig], dict[str, Any]]:
    """Return how to run: as a Prefect flow where asked for or where a server is configured, plainly
    otherwise.
    """
    if prefect or os.environ.get("PREFECT_API_URL"):
        from flows.service.flow_runs import respond_flow
        from flows.service.launcher import check_server

        if os.environ.get("PREFECT_API_URL"):
            check_server()
        return respond_flow
    from flows.respond import respond

    return respond


def configure(
    *,
    epicentre: str | None = None,
    usgs: str | None = None,
    shakemap: str | None = None,
    area: str | None = None,
    config: Path | None = None,
    source: str | None = None,
    out: str | None = None,
    engine: str | None = None,
    choose_by: str | None = None,
    settings: Sequence[str] = (),
    **fields: Any,
) -> RunConfig:
    """Return the run configuration that the options, the run file and the defaults amount to.

    Args:
        epicentre: ``LAT,LON``.
        usgs: an event id, or a file with its detail.
        shakemap: a ShakeMap's file or address.
        area: a polygon file, or ``W,S,E,N``.
        config: a run file, whole or in part; the options win.
        source: where imagery comes from.
        out: the output folder.
        engine: who maps.
        choose_by: what `auto` goes by.
        settings: ``section.key=value``, before the file; the options win (the command line refuses
            a setting that an option beside it decides).
        fields: further fields of `Request`, None where not given.

    Raises:
        RequestError: whatever of it cannot be meant.
    """
    from configs.files import read_yaml
    from configs.overrides import overlaid, sections
    from flows.resolve import Files, make_request, name_source, resolve, with_sections

    preset = read_yaml(config, "run") if config else {}
    described = epicentre or usgs or "event" not in preset
    if described and "event" in sections(settings):
        raise RequestError(
            "--set event: the options describe the event, or nothing does",
            "Give --epicentre, --date, --magnitude and --name, or a run file with an event.",
        )
    preset = with_sections(overlaid(preset, settings))
    if source:
        preset["source"] = name_source(preset.get("source", {}), source)
    preset |= {name: value for name, value in {"out": out, "engine": engine}.items() if value}
    if choose_by:
        preset["model"] = {**preset.get("model", {}), "choose_by": choose_by}
    if epicentre:
        fields["latitude"], fields["longitude"] = parse_epicentre(epicentre)
    is_file = usgs is not None and (usgs.endswith((".geojson", ".json")) or Path(usgs).exists())
    request = make_request(**fields, usgs=None if is_file else usgs)
    return resolve(request, preset, Files(Path(str(usgs)) if is_file else None, shakemap, area))


def parse_epicentre(text: str) -> tuple[float, float]:
    """Return (latitude, longitude) from ``LAT,LON``.

    Raises:
        RequestError: not two numbers, or no place on Earth; a swapped pair is recognised.
    """
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(
            f"--epicentre: `{text}` is not LAT,LON", "Write e.g. --epicentre 42.69,141.93"
        ) from None
    if abs(latitude) > 90 or abs(longitude) > 180 or latitude != latitude or longitude != longitude:
        swapped = abs(latitude) <= 180 and abs(longitude) <= 90
        hint = (
            f"Latitude comes first: did you mean --epicentre {longitude:g},{latitude:g}?"
            if swapped
            else ""
        )
        raise RequestError(
            f"--epicentre: latitude {latitude:g}, longitude {longitude:g} is no place on Earth",
            hint or "Latitude lies within ±90, longitude within ±180.",
        )
    return latitude, longitude
