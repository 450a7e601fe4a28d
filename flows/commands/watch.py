"""`coslide watch`: earthquakes in, runs out."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from configs.errors import RequestError, SourceError
from flows.cli import answer
from flows.commands.options import set_option

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from flows.watch.launch import Launcher, Turn


@click.command(short_help="Watch the USGS feed and map what qualifies.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="SERVICE.yaml",
    help="Rules, hosts, preset, notices.",
)
@set_option(feed_file="watch.feed")
@click.option(
    "--out", default=None, metavar="DIR", help="Output folder [default: the preset's, else runs]."
)
@click.option("--once", is_flag=True, help="One turn, for cron; exit 4 while the feed is down.")
@click.option(
    "--dry-run", is_flag=True, help="Tell what would be mapped; begin and remember nothing."
)
@click.option(
    "--prefect",
    is_flag=True,
    help="Start map-event deployment runs (also where PREFECT_API_URL is set).",
)
@click.option(
    "--as-of",
    metavar="DATE",
    help="Pretend it is this moment (UTC); only with --once or --dry-run.",
)
@click.option(
    "--feed",
    "feed_file",
    type=click.Path(path_type=Path),
    metavar="FILE.geojson",
    help="A drill: read this file once instead of the feed, into an output folder of its own.",
)
@click.option(
    "--verdicts",
    is_flag=True,
    help="Only tell what was decided of each earthquake, and what its runs wait for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object a turn.")
def command(
    config: Path | None,
    settings: tuple[str, ...],
    out: str | None,
    once: bool,
    dry_run: bool,
    prefect: bool,
    as_of: str | None,
    feed_file: Path | None,
    verdicts: bool,
    as_json: bool,
) -> None:
    """Ask the USGS feed for new and changed earthquakes and map those that the rules name, once
    each.

    \b
    coslide watch --config service.yaml          until stopped
    coslide watch --config service.yaml --once   one turn, e.g. from cron
    coslide watch --verdicts                     why an event was mapped, waits, or was not
    coslide watch --feed old.geojson             a drill with the earthquakes of a file
    """
    from configs.service import read_service
    from flows.watch.watch import open_watch, verdicts_of

    once = once or feed_file is not None
    if as_of and not (once or dry_run):
        raise RequestError(
            "--as-of: a watch that goes on cannot stand still in time", "Add --once or --dry-run."
        )
    service = read_service(config, settings)
    if verdicts:
        rows = verdicts_of(service, out)
        answer({"status": "ok", "verdicts": rows}, as_json, verdict_words(rows))
        return
    with open_watch(
        service,
        out=out,
        launcher=None if feed_file else _launcher(prefect),
        dry=dry_run,
        as_of=as_of,
        feed_file=feed_file,
    ) as watching:
        while True:
            turn = watching.turn(dry=dry_run)
            if not (once and turn.feed_error):
                answer({"status": "ok", **turn.as_plain()}, as_json, words(turn))
            if once or dry_run:
                break
            time.sleep(60 * service.watch.poll_minutes)
    if turn.feed_error:
        raise SourceError(
            f"{turn.feed_error} (next try: {turn.next})", "The next turn after that asks again."
        )


def _launcher(prefect: bool) -> Launcher | None:
    """Return who makes the runs: the deployment, where asked for or where a server is
    configured.
    """
    if prefect or os.environ.get("PREFECT_API_URL"):
        from flows.service.launcher import DeploymentRuns

        return DeploymentRuns()
    return None


def verdict_words(rows: list[dict[str, Any]]) -> str:
    """Return what was decided, in words: each earthquake, whether it is mapped and why, how its
    runs stand, and what they wait for.
    """
    if not rows:
        return "the watch has seen no earthquake yet"
    lines = []
    for row in rows:
        gone = " (withdrawn by its network)" if row["withdrawn"] else ""
        decided = "to be mapped" if row["runs"] else "left alone"
        lines.append(f"{row['id']}  {row['title']}{gone}")
        lines.append(f"  {decided}: {row['verdict']}")
        lines += [f"  {run}" for run in row["runs"]]
        lines += [f"  waits: {row['waits']}"] if row["waits"] else []
    return "\n".join(lines)


def words(turn: Turn) -> str:
    """Return a turn in words."""
    listed = f"{turn.seen} earthquake{'' if turn.seen == 1 else 's'} listed"
    lines = [f"{listed}, {len(turn.intended)} to be mapped"]
    lines += [f"  to be mapped: {key}" for key in turn.intended]
    lines += [f"  {key}: {state}" for key, state in turn.ended.items()]
    lines += [f"  withdrawn: {name}" for name in turn.withdrawn]
    lines += [f"  note: {note}" for note in turn.notes]
    if turn.feed_error:
        lines.append(f"  the feed is down: {turn.feed_error}; asked again {turn.next}")
    return "\n".join(lines)
