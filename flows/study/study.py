"""The leave-one-domain-out study: one pool of trainings tells how checkpoints are chosen, when none
can be trusted, and how probabilities are to be read. It writes `configs/selection.yaml`, which
`models.selection.choose` only reads.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.errors import RequestError
from configs.files import format_of, write_text
from configs.selection import BandSetCalibration, SelectionConfig, read_selection
from configs.studying import StudyConfig, read_study
from flows.run.journal import Step, plain
from flows.study.evidence import Mapped, judged, rows
from flows.study.findings import Findings, find
from flows.study.pool import (
    Answers,
    Maps,
    answers,
    at_once,
    jobs,
    sample_sets,
    scenes,
    stored_answers,
)
from flows.study.report import write_document

logger = logging.getLogger(__name__)


def study(
    name: str,
    out: Path,
    *,
    docs: Path | None = None,
    selection: Path | None = None,
    so_far: bool = False,
    workers: int = 1,
    settings: Sequence[str] = (),
    step: Step = plain,
) -> dict[str, Any]:
    """Return what a study found; its tables and figures lie in its folder under `out`, and in
    `docs` where given.

    An interrupted study goes on: finished checkpoints and answers are kept.

    Args:
        name: a preset of ``configs/study`` or a YAML file.
        out: folder for everything the study makes.
        docs: folder that ``study.md`` and its figures are written to, instead of ``report`` in the
            study's own.
        selection: file to write what the choice of a checkpoint goes by to; only where the study
            says so.
        so_far: train nothing; say what the checkpoints that are done say.
        workers: processes that train and answer at the same time, each with its share of the cores.
        settings: ``section.key=value`` over the study's file.
        step: how each part is called.

    Raises:
        RequestError: a study, sample set or recipe that cannot be used, or (`so_far`) nothing is
            done yet.
    """
    config, folder = read_study(name, settings)
    work = out / config.name
    sets = step(sample_sets, name="sample sets")(config, folder)
    every = step(scenes, name="scenes")(config, sets, folder, work)
    if so_far:
        done = whole_seeds(config, stored_answers(config, sets, every, work))
    else:
        if workers > 1:
            at_once(config, folder, work, workers)
        done = [
            step(answers, name=job.name)(config, job, sets, every, work) for job in jobs(config)
        ]
    if len({one.job.made.name for one in done if not one.job.made.trial}) < 2:
        raise RequestError(
            f"{work} holds the answers of {len(done)} checkpoints: too few to compare",
            "Run the study without --so-far.",
        )
    mapped = Mapped(Maps(work / "maps"), [one for one in done if not one.job.made.trial], every)
    found = step(find, name="evidence")(
        config, rows(config, done, every, work), judged(done, every), mapped
    )
    write_text(work / "findings.json", json.dumps(found.as_plain(), indent=1))
    written = write_document(config, found, done, work / "report" if docs is None else docs)
    if selection is not None:
        _write_selection(config, found, done, selection)
    return {
        "status": "ok",
        "study": config.name,
        "cards": len(done),
        "scenes": len(every),
        **found.summary(),
    } | {"report": str(written)}


def whole_seeds(config: StudyConfig, done: list[Answers]) -> list[Answers]:
    """Return the answers of the seeds whose candidates are all there (all, where no seed is whole):
    a choice among the few that happen to be done would tell nothing."""
    candidates = {made.name for made in config.compositions if not made.trial}
    whole = {
        seed
        for seed in config.seeds
        if candidates <= {one.job.made.name for one in done if one.job.seed == seed}
    }
    return [one for one in done if one.job.seed in whole] if whole else done


def _write_selection(config: StudyConfig, found: Findings, done: list[Answers], path: Path) -> None:
    """Write what the choice goes by; what other studies said of other bands stays.

    Raises:
        RequestError: the study is not meant to, or the file there is malformed.
    """
    if not config.writes_selection:
        raise RequestError(
            f"the study `{config.name}` is not meant to decide how checkpoints are chosen",
            "Set `writes_selection: true` in it, or leave --selection out.",
        )
    known = BandSetCalibration(
        study=config.name,
        bands=done[0].found.card.bands,
        simulated=config.family == "simulated",
        near=round(found.near, 4),
        limits={name: round(value, 4) for name, value in found.limits.items()},
        expected_f1=tuple((round(x, 4), round(y, 4)) for x, y in found.expected),
    )
    before = read_selection(path)
    others = tuple(
        one
        for one in before.calibrations
        if one is not before.calibration(known.bands, known.simulated)
    )
    content = SelectionConfig(
        calibrations=tuple(sorted((*others, known), key=lambda one: (-len(one.bands), one.bands)))
    )
    head = (
        "# How checkpoints are chosen, written by `coslide study NAME --selection`, a study a set "
        "of bands. See docs/results.md.\n"
    )
    plain = content.model_dump(mode="json", exclude_defaults=True)
    write_text(
        path, head + yaml.safe_dump({"format": format_of("selection"), **plain}, sort_keys=False)
    )
