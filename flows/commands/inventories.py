"""`coslide inventories`: published inventories that checkpoints can be trained on, and whether a
downloaded one can be used.
"""

from __future__ import annotations

from typing import Any

import click

from flows.cli import answer


@click.group(
    invoke_without_command=True, short_help="List published inventories, and check a download."
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the published inventories of earthquake-triggered landslides that are known here.

    `show NAME` tells all that is known of one, and who says so; `check FILE --as NAME` whether a
    downloaded file is it, and can be trained on.
    """
    if ctx.invoked_subcommand is not None:
        return
    from configs.published import catalogue

    rows = [_row(one) for one in catalogue().values()]
    lines = [f"{'name':<20} {'date':<10} {'M':>3}  {'landslides':>10}  {'on file':<9} weights"]
    lines += [
        f"{row['name']:<20} {row['date']} {row['magnitude']:>3.1f}  {row['count'] or 'unknown':>10}"
        f"  {row['geometry'] or 'unknown':<9} {row['weights']}  {row['title']}"
        for row in rows
    ]
    lines.append("`coslide inventories show NAME` tells the rest, each fact with its source.")
    answer({"status": "ok", "inventories": rows}, as_json, "\n".join(lines))


def _row(one: Any) -> dict[str, Any]:
    from configs.published import value_of

    return {
        "name": one.name,
        "title": one.title,
        "date": one.event.time.value.date().isoformat(),
        "magnitude": one.event.magnitude.value,
        "usgs_id": value_of(one.event.usgs_id),
        "count": value_of(one.files.count),
        "geometry": value_of(one.files.geometry),
        "licence": value_of(one.publication.licence),
        "weights": one.publication.weights.value,
        "sensor": one.windows.sensor,
    }


@command.command(short_help="Tell all that is known of one inventory, and who says so.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Tell all that is known of the inventory NAME, each fact with its source."""
    from configs.published import published
    from flows.learning.inventories import in_words

    found = published(name)
    answer({"status": "ok", **found.model_dump(mode="json")}, as_json, in_words(found))


@command.command(short_help="Check a downloaded inventory.")
@click.argument("file", metavar="FILE[:LAYER]")
@click.option("--as", "name", required=True, metavar="NAME", help="The inventory it should be.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def check(file: str, name: str, as_json: bool) -> None:
    """Check that FILE is the published inventory NAME and can be trained on."""
    from configs.published import published
    from flows.learning import inventories

    found = inventories.check(file, published(name))
    following = f"coslide train --kit yang2024 --inventory {name}={file} --dry-run"
    words = "\n".join(
        [
            f"{file} can be used as {name}: {found.count:,} landslides, {found.area_km2:,.2f} km²",
            *(f"  note: {note}" for note in found.notes),
            f"  next: {following}",
        ]
    )
    answer({"status": "ok", **found.as_plain(), "next": following}, as_json, words)
