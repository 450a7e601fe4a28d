"""`coslide events`: what is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli import answer

if TYPE_CHECKING:
    from flows.events.listing import Listed


@click.command(short_help="List the events of an output folder and what they wait for.")
@click.argument("out", type=click.Path(path_type=Path), default=Path("runs"), metavar="[DIR]")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(out: Path, as_json: bool) -> None:
    """List every event in DIR [default: runs]: its state, latest revision, what was seen and found,
    warnings, and when it is looked at again. A damaged event is listed as damaged.
    """
    from configs.service import ServiceConfig
    from flows.events.listing import listed
    from flows.watch.watch import verdicts_of

    verdicts = verdicts_of(ServiceConfig(), str(out)) if out.is_dir() else []
    waits = {row["id"]: row["waits"] for row in verdicts if row["waits"]}
    events = listed(out, waits)
    words = "\n".join(line for one in events for line in _lines(one))
    content = {"status": "ok", "events": [one.as_plain() for one in events]}
    answer(content, as_json, words or f"no event in {out} yet")


def _lines(one: Listed) -> list[str]:
    """Return an event in words: one line of facts, then why it stands where it stands."""
    from inventory.summary import percent

    facts = [f"{one.event:<32} {one.state:<10}"]
    facts += [f"r{one.revision:03d}"] if one.revision else []
    facts += [f"{percent(one.observed_fraction)} seen"] if one.observed_fraction is not None else []
    facts += [f"{one.landslide_count} landslides"] if one.landslide_count is not None else []
    facts += [f"next look {one.next_refresh:%Y-%m-%d %H:%M} UTC"] if one.next_refresh else []
    reason = [f"  {one.reason}"] if one.reason else []
    return ["  ".join(facts).rstrip(), *reason, *(f"  WARNING: {each}" for each in one.warnings)]
