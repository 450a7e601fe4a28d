"""`coslide serve`: the deployments, offered to a Prefect server."""

from __future__ import annotations

import os
from pathlib import Path

import click

from configs.files import read_yaml


@click.command(short_help="Register the deployments with a Prefect server and serve them.")
@click.option(
    "--preset", type=click.Path(path_type=Path), help="Run file (or parts of one) that every triggered run starts from."
)
@click.option("--limit", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at once.")
def command(preset: Path | None, limit: int) -> None:
    """Serve map-event, train and evaluate to the Prefect server at PREFECT_API_URL, until stopped."""
    if preset:
        read_yaml(preset, "run")
        os.environ["COSLIDE_PRESET"] = str(preset.absolute())
    from flows.deployments import serve_deployments

    serve_deployments(limit)
