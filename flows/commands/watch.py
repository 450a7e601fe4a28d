"""`coslide watch`: earthquakes in, runs out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from configs.errors import RequestError, SourceError
from flows.cli import answer

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from configs.service import ServiceConfig
    from flows.watching.watch import Watch
    from flows.watching.watchturn import Turn


@click.command(short_help="Watch the USGS feed and map what qualifies.")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="SERVICE.yaml", help="Rules, hosts, preset, notices."
)
@click.option("--out", default=None, metavar="DIR", help="Output folder [default: the preset's, else runs].")
@click.option("--once", is_flag=True, help="One turn, for cron; exit 4 while the feed is down.")
@click.option("--dry-run", is_flag=True, help="Tell what would be mapped; begin and remember nothing.")
@click.option("--prefect", is_flag=True, help="Start map-event deployment runs (also where PREFECT_API_URL is set).")
@click.option("--as-of", metavar="DATE", help="Pretend it is this moment (UTC); only with --once or --dry-run.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object a turn.")
def command(
    config: Path | None, out: str | None, once: bool, dry_run: bool, prefect: bool, as_of: str | None, as_json: bool
) -> None:
    """Ask the USGS feed for new and changed earthquakes and map those that the rules name, once each.

    \b
    coslide watch --config service.yaml          until stopped
    coslide watch --config service.yaml --once   one turn, e.g. from cron
    """
    from configs.service import read_service

    if as_of and not (once or dry_run):
        raise RequestError("--as-of: a watch that goes on cannot stand still in time", "Add --once or --dry-run.")
    service = read_service(config)
    with watch(service, out=out, prefect=prefect, dry=dry_run, as_of=as_of) as watching:
        while True:
            turn = watching.turn(dry=dry_run)
            if not (once and turn.feed_error):
                answer({"status": "ok", **turn.as_plain()}, as_json, words(turn))
            if once or dry_run:
                break
            time.sleep(60 * service.watch.poll_minutes)
    if turn.feed_error:
        raise SourceError(f"{turn.feed_error} (next try: {turn.next})", "The next turn after that asks again.")


@contextmanager
def watch(
    service: ServiceConfig, *, out: str | None, prefect: bool, dry: bool = False, as_of: str | None = None
) -> Iterator[Watch]:
    """Yield the watch of a service over an output folder, alone with its book.

    Raises:
        RequestError: a preset or a book that cannot be read.
        MachineError: another watch has the book.
    """
    from configs.event import parse_moment
    from configs.files import read_yaml
    from flows import workplace
    from flows.watching.watch import FOLDER, Watch
    from flows.watching.watchbook import Book
    from flows.watching.watchruns import Launcher, LocalRuns

    preset = read_yaml(Path(service.preset), "run") if service.preset else {}
    if preset.get("source", {}).get("kind", "simulated") == "simulated":
        logger.warning(
            "no real source is set (preset, `source.kind`): real earthquakes are mapped on the simulated Earth"
        )
    preset["out"] = out or preset.get("out", "runs")
    folder = Path(preset["out"]) / FOLDER
    launcher: Launcher = LocalRuns(folder)
    if prefect or os.environ.get("PREFECT_API_URL"):
        from flows.deployments import DeploymentRuns

        launcher = DeploymentRuns()
    moment = parse_moment(as_of, "--as-of")[0] if as_of else None
    alone: AbstractContextManager[None] = nullcontext() if dry else workplace.locked(folder / "lock", "watching")
    with alone, Book.open(folder / "book.sqlite", pretend=dry) as book:
        yield Watch(
            service.watch,
            book,
            launcher,
            preset=preset,
            hosts=service.allow.hosts,
            clock=lambda: moment or datetime.now(UTC),
            tell=lambda subject, body: None if dry else announce(service, subject, body),
        )


def announce(service: ServiceConfig, subject: str, body: str) -> None:
    """Tell everybody who wants to know how a run of the watch ended."""
    from flows.service.notify import tell

    wanted = service.notify.done if subject.endswith("done") else service.notify.failed
    if wanted:
        tell(service, subject, body)


def words(turn: Turn) -> str:
    """Return a turn in words."""
    lines = [f"{turn.seen} earthquakes listed, {len(turn.intended)} to be mapped"]
    lines += [f"  to be mapped: {key}" for key in turn.intended]
    lines += [f"  {key}: {state}" for key, state in turn.ended.items()]
    lines += [f"  withdrawn: {name}" for name in turn.withdrawn]
    lines += [f"  note: {note}" for note in turn.notes]
    if turn.feed_error:
        lines.append(f"  the feed is down: {turn.feed_error}; asked again {turn.next}")
    return "\n".join(lines)
