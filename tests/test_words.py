"""One word for one thing (docs/glossary.md): the words that were given up stay away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = (
    "coslide",
    "configs",
    "gee",
    "tiles",
    "models",
    "inventory",
    "flows",
    "benchmarks",
    "docs",
)
ENDINGS = {".py", ".yaml", ".md", ".j2", ".js"}
RESULTS = REPOSITORY / "docs" / "results"
"""Numbers of the past, in the words of their time."""
GONE = {
    "papers are cited by authors and year": r"[Pp]apers? 00\d",
    "a reason stands where it is needed": r"\bdesign §?\d\.\d",
    "scenes are adapted to a checkpoint": r"brought to (the|a) (card|checkpoint)",
    "probability": r"\b(the|a|landslide) chances?\b|\bchance: Rows",
    "steps": r"\b[Rr]ooms? of the story|\ba room's\b|how a room is called",
    "the clean-up of silent runs": r"\btending\b(?!\.py)",
    "no private names": r"\b(watchdebts|watchbook|watchturn|told_to)\b",
}
ALLOWED = {
    ("no private names", "benchmarks/fault_cases.py"),  # scripts of others know the old ones
    ("the clean-up of silent runs", "flows/service/tending.py"),  # the deployment is called `tend`
    ("the clean-up of silent runs", "flows/service/deployments.py"),
    ("the clean-up of silent runs", "flows/service/flow_runs.py"),
    ("the clean-up of silent runs", "flows/service/web.py"),
    ("the clean-up of silent runs", "benchmarks/kill_served.py"),
}


def texts() -> list[Path]:
    found = [path for name in FOLDERS for path in (REPOSITORY / name).rglob("*")]
    return [p for p in found if p.suffix in ENDINGS and RESULTS not in p.parents]


@pytest.mark.parametrize("instead", GONE)
def test_words_that_were_given_up_stay_away(instead: str) -> None:
    pattern = re.compile(GONE[instead])
    left = []
    for path in texts():
        name = str(path.relative_to(REPOSITORY))
        if (instead, name) in ALLOWED or name == "docs/results.md":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                left.append(f"{name}:{number}: {line.strip()}")
    assert not left, "\n".join(left)
