"""Cards of different bands in one ranking: how they are compared, and what the choice among them is
worth (simulated).

    python -m benchmarks.band_sets [--write]     # after `coslide study standard` and `coslide study
    post`

Ten-band checkpoints and checkpoints of the later image alone answer the same unseen scenes.
Everything a way to compare them knows (rules, usual scores, expected F1) comes from other domains
than the scene's. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import fill
from configs.errors import RequestError
from configs.studying import read_study
from flows.study.evidence import rows
from flows.study.findings import expected, of_chosen
from flows.study.pool import sample_sets, scenes, stored_answers
from gee.simulated import fingerprint
from models.selection.evidence import Row, by_target, groups, interval, with_advantage
from models.selection.ranking import usual
from models.selection.rules import Rule, in_parts
from models.selection.signals import PLAIN

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "study"
STUDIES = {"standard": "ten bands, both dates", "post": "later image and terrain"}
SEED = 0


@dataclass(frozen=True)
class Known:
    """What the other domains say of the checkpoints of one set of bands."""

    rule: Rule
    usual: tuple[float, ...]
    """Scores of the chosen checkpoint, ascending."""
    expected: np.ndarray
    """(statistic, F1) points."""

    def percentile(self, row: Row) -> float:
        """Return where a checkpoint's score falls in what is usual for its bands."""
        return usual(self.rule(row), self.usual)

    def promise(self, row: Row) -> float:
        """Return -F1 to be expected of the checkpoint by its statistic and by what it did
        elsewhere.
        """
        usually = np.interp(
            row.statistics[self.rule.statistic], self.expected[:, 0], self.expected[:, 1]
        )
        return -float(usually) - row.advantage


def evidence(name: str) -> list[Row]:
    """Return the rows of a study's checkpoints of one seed.

    Raises:
        RequestError: the study is not finished.
    """
    config, folder = read_study(name)
    work, sets = WORK / name, sample_sets(config, folder)
    every = scenes(config, sets, folder, work)
    done = stored_answers(config, sets, every, work)
    whole = sum(not made.trial for made in config.compositions)
    mine = [one for one in done if one.job.seed == SEED and not one.job.made.trial]
    if len(mine) < whole:
        raise RequestError(
            f"the study `{name}` has {len(mine)} of {whole} checkpoints",
            f"Run `coslide study {name}` first.",
        )
    return with_advantage(rows(config, mine, every, work))


def known(every: Sequence[Row]) -> dict[str, Known]:
    """Return, by target domain, what the others say."""
    found = {}
    for target in sorted({row.target for row in every}):
        others = with_advantage([row for row in every if row.target != target])
        rule = in_parts(others)
        taken = of_chosen(others, rule)
        found[target] = Known(
            rule, tuple(sorted(rule(row) for row in taken)), np.array(expected(taken, rule))
        )
    return found


Way = Callable[[Row, Known], float]
WAYS: dict[str, Way] = {
    "raw joint MMD, each in its own bands": lambda row, _: row.statistics[PLAIN],
    "raw score of each band set's rule": lambda row, one: one.rule(row),
    "percentile of the score among held-out domains": lambda row, one: one.percentile(row),
    "F1 that the score lets one expect": lambda row, one: one.promise(row),
}


def measure() -> tuple[dict[str, tuple[float, float, tuple[float, float], float]], int]:
    """Return, by way to compare, mean F1 of the chosen checkpoint, regret, the interval of the
    difference to the ten-band choice, and how often a ten-band checkpoint was taken; and the number
    of scenes."""
    tables = {name: evidence(name) for name in STUDIES}
    scored = {name: known(some) for name, some in tables.items()}
    split = {name: groups(some) for name, some in tables.items()}
    every = sorted(split["standard"])
    targets = tuple(split["standard"][key][0].target for key in every)
    both = [[(name, row) for name in STUDIES for row in split[name][key]] for key in every]
    best = np.array([max(row.f1 for _, row in some) for some in both])
    ten = np.array(
        [_taken([o for o in some if o[0] == "standard"], scored, _BY_RULE)[1].f1 for some in both]
    )
    post = np.array(
        [_taken([o for o in some if o[0] == "post"], scored, _BY_RULE)[1].f1 for some in both]
    )
    found = {}
    for words, f1, share in (
        (f"only checkpoints of {STUDIES['standard']}", ten, 1.0),
        (f"only checkpoints of {STUDIES['post']}", post, 0.0),
        *((words, *_chosen(both, scored, way)) for words, way in WAYS.items()),
    ):
        mean = float(by_target(targets, f1).mean())
        found[words] = (mean, float(np.mean(best - f1)), interval(targets, f1 - ten), share)
    return found, len(every)


def _chosen(
    both: Sequence[Sequence[tuple[str, Row]]], scored: Mapping[str, Mapping[str, Known]], way: Way
) -> tuple[np.ndarray, float]:
    taken = [_taken(some, scored, way) for some in both]
    return np.array([row.f1 for _, row in taken]), float(
        np.mean([name == "standard" for name, _ in taken])
    )


def _taken(
    some: Sequence[tuple[str, Row]], scored: Mapping[str, Mapping[str, Known]], way: Way
) -> tuple[str, Row]:
    def key(one: tuple[str, Row]) -> tuple[float, float, str]:
        its = scored[one[0]][one[1].target]
        return way(one[1], its), its.rule(one[1]), one[1].card

    return min(some, key=key)


_BY_RULE = WAYS["raw score of each band set's rule"]


def table(found: Mapping[str, tuple[float, float, tuple[float, float], float]]) -> str:
    """Return one line a way to compare."""
    lines = [
        [
            "cards compared by",
            "chosen F1",
            "regret",
            "difference to the ten-band choice, 95 %",
            "ten bands taken",
        ]
    ]
    lines.append(["---"] * len(lines[0]))
    for words, (mean, regret, (low, high), share) in found.items():
        lines.append(
            [words, f"{mean:.3f}", f"{regret:.3f}", f"{low:+.3f} to {high:+.3f}", f"{share:.0%}"]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(found: Mapping[str, tuple[float, float, tuple[float, float], float]]) -> str:
    """Return in words which way to compare costs least, beside the raw ones."""
    ways = {words: one for words, one in found.items() if words in WAYS}
    best = min(ways, key=lambda words: ways[words][1])
    *_, scored = WAYS
    low, high = ways[scored][2]
    return (
        f"Least is lost by the {best} (regret {ways[best][1]:.3f}). coslide goes by the "
        f"{scored} (F1 {ways[scored][0]:.3f}, "
        f"{low:+.3f} to {high:+.3f} against the ten-band choice): agreement is one of "
        "maps, whatever they were made from, so here its "
        "raw score compares well; but checkpoints that are poor alike may agree too, and only "
        "what their own study saw them reach "
        "tells that. A percentile says how usual a score is for its bands, and nothing of "
        "how good such checkpoints are."
    )


def main() -> None:
    """Print the table; with --write, put it into docs/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found, count = measure()
    made = table(found)
    print(made, verdict(found), sep="\n\n")
    if given.write:
        fill(
            "band-sets",
            table=made,
            verdict=verdict(found),
            scenes=str(count),
            seed=str(SEED),
            simulator=fingerprint()[:16],
        )


if __name__ == "__main__":
    main()
