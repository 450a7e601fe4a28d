"""`make verify-kill`: SIGKILL at seeded random moments; whatever runs next must end with the
products of an undisturbed run.

Killed are the flow's process (on the command line, and under `coslide serve`), a Dask worker, and
the Prefect server (on SQLite and on PostgreSQL). Every moment is one line of a file, so that the
work goes on where it stopped. `--write` fills docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.kill_process import Ground, flow, worker
from benchmarks.kill_served import kill_flow, kill_server, on_postgres, served
from benchmarks.postgres import programs
from benchmarks.results import fill

FOLDER = Path("runs/kill")
KINDS: dict[str, Callable[[Path], AbstractContextManager[Ground]]] = {
    "flow on the command line": flow,
    "flow under serve": lambda folder: served(folder, kill_flow),
    "Dask worker": worker,
    "server on SQLite": lambda folder: served(folder, kill_server),
    "server on PostgreSQL": on_postgres,
}


def strike_all(folder: Path, kinds: list[str], moments: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return what became of `moments` kills of each kind, those of earlier calls included; one line
    each in a file.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    book = folder / "moments.jsonl"
    scored = _read(book)
    for kind in kinds:
        todo = [
            n
            for n in range(moments)
            if not any((one["kind"], one["number"]) == (kind, n) for one in scored)
        ]
        if not todo:
            continue
        with KINDS[kind](folder / kind.replace(" ", "-")) as (seconds, _, strike):
            for number in todo:
                draw = random.Random(f"{seed} {kind} {number}")
                out, struck = folder / "out", None
                while struck is None:  # a run that had ended before is no kill: draw again
                    shutil.rmtree(out, ignore_errors=True)
                    struck = strike(out, round(draw.uniform(0.02, 1.0) * seconds, 2))
                scored.append(
                    {"kind": kind, "number": number, "of_s": round(seconds, 1), **asdict(struck)}
                )
                with book.open("a") as file:
                    file.write(json.dumps(scored[-1]) + "\n")
                print(scored[-1], flush=True)
    return [one for one in scored if one["kind"] in kinds and one["number"] < moments]


def _read(book: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


def table(scored: list[dict[str, Any]]) -> str:
    """Return the moments as a Markdown table."""
    lines = [
        "| killed | at, s of | during | what became of the run | same products | left running |",
        "|---|---|---|---|---|---|",
    ]
    for one in scored:
        same = "yes" if one["same"] else "**no**"
        lines.append(
            f"| {one['kind']} | {one['at_s']:.1f} of {one['of_s']:.0f} | {one['step']} | "
            f"{one['state']} | {same} "
            f"| {one['left_running']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Strike, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=5, help="kills of each kind")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument(
        "--told", action="store_true", help="strike no more; tell of what has been struck"
    )
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
    )  # ends what it started
    kinds = [kind for kind in options.kinds if programs() or "PostgreSQL" not in kind]
    scored = _read(options.folder / "moments.jsonl")
    if not options.told:
        scored = strike_all(options.folder, kinds, options.moments, options.seed)
    print(table(scored))
    good = sum(one["same"] and not one["left_running"] for one in scored)
    if options.write:
        fill(
            "kill",
            table=table(scored),
            moments=str(len(scored)),
            good=str(good),
            seed=str(options.seed),
        )
    sys.exit(0 if good == len(scored) else 1)


if __name__ == "__main__":
    main()
