"""`coslide doctor`: what is missing on this machine and how to mend it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from configs.complaints import checked
from configs.errors import RequestError, SourceError
from configs.records import Finding
from configs.run import SourceConfig
from flows.cli import answer


@click.command(short_help="Tell what is missing on this machine and how to mend it.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs"), help="Output folder to look at."
)
@click.option(
    "--source",
    metavar="SOURCE",
    help="Look at all that this source needs, and nothing else; exit 4 where it cannot be had.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="RUN.yaml",
    help="A run file, or parts of one, with the source's settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(out: Path, source: str | None, config: Path | None, as_json: bool) -> None:
    """Look at map data, disk, GPU, checkpoints, Earth Engine and Prefect; each finding with the
    command that mends it.

    \b
    coslide doctor --source earthengine        every collection and permission that a run would use
    coslide doctor --source stac:earth-search  whether the catalogue answers and has what is needed
    """
    from flows.doctor import describe, examine, examine_source

    looked_at = _source(source, config)
    findings = examine_source(looked_at) if looked_at else examine(out)
    missing = [finding for finding in findings if finding.state == "missing"] if looked_at else []
    found = [dataclasses.asdict(finding) for finding in findings]
    answer({**_status(missing), "findings": found}, as_json, describe(findings))
    if missing:
        raise click.exceptions.Exit(SourceError.code)


def _status(missing: Sequence[Finding]) -> dict[str, Any]:
    """Return how the answer begins: an error, as every command tells one, where something that is
    needed is missing.
    """
    if not missing:
        return {"status": "ok"}
    return {
        "status": "error",
        "code": SourceError.code,
        "error": SourceError.kind,
        "message": "; ".join(dict.fromkeys(finding.detail for finding in missing)),
        "remedy": " ".join(dict.fromkeys(finding.remedy for finding in missing)),
    }


def _source(named: str | None, config: Path | None) -> SourceConfig | None:
    """Return the source to look at, with its settings from a run file, or None.

    Raises:
        RequestError: no such source, or a run file that names none.
    """
    from configs.files import read_yaml
    from flows.resolve import name_source

    if not named and not config:
        return None
    content = read_yaml(config, "run").get("source", {}) if config else {}
    content = name_source(content, named) if named else content
    if "kind" not in content:
        raise RequestError(f"{config} names no source", "Give one: --source earthengine.")
    return checked(content, f"source in {config}" if config else "--source", SourceConfig)
