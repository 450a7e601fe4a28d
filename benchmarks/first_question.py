"""The first questions to Earth Engine over large events, on the loopback: how many, how large, how
long, and with little room beside others.

    python -m benchmarks.first_question [--write]

As many scenes as the areas of a M 6.6 and a M 7.8 earthquake have in 455 days; a project may have
five aggregations at once, of which others may take three. A loopback counts questions; how long the
service takes over them is its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from configs.earthengine import EarthEngineConfig

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

EVENTS: Final = (("6.6", 360), ("7.8", 1000))
OTHERS: Final = (0, 3)


class Row(NamedTuple):
    """What one plan took."""

    magnitude: str
    scenes: int
    others: int
    asked: int
    refused: int
    split: int
    again: int
    largest: int
    chosen: int
    seconds: float


def private_key() -> str:
    """Return a fresh key that the loopback issues tokens for."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def measure(magnitude: str, count: int, others: int, key: str, folder: Path) -> Row:
    """Return what finding the scenes of one event took."""
    from earthengine import world
    from earthengine.conftest import write_key
    from earthengine.crowd import Crowded, many_scenes
    from earthengine.evaluator import Evaluator
    from earthengine.loopback import Loopback

    from gee.earthengine import EarthEngineSource, disconnect

    crowded = Crowded(Evaluator(many_scenes(count)))
    crowded.busy = others
    with Loopback(crowded) as there:
        os.environ["COSLIDE_EE_URL"] = there.url
        os.environ["EE_SERVICE_ACCOUNT_KEY"] = str(folder / "key.json")
        write_key(folder / "key.json", key, there.url)
        source = EarthEngineSource(EarthEngineConfig(scenes_per_tile=4))
        start = time.monotonic()
        grid = world.AREA.geobox(10)
        plan = source.plan(world.AREA, grid, world.EVENT, world.WINDOWS, ("pre_B4", "post_B4"))
        seconds = time.monotonic() - start
        asked = len(there.requests("value:compute"))
        disconnect()
    account = source.account
    return Row(
        *(magnitude, count, others, asked, crowded.refused, account["split"]),
        *(account["tried_again"], crowded.largest, len(plan.scenes), seconds),
    )


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| M | scenes | aggregations of others | questions | refused | asked in parts | "
        "asked again unchanged | largest expression, kB | scenes chosen | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.magnitude} | {row.scenes} | {row.others} | {row.asked} | {row.refused} | "
        f"{row.split} | {row.again} | {row.largest / 1000:.1f} | {row.chosen} | {row.seconds:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    key, rows = private_key(), []
    with tempfile.TemporaryDirectory() as folder:
        for magnitude, count in EVENTS:
            for others in OTHERS:
                rows.append(measure(magnitude, count, others, key, Path(folder)))
                print(rows[-1], flush=True)
    print(table(rows))
    if options.write:
        from benchmarks.results import fill

        fill("first-question", table=table(rows))


if __name__ == "__main__":
    main()
