"""The study in words, tables and pictures: ``study.md``, ``study.csv`` and four figures, every
number from the evidence.
"""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from configs.files import write_text
from configs.studying import PRESETS, StudyConfig
from flows.study.figures import draw
from flows.study.findings import Findings, Tried
from flows.study.pool import Answers
from models.selection.evidence import Choices, by_target, interval
from models.selection.signals import PLAIN, STATISTICS

_TITLES = {
    "simulated": "Choosing and trusting checkpoints: leave one domain out",
    "real": "Choosing checkpoints on real events: leave one event out",
}


def write_document(
    config: StudyConfig, found: Findings, done: Sequence[Answers], folder: Path
) -> Path:
    """Return the document written to a folder, table and figures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "study.csv", _csv(config, found))
    pictures = draw(config, found, folder / "images")
    parts = [
        _head(config, found, done),
        _mixtures(config, found),
        _distances(config, found),
        _choice(config, found),
        _statistics(found),
        _together(found),
        _reference(config, found),
        alarm(found),
        calibration(found),
        thresholds(found),
        trials(found),
        *(f"![{words}](images/{path.name})" for words, path in pictures),
        _made(done),
    ]
    write_text(folder / "study.md", "\n\n".join(part for part in parts if part) + "\n")
    return folder / "study.md"


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if math.isfinite(low) else "–"


def _head(config: StudyConfig, found: Findings, done: Sequence[Answers]) -> str:
    kind = (
        "**Simulated throughout: this says how mixtures, the choice and the alarm behave "
        "on a test bench, not how well a real event is mapped.**"
        if config.family == "simulated"
        else "**Real pixels, whole events left out; few events, so read the intervals.**"
    )
    seeds = sorted({one.job.seed for one in done if not one.job.made.trial})
    full = sum(not made.trial for made in config.compositions) * len(config.seeds)
    candidates = sum(not one.job.made.trial for one in done)
    judged = (
        "none of them in any training"
        if any(domain.scenes or domain.simulated for domain in config.domains)
        else "whole where an event is unseen, their test blocks where it is not"
    )
    ours = (PRESETS / f"{config.name}.yaml").is_file()
    preset = f" (configs/study/{config.name}.yaml)" if ours else ""
    so_far = "" if candidates == full else f" **So far {candidates} of {full} trainings are done.**"
    return (
        f"<!-- made by `coslide study {config.name} --docs docs` -->\n"
        f"# {_TITLES[config.family]}\n\n{kind}\n\n"
        f"{config.title}. Every checkpoint was trained on {config.total} chips by one recipe"
        f"{preset}, seeds "
        f"{', '.join(map(str, seeds))}; sets are split into disjoint blocks, and no checkpoint "
        "is judged as *unseen* on a domain it "
        f"has chips of. {len({row.scene for row in found.rows})} scenes in "
        f"{len({row.target for row in found.rows})} domains, {judged}.{so_far} "
        "Every checkpoint and scene: [study.csv](study.csv)."
    )


def _mixtures(config: StudyConfig, found: Findings) -> str:
    return (
        "## Every mixture on every domain: mean F1\n\n**Bold**: the checkpoint has seen "
        "the domain.\n\n" + _by_domain(config, found, lambda row: row.f1, 3)
    )


def _distances(config: StudyConfig, found: Findings) -> str:
    return (
        "## The same in distance: joint MMD over all bands\n\nTable XI of Yang et al. 2024 per "
        "band stands in every run's `selection.csv`.\n\n"
        + _by_domain(config, found, lambda row: row.statistics[PLAIN], 2)
    )


def _by_domain(config: StudyConfig, found: Findings, value: object, digits: int) -> str:
    assert callable(value)
    domains = [domain.name for domain in config.domains]
    names = [
        made.name
        for made in config.compositions
        if any(row.card == made.name for row in found.rows)
    ]
    rows = []
    for name in names:
        cells = [f"`{name}`"]
        for domain in domains:
            some = [row for row in found.rows if row.card == name and row.target == domain]
            mean = number(
                float(np.mean([value(row) for row in some])) if some else math.nan, digits
            )
            cells.append(f"**{mean}**" if some and some[0].seen else mean)
        rows.append(cells)
    return table(["card", *domains], rows)


def _choice_cells(made: Choices) -> list[str]:
    """Return what one way of ordering checkpoints gives, cell by cell."""
    gain = interval(made.targets, made.chosen - made.average)
    low, high = interval(made.targets, made.correlation)
    return [
        _interval(*made.domain_spearman),
        _interval(made.spearman, low, high),
        number(float(by_target(made.targets, made.chosen).mean())),
        number(float(by_target(made.targets, made.best).mean())),
        number(float(by_target(made.targets, made.average).mean())),
        f"{made.regret:.3f}",
        span(gain),
    ]


def _choice(config: StudyConfig, found: Findings) -> str:
    rows = []
    for words, made in (
        ("joint MMD (Yang et al. 2024)", found.plain),
        ("what they did on other unseen domains", found.elsewhere),
    ):
        rows.append([words, *_choice_cells(made)])
    head = [
        "cards ordered by",
        "Spearman of −distance and F1 within a domain",
        "within a scene",
        "chosen F1",
        "best checkpoint",
        "random checkpoint",
        "regret",
        "chosen − average, 95 %",
    ]
    return (
        "## What choosing is worth on unseen domains\n\nOver the checkpoints that have not seen "
        "the domain; means over domains, 95 % "
        "intervals by drawing domains. *Within a domain*: F1 and distance of a checkpoint are "
        "its means over the domain's scenes, as in Yang et al. 2024; "
        "*within a scene*: what a run has to go by. What a checkpoint did elsewhere "
        "(*advantage*) is never taken from the scene's domain. A checkpoint's F1 differs "
        f"between seeds by {number(found.deviation)} (standard "
        f"deviation); the goal for the regret is 0.03 more than that.\n\n{table(head, rows)}\n\n"
        f"Chosen by what they did elsewhere less chosen by joint MMD: {found.gain[0]:+.3f} "
        f"({span(found.gain[1:])})."
    )


def _statistics(found: Findings) -> str:
    columns = ["Spearman within a domain", "within a scene", "regret", "chosen F1"]
    return (
        "## Which distance tells F1\n\n`SPACE/MEASURE`: *mmd* joint, "
        "*coverage* the mean distance of a scene's pixel to the checkpoint's nearest; *all* bands "
        "in their spread, or *whitened*.\n\n"
        + table(["distance", *columns], map(_tried, found.tried))
        + "\n\nWhat is known of a checkpoint without looking at the scene. *Advantage*: its mean "
        "F1 beyond the other blind checkpoints on "
        "unseen scenes of other domains than the scene's.\n\n"
        + table(["ordered by", *columns], map(_tried, found.covariates))
    )


def _tried(one: Tried) -> list[str]:
    return [
        one.words,
        _interval(*one.domain),
        number(one.spearman, 2),
        number(one.regret),
        number(one.chosen),
    ]


def _together(found: Findings) -> str:
    rows = [
        [way, number(mean), "" if way == next(iter(found.together)) else span((low, high))]
        for way, (mean, low, high) in found.together.items()
    ]
    return (
        "## One checkpoint or several\n\nThe mean probability of the nearest checkpoints, "
        "thresholds averaged too, as "
        "`model.checkpoint: average` maps: the first three, without those further behind "
        "the first than the third of nine scenes in "
        "ten. Each checkpoint more costs one more mapping.\n\n"
        + table(
            ["mapped by", "F1 on unseen domains", "difference to the chosen checkpoint, 95 %"], rows
        )
    )


def _reference(config: StudyConfig, found: Findings) -> str:
    ways = list(found.together)[1:]
    rows = []
    for domain in config.domains:
        if domain.name not in found.reference:
            continue
        chosen, own = found.reference[domain.name]
        cells = [domain.name, number(own), number(chosen), _ratio((chosen, own))]
        for way in ways:
            value = found.together_by_target[way][domain.name]
            cells += [number(value), _ratio((value, own))]
        rows.append(cells)
    head = [
        "domain",
        "trained there",
        "chosen, unseen",
        "ratio",
        *(part for way in ways for part in (way, "ratio")),
    ]
    return (
        "## The chosen checkpoint beside one trained in the domain\n\nSame budget, scenes of "
        "other epicentres of the domain (goal: 0.85).\n\n" + table(head, rows)
    )


def _ratio(pair: tuple[float, float]) -> str:
    return number(pair[0] / pair[1], 2) if pair[1] else "–"


def _made(done: Sequence[Answers]) -> str:
    seconds = sum(float(one.found.card.training.get("seconds", 0)) for one in done)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{len(done)} checkpoints, {seconds / 60:.0f} minutes of training in all; "
        f"{platform.machine()}, {gpu}, torch {torch.__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


def _csv(config: StudyConfig, found: Findings) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(
        [
            "scene",
            "domain",
            "imagery",
            "card",
            "seed",
            "seen",
            "f1",
            "precision",
            "recall",
            *STATISTICS,
            "diversity",
            "advantage",
        ]
    )
    for row in found.rows:
        values = [
            row.f1,
            row.precision,
            row.recall,
            *(row.statistics[name] for name in STATISTICS),
            row.diversity,
            row.advantage,
        ]
        head = [row.scene, row.target, config.family, row.card, row.seed, int(row.seen)]
        out.writerow([*head, *(f"{value:.4f}" for value in values)])
    return text.getvalue()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 3) -> str:
    """Return a number, a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def span(pair: tuple[float, float]) -> str:
    """Return an interval of differences, a dash for NaN."""
    return f"{pair[0]:+.3f} to {pair[1]:+.3f}" if math.isfinite(pair[0]) else "–"


def alarm(found: Findings) -> str:
    rows = [[name, f"{value:.3f}"] for name, value in found.limits.items()]
    points = ", ".join(f"{x:.2f} → {y:.2f}" for x, y in found.expected)
    return (
        "## How far is too far\n\nLimits of the signals of the nearest checkpoint by joint MMD, "
        "tolerance limits from held-out domains: with 95 % "
        "confidence at most one in twenty such scenes sets off any of them. Tested on "
        "scenes made wrong in eight ways: [ood.md](ood.md).\n\n"
        + table(["signal", "limit"], rows)
        + f"\n\nF1 to be expected by the chosen checkpoint's joint MMD, before its "
        f"advantage is added: {points}. On a domain that had no part in it the expectation "
        "is off by "
        f"{number(found.expected_error)} in the mean."
    )


def calibration(found: Findings) -> str:
    rows = [
        [one.method, number(one.out, 4), number(one.home, 4), number(one.scene, 4)]
        for one in found.calibrated
    ]
    return (
        "## Probabilities under shift: expected calibration error\n\nFitted on unseen "
        "scenes of *other* domains and judged on the one "
        "left out; 15 bins, every scene with one weight.\n\n"
        + table(["calibration", "unseen domains", "seen domains", "mean of an unseen scene"], rows)
    )


def thresholds(found: Findings) -> str:
    rows = [
        [name, number(mean), span((low, high))]
        for name, (mean, low, high) in found.thresholds.items()
    ]
    return (
        "## Thresholds without labels\n\n*Expected F1*: the threshold of the highest F1 "
        "that the calibrated probabilities lead one to "
        "expect; *own share*: after moving them to the share of landslides they themselves "
        "suggest.\n\n"
        + table(["threshold", "F1 on unseen domains", "difference to the checkpoint's, 95 %"], rows)
    )


def trials(found: Findings) -> str:
    if not found.trials:
        return ""
    domains = sorted({target for one in found.trials.values() for target in one})
    rows = [
        [
            name,
            *(f"{one.get(target, math.nan):+.3f}" for target in domains),
            f"{np.mean(list(one.values())):+.3f}",
        ]
        for name, one in found.trials.items()
    ]
    return (
        "## Better than mixing alone?\n\nF1 against the plain checkpoint of the same mixture and "
        "seed, on domains neither has seen.\n\n" + table(["trial", *domains, "mean"], rows)
    )
