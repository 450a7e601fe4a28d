"""The live Earth Engine on a real earthquake, as `make live` asks for it: what is missing, what it
would cost, then the map.

    python -m benchmarks.live                  # 60 km around the 2018 Iburi earthquake
    python -m benchmarks.live --cost           # stops before the first pixel
    python -m benchmarks.live --radius-km 5    # a smaller piece

Without credentials it says so and counts as skipped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from configs.errors import CoslideError
from configs.run import RunConfig
from flows.commands.respond import configure
from flows.doctor import describe as told
from flows.doctor import examine_source
from flows.respond import describe, headline, look_ahead, respond
from gee.earthengine.refusals import TIERS
from gee.earthengine.session import find_credentials, find_project

RADIUS_KM: Final = 30.0
"""Half of the 60 km: 36 million pixels of 10 m, some of them sea."""
LEAST_OBSERVED: Final = 0.5
"""Of the land, over a whole year before the event and 90 days after it."""


def asked(radius_km: float, out: Path) -> RunConfig:
    """Return the run: Iburi 2018, whose landslides are known, as of that December."""
    fields: dict[str, Any] = {"date": "2018-09-05T18:07", "as_of": "2018-12-01", "name": "live"}
    return configure(
        epicentre="42.69,141.93",
        source="earthengine",
        out=str(out),
        radius_km=radius_km,
        magnitude=6.6,
        **fields,
    )


def is_signed_up(run: RunConfig) -> bool:
    """Return whether this machine has credentials and a project; says what is missing if not."""
    try:
        find_project(run.source.earthengine, find_credentials())
    except CoslideError as error:
        print(f"skipped: the live service was not asked, {error.message}. {error.remedy}")
        return False
    return True


def is_complete(run: RunConfig) -> bool:
    """Return whether all that the run needs is there, and print it."""
    findings = examine_source(run.source)
    print(told(findings))
    return all(one.state != "missing" for one in findings)


@click.command()
@click.option("--radius-km", default=RADIUS_KM, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/live"))
@click.option("--cost", is_flag=True, help="Stop before the first pixel.")
def main(radius_km: float, out: Path, cost: bool) -> None:
    """Map a real earthquake through the live service."""
    run = asked(radius_km, out)
    if not is_signed_up(run):
        return
    if not is_complete(run):
        sys.exit(4)
    print("\nWhat it would cost:")
    print(describe(look_ahead(run)))
    print(f"The service does not tell compute (EECU) beforehand; allowances: {TIERS}")
    if cost:
        return
    summary = respond(run)
    print(headline(summary))
    if summary["observed_fraction"] < LEAST_OBSERVED:
        sys.exit(f"only {summary['observed_fraction']:.0%} of the land was observed")


if __name__ == "__main__":
    try:
        main()
    except CoslideError as error:
        print(f"live: {error}", file=sys.stderr)
        sys.exit(error.code)
