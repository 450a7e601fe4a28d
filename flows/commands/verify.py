"""`coslide verify`: checksums of revisions, checkpoints, archives and sample sets."""

from __future__ import annotations

from pathlib import Path

import click

from configs.errors import RequestError
from flows.cli import answer


@click.command(short_help="Check checksums of whatever carries them.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Read every file of revisions (or of all of an event's), checkpoints, archives and sample
    sets, or of a folder of these, again, and compare.

    \b
    coslide verify runs              every revision of every event
    coslide verify runs/EVENT/r002   one revision
    """
    from flows.verify import verify

    found = [one for path in paths for one in verify(path)]
    faults = [f"{one.path}: {fault}" for one in found for fault in one.faults]
    if faults:
        raise RequestError("; ".join(faults), "Restore the files from a copy, or make them anew.")
    rows = [{"path": str(one.path), "checked": one.checked} for one in found]
    words = "\n".join(f"{row['path']}: {row['checked']} checksums hold" for row in rows)
    answer({"status": "ok", "verified": rows}, as_json, words)
