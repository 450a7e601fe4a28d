"""The study's pictures: F1 against distance, the cost of choosing, reliability, and what each
statistic is worth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from configs.files import replacing
from configs.studying import StudyConfig
from flows.study.findings import Findings
from models.selection.evidence import by_target
from models.selection.signals import PLAIN


def draw(config: StudyConfig, found: Findings, folder: Path) -> list[tuple[str, Path]]:
    """Return (words, picture) of each figure, drawn into a folder."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for name, words, size, plot in (
        ("study-distance.png", "F1 against joint MMD, unseen domains", (6, 4), _distance),
        (
            "study-choice.png",
            "F1 of the chosen, the best and an average checkpoint",
            (7, 4),
            _choice,
        ),
        ("study-reliability.png", "Reliability on unseen domains", (5, 4.5), _reliability),
    ):
        figure = Figure(figsize=size, layout="constrained")
        plot(figure, config, found)
        if config.family == "simulated":
            figure.suptitle(f"{words} (simulated)", fontsize=10)
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        pictures.append((words, folder / name))
    return pictures


def _distance(figure: Any, config: StudyConfig, found: Findings) -> None:
    axis = figure.subplots()
    for number, domain in enumerate(config.domains):
        some = [row for row in found.rows if row.target == domain.name and not row.seen]
        axis.scatter(
            [row.statistics[PLAIN] for row in some],
            [row.f1 for row in some],
            s=9,
            color=f"C{number}",
            alpha=0.6,
            label=domain.name,
        )
    axis.set(xlabel="joint MMD", ylabel="F1", ylim=(0, 1))
    axis.legend(fontsize=7)


def _choice(figure: Any, config: StudyConfig, found: Findings) -> None:
    axis, made = figure.subplots(), found.plain
    names = sorted(set(made.targets))
    at = np.arange(len(names))
    bars = (
        ("best checkpoint", made.best, "0.75"),
        ("by joint MMD", made.chosen, "C0"),
        ("best elsewhere", found.elsewhere.chosen, "C1"),
        ("average checkpoint", made.average, "0.5"),
    )
    for number, (words, values, colour) in enumerate(bars):
        axis.bar(
            at + 0.2 * (number - 1.5),
            by_target(made.targets, values),
            0.2,
            label=words,
            color=colour,
        )
    axis.set_xticks(at, names, rotation=20, fontsize=8)
    axis.set(ylabel="F1, domain unseen")
    axis.legend(fontsize=8)


def _reliability(figure: Any, config: StudyConfig, found: Findings) -> None:
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.8")
    for name, diagram in found.diagrams.items():
        axis.plot(
            [one.confidence for one in diagram],
            [one.frequency for one in diagram],
            ".-",
            label=name,
        )
    axis.set(
        xlabel="probability said", ylabel="share of landslide pixels", xlim=(0, 1), ylim=(0, 1)
    )
    axis.legend(fontsize=7)
