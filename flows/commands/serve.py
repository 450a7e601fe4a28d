"""`coslide serve`: the deployments, served to a Prefect server."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from configs.errors import RequestError
from flows.cli import talk_flags
from flows.commands.options import set_option

if TYPE_CHECKING:
    from configs.service import ServiceConfig

logger = logging.getLogger(__name__)

PARTS = ("runs", "duties", "web")
_LOOK_S = 1.0
_PATIENCE_S = 30


@click.command(short_help="Register the deployments with a Prefect server and serve them.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="SERVICE.yaml",
    help="Schedules, limits, rules, notices.",
)
@set_option(preset="preset", limit="runs.at_once")
@click.option(
    "--preset",
    type=click.Path(path_type=Path),
    help="Run file that triggered runs start from, instead of the service's.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Runs at once, instead of the service file's."
)
@click.option(
    "--write-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Only write all settings, explained, into a new file, and its preset beside it.",
)
@click.option(
    "--source",
    metavar="SOURCE",
    help="With --write-config: where imagery comes from, as for `coslide respond`.",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    help="Only the runs, only the watch and the clean-up of silent runs, or only the pages.",
)
def command(
    config: Path | None,
    settings: tuple[str, ...],
    preset: Path | None,
    limit: int | None,
    write_config: Path | None,
    source: str | None,
    part: str | None,
) -> None:
    """Serve map-event, refresh-events, watch-earthquakes, train, evaluate and tend to
    PREFECT_API_URL, until stopped.
    """
    from configs.files import read_yaml
    from flows import notify
    from flows.service.logs import keep
    from flows.service.settings import LIMIT, PRESET, SERVICE, SETTINGS, service

    if preset:
        read_yaml(preset, "run")
        os.environ[PRESET] = str(preset.absolute())
    if config:
        os.environ[SERVICE] = str(config.absolute())
    if limit:
        os.environ[LIMIT] = str(limit)
    if settings:
        os.environ[SETTINGS] = "\n".join(settings)
    found = service()
    if write_config:
        _write(found, source, write_config)
        return
    if source:
        raise RequestError(
            "--source goes with --write-config", "A service's source stands in its preset."
        )
    notify.check(found.notify, found.allow.webhooks)
    keep(found)
    if part == "web":
        from flows.service.settings import output_folder
        from flows.service.web import show

        show(found, output_folder())
        return
    if part is not None:
        from flows.service.deployments import serve_deployments

        serve_deployments(found, "runs" if part == "runs" else "duties")
        return
    _tell_what_is_refused(found)
    sys.exit(_serve([one for one in PARTS if one != "web" or found.web.port]))


def _write(service: ServiceConfig, source: str | None, path: Path) -> None:
    """Write the settings, and beside them the preset that names the source.

    Raises:
        RequestError: no source is named, or one of the two files exists.
    """
    from configs.service import write_service
    from flows.resolve import check_source
    from flows.service.settings import preset_of, write_preset

    preset = path.with_name("preset.yaml")
    if source is None:
        check_source(preset_of(service))
        write_service(service, path)
        return
    if service.preset:
        raise RequestError(
            "--source and a preset both name the source of imagery", "Give one of them."
        )
    if path.exists() or preset.exists():
        there = path if path.exists() else preset
        raise RequestError(f"{there} exists", "Choose another folder, or move it away.")
    write_preset(source, preset)
    write_service(service.model_copy(update={"preset": preset.name}), path)


def _tell_what_is_refused(service: ServiceConfig) -> None:
    """Say before the first earthquake does it that a service will map none."""
    from flows.resolve import check_drill
    from flows.service.settings import preset_of

    try:
        check_drill(preset_of(service), service.drill)
    except RequestError as error:
        logger.warning("no real earthquake will be mapped: %s. %s", error.message, error.remedy)


def _serve(parts: list[str]) -> int:
    """Serve parts as processes of their own, so that a long run never keeps the watch waiting;
    return the first one's end, 0 where the service was asked to stop.
    """
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
    logger.info("starting; this takes some ten seconds")
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *talk_flags(), "serve", "--part", part]
        )
        for part in parts
    ]
    try:
        while not asked.wait(_LOOK_S) and all(child.poll() is None for child in children):
            pass
        return next((child.returncode for child in children if child.returncode is not None), 0)
    finally:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
