"""The study's one pool: sample sets, unseen scenes, trainings, and every checkpoint's answer to
every scene. Resumable per card.

What is kept of an answer is small and enough for all that follows (choice, alarm, calibration):
landslide and other pixels counted by the checkpoint's calibrated log-odds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy.special import logit

from configs.checkpoint import read_card
from configs.errors import RequestError
from configs.event import Event, default_windows
from configs.files import format_of, replacing, write_text
from configs.records import IGNORED
from configs.studying import Composition, SimulatedScenes, StudyConfig
from flows.learning.samples import make_samples
from flows.learning.train import probability_of, train_card
from flows.run.journal import progress
from models.inference.calibration import LogitCounts
from models.inference.predict import Predictor
from models.registry import Checkpoint
from tiles.samples import SampleSet

_STEPS = 250


@dataclass(frozen=True)
class Maps:
    """The maps of a study, in its folder."""

    folder: Path

    def _path(self, card: str, scene: str) -> Path:
        return self.folder / scene / f"{card}.npz"

    def has(self, card: str, scene: str, key: Sequence[str]) -> bool:
        """Return whether the map is there, and is of the weights and pixels that `key` names."""
        path = self._path(card, scene)
        if not path.exists():
            return False
        with np.load(path, allow_pickle=False) as stored:
            return bool(stored["key"].tolist() == list(key))

    def save(
        self, card: str, scene: str, key: Sequence[str], probability: NDArray[np.float32]
    ) -> None:
        """Keep the probabilities, 0-1, of the pixels that are judged, in reading order; NaN counts
        as 0.
        """
        path = self._path(card, scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = np.rint(np.nan_to_num(probability) * _STEPS).astype(np.uint8)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, key=np.array(list(key)), probability=steps)

    def probability(self, card: str, scene: str) -> NDArray[np.float32]:
        """Return what was kept, `(n,)`."""
        with np.load(self._path(card, scene), allow_pickle=False) as stored:
            steps: NDArray[np.uint8] = stored["probability"]
        return steps.astype(np.float32) / np.float32(_STEPS)


logger = logging.getLogger(__name__)

_SCENE_SEED = 1000
"""Earths of scenes are numbered from here: no training has seen any of their ground."""
_RECIPE = "study:"
"""Before the key of a training, in its checkpoint's record."""
_NEVER = 1e-7
"""Probabilities nearer than this to 0 or 1 count as this far."""


@dataclass(frozen=True)
class Scene:
    """What checkpoints are judged on."""

    domain: str
    samples: SampleSet
    own: bool
    """Whether the domain trains on the same sample set: checkpoints that did are judged on its test
    split alone.
    """

    @property
    def name(self) -> str:
        """Return the sample set's name."""
        return self.samples.path.name

    @property
    def key(self) -> str:
        """Return its name and its pixels' identity: answers to other pixels are none."""
        return f"{self.name}@{self.samples.card.fingerprint[:12]}"

    def truth(self, seen: bool) -> NDArray[np.uint8]:
        """Return the labels `(y, x)` that judge a checkpoint that has (not) seen the domain."""
        names = ["test"] if self.own and seen else list(self.samples.card.split_names.values())
        return self.samples.label(self.samples.numbers(names))


@dataclass(frozen=True)
class _Job:
    """One checkpoint to be trained and judged."""

    made: Composition
    seed: int

    @property
    def name(self) -> str:
        """Return the checkpoint's name."""
        return f"{self.made.name}-s{self.seed}"


@dataclass(frozen=True)
class Answers:
    """One checkpoint's answers: its folder, and the counts of every scene."""

    job: _Job
    found: Checkpoint
    counts: dict[str, LogitCounts]
    """Scene -> pixels by calibrated log-odds."""


def jobs(config: StudyConfig) -> list[_Job]:
    """Return the trainings in the order they are done: all candidates of a seed before the next,
    trials (of the first seed) last."""
    candidates = [
        _Job(made, seed) for seed in config.seeds for made in config.compositions if not made.trial
    ]
    return candidates + [_Job(made, config.seeds[0]) for made in config.compositions if made.trial]


def sample_sets(config: StudyConfig, folder: Path) -> dict[str, SampleSet]:
    """Return the training sets by their path in the study, cut where they are missing.

    Raises:
        RequestError: one is missing and there is no recipe of its name to cut it from.
    """
    found = {}
    for path in dict.fromkeys(path for domain in config.domains for path in domain.sets):
        place = (folder / path).resolve()
        recipe = Path(__file__).resolve().parents[2] / "configs" / "samples" / f"{place.name}.yaml"
        if not place.exists() and recipe.is_file():
            make_samples(recipe, place)
        found[path] = SampleSet.open(place)
    return found


def scenes(
    config: StudyConfig, sets: dict[str, SampleSet], folder: Path, work: Path
) -> list[Scene]:
    """Return all scenes, those of the simulated Earth made where they are missing."""
    every = []
    for domain in config.domains:
        listed = [
            Scene(domain.name, SampleSet.open((folder / path).resolve()), False)
            for path in domain.scenes
        ]
        if domain.simulated is not None:
            # All that the training sets hold, though checkpoints may read less: checkpoints of
            # other bands are judged on the same pixels.
            made = simulated_scenes(
                domain.name, domain.simulated, sets[domain.sets[0]].card.bands, work / "scenes"
            )
            listed += [Scene(domain.name, samples, False) for samples in made]
        every += listed or [Scene(domain.name, sets[path], True) for path in domain.sets]
    return every


def simulated_scenes(
    name: str, wanted: SimulatedScenes, bands: tuple[str, ...], work: Path, first: int = 0
) -> Iterator[SampleSet]:
    """Yield the sample sets of a landscape's seeded epicentres, one split, `first` and on."""
    work.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + wanted.count):
        place = work / f"{name}-{number}"
        if not place.exists():
            recipe = work / f"{name}-{number}.yaml"
            write_text(
                recipe,
                yaml.safe_dump(_sampling(place.name, wanted, bands, number), sort_keys=False),
            )
            make_samples(recipe, place)
        yield SampleSet.open(place)


def _sampling(
    name: str, wanted: SimulatedScenes, bands: tuple[str, ...], number: int
) -> dict[str, Any]:
    """Return the sampling configuration of one seeded epicentre: place, day, magnitude and Earth by
    the number.
    """
    salt = int.from_bytes(hashlib.sha256(wanted.landscape.encode()).digest()[:4], "big")
    rng = np.random.default_rng([11, salt, number])
    latitude, longitude = (
        float(round(at + by, 3))
        for at, by in zip(
            (wanted.latitude, wanted.longitude), rng.uniform(-0.5, 0.5, 2), strict=True
        )
    )
    day = int(rng.integers(0, 365))
    if wanted.days:
        day = wanted.days[number % len(wanted.days)] + int(rng.integers(-20, 21))
    moment = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=day, hours=int(rng.integers(24)))
    event = {
        "name": name,
        "time": moment,
        "latitude": latitude,
        "longitude": longitude,
        "magnitude": float(round(rng.uniform(6.6, 7.1), 1)),
        "depth_km": float(round(rng.uniform(6, 20))),
    }
    windows = default_windows(Event.model_validate(event), moment + timedelta(days=90), 365, 90)
    return {
        "format": format_of("sampling"),
        "name": name,
        "title": f"simulated {wanted.landscape}, seeded epicentre {number}",
        "run": {
            "event": {**event, "time": moment.isoformat()},
            "windows": windows.model_dump(mode="json"),
            "source": {
                "kind": "simulated",
                "landscape": wanted.landscape,
                "seed": _SCENE_SEED + number,
            },
        },
        "radius_km": wanted.radius_km,
        "bands": list(bands),
        "truth": {"kind": "simulated"},
        # One split: a scene is judged whole.
        "split": {"kind": "blocks", "block_px": 8192, "guard_px": 0, "shares": [0.98, 0.01, 0.01]},
        "chip_px": 96,
        "stride_px": 96,
        "licence": "Apache-2.0",
    }


def answers(
    config: StudyConfig, job: _Job, sets: dict[str, SampleSet], every: list[Scene], work: Path
) -> Answers:
    """Return one checkpoint's answers to every scene: trained and asked where that is not done
    yet.
    """
    key = _key(config, job, sets)
    found = _card(config, job, sets, key, work)
    stored = work / "answers" / f"{job.name}.npz"
    known = _load(stored, key, found)
    maps, mapped = Maps(work / "maps"), [key, found.card.weights_sha256]
    fresh = [
        s for s in every if s.key not in known or not maps.has(job.name, s.name, [*mapped, s.key])
    ]
    if fresh:
        predictor = predictor_of(config, found)
        for scene in fresh:
            judged = scene.truth(False) != IGNORED
            probability = probability_of(predictor, scene.samples, judged)
            known[scene.key] = _counts(probability, scene.truth(scene.domain in job.made.domains))
            maps.save(job.name, scene.name, [*mapped, scene.key], probability[judged])
        _save(stored, key, found, known)
        logger.info("%s has answered %d scenes", job.name, len(fresh))
    return Answers(job, found, {scene.name: known[scene.key] for scene in every})


def logit_counts(predictor: Predictor, scene: Scene, truth: NDArray[np.uint8]) -> LogitCounts:
    """Return a scene's pixels by the calibrated log-odds of a checkpoint, against the truth `(y,
    x)`.
    """
    return _counts(probability_of(predictor, scene.samples, truth != IGNORED), truth)


def _counts(probability: NDArray[np.float32], truth: NDArray[np.uint8]) -> LogitCounts:
    return LogitCounts.of(logit(np.clip(probability, _NEVER, 1 - _NEVER)), truth)


def stored_answers(
    config: StudyConfig, sets: dict[str, SampleSet], every: list[Scene], work: Path
) -> list[Answers]:
    """Return the answers that are there already, of all jobs."""
    done = []
    for job in jobs(config):
        folder, key = work / "cards" / job.name, _key(config, job, sets)
        if folder.exists() and _made_by(folder) == key:
            found = Checkpoint(folder, read_card(folder))
            known = _load(work / "answers" / f"{job.name}.npz", key, found)
            maps, mapped = Maps(work / "maps"), [key, found.card.weights_sha256]
            if all(s.key in known and maps.has(job.name, s.name, [*mapped, s.key]) for s in every):
                done.append(Answers(job, found, {scene.name: known[scene.key] for scene in every}))
    return done


def predictor_of(config: StudyConfig, found: Checkpoint) -> Predictor:
    """Return a checkpoint at work as the study runs it."""
    card = found.card.model_copy(update={"tiles": config.tiles}) if config.tiles else found.card
    return Checkpoint(found.folder, card).load(
        config.recipe.get("device", "auto"), config.recipe.get("precision", "auto")
    )


def _key(config: StudyConfig, job: _Job, sets: dict[str, SampleSet]) -> str:
    """Return the identity of a training: the recipe as the study gives it, and the pixels."""
    made = job.made
    paths = [path for name in made.domains for path in config.domain(name).sets]
    content = {
        "recipe": config.recipe | made.changes,
        "chips": made.chips(config.total),
        "seed": job.seed,
        "sets": [sets[path].card.fingerprint for path in paths],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _card(
    config: StudyConfig, job: _Job, sets: dict[str, SampleSet], key: str, work: Path
) -> Checkpoint:
    folder = work / "cards" / job.name
    if folder.exists():
        if _made_by(folder) == key:
            return Checkpoint(folder, read_card(folder))
        raise RequestError(
            f"{folder} was trained by another recipe or on other samples",
            "Give the study another name or --out, or remove that card.",
        )
    training = config.training(job.made, job.seed)
    paths = [sets[source.path].path for source in training.samples]
    return train_card(training, paths, f"{_RECIPE}{key}", work / "cards")


def _made_by(folder: Path) -> str:
    return str(read_card(folder).training.get("configuration", "")).removeprefix(_RECIPE)


def _save(path: Path, key: str, found: Checkpoint, known: dict[str, LogitCounts]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{name}|{part}": getattr(counts, part) for name, counts in known.items() for part in _PARTS
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, key=np.array([key, found.card.weights_sha256]), **arrays)


_PARTS = ("positives", "negatives")


def _load(path: Path, key: str, found: Checkpoint) -> dict[str, LogitCounts]:
    """Return the answers of a file; none where it is of another card."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        if stored["key"].tolist() != [key, found.card.weights_sha256]:
            return {}
        names = {name.split("|")[0] for name in stored.files if "|" in name}
        return {name: LogitCounts(*(stored[f"{name}|{part}"] for part in _PARTS)) for name in names}


def at_once(config: StudyConfig, folder: Path, work: Path, workers: int) -> None:
    """Train and ask every checkpoint that is not there yet, `workers` at a time. Sample sets and
    scenes are there already.

    Raises:
        RequestError, MachineError: the first worker that failed; the checkpoints of the others are
            kept.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    every = jobs(config)
    # Spawned: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, partial(torch.set_num_threads, threads)) as pool:
        under_way = [pool.submit(one, config, folder, work, job) for job in every]
        with progress("training and asking", "card") as advance:
            for done, future in enumerate(as_completed(under_way), 1):
                try:
                    future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
                advance(done, len(every))


def one(config: StudyConfig, folder: Path, work: Path, job: _Job) -> None:
    """Train and ask one card."""
    sets = sample_sets(config, folder)
    answers(config, job, sets, scenes(config, sets, folder, work), work)
