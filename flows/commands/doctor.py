"""`coslide doctor`: what is missing on this machine and how to mend it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from flows.cli import answer

SIGNS = {"ok": "ok     ", "warn": "note   ", "missing": "MISSING"}


@click.command(short_help="Tell what is missing on this machine and how to mend it.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs"), help="Output folder to look at."
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(out: Path, as_json: bool) -> None:
    """Look at map data, disk, GPU, checkpoints, Earth Engine and Prefect; each finding with the
    command that mends it.
    """
    from flows.doctor import examine

    findings = examine(out)
    lines = [
        f"{SIGNS[f.state]} {f.what}: {f.detail}" + (f"\n        → {f.remedy}" if f.remedy else "")
        for f in findings
    ]
    answer(
        {"status": "ok", "findings": [dataclasses.asdict(finding) for finding in findings]},
        as_json,
        "\n".join(lines),
    )
