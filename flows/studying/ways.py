"""Other ways to answer with the cards that are there: unseen scenes mapped again with the scene brought to the card, or the card to
the scene, without a label, each scored against the plain answer of the same card. Resumable per card, under ``ways/``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.files import write_text
from configs.records import IGNORED
from configs.studying import Answering, StudyConfig
from flows.learning.adapting import on, tiles_of
from flows.learning.card_scores import probability_of
from flows.studying.evidence import confusion
from flows.studying.pool import Answers, Scene, predictor_of
from models.batchnorm import with_scene_statistics
from models.inference.adaptation import adapting
from models.inference.predict import Predictor
from models.metrics import Confusion
from models.registry import Found
from models.selection.evidence import by_target, interval
from models.selftrain import self_trained

logger = logging.getLogger(__name__)

_TILES_AT_ONCE = 3


@dataclass(frozen=True)
class Way:
    """What another way of answering did on unseen domains."""

    title: str
    cards: int
    answers: int
    by_domain: Mapping[str, float]
    """Domain -> mean F1 difference to the plain answers of the same cards and scenes."""
    mean: float
    low: float
    """95 % interval of the mean over domains, drawn with replacement."""
    high: float


def ways(config: StudyConfig, done: Sequence[Answers], every: Sequence[Scene], work: Path) -> dict[str, Way]:
    """Return what each way of the study did, asked where that is not done yet."""
    found = {}
    for way in config.answering:
        targets, gained = [], []
        asked = [one for one in done if takes_part(way, one)]
        for one in asked:
            counts = way_answers(config, way, one, every, work)
            for scene in every:
                if scene.name in counts:
                    plain = confusion(one.counts[scene.name], one.found.card.threshold)
                    targets.append(scene.domain)
                    gained.append(_f1(counts[scene.name]) - _f1(plain))
        if gained:
            found[way.name] = _way(way, len(asked), targets, np.array(gained))
    return found


def takes_part(way: Answering, one: Answers) -> bool:
    """Return whether a card answers in this way."""
    wanted = one.job.made.name in way.of if way.of else not one.job.made.trial
    return wanted and (not way.seeds or one.job.seed in way.seeds)


def way_answers(
    config: StudyConfig, way: Answering, one: Answers, every: Iterable[Scene], work: Path
) -> dict[str, Confusion]:
    """Return one card's counts at its own threshold, in another way, on every scene of a domain that it has not seen."""
    unseen = [scene for scene in every if scene.domain not in one.job.made.domains]
    path, key = work / "ways" / way.name / f"{one.job.name}.json", _key(config, way, one)
    known = _stored(path, key)
    fresh = [scene for scene in unseen if scene.key not in known]
    if fresh:
        base = _base(config, way, one.found)
        for scene in fresh:
            known[scene.key] = _counted(_otherwise(way, on(base, scene.samples), scene), scene)
        write_text(path, json.dumps({"key": key, "counts": {name: vars(c) for name, c in known.items()}}))
        logger.info("%s has answered %d scenes by %s", one.job.name, len(fresh), way.name)
    return {scene.name: known[scene.key] for scene in unseen}


def _base(config: StudyConfig, way: Answering, found: Found) -> Predictor:
    if way.adapt != "card":
        found = Found(found.folder, adapting(found.card, found.reference(), way.adapt))
    return predictor_of(config, found)


def _otherwise(way: Answering, predictor: Predictor, scene: Scene) -> Predictor:
    """Return a card at work on a scene as the way has its network answer."""
    if not way.batch_norm and not way.learn_steps:
        return predictor
    tiles = tiles_of(scene.samples, predictor.bands, way.tile_px)
    if way.batch_norm:
        batches = [np.stack(tiles[i : i + _TILES_AT_ONCE]) for i in range(0, len(tiles), _TILES_AT_ONCE)]
        predictor = with_scene_statistics(predictor, batches, way.batch_norm)
    if way.learn_steps:
        predictor = self_trained(
            predictor, tiles, sure=way.sure, steps=way.learn_steps, learning_rate=way.learning_rate
        )
    return predictor


def _counted(predictor: Predictor, scene: Scene) -> Confusion:
    truth = scene.truth(False)
    known = truth != IGNORED
    chance = probability_of(predictor, scene.samples, known)
    return Confusion.from_masks(chance >= predictor.card.threshold, truth == 1, known)


def _key(config: StudyConfig, way: Answering, one: Answers) -> str:
    settings = way.model_dump(mode="json", exclude={"name", "title", "of", "seeds"})
    content = [settings, one.found.card.weights_sha256, one.found.card.threshold]
    content.append(config.tiles.model_dump(mode="json") if config.tiles else None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _stored(path: Path, key: str) -> dict[str, Confusion]:
    """Return the answers of a file; none where they are another card's or of other settings."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: Confusion(**c) for name, c in content["counts"].items()} if content["key"] == key else {}


def _f1(counts: Confusion) -> float:
    """Return F1, nothing found for 0/0."""
    return 0.0 if math.isnan(counts.f1) else counts.f1


def _way(way: Answering, cards: int, targets: Sequence[str], gained: np.ndarray) -> Way:
    means = dict(zip(sorted(set(targets)), by_target(targets, gained).tolist(), strict=True))
    low, high = interval(targets, gained)
    return Way(way.title or way.name, cards, len(gained), means, float(np.mean(list(means.values()))), low, high)


def ways_table(found: Mapping[str, Way]) -> str:
    """Return the ways as a Markdown section; empty where none was tried."""
    if not found:
        return ""
    domains = sorted({domain for way in found.values() for domain in way.by_domain})
    head = ["way", "cards", "answers", "F1 difference, 95 %", *domains]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for way in found.values():
        span = f"{way.mean:+.3f} ({way.low:+.3f} to {way.high:+.3f})"
        cells = [f"{way.by_domain[domain]:+.3f}" if domain in way.by_domain else "–" for domain in domains]
        lines.append(f"| {' | '.join([way.title, str(way.cards), str(way.answers), span, *cells])} |")
    return (
        "## The same cards, answering otherwise\n\nWithout a label and without training cards anew: the scene is brought to the "
        "card, or the card to the scene. F1 on unseen domains less that of the plain answer of the same card to the same scene; "
        "means over domains, intervals by drawing domains.\n\n" + "\n".join(lines)
    )
