"""`coslide review`: a copy of the latest inventory for an analyst to edit."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer


@click.command(short_help="Make a copy of the latest inventory for an analyst to edit.")
@click.argument("event", type=click.Path(path_type=Path), metavar="EVENT_DIR")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(event: Path, as_json: bool) -> None:
    """Copy the latest revision's inventory to EVENT_DIR/review.gpkg, to be edited in a GIS.

    Set `status` to confirmed or dismissed, move outlines, draw landslides that are missing; save.
    The next `coslide refresh EVENT_DIR` takes it up. Dismiss instead of deleting: a deleted row
    says nothing, and the landslide is drawn again.
    """
    from flows.events import reviews
    from flows.events import state as event_state

    found = event_state.open_existing(event)
    path = reviews.begin(found)
    content = {"status": "ok", "event": found.folder.absolute().name, "review": str(path)}
    words = (
        f"{path}\nEdit `status` (confirmed, dismissed) or outlines in a GIS, save, then: "
        f"coslide refresh {event}"
    )
    answer(content, as_json, words)
