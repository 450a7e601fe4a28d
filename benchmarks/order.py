"""What checkpoints are ordered by, and what that is worth on domains they have not seen.

    python -m benchmarks.order [--write]

Reads the tables that the studies left (docs/results/study*.csv: one row a scene, checkpoint and
seed), so nothing is trained or mapped. Beside what coslide goes by stands the rule of votes that
left it (columns `agreement/others` and `score` of tables made while it was there).
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import fill
from flows.study.findings import expected, of_chosen
from models.selection.choose import SAME_RECORD
from models.selection.evidence import (
    Choices,
    Row,
    Score,
    by_statistic,
    by_target,
    choices,
    elsewhere,
    groups,
    interval,
    with_advantage,
)
from models.selection.signals import PLAIN

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
STUDIES = {
    "study-real": "real, red green blue",
    "study": "simulated, ten bands",
    "study-post": "simulated, later image and terrain",
}
RULE = "votes, distance and record in fixed parts (left)"
WAYS: dict[str, Score] = {
    "joint MMD (the default)": by_statistic(PLAIN),
    "record on other unseen domains": elsewhere,
    f"record to {SAME_RECORD}, then the nearer (`study`)": lambda row: (
        row.statistics[PLAIN] - 1000 * round(row.advantage / SAME_RECORD)
    ),
    "votes of the other checkpoints (left)": by_statistic("agreement/others"),
    RULE: by_statistic("score"),
}


def evidence(name: str) -> list[Row]:
    """Return a study's rows, each with what its checkpoint did on other unseen domains."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [_row(one) for one in csv.DictReader(file)]
    return with_advantage(rows)


def _row(one: dict[str, str]) -> Row:
    statistics = {name: float(one[name]) for name in one if "/" in name or name == "score"}
    return Row(
        scene=one["scene"],
        target=one["domain"],
        card=one["card"],
        seed=int(one["seed"]),
        seen=one["seen"] == "1",
        f1=float(one["f1"]),
        precision=float(one["precision"]),
        recall=float(one["recall"]),
        statistics=statistics,
        diversity=float(one["diversity"]),
        validation_f1=math.nan,
    )


def _less(targets: Sequence[str], values: NDArray[np.float64]) -> str:
    low, high = interval(targets, values)
    return f"{by_target(targets, values).mean():+.3f} ({low:+.3f} to {high:+.3f})"


def ordered(name: str) -> list[str]:
    """Return the lines of a study: what each order reaches, and the difference to joint MMD and to
    the record.
    """
    rows = evidence(name)
    made = {
        words: choices(rows, score)
        for words, score in WAYS.items()
        if all(_has(row, score) for row in rows)
    }
    mmd, record, *_ = made.values()
    return [_line(STUDIES[name], words, one, mmd, record) for words, one in made.items()]


def _has(row: Row, score: Score) -> bool:
    try:
        score(row)
    except KeyError:
        return False
    return True


def _line(study: str, words: str, made: Choices, mmd: Choices, record: Choices) -> str:
    regret = by_target(made.targets, made.best - made.chosen).mean()
    cells = [
        study,
        words,
        f"{by_target(made.targets, made.chosen).mean():.3f}",
        f"{regret:.3f}",
        "" if made is mmd else _less(made.targets, made.chosen - mmd.chosen),
        "" if made is record else _less(made.targets, made.chosen - record.chosen),
    ]
    return f"| {' | '.join(cells)} |"


Key = Callable[[Row, NDArray[np.float64]], float]
ACROSS: dict[str, Key] = {
    "joint MMD, each in its own bands": lambda row, _: row.statistics[PLAIN],
    "F1 to be expected (`study`)": lambda row, points: (
        -float(np.interp(row.statistics[PLAIN], points[:, 0], points[:, 1])) - row.advantage
    ),
    RULE: lambda row, _: row.statistics["score"],
}


def across() -> list[str]:
    """Return the lines of ten-band checkpoints beside those of the later image, on the same unseen
    scenes; what is expected of them comes from other domains than the scene's.
    """
    tables = {
        name: [row for row in evidence(name) if row.seed == 0] for name in ("study", "study-post")
    }
    points = {
        (name, target): np.array(
            expected(of_chosen(with_advantage([row for row in rows if row.target != target])))
        )
        for name, rows in tables.items()
        for target in {row.target for row in rows}
    }
    split = {name: groups(rows) for name, rows in tables.items()}
    scenes = sorted(split["study"])
    targets = [split["study"][scene][0].target for scene in scenes]
    best = np.array([max(row.f1 for one in split.values() for row in one[at]) for at in scenes])
    ten = np.array([min(split["study"][at], key=_nearness).f1 for at in scenes])
    lines = []
    for words, key in ACROSS.items():
        taken = [
            min(
                ((name, row) for name, one in split.items() for row in one[scene]),
                key=lambda pair, key=key: (  # type: ignore[misc]  # bound at once
                    key(pair[1], points[pair[0], pair[1].target]),
                    pair[1].card,
                ),
            )
            for scene in scenes
        ]
        f1 = np.array([row.f1 for _, row in taken])
        share = np.mean([name == "study" for name, _ in taken])
        cells = [words, f"{by_target(targets, f1).mean():.3f}", f"{np.mean(best - f1):.3f}"]
        lines.append(f"| {' | '.join([*cells, _less(targets, f1 - ten), f'{share:.0%}'])} |")
    return lines


def _nearness(row: Row) -> tuple[float, str]:
    return row.statistics[PLAIN], row.card


def main() -> None:
    """Print both tables; with --write, put them into docs/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    head = "| study | ordered by | chosen F1 | regret | less joint MMD | less the record |"
    table = "\n".join([head, "|" + " --- |" * 6, *(s for name in STUDIES for s in ordered(name))])
    head = "| compared by | chosen F1 | regret | less the nearest of ten bands | ten bands taken |"
    beside = "\n".join([head, "|" + " --- |" * 5, *across()])
    print(table, beside, sep="\n\n")
    if write:
        fill("order", table=table, across=beside)


if __name__ == "__main__":
    main()
