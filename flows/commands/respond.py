"""`coslide respond`: event to inventory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from configs.errors import RequestError
from flows.cli import answer

if TYPE_CHECKING:
    from configs.run import RunConfig


@click.command(short_help="Map an earthquake's landslides: the main job.")
@click.option("--epicentre", metavar="LAT,LON", help="Epicentre in degrees, latitude first.")
@click.option("--date", metavar="YYYY-MM-DD[THH:MM]", help="Origin time, UTC.")
@click.option(
    "--magnitude", type=float, metavar="M", help="Magnitude; sets the area where nothing else does."
)
@click.option("--usgs", metavar="ID|FILE", help="USGS event id, or its detail GeoJSON.")
@click.option("--shakemap", metavar="FILE|URL", help="ShakeMap grid.xml that outlines the area.")
@click.option("--radius-km", type=float, metavar="R", help="Look this far around the epicentre.")
@click.option(
    "--area", metavar="FILE|W,S,E,N", help="Look here: a polygon file or bounds in degrees."
)
@click.option("--pre", metavar="FROM/TO", help="Days of the image before the event, both included.")
@click.option("--post", metavar="FROM/TO", help="Days of the image after the event, both included.")
@click.option(
    "--source", metavar="SOURCE", help="earthengine, archive:DIR or simulated[:LANDSCAPE]."
)
@click.option(
    "--checkpoint",
    default=None,
    metavar="auto|average|NAME",
    help="Which checkpoint maps; auto chooses by the scene, average takes the mean of the best.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="RUN.yaml",
    help="A run file, or parts of one.",
)
@click.option("--as-of", metavar="DATE", help="Pretend it is this day: later images do not exist.")
@click.option("--out", default=None, metavar="DIR", help="Output folder [default: runs].")
@click.option("--name", help="Event name: the folder's name.")
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
def command(as_json: bool, dry_run: bool, prefect: bool, **asked: Any) -> None:
    """Map the landslides of an earthquake: GeoTIFF, GeoPackage and report in OUT/EVENT/rNNN.

    \b
    coslide respond --epicentre 42.69,141.93 --date 2018-09-05T18:08 --magnitude 6.6 --source
    earthengine coslide respond --usgs us2000h8ty --source archive:my-images
    """
    run = configure(**asked)
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

        return respond_flow
    from flows.respond import respond

    return respond


def configure(
    epicentre: str | None,
    date: str | None,
    magnitude: float | None,
    usgs: str | None,
    shakemap: str | None,
    radius_km: float | None,
    area: str | None,
    pre: str | None,
    post: str | None,
    source: str | None,
    checkpoint: str | None,
    config: Path | None,
    as_of: str | None,
    out: str | None,
    name: str | None,
    engine: str | None = None,
) -> Any:
    """Return the run configuration that the options, the run file and the defaults amount to.

    Raises:
        RequestError: whatever of it cannot be meant.
    """
    from configs.files import read_yaml
    from flows.resolve import Files, make_request, parse_source, resolve

    preset = read_yaml(config, "run") if config else {}
    if source:
        preset["source"] = {**preset.get("source", {}), **parse_source(source)}
    if out:
        preset["out"] = out
    if engine:
        preset["engine"] = engine
    latitude, longitude = parse_epicentre(epicentre) if epicentre else (None, None)
    usgs_file = (
        Path(usgs)
        if usgs and (usgs.endswith((".geojson", ".json")) or Path(usgs).exists())
        else None
    )
    request = make_request(
        usgs=None if usgs_file else usgs,
        latitude=latitude,
        longitude=longitude,
        date=date,
        magnitude=magnitude,
        radius_km=radius_km,
        pre=pre,
        post=post,
        checkpoint=checkpoint,
        name=name,
        as_of=as_of,
    )
    return resolve(request, preset, Files(usgs_file, shakemap, area))


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
