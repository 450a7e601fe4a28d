"""Which unit of the joint MMD tells F1 on unseen domains: pixels, means of patches, or patches as
vectors (simulated).

    python -m benchmarks.mmd_unit [--write]      # resumable per unit; needs the study's cards:
    coslide study standard

Every composition of the study beside every scene, patches of both drawn alike; the order of the
cards against their F1 within each unseen scene. Writes docs/mmd-unit.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.document import fill
from configs.errors import RequestError
from configs.files import write_text
from configs.records import IGNORED
from configs.selection import SelectionConfig, Unit
from configs.studying import StudyConfig, read_study
from flows.study.evidence import confusion
from flows.study.pool import Answers, Scene, sample_sets, scenes, stored_answers
from gee.simulated import fingerprint
from models.mmd import BlockGram, block_sums
from models.reference import Reference, mixture, sample
from models.selection.evidence import Choices, Row, choices, interval, seed_deviation
from models.units import blocked, patches, spreads
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "mmd-unit"
COUNT = 600
"""Pixels or patches of either side, the same for all units."""
UNITS: tuple[tuple[Unit, int], ...] = (
    ("pixel", 1),
    ("patch_mean", 4),
    ("patch_mean", 8),
    ("patch_mean", 16),
    ("patch_mean", 32),
    ("patch_mean", 64),
    ("patch_vector", 4),
)


def settings_of(unit: Unit, side_px: int) -> SelectionConfig:
    """Return how scene and cards are compared by one unit."""
    return SelectionConfig(unit=unit, unit_px=max(2, side_px), pixels=COUNT, patches=COUNT)


def drawn(
    samples: SampleSet, splits: Sequence[str], bands: Sequence[str], settings: SelectionConfig
) -> Reference:
    """Return pixels, and where the unit asks for them patches, of some splits of a sample set."""
    numbers = samples.numbers(splits)
    samples.hold([*bands, "label", "split"], 1 << 30)
    resolution_m = samples.card.origin.resolution_m
    steep = settings.slope_min_deg if "slope" in bands else 0.0

    def usable(rows: slice, columns: slice) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.asarray(samples.label(numbers, rows, columns) != IGNORED)

    pixels = sample(
        samples,
        bands,
        usable,
        domain=samples.name,
        resolution_m=resolution_m,
        count=COUNT,
        block_m=settings.block_m,
        slope_min_deg=steep,
    )
    alike = patches(
        samples, bands, usable, settings, resolution_m=resolution_m, slope_min_deg=steep
    )
    return replace(pixels, patches=alike)


def distances(
    config: StudyConfig,
    sets: dict[str, SampleSet],
    every: Sequence[Scene],
    settings: SelectionConfig,
) -> dict[str, dict[str, float]]:
    """Return scene -> composition -> joint MMD, one scaling and bandwidth a scene."""
    bands = tuple(config.recipe.get("bands") or next(iter(sets.values())).card.bands)
    parts = {path: drawn(samples, ("train",), bands, settings) for path, samples in sets.items()}
    cards = {}
    for made in (one for one in config.compositions if not one.trial):
        sources = config.training(made, config.seeds[0]).samples
        cards[made.name] = mixture(
            [(parts[s.path], float(s.count or 0)) for s in sources if s.count], COUNT
        )
    table: dict[str, dict[str, float]] = {}
    for scene in every:
        here = drawn(scene.samples, list(scene.samples.card.split_names.values()), bands, settings)
        spread = spreads(bands, here, list(cards.values()), settings)
        x = blocked(here, bands, spread, settings)
        width = 2.0 * x.values.shape[1]
        own = block_sums(x, x, width, settings.kernels)
        for name, card in cards.items():
            gram = BlockGram.of(
                x, blocked(card, bands, spread, settings), width, settings.kernels, own
            )
            table.setdefault(scene.name, {})[name] = math.sqrt(max(0.0, gram.mmd2()))
    return table


def measured(
    config: StudyConfig,
    sets: dict[str, SampleSet],
    every: Sequence[Scene],
    unit: Unit,
    side_px: int,
) -> dict[str, dict[str, float]]:
    """Return the distances of one unit, computed where they are not on record for these cards and
    scenes.
    """
    path = WORK / f"{config.name}-{unit}-{side_px}.json"
    key = [
        sorted(scene.key for scene in every),
        sorted(s.card.fingerprint[:12] for s in sets.values()),
        COUNT,
    ]
    key.append(
        [[made.name, made.chips(config.total)] for made in config.compositions if not made.trial]
    )
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["of"] == json.loads(json.dumps(key)):
            found: dict[str, dict[str, float]] = stored["distances"]
            return found
    found = distances(config, sets, every, settings_of(unit, side_px))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"of": key, "distances": found}))
    return found


def label(unit: Unit, side_px: int) -> str:
    """Return a unit's name in the table."""
    if unit == "pixel":
        return "pixel"
    return f"{unit.replace('_', ' ')}, {side_px} px ({side_px * 10} m)"


def evidence_of(done: Sequence[Answers], every: Sequence[Scene]) -> list[Row]:
    """Return F1 of every card on every scene; distances are filled in unit by unit."""
    found = []
    for one in done:
        for scene in every:
            counts = confusion(one.counts[scene.name], one.found.card.threshold)
            f1, precision, recall = (
                float(np.nan_to_num(v)) for v in (counts.f1, counts.precision, counts.recall)
            )
            row = Row(
                scene=scene.name,
                target=scene.domain,
                card=one.job.made.name,
                seed=one.job.seed,
                seen=scene.domain in one.job.made.domains,
                f1=f1,
                precision=precision,
                recall=recall,
                statistics={},
                diversity=0.0,
                validation_f1=0.0,
            )
            found.append(row)
    return found


def judged(evidence: Sequence[Row], name: str, found: dict[str, dict[str, float]]) -> Choices:
    """Return what choosing by one unit's distance gives on unseen domains."""
    told = [replace(row, statistics={name: found[row.scene][row.card]}) for row in evidence]
    return choices(told, lambda _: lambda row: row.statistics[name])


HEAD = (
    "one observation is",
    "Spearman of −distance and F1",
    "− that of pixels, 95 %",
    "chosen F1",
    "regret",
    "chosen F1 − by pixels, 95 %",
)


def table(every: dict[str, Choices]) -> str:
    """Return one line a unit; differences to the pixel are paired over scenes, intervals by drawing
    domains.
    """
    lines, pixel = [[*HEAD], ["---"] * len(HEAD)], every["pixel"]
    for name, one in every.items():
        low, high = interval(one.targets, one.correlation)
        told, gained = (
            "" if one is pixel else "{:+.3f} to {:+.3f}".format(*against(one, pixel, of))
            for of in ("correlation", "chosen")
        )
        cells = [
            f"{one.spearman:.2f} ({low:.2f} to {high:.2f})",
            told,
            f"{one.chosen.mean():.3f}",
            f"{one.regret:.3f}",
        ]
        lines.append([name, *cells, gained])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def against(one: Choices, pixel: Choices, of: str) -> tuple[float, float]:
    """Return the interval of a difference to the pixel."""
    return interval(one.targets, getattr(one, of) - getattr(pixel, of))


def verdict(every: dict[str, Choices]) -> str:
    """Return whether any unit is better than the pixel, in words: the F1 of what is chosen decides,
    not the order.
    """
    pixel = every["pixel"]
    rest = {name: one for name, one in every.items() if one is not pixel}
    better = [name for name, one in rest.items() if against(one, pixel, "chosen")[0] > 0]
    ordered = [name for name, one in rest.items() if against(one, pixel, "correlation")[0] > 0]
    words = []
    if ordered:
        words.append(
            f"Of {len(rest)} units tried, {len(ordered)} order the cards better than "
            "pixels do, beyond what drawing other domains "
            f"explains: {'; '.join(ordered)}."
        )
    if better:
        words.append(
            "A better card is chosen, beyond what drawing other domains explains, by "
            f"{'; '.join(better)}."
        )
    else:
        words.append(
            "By none of them is a better card chosen, beyond what drawing other domains "
            "explains. The pixel stays the default: it is "
            "the plainest, every card holds what it needs, and the study's calibration was "
            "made with it."
        )
    return " ".join(words)


def main() -> None:
    """Measure whatever is not on record and print the table; with --write, put it into
    docs/mmd-unit.md.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--study", default="standard", help="A preset or a YAML file.")
    parser.add_argument("--runs", type=Path, help="The study's folder; runs/study/NAME by default.")
    given = parser.parse_args()
    config, folder = read_study(given.study)
    work = given.runs or ROOT / "runs" / "study" / config.name
    sets = sample_sets(config, folder)
    every = scenes(config, sets, folder, work)
    done = [one for one in stored_answers(config, sets, every, work) if not one.job.made.trial]
    if not done:
        raise RequestError(
            f"no card of study `{config.name}` has answered its scenes",
            "Run `coslide study` first.",
        )
    evidence = evidence_of(done, every)
    found = judge(config, sets, every, evidence)
    made, words = table(found), verdict(found)
    print(made, words, sep="\n\n")
    if given.write:
        deviation = seed_deviation(evidence)
        fill(
            "mmd-unit",
            table=made,
            verdict=words,
            cards=str(len(done)),
            scenes=str(len(every)),
            title=config.title,
            count=str(COUNT),
            deviation=f"{deviation:.3f}",
            simulator=fingerprint()[:16],
        )


def judge(
    config: StudyConfig, sets: dict[str, SampleSet], every: Sequence[Scene], evidence: Sequence[Row]
) -> dict[str, Choices]:
    """Return what choosing gives by every unit."""
    found = {}
    for unit, side_px in UNITS:
        name = label(unit, side_px)
        found[name] = judged(evidence, name, measured(config, sets, every, unit, side_px))
        print(name, round(found[name].spearman, 3), round(found[name].regret, 4), flush=True)
    return found


if __name__ == "__main__":
    main()
