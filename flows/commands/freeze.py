"""`coslide freeze`: a live stack into an archive."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer
from flows.commands.options import set_option


@click.command(short_help="Turn a run's imagery into an archive that replays it offline.")
@click.argument("run", type=click.Path(path_type=Path), metavar="EVENT_DIR|REVISION_DIR|RUN.yaml")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The archive; must not exist.",
)
@set_option()
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(run: Path, out: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Turn the imagery of a run into an archive, bit for bit: the run can then be replayed offline
    for ever.

    A folder is frozen from the stack its run kept; only heights are asked for again, on their
    native grid. A run file (the options of `coslide respond` in YAML) is pulled anew.

    \b
    coslide freeze runs/iburi --out iburi-archive
    coslide respond --config runs/iburi/r001/run.yaml --source archive:iburi-archive
    """
    from flows.freezing import freeze_run

    frozen = freeze_run(run, out, settings)
    replay = f"coslide respond --config {frozen.run_file} --source archive:{out}"
    content = {
        "status": "ok",
        "archive": str(out),
        "event": frozen.plan.event.name,
        "scenes": [scene.id for scene in frozen.plan.scenes],
        "bands": list(frozen.plan.bands),
        "pulled_anew": frozen.pulled,
        "megabytes": round(frozen.megabytes, 1),
        "replay": replay,
    }
    words = f"{out}: {len(frozen.plan.bands)} bands, {frozen.megabytes:.1f} MB. Replay it: {replay}"
    answer(content, as_json, words)
